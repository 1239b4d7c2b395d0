package awslambda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"
)

// Config holds the settings of a [Function].
type Config struct {
	// Handler serves the requests. It must not be nil.
	Handler http.Handler

	// BasePaths has the mapping key of each custom domain name of an API, such as "v1" for api.example.com. A domain that
	// is not listed has the empty key, and nil lists none. Slashes around a key have no meaning.
	//
	// REST APIs and payload format 1.0 have the key in their paths, and BasePaths removes it, so that one mux serves
	// all domains. If a mapping has no stage, the client writes the stage behind the key, and both are the key here:
	// "v1/Prod". Payload format 2.0 has no key in its path, but SigV4 needs it, since the client has signed it.
	BasePaths map[string]string
}

// Function serves the HTTP requests in the events of a Lambda function. It is safe for concurrent use. The zero value
// refuses all events with [ErrNotConfigured].
//
// It has the methods that the Go runtime of Lambda starts: lambda.Start(f) or lambda.Start(f.Stream).
type Function struct {
	handler http.Handler
	base    map[string]string
}

// New returns a function. It copies the configuration. The error joins all mistakes of it.
func New(c Config) (*Function, error) {
	var mistakes []error
	if c.Handler == nil {
		mistakes = append(mistakes, errors.New("awslambda: Handler is nil"))
	}
	base := maps.Clone(c.BasePaths)
	for domain, key := range base {
		if key = strings.Trim(key, "/"); domain == "" || strings.Contains(domain, "/") || !isPlain(key) {
			err := fmt.Errorf("awslambda: BasePaths: %q: %q is not a domain and its mapping key", domain, key)
			mistakes = append(mistakes, err)
		}
		base[domain] = key
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return &Function{c.Handler, base}, nil
}

// Invoke serves the request in an event and returns the answer in the format that the event's kind expects. ctx is the
// invocation's, and the request's context is derived from it. Invoke copies what it needs of event, so the caller may
// use the slice again.
//
// The error wraps a cause of this package or is a [*PanicError]. Lambda then reports a function error, and the client
// gets 502, or 500 from an HTTP API.
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	if f == nil || f.handler == nil {
		return nil, ErrNotConfigured
	}
	p, err := parseServed(event)
	if err != nil {
		return nil, err
	}
	return f.answer(ctx, p)
}

// Request returns the request in an event, which may also be that of an authorizer with the type REQUEST: then it is
// the request that API Gateway asks about. Package authorizer calls it. Invoke refuses an authorizer's event, since API
// Gateway would get the handler's page in place of a decision.
//
// An authorizer's event has no body, so Body is empty, whatever the client has sent. The request's context has no
// [Event], since nothing in it is verified yet.
//
// The error wraps [ErrEvent], or is a fault of the client and has a method StatusCode that returns 400.
func (f *Function) Request(ctx context.Context, event []byte) (*http.Request, error) {
	if f == nil || f.handler == nil {
		return nil, ErrNotConfigured
	}
	p, err := parsePayload(event)
	if err != nil {
		return nil, err
	}
	return p.request(ctx, f.base)
}

// parseServed reads an event that a handler can serve.
func parseServed(event []byte) (*payload, error) {
	p, err := parsePayload(event)
	if err == nil && p.marks.arn {
		return nil, p.notHTTP()
	}
	return p, err
}

func (f *Function) answer(ctx context.Context, p *payload) ([]byte, error) {
	w := &buffered{head: newHead(p)}
	if err := f.run(ctx, p, w); err != nil {
		return nil, err
	}
	if err := w.end(); err != nil {
		return nil, err
	}
	return w.encode(p)
}

// run lets the handler answer, in a goroutine of its own. A handler that calls runtime.Goexit ends that goroutine. In
// the goroutine of the caller it would end the loop of Lambda's runtime, and the invocation would hang until its deadline.
func (f *Function) run(ctx context.Context, p *payload, w http.ResponseWriter) error {
	ended := make(chan error, 1)
	go func() {
		err := errUnfinished
		defer func() { ended <- err }()
		err = f.serve(ctx, p, w)
	}()
	return <-ended
}

// serve lets the handler answer, and returns an error if it panics.
func (f *Function) serve(ctx context.Context, p *payload, w http.ResponseWriter) (err error) {
	r, err := p.request(ctx, f.base)
	switch {
	case errors.Is(err, ErrEvent):
		return err
	case err != nil: // a clientError
		http.Error(w, "400 Bad Request", http.StatusBadRequest) // the text of net/http's server
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			err = recovered(value, debug.Stack())
		}
	}()
	f.handler.ServeHTTP(w, r)
	return nil
}
