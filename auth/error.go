package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The causes of a refusal, in the order in which they are checked. Match them with [errors.Is]. The package
// documentation says how each is answered, and what the operator does about it.
var (
	// ErrNotConfigured refuses every request of a verifier that [New] did not make.
	ErrNotConfigured = errors.New("verifier is not configured")
	// ErrMissing says that the request carries no token where the verifier looks for one.
	ErrMissing = errors.New("no token presented")
	// ErrAmbiguous says that the request carries more than one token (RFC 6750 section 2).
	ErrAmbiguous = errors.New("more than one token presented")
	// ErrMalformed says that the token is not a compact JWS with a strictly formed header and claims set.
	ErrMalformed = errors.New("token is malformed")
	// ErrIssuer says that no configured issuer has the token's iss, or accepts its tenant.
	ErrIssuer = errors.New("issuer is not accepted")
	// ErrUnavailable says that the issuer's keys could not be fetched, or that [Config].Revoked failed. The token may be
	// good or bad.
	ErrUnavailable = errors.New("verification is not possible now")
	// ErrSignature says that no key of the issuer verifies the signature: the issuer may not use the token's alg, no key
	// of its set fits the token, or the signature does not match.
	ErrSignature = errors.New("signature does not verify")
	// ErrAudience says that the token was issued for something else: for another audience or client, or it is an ID
	// token where [Rules] demand an access token, or the reverse.
	ErrAudience = errors.New("token is not meant for this use")
	// ErrNotCurrent says that the token is not valid at this time: its exp has passed; its nbf, iat or auth_time is in
	// the future (RFC 7519 sections 4.1.4 to 4.1.6); or [Config].Revoked returned true.
	ErrNotCurrent = errors.New("token is not valid now")
	// ErrTooOld says that the token was issued, or its user signed in, longer ago than [Rules] allow. It is apart from
	// ErrNotCurrent because a new token may not help: the user has to sign in again.
	ErrTooOld = errors.New("token is too old")
	// ErrScope says that the token lacks a scope that [Rules] demand.
	ErrScope = errors.New("scope is not sufficient")
	// ErrRefused says that the token's user is in none of the groups that [Rules] demand, or that [Rules].Check returned
	// an error, which is wrapped together with this one.
	ErrRefused = errors.New("refused by a check of the route")
)

// The variants of these causes that are answered or logged differently. A caller can do nothing else about them than
// about the exported ones.
var (
	errAlgorithm     = &variant{ErrSignature, "signing algorithm is not accepted"}
	errKey           = &variant{ErrSignature, "no key of the issuer fits the token"}
	errForged        = &variant{ErrSignature, "signature does not match"}
	errOtherAudience = &variant{ErrAudience, "audience is not accepted"}
	errTokenUse      = &variant{ErrAudience, "token use is not accepted"}
	errExpired       = &variant{ErrNotCurrent, "token has expired"}
	errNotYetValid   = &variant{ErrNotCurrent, "token is not valid yet"}
	errRevoked       = &variant{ErrNotCurrent, "token has been revoked"}
	errGroup         = &variant{ErrRefused, "user is not in a permitted group"}
)

// variant is an exported cause with another text for logs.
type variant struct {
	cause error
	text  string
}

func (v *variant) Error() string { return v.text }
func (v *variant) Unwrap() error { return v.cause }

// Error says why a request was refused. It is also the [http.Handler] that answers the request.
type Error struct {
	// Err is the cause; it wraps one of the Err variables of this package. It never reaches the client.
	Err error
	// Token is a copy of the refused token if its signature is valid, so that a log can name its owner. It is nil if the
	// request has no token, or one whose signature is not valid or was not checked: nothing in such a token is known.
	Token *Token
	// Scopes are those that the route demands. They are set only with [ErrScope].
	Scopes []string
	// RetryAfter is how long the client should wait before the next attempt. It is set only with [ErrUnavailable].
	RetryAfter time.Duration
	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one.
	RequestID string
}

// Error returns the whole cause, for logs. If the configuration or the rules do not accept the token, it includes the
// iss, tenant, audience, scopes or groups of the token. They are quoted and cut to some 256 bytes, because a client may
// have written them.
func (e *Error) Error() string { return "auth: " + e.cause().Error() + e.found() }

// found returns the claims that the operator must compare with the configuration.
func (e *Error) found() string {
	switch {
	case e == nil || e.Token == nil:
		return ""
	case errors.Is(e.Err, ErrScope):
		return fmt.Sprintf(": the token has %s, the route demands %s", quote(e.Token.Scopes()), quote(e.Scopes))
	case errors.Is(e.Err, errGroup):
		return ": the token has " + quote(e.Token.Groups())
	case errors.Is(e.Err, errTokenUse) && e.Token.Use == "":
		return ": it has no mark of its use, or contradictory ones"
	case errors.Is(e.Err, errTokenUse):
		return ": it is " + quote(e.Token.Use)
	case errors.Is(e.Err, ErrAudience):
		return fmt.Sprintf(": aud %s, client %s", quote(e.Token.Audience()), quote(e.Token.Client))
	case e.Err == ErrIssuer && e.Token.claims().tenant != "":
		return fmt.Sprintf(": tenant %s is not among Tenants, nor does AllowTenant accept it", quote(e.Token.claims().tenant))
	}
	return ""
}

// quote returns a string, or a list of strings, as one line of ASCII. A longer one is cut.
func quote(what any) string { return clip(fmt.Sprintf("%+q", what)) }

