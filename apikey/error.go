package apikey

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// The causes of a refused request; match them with [errors.Is]. All but ErrNotConfigured and ErrStale, which say
// nothing about the key, have the same answer, so that a client cannot tell them apart. The package documentation says
// what to do about each.
var (
	ErrNotConfigured = errors.New("verifier is not configured")
	ErrMissing       = errors.New("request carries no API key")
	ErrUnknown       = errors.New("API key is not registered")
	ErrInactive      = errors.New("API key is not active")
	ErrStale         = errors.New("the keys known here are too old")
)

// The texts for logs, where one cause has several. They are made once, because refusals are frequent.
var (
	errAmbiguous   = fmt.Errorf("%w: two differing values", ErrUnknown)
	errMalformed   = fmt.Errorf("%w: no key has a value of this form", ErrUnknown)
	errDisabled    = fmt.Errorf("%w: it is disabled", ErrInactive)
	errExpired     = fmt.Errorf("%w: it, or the grace of a value that was replaced, has expired", ErrInactive)
	errNotYetValid = fmt.Errorf("%w: it is not valid yet", ErrInactive)
)

// The causes for which a change of keys fails.
var (
	ErrInvalid     = errors.New("invalid")
	ErrNotFound    = errors.New("no such API key")
	ErrExists      = errors.New("API key exists already")
	ErrUnavailable = errors.New("the journal has not answered")
)

// Error says why a request was refused or a change of keys failed. As an [http.Handler], it writes the answer.
type Error struct {
	// Err is the cause, or wraps it: one of the errors of this package.
	Err error

	// KeyID is the id of the key that the error is about, or "". It is for logs.
	KeyID string

	// Message says, in API Gateway's words, what is wrong with a key, a value or a file. It is set for [ErrInvalid]
	// only, and is sent to the client.
	Message string

	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one. A verifier sets it if its
	// [Config] has Observe or RequestID.
	RequestID string
}

func invalid(message string) error { return &Error{Err: ErrInvalid, Message: message} }

// Error returns a text for logs: the cause, the message and the id of the key.
func (e *Error) Error() string {
	s := fmt.Sprintf("apikey: %v", e.Err)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.KeyID != "" {
		s += " (key " + e.KeyID + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A response is what an HTTP client is told about a cause, and the word for the cause in an [Event].
type response struct {
	cause         error
	reason        string
	status        int
	code, message string
}

// answers are the responses to the causes; an error that wraps several has the first. A refused request gets API
// Gateway's gateway response INVALID_API_KEY, a failed change the error of its control plane.
var answers = []response{
	{ErrInvalid, "invalid", http.StatusBadRequest, "BadRequestException", ""}, // and Error.Message
	{ErrNotFound, "not_found", http.StatusNotFound, "NotFoundException", "Invalid API Key identifier specified"},
	{ErrExists, "exists", http.StatusConflict, "ConflictException", "API Key already exists"},
	{ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrStale, "stale", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrMissing, "missing", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrUnknown, "unknown", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrInactive, "inactive", http.StatusForbidden, "ForbiddenException", "Forbidden"},
}

// response returns the row of answers for e. Every other cause is a mistake of the operator's and answers 500.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			if a.cause == ErrInvalid {
				a.message = e.Message
			}
			return a
		}
	}
	return response{
		nil, "not_configured", http.StatusInternalServerError, "ApiConfigurationException", "Internal server error",
	}
}

// StatusCode returns the HTTP status: 403 for every refused key, 503 for [ErrStale], 500 for a verifier that is not
// configured, and 400, 404, 409 or 503 for a change that failed.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client. It does not contain the cause of a refusal.
func (e *Error) ErrorMessage() string { return e.response().message }

// Reason returns the name of the cause in lower case, such as "not_found" for [ErrNotFound]. It is "canceled" if the
// change or the request was given up because its context was canceled, and "not_configured" for a cause that is not of
// this package.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) {
		return "canceled"
	}
	return e.response().reason
}

// SetHeader sets Retry-After for [ErrUnavailable] and [ErrStale]. It sets X-Amzn-RequestId to RequestID, unless that is
// empty or an outer layer has set the header.
func (e *Error) SetHeader(h http.Header) {
	if e.RequestID != "" && h.Get(requestIDField) == "" {
		h.Set(requestIDField, e.RequestID)
	}
	if e.StatusCode() == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
}

// requestIDField is the header field in which API Gateway names a request.
const requestIDField = "X-Amzn-RequestId"

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
