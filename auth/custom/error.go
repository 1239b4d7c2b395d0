package custom

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The causes of a refusal. The package documentation says how each is answered.
var (
	// ErrUnauthorized says that the credential is not valid. The function returns it, or an error with the same text,
	// which is what API Gateway expects of a Lambda function.
	ErrUnauthorized = errors.New("Unauthorized") // with a capital U, as API Gateway compares it

	// ErrNotConfigured says that [New] did not make the authorizer.
	ErrNotConfigured = errors.New("authorizer is not configured")
	// ErrMissing says that an identity source found nothing in the request.
	ErrMissing = errors.New("request lacks an identity source")
	// ErrMalformed says that an identity source found something that cannot be used.
	ErrMalformed = errors.New("identity source is ambiguous, too long or not matched by the expression")
	// ErrDenied says that a statement of the policy denies the method, that no statement allows it, or that a result
	// without a policy authorizes nothing.
	ErrDenied = errors.New("the method is not allowed")
	// ErrFailed says that there is no decision. It wraps the function's error, or says that the function panicked, took
	// too long, or returned a [Result] that breaks a rule of its fields, or that the client went away.
	ErrFailed = errors.New("function failed")
	// ErrPath says that the path is outside of [Config.Mount], that the method ARN would have more than 1600 bytes, or
	// that routers may read the path or the method in two ways.
	ErrPath = errors.New("path or method is not accepted")
)

// The causes that API Gateway answers differently from the exported ones that they wrap, and those that say more.
var (
	errNoStatement   = fmt.Errorf("%w: no statement of the policy allows it", ErrDenied)
	errExplicitDeny  = fmt.Errorf("%w: a statement of the policy denies it", ErrDenied)
	errNotAuthorized = fmt.Errorf("%w: the function authorizes nothing", ErrDenied)
	errURITooLong    = fmt.Errorf("%w: the method ARN is too long", ErrPath)
	errNotMounted    = fmt.Errorf("%w: the path is outside of the mount", ErrPath)
	errAmbiguousPath = fmt.Errorf("%w: it can be read in two ways", ErrPath)
	errInvalidResult = fmt.Errorf("%w: it returned an invalid result", ErrFailed)
)

// errOwnCancel is joined with the error of a function that was canceled by itself. A request that is canceled ends no
// call, so that the function cannot mean the request.
var errOwnCancel = errors.New("it was canceled, but not by the request")

// Error is why a request was refused. It is also the handler that sends the refusal.
type Error struct {
	// Err is the cause. It wraps one of the errors of this package.
	Err error

	// PrincipalID names the caller that was denied, for logs. It is set with [ErrDenied].
	PrincipalID string

	// Challenge is the value of WWW-Authenticate if the status is 401.
	Challenge string

	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one. An authorizer sets it if its
	// configuration has Observe or RequestID.
	RequestID string
}

// Error returns the cause, for logs.
func (e *Error) Error() string {
	if e.PrincipalID != "" {
		return fmt.Sprintf("custom: %v (principal %q)", e.Err, e.PrincipalID)
	}
	return fmt.Sprintf("custom: %v", e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The codes of answers, as API Gateway sends them in X-Amzn-ErrorType.
const (
	codeAccessDenied  = "AccessDeniedException"
	codeAuthorizer    = "AuthorizerConfigurationException"
	codeBadRequest    = "BadRequestException"
	codeConfiguration = "ApiConfigurationException"
	codeUnauthorized  = "UnauthorizedException"
)

// response is the answer to a cause.
type response struct {
	cause         error
	status        int
	code, message string
}

// answers lists the answers by cause, among them API Gateway's responses UNAUTHORIZED, ACCESS_DENIED and
// AUTHORIZER_CONFIGURATION_ERROR. The first cause that an error wraps decides. AWS does not document the code of a 414,
// so it has that of other bad requests.
var answers = []response{
	{ErrFailed, http.StatusInternalServerError, codeAuthorizer, "Internal server error"},
	{ErrUnauthorized, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{ErrMissing, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{ErrMalformed, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{
		errExplicitDeny, http.StatusForbidden, codeAccessDenied,
		"User is not authorized to access this resource with an explicit deny",
	},
	{ErrDenied, http.StatusForbidden, codeAccessDenied, "User is not authorized to access this resource"},
	{errURITooLong, http.StatusRequestURITooLong, codeBadRequest, "Request URI too long"},
	{ErrPath, http.StatusBadRequest, codeBadRequest, "Bad Request"},
}

// response returns the answer to the cause of e. Other causes than those in the table are faults of the server.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			return a
		}
	}
	return response{nil, http.StatusInternalServerError, codeConfiguration, "Internal server error"}
}

// StatusCode returns the HTTP status of the answer.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client, which holds nothing of what the function said. If the function failed,
// [Error.ServeHTTP] sends null instead.
func (e *Error) ErrorMessage() string { return e.response().message }

// reasons are the words for the causes. The first row that fits decides, and the rows are in the order of answers, so
// that a cause which wraps several others has the reason of its answer.
var reasons = []struct {
	cause error
	word  string
}{
	{ErrFailed, "failed"},
	{ErrUnauthorized, "unauthorized"},
	{ErrMissing, "missing"},
	{ErrMalformed, "malformed"},
	{ErrDenied, "denied"},
	{ErrPath, "path"},
}

// Reason returns the name of the cause in lower case, such as "denied" for [ErrDenied]. It is "canceled" if there was no
// decision because the request's context was canceled, and "not_configured" for [ErrNotConfigured] and for a cause that
// is not of this package.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, errOwnCancel) {
		return "canceled"
	}
	for _, r := range reasons {
		if errors.Is(e.Err, r.cause) {
			return r.word
		}
	}
	return "not_configured"
}

// SetHeader sets X-Amzn-RequestId to RequestID if that is not empty and no outer layer has set the header. It sets
// WWW-Authenticate if the status is 401.
func (e *Error) SetHeader(h http.Header) {
	if e.RequestID != "" && h.Get("X-Amzn-RequestId") == "" {
		h.Set("X-Amzn-RequestId", e.RequestID)
	}
	if e.StatusCode() == http.StatusUnauthorized && e.Challenge != "" {
		h.Set("WWW-Authenticate", e.Challenge)
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	a := e.response()
	switch a.code {
	case codeAccessDenied: // with API Gateway's capital M
		answer(w, a.status, a.code, struct{ Message string }{a.message})
	case codeAuthorizer: // API Gateway sends null
		answer(w, a.status, a.code, map[string]any{"message": nil})
	default:
		answer(w, a.status, a.code, message{a.message})
	}
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
