package apikey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Config says which keys exist and where a request carries one. [New] copies it.
type Config struct {
	// Keys are the keys to begin with. Each needs an ID, so that what is counted by it survives a restart.
	Keys []Entry

	// Pepper is the secret under which values are hashed, 32 bytes or more. Nil stands for a random one, which ends
	// with the process; it is required where Commit or Restore is set.
	Pepper Pepper

	// Prefix, if set, is the one of scannable values: a value that begins with it and an underscore is refused
	// without a lookup unless its checksum holds. See [Prefix]. Empty means that no value is held to a checksum.
	Prefix Prefix

	// Source finds the value in a request; false means that there is none. Nil stands for the header X-API-Key.
	// API Gateway's key source AUTHORIZER is the accessor of the authorizer's usageIdentifierKey. It must leave the body
	// alone, which [http.Request.FormValue] does not: what it reads is missing for next.
	Source func(*http.Request) (string, bool)

	// Commit makes a change durable before it becomes visible. An error leaves the keys as they were and must mean
	// that nothing was stored. Calls come one at a time, in the order of the changes; they must not change keys
	// themselves, nor modify the Change. Nil keeps the keys in memory only.
	Commit func(context.Context, Change) error

	// Restore yields the changes that Commit stored, in their order, or the latest one of each key alone. A key that
	// they name is as they left it, whatever Keys says. Nil restores nothing.
	Restore iter.Seq2[Change, error]

	// AllowDespite lets a request that is refused through when it returns true: a dry run returns true always. Next then
	// gets a request that carries no proof of a key, an outer one included, and its body whole; no response header is
	// set. Nil never does. It acts in [Verifier.Handler] alone: Verify and Authenticate still refuse. A verifier that New
	// did not make has none.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers a refused request. Nil answers as API Gateway does, [Error.ServeHTTP].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// Entry is a key and its value, on their way into a verifier.
type Entry struct {
	Key   Key
	Value Value
}

// Verifier knows the registered keys and decides whether a request carries one. Its zero value refuses every request
// with [ErrNotConfigured]. All methods are safe for concurrent use; verifying never waits for a change.
type Verifier struct {
	hashers *sync.Pool // of *hasher; nil in the zero value
	prefix  Prefix
	source  func(*http.Request) (string, bool)
	commit  func(context.Context, Change) error
	allow   func(*http.Request, error) bool
	refuse  func(http.ResponseWriter, *http.Request, error)

	writing sync.Mutex
	keys    keys
	clock   clock
}

// New returns a verifier of the keys that cfg declares and restores, or every mistake in cfg, joined.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{prefix: cfg.Prefix, source: cfg.Source, commit: cfg.Commit, allow: cfg.AllowDespite, refuse: cfg.ErrorHandler}
	pepper, err := cfg.pepper()
	errs := []error{err}
	if cfg.Prefix != "" {
		errs = append(errs, cfg.Prefix.validate())
	}
	v.hashers = newHashers(pepper)
	v.keys = newKeys()
	v.clock.set()
	restored := make(map[string]bool) // ids, those of deleted keys too
	if cfg.Restore != nil {
		for c, err := range cfg.Restore {
			if err == nil {
				err = v.restore(c, restored)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("restore: %w", err))
				break // later changes build on this one
			}
		}
	}
	for i, e := range cfg.Keys {
		if err := v.declare(e, restored); err != nil {
			errs = append(errs, fmt.Errorf("keys[%d]: %w", i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

func (c *Config) pepper() (Pepper, error) {
	switch {
	case c.Pepper == nil && (c.Commit != nil || c.Restore != nil):
		return nil, errors.New("apikey: Pepper is required where digests are stored")
	case c.Pepper == nil:
		fresh := make(Pepper, minPepper)
		_, _ = rand.Read(fresh) // never fails
		return fresh, nil
	case len(c.Pepper) < minPepper:
		return nil, fmt.Errorf("apikey: Pepper of %d bytes, want %d or more", len(c.Pepper), minPepper)
	}
	return slices.Clone(c.Pepper), nil
}

// declare adds a key of the configuration, which is no change and so not committed, unless a change to it was restored.
func (v *Verifier) declare(e Entry, restored map[string]bool) error {
	if e.Key.ID == "" {
		return invalid("a declared key needs an ID")
	}
	if restored[e.Key.ID] {
		return errors.Join(e.Key.validate(), v.acceptable(e.Value))
	}
	r, err := v.admit(e, time.Now().UTC())
	if err == nil {
		v.apply(OpCreate, []Record{r})
	}
	return err
}

// VerifyKey decides whether value is the one of a registered, enabled key within its dates, and returns its client.
// It is the decision below HTTP. The error is a [*Error] that wraps [ErrMissing], [ErrMalformed], [ErrUnknown],
// [ErrDisabled], [ErrExpired] or [ErrNotYetValid].
//
// Every value of the right form is hashed, looked up and compared in constant time, and every outcome after that
// takes the same steps, so that time does not tell an unknown value from one that is known and refused.
func (v *Verifier) VerifyKey(_ context.Context, value string) (Client, error) {
	if v == nil || v.hashers == nil {
		return Client{}, &Error{Err: ErrNotConfigured}
	}
	if value == "" {
		return Client{}, &Error{Err: ErrMissing}
	}
	if len(value) < minValue || len(value) > maxValue || v.prefix.claims(value) && !v.prefix.Check(value) {
		return Client{}, &Error{Err: ErrMalformed}
	}
	found := v.lookup(value)
	r := found
	if r == nil {
		r = nobody
	}
	now := v.clock.now()
	err := r.refusal(now)
	if found == nil {
		return Client{}, &Error{Err: ErrUnknown}
	}
	if err != nil {
		return Client{}, &Error{Err: err, KeyID: r.id()}
	}
	r.touch(now)
	return Client{r}, nil
}

// nobody takes the place of the key that was not found.
var nobody = &record{expires: never, more: &details{notBefore: always}}

func (v *Verifier) lookup(value string) *record {
	h := v.hashers.Get().(*hasher)
	r := v.keys.byDigest(h.sum(value))
	v.hashers.Put(h)
	return r
}

// Present reports whether r carries a key, good or bad: the header X-API-Key, or what [Config.Source] finds.
func (v *Verifier) Present(r *http.Request) bool {
	if v != nil && v.source != nil {
		_, ok := v.source(r)
		return ok
	}
	return len(r.Header["X-Api-Key"]) > 0
}

// Verify decides as [Verifier.VerifyKey] about the key that r carries. A header X-API-Key that occurs twice with
// different values is [ErrAmbiguous]. Verify does not read the body.
func (v *Verifier) Verify(r *http.Request) (Client, error) {
	if v != nil && v.source != nil {
		value, ok := v.source(r)
		if !ok {
			return Client{}, &Error{Err: ErrMissing}
		}
		return v.VerifyKey(r.Context(), value)
	}
	value, ok := same(r.Header["X-Api-Key"])
	if !ok {
		return Client{}, &Error{Err: ErrAmbiguous}
	}
	return v.VerifyKey(r.Context(), value)
}

// same returns the one value that all fields have, or the empty one if there are none.
func same(fields []string) (value string, ok bool) {
	for _, f := range fields {
		if f != fields[0] {
			return "", false
		}
		value = f
	}
	return value, true
}

// Authenticate verifies r and returns it with the client in its context, for [FromContext] and [ID]. The request is nil
// if the error is not: a caller who goes on without looking at the error panics and serves nothing.
func (v *Verifier) Authenticate(r *http.Request) (*http.Request, error) {
	c, err := v.Verify(r)
	if err != nil {
		return nil, err
	}
	return r.WithContext(NewContext(r.Context(), c)), nil
}

// Anonymous returns r without a proof of this package: [FromContext] and [ID] say false on it. It is r itself if there
// is none.
func (v *Verifier) Anonymous(r *http.Request) *http.Request {
	if _, found := FromContext(r.Context()); !found {
		return r
	}
	return r.WithContext(NewContext(r.Context(), Client{}))
}

// Handler returns a handler that calls next for the requests that carry a registered key and refuses the others.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, err := v.Authenticate(r)
		if err != nil && v.allows(r, err) {
			inner, err = v.Anonymous(r), nil
		}
		if err != nil {
			v.answer(w, r, err.(*Error)) // Authenticate returns no other kind
			return
		}
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

func (v *Verifier) allows(r *http.Request, err error) bool {
	return v != nil && v.allow != nil && v.allow(r, err)
}

func (v *Verifier) answer(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if v != nil && v.refuse != nil {
		v.refuse(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}
