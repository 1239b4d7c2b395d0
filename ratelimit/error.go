package ratelimit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// The causes of an [Error].
var (
	// ErrLimited: the bucket or window does not hold what the request costs.
	ErrLimited = errors.New("rate limit exceeded")
	// ErrInFlight: as many requests run as may at once. No wait is known after which one has ended.
	ErrInFlight = errors.New("too many requests run at once")
	// ErrBlocked: a rate rule of package window blocks the request.
	ErrBlocked = errors.New("blocked by rate rule")
	// ErrNoKey: Config.Key found no key for the request.
	ErrNoKey = errors.New("request has no key")
	// ErrUnavailable: the limit is shared by several processes, and where it is kept does not answer. Nothing in this
	// package returns it; redislimit does.
	ErrUnavailable = errors.New("shared limit is unavailable")
	// ErrNotConfigured: a mistake of the program. The limiter or bucket was not made by its constructor, a limiter
	// without Config.Key was asked about a request, or Config.Cost returned a negative cost. The text of the error says
	// which.
	ErrNotConfigured = errors.New("not configured")
)

var (
	errNotMade   = fmt.Errorf("%w: the limiter was not made by New", ErrNotConfigured)
	errNoKeyFunc = fmt.Errorf("%w: Config.Key is nil, so no request can be charged", ErrNotConfigured)
	errNegative  = fmt.Errorf("%w: Config.Cost returned a negative cost", ErrNotConfigured)
)

// A response is the answer to a cause, and the word for the cause in an [Event].
type response struct {
	cause         error
	reason        string
	status        int
	code, message string
}

// answers are API Gateway's answers to a throttled request, to one that AWS WAF blocks, to one without access, and to one
// that it cannot serve for the moment. The first cause that an error wraps decides.
var answers = []response{
	{ErrLimited, "limited", http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"},
	{ErrInFlight, "in_flight", http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"},
	{ErrBlocked, "blocked", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrNoKey, "no_key", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
}

// Error is why a request was refused, by this package or by package window. It is itself the answer: API Gateway's to a
// throttled request, or to one that AWS WAF blocks. A caller of Take or TakeAll can make one of the decision, to answer
// the same: &Error{Err: ErrLimited, Decision: d}.
type Error struct {
	// Err is the cause: one of this package's, or an error that wraps one.
	Err error
	// Decision is what the bucket or window answered, if one was asked.
	Decision Decision
	// Field is what SetHeader writes to the IETF fields; nothing if it has no name.
	Field Field
	// XRateLimit makes SetHeader write the X-RateLimit fields.
	XRateLimit bool
	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one.
	RequestID string
}

// Error is for logs, not for clients. It says so if no wait helps.
func (e *Error) Error() string {
	if errors.Is(e.Err, ErrLimited) && e.Decision.RetryAfter == Never {
		return fmt.Sprintf("ratelimit: %v: no wait helps: the cost is above the burst of %d, or the rate is 0", e.Err, e.Decision.Limit)
	}
	return fmt.Sprintf("ratelimit: %v", e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// response returns the answer to the cause of e. Other causes than those in the table are mistakes of the program.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			return a
		}
	}
	return response{nil, "not_configured", http.StatusInternalServerError, "ApiConfigurationException", "Internal server error"}
}

// StatusCode returns the HTTP status: 429 for [ErrLimited] and [ErrInFlight], 403 for [ErrBlocked] and [ErrNoKey], 503 for
// [ErrUnavailable], and 500 otherwise.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client. It does not contain the cause.
func (e *Error) ErrorMessage() string { return e.response().message }

// Reason returns the word for the cause in an [Event]: "limited", "in_flight", "blocked", "no_key" or "unavailable";
// "canceled" if the cause is [context.Canceled]; and "not_configured" otherwise.
func (e *Error) Reason() string {
	if errors.Is(e.Err, context.Canceled) {
		return "canceled"
	}
	return e.response().reason
}

// SetHeader sets Retry-After in seconds, rounded up (RFC 9110 section 10.2.3), with a 429 after which a wait helps and
// with a 503, and the header fields that the limiter is configured for. A block by a rate rule does not say when it
// ends, as in AWS. It sets X-Amzn-RequestId if e has an id and no outer layer has set one.
func (e *Error) SetHeader(h http.Header) {
	if e.RequestID != "" && h.Get(requestIDField) == "" {
		h.Set(requestIDField, e.RequestID)
	}
	d := e.Decision
	status := e.StatusCode()
	if (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && d.RetryAfter != Never {
		h.Set("Retry-After", strconv.FormatInt(max(seconds(d.RetryAfter), 1), 10))
	}
	setFields(h, e.Field, e.XRateLimit, &d)
}

// ServeHTTP sets the header fields and answers with the status, the error code and the message.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
}

// requestIDField is X-Amzn-RequestId, in which API Gateway names a request, as [http.Header] keeps it.
const requestIDField = "X-Amzn-Requestid"

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
