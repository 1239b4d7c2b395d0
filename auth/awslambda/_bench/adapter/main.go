// Command adapter is a Lambda function that serves a handler by auth/awslambda, and nothing else.
package main

import (
	"io"
	"log"
	"net/http"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/tallygate/tallygate/auth/awslambda"
)

func main() {
	f, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})})
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(f)
}