// unknownIssuer returns the refusal of a token whose iss is not configured.
func unknownIssuer(iss string) *Error {
	s := &struct { // one struct, so that a refusal costs one allocation
		Error
		name unknownName
	}{}
	s.Err = &s.name
	s.name.n = copy(s.name.text[:], iss)
	return &s.Error
}

// unknownName is ErrIssuer with the beginning of the token's iss. It has a copy, since the memory of a refused token is
// used again. The copy is as long as clip allows. If iss is longer, the copy in quotes is too, so its text is cut.
type unknownName struct {
	n    int
	text [256]byte
}

func (s *unknownName) Error() string {
	return ErrIssuer.Error() + ": iss " + quote(string(s.text[:s.n]))
}
func (s *unknownName) Unwrap() error { return ErrIssuer }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) cause() error {
	if e == nil || e.Err == nil {
		return ErrNotConfigured
	}
	return e.Err
}

// StatusCode is the status of API Gateway's answer: 400 for two tokens, 403 for a group or a check of the route, 500
// for a verifier that is not configured, 503 if keys cannot be fetched, and otherwise 401. A missing scope is 401, as
// in a REST API's Cognito authorizer; [HTTPAPI] and [Bearer] answer 403.
func (e *Error) StatusCode() int { return e.answer().status }

// ErrorCode is the value of the X-Amzn-ErrorType header.
func (e *Error) ErrorCode() string { return e.answer().code }

// ErrorMessage is the only text meant for the client. It distinguishes an expired token from a bad one, as API Gateway
// does, and says nothing else.
func (e *Error) ErrorMessage() string { return e.answer().message }

// Reason is the name of the cause in lower case: "not_current" for [ErrNotCurrent], whatever the text says further. It
// is "canceled" if there was no decision because the request's context was canceled, and "refused" for a cause that is
// not of this package. There is one word for each exported cause, so that a metric can have it as a label.
func (e *Error) Reason() string {
	if cause := e.cause(); errors.Is(cause, context.Canceled) && !errors.Is(cause, errOwnCancel) {
		return "canceled"
	}
	return e.answer().reason()
}

// SetHeader sets the header fields that the protocol demands: WWW-Authenticate (RFC 6750 section 3) with 400 and 401,
// Retry-After in whole seconds with 503. It sets X-Amzn-RequestId to RequestID unless an outer layer has set it.
func (e *Error) SetHeader(h http.Header) {
	if e != nil && e.RequestID != "" && h.Get(idField) == "" {
		h.Set(idField, e.RequestID)
	}
	switch e.StatusCode() {
	case http.StatusBadRequest, http.StatusUnauthorized:
		h.Set("WWW-Authenticate", e.challenge())
	case http.StatusServiceUnavailable:
		seconds := max(1, (e.RetryAfter+time.Second-1)/time.Second)
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}

// ServeHTTP answers as a REST API of API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
}

// challenge is the WWW-Authenticate value of RFC 6750 section 3.
func (e *Error) challenge() string {
	a := e.answer()
	if a.problem == "" {
		return "Bearer"
	}
	s := `Bearer error="` + a.problem + `", error_description="` + a.description + `"`
	if len(e.Scopes) > 0 {
		s += `, scope="` + strings.Join(e.Scopes, " ") + `"`
	}
	return s
}

// detail is an exported cause with a text that says more about it. It may have an answer of its own. The values are
// package variables, so that a refusal costs one allocation.
type detail struct {
	cause error
	text  string
}

func (d *detail) Error() string { return d.cause.Error() + ": " + d.text }
func (d *detail) Unwrap() error { return d.cause }

func narrow(cause error, text string) error { return &detail{cause, text} }

// errOwnCancel is joined with an error that says that something was canceled while the request was not.
var errOwnCancel = errors.New("it was canceled, but not by the request")

// failed wraps what a function of the application has returned. Whether that is because the request was canceled is for
// the request's context to say: a store that was shut down returns [context.Canceled] too, and that is a failure; and
// some clients of other servers return errors of their own when the request is canceled.
func failed(ctx context.Context, cause, err error) error {
	canceled, reported := errors.Is(ctx.Err(), context.Canceled), errors.Is(err, context.Canceled)
	switch {
	case reported && !canceled:
		cause = fmt.Errorf("%w: %w", cause, errOwnCancel)
	case canceled && !reported:
		cause = fmt.Errorf("%w: %w", cause, context.Canceled)
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// clip bounds what is repeated of a client's text: it keeps at most 256 bytes, cuts between two characters, and marks
// the cut. A run of invalid UTF-8 becomes one "?", so that the text does not grow. Each package carries this copy; a
// test holds the copies equal.
func clip(s string) string {
	const most = 256
	n := min(len(s), most)
	for n > most-utf8.UTFMax && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	kept := strings.ToValidUTF8(s[:n], "?")
	if n < len(s) {
		kept += "… (cut)"
	}
	return kept
}

// message is the body of a refusal.
type message struct {
	Message string `json:"message"`
}

// answer writes API Gateway's form of a refusal. Each package carries this copy; a test holds the copies equal.
func answer(w http.ResponseWriter, status int, code string, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", code)
	nameRequest(w.Header())
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // as AWS writes it: a canonical request is full of ampersands
	_ = e.Encode(body)     // strings and nil always encode
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(text.Bytes())) // without the line break of Encode
}

// nameRequest sets a random request id in API Gateway's form, unless an outer layer has set one. Each package carries
// this copy; a test holds the copies equal.
func nameRequest(h http.Header) {
	if h.Get("X-Amzn-RequestId") == "" {
		b := make([]byte, 16)
		_, _ = rand.Read(b) // never fails
		h.Set("X-Amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	}
}
