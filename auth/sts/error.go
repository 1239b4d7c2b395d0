package sts

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/tallygate/tallygate/sigv4"
)

// The causes of a refusal. Match them with [errors.Is].
var (
	ErrNotConfigured = errors.New("the server is not configured")
	ErrInvalid       = errors.New("the request is invalid")
	ErrRefused       = errors.New("the caller gets no credentials")
	ErrUnavailable   = errors.New("something that the server needs has failed")
)

// Error says why a request was refused. As an [http.Handler], it writes AWS's answer.
type Error struct {
	// Err is the cause, or wraps it. It never reaches the client. For a bad signature it wraps the error of package
	// sigv4 as well.
	Err error
	// Action is what was refused. It is "" if the request names no action of this package.
	Action string
	// Code is AWS's name of the error, such as "MalformedPolicyDocument". Empty means the usual one of the cause.
	Code string
	// Message is the text for the client. Empty means the usual one of the cause.
	Message string
	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one.
	RequestID string

	status int // zero means the usual one of the cause
}

// invalid is the refusal of a request that the client must correct.
func invalid(code, message string) error {
	return &Error{Err: ErrInvalid, Code: code, Message: message}
}

// denied is the refusal of a caller whom the policies do not allow.
func denied(message string) *Error {
	return &Error{Err: ErrRefused, Code: "AccessDenied", Message: message}
}

// unavailable is the refusal of a request that the client may send again, as something on this side has failed.
func unavailable(err error) error {
	return &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
}

// refuseSignature returns the refusal of a request that package sigv4 has refused. STS has the same texts as API
// Gateway, but other codes: most lack "Exception" at the end.
func refuseSignature(err error) error {
	told, ok := errors.AsType[*sigv4.Error](err)
	if !ok { // a Verifier returns no other errors
		return unavailable(err)
	}
	code := strings.TrimSuffix(told.ErrorCode(), "Exception")
	e := &Error{Err: fmt.Errorf("%w: %w", ErrRefused, err), Code: code, Message: told.ErrorMessage(), status: told.StatusCode()}
	switch code {
	case "InvalidSignature":
		e.Code = "SignatureDoesNotMatch"
	case "UnrecognizedClient":
		e.Code = "InvalidClientTokenId"
	case "IncompleteSignature":
		e.status = http.StatusBadRequest // https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
	case "MissingAuthenticationToken":
		e.Message = "Request is missing Authentication Token"
	}
	switch {
	case errors.Is(err, sigv4.ErrUnavailable):
		return unavailable(err)
	case errors.Is(err, sigv4.ErrNotConfigured):
		return &Error{Err: fmt.Errorf("%w: %w", ErrNotConfigured, err)}
	}
	return e
}

// Error returns the whole cause, for logs. It may quote what the client has sent, but no token and no signature.
func (e *Error) Error() string {
	text := "sts: "
	if e.Action != "" {
		text += e.Action + ": "
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

// StatusCode is the status of the answer.
func (e *Error) StatusCode() int {
	if e.status != 0 {
		return e.status
	}
	return e.answer().status
}

// ErrorCode is AWS's name of the error.
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

// responses have the codes that all services of AWS share
// (https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html).
var responses = []response{
	{ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "ServiceUnavailable", "Please try again."},
	{ErrNotConfigured, http.StatusInternalServerError, "not_configured", "InternalFailure", "Internal error."},
	{ErrInvalid, http.StatusBadRequest, "invalid", "ValidationError", "The request is invalid."},
	{ErrRefused, http.StatusForbidden, "refused", "AccessDenied", "Access denied."},
}

// answer returns the row of responses for e. Every other cause is a fault of the server, and has the row of
// ErrNotConfigured.
func (e *Error) answer() response {
	for _, r := range responses {
		if errors.Is(e.Err, r.cause) {
			return r
		}
	}
	return responses[1]
}

// outcome is the Outcome of a refused request.
func (e *Error) outcome() string {
	if e.StatusCode() >= http.StatusInternalServerError {
		return "failed"
	}
	return "refused"
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

// ServeHTTP answers as AWS does, in XML.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	nameRequest(w.Header())
	kind := "Sender"
	if e.StatusCode() >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	write(w, e.StatusCode(), errorResponse{
		Namespace: namespace, Type: kind, Code: e.ErrorCode(), Message: e.ErrorMessage(), RequestID: w.Header().Get(idField),
	})
}

// errorResponse is the body of a refusal.
type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

const (
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	idField   = "X-Amzn-RequestId"
)

// write writes an answer. Everything that this package writes has a form in XML.
func write(w http.ResponseWriter, status int, body any) {
	text, _ := xml.Marshal(body)
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Cache-Control", "no-store") // it may hold a secret
	w.WriteHeader(status)
	_, _ = w.Write(text)
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
