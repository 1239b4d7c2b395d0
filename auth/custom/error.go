package custom

import (
	"bytes"
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
	// ErrDenied says that no statement of the policy matches, or that a result without a policy authorizes nothing.
	ErrDenied = errors.New("no statement of the policy allows the method")
	// ErrExplicitDeny says that a statement of the policy denies the method.
	ErrExplicitDeny = errors.New("a statement of the policy denies the method")
	// ErrFailed says that there is no decision. It wraps the function's error, or says that the function panicked, took
	// too long, or that the client went away.
	ErrFailed = errors.New("function failed")
	// ErrInvalidResult says that the function returned a [Result] that breaks a rule of its fields.
	ErrInvalidResult = errors.New("function returned an invalid result")
	// ErrPath says that the path is outside of [Config.Mount], or that routers may read the path or the method in two
	// ways.
	ErrPath = errors.New("path is outside of the mount, or the path or method can be read in two ways")
	// ErrURITooLong says that the method ARN has more than 1600 bytes.
	ErrURITooLong = errors.New("method ARN is too long")
)

// Error is why a request was refused. It is also the handler that sends the refusal.
type Error struct {
	// Err is the cause. It wraps one of the errors of this package.
	Err error

	// PrincipalID names the caller that was denied, for logs. It is set with [ErrDenied] and [ErrExplicitDeny].
	PrincipalID string

	// Challenge is the value of WWW-Authenticate if the status is 401.
	Challenge string
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

// reply is the answer to a cause.
type reply struct {
	cause         error
	status        int
	code, message string
}

// answers lists the answers by cause, among them API Gateway's responses UNAUTHORIZED, ACCESS_DENIED and
// AUTHORIZER_CONFIGURATION_ERROR. The first cause that an error wraps decides. AWS does not document the code of a 414,
// so it has that of other bad requests.
var answers = []reply{
	{ErrFailed, http.StatusInternalServerError, codeAuthorizer, "Internal server error"},
	{ErrInvalidResult, http.StatusInternalServerError, codeAuthorizer, "Internal server error"},
	{ErrUnauthorized, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{ErrMissing, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{ErrMalformed, http.StatusUnauthorized, codeUnauthorized, "Unauthorized"},
	{ErrDenied, http.StatusForbidden, codeAccessDenied, "User is not authorized to access this resource"},
	{
		ErrExplicitDeny, http.StatusForbidden, codeAccessDenied,
		"User is not authorized to access this resource with an explicit deny",
	},
	{ErrPath, http.StatusBadRequest, codeBadRequest, "Bad Request"},
	{ErrURITooLong, http.StatusRequestURITooLong, codeBadRequest, "Request URI too long"},
}

// reply returns the answer to the cause of e. Other causes than those in the table are faults of the server.
func (e *Error) reply() reply {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			return a
		}
	}
	return reply{nil, http.StatusInternalServerError, codeConfiguration, "Internal server error"}
}

// StatusCode returns the HTTP status of the answer.
func (e *Error) StatusCode() int { return e.reply().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.reply().code }

// ErrorMessage returns the text for the client, which holds nothing of what the function said. If the function failed,
// [Error.ServeHTTP] sends null instead.
func (e *Error) ErrorMessage() string { return e.reply().message }

// SetHeader sets WWW-Authenticate if the status is 401.
func (e *Error) SetHeader(h http.Header) {
	if e.StatusCode() == http.StatusUnauthorized && e.Challenge != "" {
		h.Set("WWW-Authenticate", e.Challenge)
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	a := e.reply()
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
