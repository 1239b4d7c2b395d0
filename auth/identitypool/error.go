package identitypool

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// The causes of a refusal. Match them with [errors.Is].
var (
	ErrNotConfigured = errors.New("the identity pool is not configured")
	ErrInvalid       = errors.New("the request is invalid")
	ErrRefused       = errors.New("the caller gets no credentials")
	ErrUnavailable   = errors.New("something that the identity pool needs has failed")
)

// Error says why a request was refused. As an [http.Handler], it writes AWS's answer.
type Error struct {
	// Err is the cause, or wraps it. It never reaches the client.
	Err error
	// Operation is what was refused. It is "" if the request names no operation of Cognito's.
	Operation string
	// Code is AWS's name of the error, such as "ResourceNotFoundException". Empty means the usual one of the cause.
	Code string
	// Message is the text for the client. Empty means the usual one of the cause.
	Message string
	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one.
	RequestID string
}

// invalid is the refusal of a request that the client must correct. An empty message stands for the usual one.
func invalid(code, message string) error {
	return &Error{Err: ErrInvalid, Code: code, Message: message}
}

// refused is the refusal of a caller, with AWS's code NotAuthorizedException.
func refused(message string) error { return &Error{Err: ErrRefused, Message: message} }

// refusal returns the Error of a request. A copy, because Config.Link may return one Error to many requests.
func refusal(err error, operation, id string) *Error {
	e := Error{Err: err}
	if own, ok := errors.AsType[*Error](err); ok {
		e = *own
	}
	if operations[operation] != nil || slices.Contains(others, operation) {
		e.Operation = operation
	}
	e.RequestID = id
	return &e
}

// Error returns the whole cause, for logs. It may quote what the client has sent, but no token.
func (e *Error) Error() string {
	text := "identitypool: "
	if e.Operation != "" {
		text += e.Operation + ": "
	}
	text += fmt.Sprint(e.Err)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason is the name of the cause in lower case, for metrics: "refused" for ErrRefused. It is "canceled" if there was
// no decision because the request's context was canceled.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) {
		return "canceled"
	}
	return e.answer().reason
}

// StatusCode is the status of the answer. AWS answers 400 to everything that is the client's mistake.
func (e *Error) StatusCode() int {
	if e.Code == "RequestEntityTooLargeException" {
		return http.StatusRequestEntityTooLarge
	}
	return e.answer().status
}

// ErrorCode is AWS's name of the error, which is __type in the body.
func (e *Error) ErrorCode() string {
	if e.Code != "" {
		return e.Code
	}
	return e.answer().code
}

// ErrorMessage is the text for the client.
func (e *Error) ErrorMessage() string {
	if e.Message != "" {
		return e.Message
	}
	return e.answer().message
}

// A response is what a client is told about a cause.
type response struct {
	cause                 error
	status                int
	reason, code, message string
}

// responses have the usual code of each cause
// (https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetCredentialsForIdentity.html, "Errors"). A
// client of AWS's does not try again after a 400, so a failure of this side must not be one.
var responses = []response{
	{ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "InternalErrorException", "Please try again."},
	{ErrInvalid, http.StatusBadRequest, "invalid", "InvalidParameterException", ""},
	{ErrRefused, http.StatusBadRequest, "refused", "NotAuthorizedException", "Access is forbidden."},
}

// outcome is the Outcome of a refused request.
func (e *Error) outcome() string {
	if e.StatusCode() >= http.StatusInternalServerError {
		return "failed"
	}
	return "refused"
}

// answer returns the row of responses for e. Every other cause is a fault of the server.
func (e *Error) answer() response {
	for _, r := range responses {
		if errors.Is(e.Err, r.cause) {
			return r
		}
	}
	return response{nil, http.StatusInternalServerError, "not_configured", "InternalErrorException", "Internal error."}
}

// SetHeader sets Retry-After for [ErrUnavailable], and X-Amzn-RequestId to RequestID unless an outer layer has set it.
func (e *Error) SetHeader(h http.Header) {
	if e.StatusCode() == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if e.RequestID != "" && h.Get(idField) == "" {
		h.Set(idField, e.RequestID)
	}
}

// ServeHTTP answers as AWS does, in AWS JSON 1.1.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	w.Header().Set("X-Amzn-ErrorType", e.ErrorCode())
	write(w, e.StatusCode(), jsonType, encode(struct {
		Type    string `json:"__type"`
		Message string `json:"message,omitempty"`
	}{e.ErrorCode(), e.ErrorMessage()}))
}

const (
	jsonType = "application/x-amz-json-1.1"
	idField  = "X-Amzn-RequestId"
)

// write writes an answer.
func write(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	nameRequest(w.Header())
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// setID sets the id of an answer: what an outer layer has set, else what named returns, else a random one.
func setID(h http.Header, named func(*http.Request) string, r *http.Request) {
	if h.Get(idField) == "" && named != nil {
		if id := named(r); id != "" {
			h.Set(idField, id)
		}
	}
	nameRequest(h)
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
