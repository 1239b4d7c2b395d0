package frameworks

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	domain    = "abcdefghij.lambda-url.eu-west-1.on.aws"
)

// event is the one that Lambda makes of a request to a function URL: one line for each header, cookies apart, the body
// in Base64, and in place of a connection the client's address without a port.
func event(t *testing.T, r *http.Request) *events.LambdaFunctionURLRequest {
	headers := map[string]string{"host": domain, "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "x-amzn-trace-id": "Root=1"}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	e := &events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Headers: headers,
		RequestContext: events.LambdaFunctionURLRequestContext{
			DomainName: domain,
			HTTP:       events.LambdaFunctionURLRequestContextHTTPDescription{Method: r.Method, Path: r.URL.Path, Protocol: "HTTP/1.1", SourceIP: "203.0.113.9"},
		},
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		headers["content-length"] = "6"
	}
	text, err := json.Marshal(e) // as it comes to the function
	require.NoError(t, err)
	e = new(events.LambdaFunctionURLRequest)
	require.NoError(t, json.Unmarshal(text, e))
	return e
}

// function is a Lambda function behind its URL, which serves who has signed.
func function(t *testing.T) func(*events.LambdaFunctionURLRequest) (int, string) {
	verifier, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "julianwood"}}.Key, Regions: []string{"eu-west-1"}, Services: []string{"lambda"},
	})
	require.NoError(t, err)
	handle := lambdaurl.Wrap(verifier.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sigv4.ID(r)
		_, _ = io.WriteString(w, id+" ")
		_, _ = io.Copy(w, r.Body)
	})))
	return func(e *events.LambdaFunctionURLRequest) (int, string) {
		response, err := handle(t.Context(), e)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}
}

func request(t *testing.T, method, target, body string) *http.Request {
	r, err := http.NewRequest(method, "https://"+domain+target, nil)
	require.NoError(t, err)
	if body != "" {
		r, err = http.NewRequest(method, "https://"+domain+target, strings.NewReader(body))
		require.NoError(t, err)
	}
	return r
}

func sign(t *testing.T, r *http.Request) *http.Request {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: accessKey, Secret: secretKey}, nil
		},
		Region: "eu-west-1", Service: "lambda",
	})
	require.NoError(t, err)
	require.NoError(t, signer.Sign(r))
	return r
}

func TestFunctionURL(t *testing.T) {
	call := function(t)
	for _, tt := range []struct{ name, method, target, body string }{
		{"GET", "GET", "/", ""},
		{"query and escapes", "GET", "/Prod/caf%C3%A9/a%2Fb%20c?b=2&a=1&a=0&q=x%20y", ""},
		{"POST", "POST", "/Prod/loyalty", "a body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed := sign(t, request(t, tt.method, tt.target, tt.body))
			signed.Header.Set("Accept", "text/plain, */*") // as clients do after signing
			status, body := call(event(t, signed))
			require.Equal(t, 200, status, body)
			require.Equal(t, "julianwood "+tt.body, body)
		})
	}
}

func TestFunctionURLRefuses(t *testing.T) {
	call := function(t)
	status, body := call(event(t, request(t, "GET", "/", "")))
	require.Equal(t, 403, status)
	require.JSONEq(t, `{"message":"Missing Authentication Token"}`, body)

	for name, change := range map[string]func(*events.LambdaFunctionURLRequest){
		"path":        func(e *events.LambdaFunctionURLRequest) { e.RawPath += "x" },
		"query":       func(e *events.LambdaFunctionURLRequest) { e.RawQueryString += "&x=1" },
		"method":      func(e *events.LambdaFunctionURLRequest) { e.RequestContext.HTTP.Method = "DELETE" },
		"host":        func(e *events.LambdaFunctionURLRequest) { e.RequestContext.DomainName = "evil.example.com" },
		"body":        func(e *events.LambdaFunctionURLRequest) { e.Body = base64.StdEncoding.EncodeToString([]byte("a bode")) },
		"body, plain": func(e *events.LambdaFunctionURLRequest) { e.Body, e.IsBase64Encoded = "a bode", false },
	} {
		t.Run(name, func(t *testing.T) {
			e := event(t, sign(t, request(t, "POST", "/Prod?a=1", "a body")))
			change(e)
			status, body := call(e)
			require.Equal(t, 403, status)
			require.Contains(t, body, "does not match")
		})
	}
}
