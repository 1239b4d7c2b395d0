package apikey

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// The causes of a refusal. All but the first have one answer, so that a client cannot tell them apart.
var (
	ErrNotConfigured = errors.New("verifier is not configured")
	ErrMissing       = errors.New("request carries no API key")
	ErrAmbiguous     = errors.New("request carries two differing API keys")
	ErrMalformed     = errors.New("API key has a form that no key has")
	ErrUnknown       = errors.New("API key is not registered")
	ErrDisabled      = errors.New("API key is disabled")
	ErrExpired       = errors.New("API key has expired")
	ErrNotYetValid   = errors.New("API key is not valid yet")
)

// The causes for which a change of keys fails.
var (
	ErrInvalid     = errors.New("invalid")
	ErrNotFound    = errors.New("no such API key")
	ErrExists      = errors.New("API key exists already")
	ErrUnavailable = errors.New("change could not be committed")
)

// Error is why a request was refused or a change of keys failed. It is itself the handler that answers so.
type Error struct {
	// Err is the cause: one of the errors of this package, perhaps wrapped with more.
	Err error

	// KeyID is the id of the key that the error is about, if there is one. It is for logs.
	KeyID string

	// Message is what is wrong with the key that was to be stored, in API Gateway's words; for [ErrInvalid] alone.
	Message string
}

func invalid(message string) error { return &Error{Err: ErrInvalid, Message: message} }

// Error returns the cause and the id of the key, for logs.
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

// response is the wire answer of an error.
type response struct {
	status        int
	code, message string
}

// response returns API Gateway's answer: INVALID_API_KEY of its gateway response types for a refusal, the errors of
// its control plane for a change.
func (e *Error) response() response {
	switch {
	case errors.Is(e.Err, ErrInvalid):
		return response{http.StatusBadRequest, "BadRequestException", e.Message}
	case errors.Is(e.Err, ErrNotFound):
		return response{http.StatusNotFound, "NotFoundException", "Invalid API Key identifier specified"}
	case errors.Is(e.Err, ErrExists):
		return response{http.StatusConflict, "ConflictException", "API Key already exists"}
	case errors.Is(e.Err, ErrUnavailable):
		return response{http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"}
	case e.refused():
		return response{http.StatusForbidden, "ForbiddenException", "Forbidden"}
	}
	return response{http.StatusInternalServerError, "ApiConfigurationException", "Internal server error"}
}

func (e *Error) refused() bool {
	for _, cause := range []error{ErrMissing, ErrAmbiguous, ErrMalformed, ErrUnknown, ErrDisabled, ErrExpired, ErrNotYetValid} {
		if errors.Is(e.Err, cause) {
			return true
		}
	}
	return false
}

// StatusCode returns the HTTP status: 403 for every refused key, 500 for a verifier that is not configured, and 400,
// 404, 409 or 503 for a change that failed.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client. It does not tell a refused key's cause.
func (e *Error) ErrorMessage() string { return e.response().message }

// SetHeader sets Retry-After where a change could not be committed. A refused key has no header of its own.
func (e *Error) SetHeader(h http.Header) {
	if errors.Is(e.Err, ErrUnavailable) {
		h.Set("Retry-After", "1")
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), map[string]any{"message": e.ErrorMessage()})
}

// clip bounds what is repeated of a client's text: it keeps at most 256 bytes, cuts between two characters, and marks the
// cut. A run of invalid UTF-8 becomes one "?", so that the text does not grow. Each package carries this copy; a test
// holds the copies equal.
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

// answer writes API Gateway's form of a refusal. Each package carries this copy; a test holds the copies equal.
func answer(w http.ResponseWriter, status int, code string, body map[string]any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-ErrorType", code)
	if h.Get("X-Amzn-RequestId") == "" { // an outer layer may have named the request already
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		h.Set("X-Amzn-RequestId", fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // as AWS writes it: a canonical request is full of ampersands
	_ = e.Encode(body)     // strings and nil always encode
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
}
