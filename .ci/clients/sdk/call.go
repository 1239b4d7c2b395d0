package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	service   = "execute-api"
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of no body
)

var (
	base        = os.Getenv("BASE")
	region      = os.Getenv("AWS_REGION")
	key         = os.Getenv("API_KEY")
	disabledKey = os.Getenv("DISABLED_API_KEY")
	credentials = aws.Credentials{
		AccessKeyID:     os.Getenv("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
	}
)

// A call is a request before it is signed.
type call struct {
	path        string // with the query
	key         string // x-api-key; none if empty
	credentials aws.Credentials
	offset      time.Duration // from now to the signing date
}

// loyal is the call that the example answers.
func loyal() call {
	return call{path: "/Prod/loyalty/" + os.Getenv("CUSTOMER"), key: key, credentials: credentials}
}

func (c call) request() *http.Request {
	r, err := http.NewRequest(http.MethodGet, base+c.path, nil)
	must(err)
	if c.key != "" {
		r.Header.Set("X-Api-Key", c.key)
	}
	return r
}

// A scheme is one of the ways to sign that the SDK has.
type scheme struct {
	name string
	sign func(call) *http.Request
}

var schemes = []scheme{{"header", inHeader}, {"presigned", presigned}}

func inHeader(c call) *http.Request {
	r := c.request()
	at := time.Now().Add(c.offset)
	must(v4.NewSigner().SignHTTP(context.Background(), c.credentials, r, emptyHash, service, region, at))
	return r
}

func presigned(c call) *http.Request {
	r := c.request()
	q := r.URL.Query()
	q.Set("X-Amz-Expires", "300")
	r.URL.RawQuery = q.Encode()
	at := time.Now().Add(c.offset)
	target, _, err := v4.NewSigner().PresignHTTP(context.Background(), c.credentials, r, emptyHash, service, region, at)
	must(err)
	r.URL, err = url.Parse(target)
	must(err)
	return r
}
