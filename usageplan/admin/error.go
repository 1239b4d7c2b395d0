package admin

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

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The causes for which a request is refused; match them with [errors.Is]. An [Error] wraps one of them, and what a
// package below has returned.
var (
	ErrNotConfigured = errors.New("the server is not configured")

	ErrNoRoute     = errors.New("the control plane has no such operation")
	ErrDenied      = errors.New("the caller may not do this")
	ErrInvalid     = errors.New("the request is invalid")
	ErrNotFound    = errors.New("what the request names does not exist")
	ErrConflict    = errors.New("what exists does not allow the change")
	ErrTooLarge    = errors.New("the body is too large")
	ErrUnavailable = errors.New("the store has not answered")
)

// Error says why a request was refused. As an [http.Handler], it writes the answer.
type Error struct {
	// Err is the cause, or wraps it.
	Err error

	// Action is what was refused. It is zero if the request has no route.
	Action Action

	// Message is the text for the client, in API Gateway's words where they are known. If it is empty, the cause has a
	// text of its own.
	Message string
}

func badRequest(format string, args ...any) error { return refused(ErrInvalid, format, args...) }

func notFound(format string, args ...any) error { return refused(ErrNotFound, format, args...) }

func conflict(format string, args ...any) error { return refused(ErrConflict, format, args...) }

func refused(cause error, format string, args ...any) error {
	return &Error{Err: cause, Message: fmt.Sprintf(format, args...)}
}

// Error returns a text for logs: the operation, the cause and the message.
func (e *Error) Error() string {
	s := "admin: "
	if e.Action.Operation != "" {
		s += e.Action.Operation + " " + clip(e.Action.Resource) + ": "
	}
	s += fmt.Sprint(e.Err)
	if e.Message != "" && !strings.Contains(s, e.Message) {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A response is what a client is told about a cause.
type response struct {
	cause         error
	status        int
	code, message string
}

// answers are the responses to the causes; an error that wraps several has the first. The codes are those of API
// Gateway's model, which SDKs map to their types, and of the errors that all AWS services share
// (https://docs.aws.amazon.com/apigateway/latest/api/CommonErrors.html).
var answers = []response{
	{ErrNoRoute, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token"},
	{ErrDenied, http.StatusForbidden, "AccessDeniedException", "Access Denied"},
	{ErrTooLarge, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Request Too Long"},
	{ErrUnavailable, http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrInvalid, http.StatusBadRequest, "BadRequestException", "Invalid request input"},
	{ErrNotFound, http.StatusNotFound, "NotFoundException", "Not Found"},
	{ErrConflict, http.StatusConflict, "ConflictException", "Conflict"},
}

// response returns the row of answers for e. Every other cause is a fault of the server and answers 500.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			if e.Message != "" {
				a.message = e.Message
			}
			return a
		}
	}
	return response{nil, http.StatusInternalServerError, "InternalFailure", "Internal server error"}
}

// StatusCode returns the HTTP status of the answer.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType, by which SDKs tell errors apart.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client.
func (e *Error) ErrorMessage() string { return e.response().message }

// SetHeader sets Retry-After for [ErrUnavailable], and nothing for other causes.
func (e *Error) SetHeader(h http.Header) {
	if errors.Is(e.Err, ErrUnavailable) {
		h.Set("Retry-After", "1")
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
}

// The texts of API Gateway for what does not exist.
const (
	noKey  = "Invalid API Key identifier specified"
	noPlan = "Invalid Usage Plan ID specified"
)

// translations are the causes of the packages below, in the order in which they are looked for. What is not known of a
// store comes first: an error may also say what was tried.
var translations = []struct{ below, cause error }{
	{journal.ErrUnavailable, ErrUnavailable},
	{apikey.ErrUnavailable, ErrUnavailable},
	{ledger.ErrUnavailable, ErrUnavailable},
	{context.Canceled, ErrUnavailable},
	{context.DeadlineExceeded, ErrUnavailable},
	{apikey.ErrInvalid, ErrInvalid},
	{apikey.ErrNotFound, ErrNotFound},
	{apikey.ErrExists, ErrConflict},
	{usageplan.ErrNoPlan, ErrNotFound},
	{usageplan.ErrConflict, ErrConflict},
	{usageplan.ErrInvalid, ErrInvalid},
	{usageplan.ErrNoQuota, ErrInvalid},
	{ledger.ErrInvalid, ErrInvalid},
	{ledger.ErrAdjustment, ErrInvalid},
	{journal.ErrTooLarge, ErrInvalid},
	{usageplan.ErrNotMember, ErrNotFound},
	{usageplan.ErrExists, ErrConflict},
}

// refusal returns err as an Error about the action.
func refusal(err error, a Action) *Error {
	if e, is := errors.AsType[*Error](err); is {
		return &Error{Err: e.Err, Action: a, Message: e.Message}
	}
	for _, t := range translations {
		if errors.Is(err, t.below) {
			return &Error{Err: fmt.Errorf("%w: %w", t.cause, err), Action: a, Message: text(err, t.below)}
		}
	}
	return &Error{Err: err, Action: a}
}

// text returns what a client is told about an error of the cause below, "" if that has a text of its own here. The texts
// of package apikey are API Gateway's. What package usageplan says about a plan, after its cause, helps the owner, who
// is the client here, and holds no secret.
func text(err, below error) string {
	if e, is := errors.AsType[*apikey.Error](err); is {
		return e.ErrorMessage()
	}
	if errors.Is(err, journal.ErrTooLarge) {
		return "The change is too large: at most 10 000 keys or plans, each of 1 MiB"
	}
	if errors.Is(err, ledger.ErrAdjustment) {
		return "The adjustment is not allowed: it is too large, or its texts are too long"
	}
	switch below {
	case usageplan.ErrNoPlan, usageplan.ErrNotMember:
		return noPlan
	case usageplan.ErrInvalid, usageplan.ErrConflict, usageplan.ErrExists, usageplan.ErrNoQuota:
		_, detail, _ := strings.Cut(err.Error(), below.Error()+": ")
		return clip(strings.ReplaceAll(detail, "\n", "; ")) // joined errors
	}
	return ""
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
