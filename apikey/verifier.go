package apikey

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// Config configures a [Verifier]. [New] copies it.
type Config struct {
	// Keys are declared keys, the oldest first. Each must have an ID, so that what is counted by the ID is found after
	// a restart. They are not in the Journal until a change touches them, and a call of [Verifier.Reveal] is one. What
	// the Journal has takes precedence: a key that was changed is as it was changed, also if Keys no longer has it, and
	// one that was deleted stays deleted. All verifiers of a Journal should declare the same keys.
	Keys []Entry

	// Pepper is the secret key of the HMAC under which values are stored, of 32 bytes or more. Keep it as long as the
	// journal, but in another place: under another pepper, no stored value is found. So New, changes and
	// [Verifier.Refresh] fail with [ErrNotConfigured] if it is not the pepper of the Journal. The first change that is
	// made with a Journal settles which that is. It is required with a Journal. Otherwise, an empty one stands for a
	// random one.
	Pepper Secret

	// Journal stores the keys. New reads it, and each change is appended to it before that is visible. Several
	// verifiers may share it, also in several processes if its store can; see Follow. It must not be used for anything
	// else. Nil keeps the keys in memory only.
	Journal journal.Journal

	// MaxStale bounds the age of the keys by which requests are decided: the time since the Journal was last read to its
	// head. A request that finds them older than that reads on itself, for all requests that wait, and is refused with
	// [ErrStale] if the Journal does not answer within a second. AllowDespite may admit it. From half of MaxStale on,
	// a request has another goroutine read on, and does not wait. So a Lambda environment that was frozen for an hour
	// asks first, and a node that cannot hear the others stops. Seconds are usual. 0 goes on with what is known, without
	// end: a node that is cut off admits a key that was disabled elsewhere.
	MaxStale time.Duration

	// Follow starts a goroutine that reads on when other nodes have appended to the Journal, so that a change acts on
	// every node within a second. [Verifier.Close] ends it. Without it, a node that shares a Journal calls
	// [Verifier.Refresh], or has a MaxStale.
	Follow bool

	// Sealer encrypts the values of new keys, so that [Verifier.Reveal] shows them again. Nil keeps no values. New does
	// not ask whether it opens what the Journal has: verifying needs no value, and while a sealing key is replaced or
	// after it was lost, some values cannot be opened. Reveal says so.
	Sealer *Sealer

	// Prefix makes [Verifier.Generate] return values that secret scanners recognise: the prefix, an underscore, random
	// characters and a checksum. By the checksum, a mistyped value is refused without a lookup, and so is any other
	// value that begins with the prefix and an underscore. A prefix has 2 to 6 characters: a lower-case letter, then
	// [a-z0-9]. If it is empty, values have API Gateway's form, and no checksum is checked. Values that were made under
	// another prefix, or without one, stay valid.
	Prefix string

	// Source returns the value that a request carries, or false if there is none. Nil stands for the header X-API-Key.
	// For API Gateway's key source AUTHORIZER, it is custom.UsageIdentifierKey of package auth/custom.
	// Source must not read the body, as [http.Request.FormValue] does, because the next handler would not get what was
	// read.
	Source func(*http.Request) (string, bool)

	// AllowDespite is asked about each request that [Verifier.Handler] refuses. If it returns true, the next handler
	// gets the request, with its whole body but without a proof of a key, even one of an outer verifier. No response
	// header is set. A dry run always returns true. Nil admits none. Verify and Authenticate do not ask it.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers refused requests. The error is an [*Error], whose SetHeader was called already. Nil stands
	// for [Error.ServeHTTP], which answers as API Gateway does.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe is told each decision of VerifyKey, Verify, Authenticate and Handler, once, before the request goes on or
	// is answered. It runs on the request's goroutine and must not block; a panic of it is not caught. Changes of keys
	// are not told; see [journal.Observe]. Nil tells nobody.
	Observe func(context.Context, Event)

	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal and the RequestID of an [Event]. If it returns "", a refusal gets a random id. VerifyKey has no request and
	// does not call it. Do not return a header that any client can set: it would choose what stands in your logs. Nil
	// means that each refusal gets a random id. If an outer layer has set X-Amzn-RequestId in the answer before
	// [Verifier.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// Entry is a key with its value, as it is given to a verifier.
type Entry struct {
	Key   Key
	Value Secret
}

// Verifier keeps the registered keys and decides whether a request carries one. All methods are safe for concurrent
// use. Verifying never waits for a change, and for the Journal only as Config.MaxStale says. The zero Verifier refuses
// every request with [ErrNotConfigured].
type Verifier struct {
	hashers *sync.Pool // of *hasher; nil in the zero value
	prefix  prefix
	source  func(*http.Request) (string, bool)
	sealer  *Sealer
	allow   func(*http.Request, error) bool
	refuse  func(http.ResponseWriter, *http.Request, error)
	observe func(context.Context, Event)
	idOf    func(*http.Request) string // Config.RequestID

	journal journal.Journal // nil in memory
	topic   *journal.Topic
	bounded bool              // there is a Config.MaxStale
	named   map[string]*named // by id; used only by New and in the topic's calls, as is marked
	marked  bool              // the journal has the mark of the pepper
	keys    keys
}

// New returns a verifier of the keys that cfg declares and those of the journal, which it reads to its head. If cfg has
// mistakes, the error joins all of them. If its Pepper is not that of the journal, the error wraps [ErrNotConfigured].
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{
		prefix: prefix(cfg.Prefix), source: cfg.Source, sealer: cfg.Sealer, journal: cfg.Journal,
		allow: cfg.AllowDespite, refuse: cfg.ErrorHandler, observe: cfg.Observe, idOf: cfg.RequestID,
	}
	pepper, err := cfg.pepper()
	errs := []error{err}
	if cfg.Prefix != "" {
		errs = append(errs, v.prefix.validate())
	}
	if cfg.Sealer != nil && len(cfg.Sealer.keys) == 0 {
		errs = append(errs, errors.New("apikey: Sealer has no keys; make it with NewSealer"))
		v.sealer = nil
	}
	v.hashers = newHashers(pepper)
	v.keys = newKeys()
	errs = append(errs, v.follow(cfg.Journal, cfg.Keys), v.keep(cfg.MaxStale, cfg.Follow))
	if err := errors.Join(errs...); err != nil {
		_ = v.Close() // always nil
		return nil, err
	}
	return v, nil
}

