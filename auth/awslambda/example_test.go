package awslambda_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/usageplan"
)

// A handler in a Lambda function. The program itself ends with lambda.Start(f).
func Example() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pets/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = fmt.Fprintf(w, "%s from %s", r.PathValue("id"), r.RemoteAddr)
	})
	f, err := awslambda.New(awslambda.Config{Handler: mux})
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := os.ReadFile("testdata/http2.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := f.Invoke(context.Background(), event)
	fmt.Println(string(answer), err)
	// Output:
	// {"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":"café from 203.0.113.9:0","isBase64Encoded":false} <nil>
}

// An answer in parts. The program itself ends with lambda.Start(f.Stream), and the runtime reads the response.
func ExampleFunction_Stream() {
	f, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d;", i)
			_ = http.NewResponseController(w).Flush()
		}
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := os.ReadFile("testdata/url.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := f.Stream(context.Background(), event)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Close() }()
	text, err := io.ReadAll(response)
	fmt.Println(strings.ReplaceAll(string(text), "\x00", "|"), err)
	// Output:
	// {"statusCode":200,"headers":{"Content-Type":"text/plain; charset=utf-8"}}||||||||part 0;part 1;part 2; <nil>
}

// The route of a usage plan, as API Gateway knows it. It needs no mux, so the plan can stand before one.
func ExampleFromContext() {
	route := func(r *http.Request) (usageplan.Route, bool) {
		e, ok := awslambda.FromContext(r.Context())
		if !ok {
			return usageplan.Route{}, false
		}
		return usageplan.Route{API: e.API, Stage: e.Stage, Resource: e.Resource, Method: e.Method}, true
	}
	f, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(route(r))
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := os.ReadFile("testdata/rest.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = f.Invoke(context.Background(), event)
	fmt.Println(err)
	// Output:
	// {a1b2c3d4e5 Prod /pets/{id} POST} true
	// <nil>
}

// An event of a queue is no request. The error says what has invoked the function.
func ExampleFunction_Invoke_otherEvent() {
	f, err := awslambda.New(awslambda.Config{Handler: http.NotFoundHandler()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = f.Invoke(context.Background(), []byte(`{"Records":[{"eventSource":"aws:sqs","body":"hello"}]}`))
	fmt.Println(err)
	// Output:
	// awslambda: the event holds no HTTP request: it is an event of "aws:sqs"
}

// A handler in a function sees only its own environment: this count begins again in each, so it bounds nothing as a
// whole. Quotas need a shared store.
func Example_incorrect() {
	left := 100 // of this environment; three environments admit 300
	f, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if left--; left < 0 {
			http.Error(w, "Limit Exceeded", http.StatusTooManyRequests)
		}
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := f.Invoke(context.Background(), []byte(`{"requestContext":{"elb":{"targetGroupArn":"pets"}},"httpMethod":"GET","path":"/","headers":{}}`))
	fmt.Println(string(answer), err)
	// Output:
	// {"statusCode":200,"statusDescription":"200 OK","headers":{},"body":"","isBase64Encoded":false} <nil>
}
