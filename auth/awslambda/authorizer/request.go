package authorizer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/tallygate/tallygate/auth/awslambda"
)

// request returns the request that the event describes. Package awslambda makes it where the event has one, so that a
// signature verifies in an authorizer as it verifies in the function behind it. An error whose status is 400 is a fault
// of the client.
func (a *Authorizer) request(ctx context.Context, payload []byte, e *event) (r *http.Request, err error) {
	switch e.form {
	case formToken:
		r = a.ofToken(ctx, e.AuthorizationToken)
		r.Method, r.URL.Path = e.target.methodAndPath()
	case formAppSync:
		// The headers of the event are left out on purpose. AppSync keeps the result under the token alone. So a
		// decision that depends on another header would apply to requests without that header too.
		r = a.ofToken(ctx, e.AuthorizationToken)
		r.Method, r.URL.Path = http.MethodPost, "/graphql"
	default:
		switch r, err = a.requests.Request(ctx, payload); {
		case errors.Is(err, awslambda.ErrEvent):
			return nil, badEvent("%w", err)
		case err != nil:
			return nil, err
		}
		// Package awslambda puts no event of an authorizer into the context. If it has done so, the two readers of the
		// event have understood it in different ways. Example: a member named MethodArn, which only encoding/json takes
		// for methodArn.
		if _, served := awslambda.FromContext(r.Context()); served {
			return nil, badEvent("its members are not those of an authorizer's event")
		}
	}
	if r.RequestURI == "" {
		r.RequestURI = r.URL.RequestURI()
	}
	if r.Body, r.ContentLength = http.NoBody, 0; mayHaveBody(r) {
		r.Body, r.ContentLength = unreadable{}, -1
	}
	return r, nil
}

// ofToken returns a request of which only a token is known.
func (a *Authorizer) ofToken(ctx context.Context, token string) *http.Request {
	r := &http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &url.URL{}, Header: http.Header{a.tokenHeader: {token}},
	}
	return r.WithContext(ctx)
}

// mayHaveBody reports whether the client may have sent a body, which no event of an authorizer has. REST APIs drop
// Content-Length, so the method has to decide. GET and HEAD have no body whose meaning is defined, and OPTIONS has none
// in use (RFC 9110 sections 9.3.1, 9.3.2 and 9.3.7).
func mayHaveBody(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		length := r.Header.Get("Content-Length")
		return length != "" && length != "0" || r.Header.Get("Transfer-Encoding") != ""
	}
	return true
}

// unreadable is the body of a request whose body is not known. A mode that reads it, as package sigv4 does to compare
// its hash, refuses the request. Otherwise a signature for no body would let in a request with any body.
type unreadable struct{}

var errNoBody = errors.New("the event of an authorizer has no body, so that its hash cannot be compared")

func (unreadable) Read([]byte) (int, error) { return 0, errNoBody }
func (unreadable) Close() error             { return nil }

var _ io.ReadCloser = unreadable{}
