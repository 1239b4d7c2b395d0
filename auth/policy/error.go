package policy

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

// The causes of a refused request; match them with [errors.Is]. The package documentation says how each is answered.
// The texts are for logs: a client sees ErrorMessage of an [Error].
var (
	ErrNotConfigured = errors.New("gate is not configured")
	ErrDenied        = errors.New("the method is not allowed")
	ErrNoPrincipal   = errors.New("request has no principal")
	ErrNoAddress     = errors.New("the client's address is unknown")
	ErrPath          = errors.New("path or method is not accepted")
	ErrUnavailable   = errors.New("the caller's policies are not available")
)

// The causes that are answered differently from the exported one that they wrap, and those that say more.
var (
	errURITooLong    = fmt.Errorf("%w: the method ARN is too long", ErrPath)
	errNotMounted    = fmt.Errorf("%w: the path is outside of the mount", ErrPath)
	errAmbiguousPath = fmt.Errorf("%w: it can be read in two ways", ErrPath)
)

// denial is an ErrDenied that knows what the policy is attached to that has refused.
type denial struct {
	family   family
	explicit bool // a statement denies the method; else a policy of this family would have to allow it, and none does
	function bool // it is the policy that a Lambda authorizer has returned
}

// family is what a policy is attached to, in the words of AWS's messages.
type family string

const (
	byIdentity family = "identity-based policy"
	byResource family = "resource-based policy"
	bySession  family = "session policy"
	byBoundary family = "permissions boundary"
)

func (d denial) Error() string { return fmt.Sprintf("%v: %s", ErrDenied, d.detail()) }

// detail says which policies have refused, and how.
func (d denial) detail() string {
	if d.explicit {
		return fmt.Sprintf("a statement of the %s denies it", d.family)
	}
	return fmt.Sprintf("no statement of the %s allows it", d.family)
}

// Unwrap returns the cause.
func (d denial) Unwrap() error { return ErrDenied }

// reason returns the end of AWS's message (IAM User Guide, "Troubleshoot access denied error messages").
func (d denial) reason() string {
	switch {
	case d.explicit && d.family == byIdentity:
		return " with an explicit deny in an " + string(d.family)
	case d.explicit:
		return " with an explicit deny in a " + string(d.family)
	}
	return " because no " + string(d.family) + " allows the " + Invoke + " action"
}

// Error is why a gate refused a request. As an [http.Handler], it writes the answer.
type Error struct {
	// Err is the cause, or wraps it: one of the errors of this package.
	Err error

	// Principal is the ARN of the caller. It is empty if nobody has been authenticated.
	Principal string

	// Resource is the ARN of the method. It is empty if the request has none, with [ErrPath].
	Resource string

	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one. A gate sets it if its
	// [GateConfig] has Observe or RequestID.
	RequestID string
}

// Error returns the cause, the caller and the method, for logs.
func (e *Error) Error() string {
	s := fmt.Sprintf("policy: %v", e.Err)
	if e.Resource != "" {
		s += fmt.Sprintf(" (%q for %s)", clip(e.Resource), e.user())
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// user names the caller as AWS does.
func (e *Error) user() string {
	if e.Principal == "" {
		return "anonymous"
	}
	return clip(e.Principal)
}

// A response is what a client is told about a cause, and the word for the cause in an [Event].
type response struct {
	cause         error
	reason        string
	status        int
	code, message string
}

// codeAccessDenied is API Gateway's code for what a policy refuses. Its answer has a capital M.
const codeAccessDenied = "AccessDeniedException"

// answers lists the responses; an error that wraps several causes has the first. AWS does not document the code of a
// 414, so it has that of other bad requests. Nor does it document an answer for an address that it cannot read, since
// it sees the client's own connection.
var answers = []response{
	{ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrDenied, "denied", http.StatusForbidden, codeAccessDenied, ""}, // see Error.denied
	{
		ErrNoPrincipal, "no_principal", http.StatusForbidden,
		"MissingAuthenticationTokenException", "Missing Authentication Token",
	},
	{ErrNoAddress, "no_address", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{errURITooLong, "path", http.StatusRequestURITooLong, "BadRequestException", "Request URI too long"},
	{ErrPath, "path", http.StatusBadRequest, "BadRequestException", "Bad Request"},
}

// response returns the answer to the cause of e. A cause that is not in answers, such as ErrNotConfigured, is a mistake
// of the operator's and answers 500.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			if a.code == codeAccessDenied {
				a.message = e.denied()
			}
			return a
		}
	}
	return response{
		nil, "not_configured", http.StatusInternalServerError, "ApiConfigurationException", "Internal server error",
	}
}

// denied returns AWS's text for a method that no policy allows. It says what the policy is attached to that has
// refused, as AWS does, and nothing of what the policy says.
func (e *Error) denied() string {
	s := "User: " + e.user() + " is not authorized to perform: " + Invoke + " on resource: " + clip(masked(e.Resource))
	d, found := errors.AsType[denial](e.Err)
	switch {
	case !found:
		return s
	case d.function: // then AWS names neither the caller, whom only the function knows, nor the method
		return "User is not authorized to access this resource" + d.reason()
	}
	return s + d.reason()
}

// StatusCode returns the HTTP status of the answer.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client.
func (e *Error) ErrorMessage() string { return e.response().message }

// Reason returns the name of the cause in lower case, such as "denied" for [ErrDenied]. It is "canceled" if there was
// no decision because the request's context was canceled, and "not_configured" for a cause that is not of this package.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) {
		return "canceled"
	}
	return e.response().reason
}

// SetHeader sets Retry-After for [ErrUnavailable]. It sets X-Amzn-RequestId to RequestID, unless that is empty or an
// outer layer has set the header.
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
	a := e.response()
	if a.code == codeAccessDenied { // with API Gateway's capital M
		answer(w, a.status, a.code, struct{ Message string }{a.message})
		return
	}
	answer(w, a.status, a.code, message{a.message})
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
