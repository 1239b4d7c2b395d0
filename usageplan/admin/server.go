package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// Config configures a [Server]. [New] copies it.
type Config struct {
	// Keys and Plans are what the control plane reads and changes. Both are required. The meter's clients must be the
	// ids of keys, as [apikey.ID] returns them.
	Keys  *apikey.Verifier
	Plans *usageplan.Meter

	// Authenticate verifies who sends a request, and returns the request with the proof in its context. It is usually the
	// method of that name of a sigv4.Verifier for the service "apigateway". If its error is an [http.Handler], that
	// answers. Without Authenticate and Actor, the Server is for [Page] only, and refuses every request that it gets
	// itself with [ErrNotConfigured]. One of them alone is a mistake.
	Authenticate func(*http.Request) (*http.Request, error)

	// Actor names the sender of an authenticated request, for the journal and for refusals; usually sigv4.ID. If it
	// reports false, the request is refused.
	Actor func(*http.Request) (string, bool)

	// Authorize decides whether the sender of an authenticated request may do what it asks for. Nil allows it, and any
	// error refuses it. It is required: an access key that may call an API is not one that may change its limits.
	Authorize func(*http.Request, Action) error

	// Region returns the region of an authenticated request, usually that of its signature. It stands in ARNs, and the
	// ARN of a tagged resource must have the same. Nil leaves it empty and accepts any.
	Region func(*http.Request) (string, bool)

	// Stages are the stages that the program serves. Clients find them by GET /restapis, and plans may open no others.
	// Without any, plans may open every stage. Methods are shown as the stages' throttles.
	Stages []usageplan.Stage

	// AccountThrottle is that of the meter, to be shown by GetAccount. Nil shows none.
	AccountThrottle *ratelimit.Limit

	// ErrorHandler answers refused requests. The error is an [http.Handler]: that of Authenticate or an [*Error], whose
	// SetHeader was called already. Nil stands for the answer of the error itself, which is API Gateway's.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Server is the control plane, an [http.Handler]. It is safe for concurrent use. The zero Server refuses every request
// with [ErrNotConfigured].
type Server struct {
	config Config

	// An import holds changes alone, other changes share it. An import checks the memberships of its rows before it adds
	// the keys, and what it has found must still be so when it adds the memberships. Reading needs no lock.
	changes sync.RWMutex
}

// New returns a server. If the configuration has mistakes, the error joins all of them.
func New(c Config) (*Server, error) {
	var errs []error
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"Keys", c.Keys == nil},
		{"Plans", c.Plans == nil},
		{"Authenticate", c.Authenticate == nil && c.Actor != nil},
		{"Actor", c.Actor == nil && c.Authenticate != nil},
		{"Authorize", c.Authorize == nil},
	} {
		if field.missing {
			errs = append(errs, fmt.Errorf("admin: %w: Config.%s is required", ErrNotConfigured, field.name))
		}
	}
	for i, s := range c.Stages {
		if s.API == "" || s.Name == "" {
			errs = append(errs, fmt.Errorf("admin: %w: Config.Stages[%d] has no API or no name", ErrNotConfigured, i))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Stages = slices.Clone(c.Stages)
	for i := range c.Stages {
		c.Stages[i].Methods = maps.Clone(c.Stages[i].Methods)
	}
	if c.AccountThrottle != nil {
		limit := *c.AccountThrottle
		c.AccountThrottle = &limit
	}
	return &Server{config: c}, nil
}

// ServeHTTP serves one request. Every answer has an id, which the journals have as well.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	nameRequest(w.Header())
	result, err := s.serve(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	result.write(w)
}

// serve does what r asks for. An unknown route is refused before anything else: nothing about it can be authorized, and
// the answer is the same for everybody, as in API Gateway.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) (result, error) {
	if s == nil || s.config.Authenticate == nil { // also that of a Server for the page only
		return result{}, &Error{Err: ErrNotConfigured}
	}
	rt, ids, err := find(r)
	if err != nil {
		return result{}, &Error{Err: err}
	}
	c, err := s.admit(w, r, rt, ids)
	if err != nil {
		return result{}, err
	}
	res, err := s.run(rt, c)
	if err != nil {
		return result{}, refusal(err, c.action)
	}
	return res, nil
}

// run carries out an operation that is allowed. Its body was read before, so that no slow client keeps others waiting.
func (s *Server) run(rt *route, c *call) (result, error) {
	switch {
	case rt.operation == "ImportApiKeys":
		s.changes.Lock()
		defer s.changes.Unlock()
	case rt.method != http.MethodGet:
		s.changes.RLock()
		defer s.changes.RUnlock()
	}
	return rt.serve(s, c)
}

// refuse answers a refused request. An error of Authenticate that is no answer becomes one of [ErrDenied], so that
// Config.ErrorHandler can rely on it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h, answers := err.(http.Handler)
	if !answers {
		e := &Error{Err: fmt.Errorf("%w: %w", ErrDenied, err)}
		err, h = e, e
	}
	if e, is := err.(interface{ SetHeader(http.Header) }); is {
		e.SetHeader(w.Header())
	}
	if s != nil && s.config.ErrorHandler != nil {
		s.config.ErrorHandler(w, r, err)
		return
	}
	h.ServeHTTP(w, r)
}

// A result is the answer to a request that was carried out. A nil body is an empty one.
type result struct {
	status int
	body   any
}

func (res result) write(w http.ResponseWriter) {
	if res.body == nil {
		w.WriteHeader(res.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(res.body) // the types of wire.go always encode
	w.WriteHeader(res.status)
	_, _ = w.Write(bytes.TrimSpace(text.Bytes()))
}
