package custom

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// The causes of a refusal. The package's doc says how each is answered.
var (
	// ErrUnauthorized says that the credential is not valid. Functions return it, or an error of the same text, which is
	// the one that API Gateway has Lambda functions fail with.
	ErrUnauthorized = errors.New("Unauthorized") // with the capital: API Gateway compares it so

	ErrNotConfigured = errors.New("authorizer is not configured")
	ErrMissing       = errors.New("request lacks an identity source")
	ErrMalformed     = errors.New("identity source is ambiguous, too long or not matched by the expression")
	ErrDenied        = errors.New("no statement of the policy allows the method")
	ErrExplicitDeny  = errors.New("a statement of the policy denies the method")
	ErrFailed        = errors.New("function failed")
	ErrInvalidResult = errors.New("function returned an invalid result")
	ErrPath          = errors.New("path or method is not one of the API, or its meaning is open")
	ErrURITooLong    = errors.New("method ARN is too long")
)

// Error is why a request was refused. It is itself the handler that answers so.
type Error struct {
	// Err is the cause: one of the errors of this package, perhaps wrapped with that of the function.
	Err error

	// PrincipalID names the caller that was denied, for [ErrDenied] and [ErrExplicitDeny]; for logs.
	PrincipalID string

	// Challenge is the value of WWW-Authenticate where the answer is 401.
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

// answers are the wire answers of causes, the gateway responses UNAUTHORIZED, ACCESS_DENIED and
// AUTHORIZER_CONFIGURATION_ERROR of API Gateway among them. The code of a 414 is not documented; ours is that of
// other bad requests.
var answers = []struct {
	cause         error
	status        int
	code, message string
}{
	{ErrFailed, http.StatusInternalServerError, "AuthorizerConfigurationException", "Internal server error"},
	{ErrInvalidResult, http.StatusInternalServerError, "AuthorizerConfigurationException", "Internal server error"},
	{ErrUnauthorized, http.StatusUnauthorized, "UnauthorizedException", "Unauthorized"},
	{ErrMissing, http.StatusUnauthorized, "UnauthorizedException", "Unauthorized"},
	{ErrMalformed, http.StatusUnauthorized, "UnauthorizedException", "Unauthorized"},
	{ErrDenied, http.StatusForbidden, "AccessDeniedException", "User is not authorized to access this resource"},
	{ErrExplicitDeny, http.StatusForbidden, "AccessDeniedException", "User is not authorized to access this resource with an explicit deny"},
	{ErrPath, http.StatusBadRequest, "BadRequestException", "Bad Request"},
	{ErrURITooLong, http.StatusRequestURITooLong, "BadRequestException", "Request URI too long"},
}

func (e *Error) response() (status int, code, message string) {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			return a.status, a.code, a.message
		}
	}
	return http.StatusInternalServerError, "ApiConfigurationException", "Internal server error"
}

// StatusCode returns the HTTP status, as the package's doc tells.
func (e *Error) StatusCode() int {
	status, _, _ := e.response()
	return status
}

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string {
	_, code, _ := e.response()
	return code
}

// ErrorMessage returns the text for the client. It tells nothing of what the function said. [Error.ServeHTTP] sends
// null instead where the function failed.
func (e *Error) ErrorMessage() string {
	_, _, message := e.response()
	return message
}

// SetHeader sets WWW-Authenticate where the answer is 401.
func (e *Error) SetHeader(h http.Header) {
	if e.StatusCode() == http.StatusUnauthorized && e.Challenge != "" {
		h.Set("WWW-Authenticate", e.Challenge)
	}
}

// ServeHTTP answers as API Gateway does.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	status, code, message := e.response()
	body := map[string]any{"message": message}
	switch code {
	case "AccessDeniedException":
		body = map[string]any{"Message": message}
	case "AuthorizerConfigurationException":
		body = map[string]any{"message": nil}
	}
	answer(w, status, code, body)
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