// VerifyKey decides whether value is that of a key that is registered, enabled and within its dates, and returns the
// key's client. It is the decision without HTTP. The error is an [*Error] that wraps [ErrMissing], [ErrUnknown],
// [ErrInactive] or [ErrStale]. ctx ends the wait for the Journal, if Config.MaxStale asks for one.
//
// Its time does not tell whether a refused value is known. Every value of an accepted form is hashed, looked up and
// compared in constant time, and all checks are made whatever was found.
func (v *Verifier) VerifyKey(ctx context.Context, value string) (Client, error) {
	c, e := v.decideValue(ctx, value)
	return c, v.tell(ctx, nil, c, e)
}

// decideValue is VerifyKey without telling the decision.
func (v *Verifier) decideValue(ctx context.Context, value string) (Client, *Error) {
	if v == nil || v.hashers == nil {
		return Client{}, &Error{Err: ErrNotConfigured}
	}
	if value == "" {
		return Client{}, &Error{Err: ErrMissing}
	}
	if len(value) < minValue || len(value) > maxValue || v.prefix.claims(value) && !v.prefix.has(value) {
		return Client{}, &Error{Err: errMalformed}
	}
	now, e := v.current(ctx)
	if e != nil {
		return Client{}, e
	}
	found := v.lookup(value)
	r := found
	if r == nil {
		r = absent
	}
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

// absent is checked if no key was found, so that this takes as long as with a key.
var absent = &record{expires: never, more: &details{notBefore: always}}

// lookup returns the record of value, or nil.
func (v *Verifier) lookup(value string) *record {
	h := v.hashers.Get().(*hasher)
	r := v.keys.byDigest(h.sum(value))
	v.hashers.Put(h)
	return r
}

// Present reports whether r carries a key, valid or not: the header X-API-Key, or what [Config.Source] finds.
func (v *Verifier) Present(r *http.Request) bool {
	if v != nil && v.source != nil {
		_, ok := v.source(r)
		return ok
	}
	return len(r.Header["X-Api-Key"]) > 0
}

// Verify decides about the key that r carries, as [Verifier.VerifyKey] does. If r has two headers X-API-Key with
// different values, the error is [ErrUnknown]. Verify does not read the body.
func (v *Verifier) Verify(r *http.Request) (Client, error) {
	c, e := v.decide(r)
	return c, v.tell(r.Context(), r, c, e)
}

// decide is Verify without telling the decision.
func (v *Verifier) decide(r *http.Request) (Client, *Error) {
	if v != nil && v.source != nil {
		value, ok := v.source(r)
		if !ok {
			return Client{}, &Error{Err: ErrMissing}
		}
		return v.decideValue(r.Context(), value)
	}
	value, ok := same(r.Header["X-Api-Key"])
	if !ok {
		return Client{}, &Error{Err: errAmbiguous}
	}
	return v.decideValue(r.Context(), value)
}

// same returns the value that all fields have, or "" if there are none. It reports false if they differ.
func same(fields []string) (value string, ok bool) {
	for _, f := range fields {
		if f != fields[0] {
			return "", false
		}
		value = f
	}
	return value, true
}
