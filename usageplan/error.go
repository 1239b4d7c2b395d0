package usageplan

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The causes of an error; match them with [errors.Is]. The package documentation says for each what the caller sees and
// what the operator does. A refusal may also have a cause of the ledger, such as [ledger.ErrUnavailable].
var (
	ErrNotConfigured = errors.New("meter is not configured for the request")
	ErrNoClient      = errors.New("request has no verified client")
	ErrNoPlan        = errors.New("client has no usage plan for the api stage")
	ErrInFlight      = errors.New("too many requests run at once")
	ErrThrottled     = errors.New("request rate is above the limit")
	ErrQuotaExceeded = errors.New("quota of the period is used up")
	ErrStale         = errors.New("the plans known here are too old")

	ErrThrottleUnavailable = errors.New("throttle is unavailable") // of Config.Throttle

	ErrNoQuota   = errors.New("client has no such quota")        // of the methods that take a QuotaKey
	ErrInvalid   = errors.New("invalid")                         // of New, Load and changes
	ErrConflict  = errors.New("conflict")                        // of changes
	ErrExists    = errors.New("exists already")                  // of changes
	ErrNotMember = errors.New("client is no member of the plan") // of changes
)

// errMethod is the cause for which StatusHandler refuses a request that is neither GET nor HEAD.
var errMethod = errors.New("method is neither GET nor HEAD")

// errOwnCancel is joined with the error of an engine or a throttle that was canceled while the request was not.
var errOwnCancel = errors.New("it was canceled, but not by the request")

// A layer is one of the limits that a request has to pass.
type layer uint8

// The layers, in the order in which they refuse. From the throttles on, it is API Gateway's
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html), which does not
// bound what runs at once.
const (
	inFlight            layer = iota // how many requests of a client, a plan or the meter run at once
	planMethodThrottle               // the plan's throttle of the method
	planThrottle                     // the plan's throttle of the client
	planQuota                        // a quota of the plan
	stageMethodThrottle              // the stage's throttle of the method, over all callers
	accountThrottle                  // the throttle of all requests together
)

var layerNames = [...]string{
	"in flight", "plan method throttle", "plan throttle", "plan quota", "stage method throttle", "account throttle",
}

func (l layer) String() string { return layerNames[l] }

// ofPlan reports whether the limit, which is a throttle or a quota, is one of the client's plan. Such a limit counts the
// client alone. The others are shared by all clients.
func (l layer) ofPlan() bool { return l <= planQuota }

// An Error is why a request or a change was refused. It answers as API Gateway does. Every refusal of a Meter is an
// *Error.
type Error struct {
	Err    error         // wraps the cause, an error of this package or of the ledger
	Client string        // the client that called; empty if it is unknown
	Route  Route         // the route of the request; zero if it is unknown
	Plan   string        // the id of the client's plan; empty if there is none
	Period ledger.Period // the period of the quota that refused; zero for other limits

	// Layer names the limit that refused: "in flight", "plan method throttle", "plan throttle", "plan quota", "stage
	// method throttle" or "account throttle". It is empty if no limit has refused. If Config.Throttle or the ledger
	// could not decide, it names the first limit that was asked there.
	Layer string

	// RetryAfter is how long to wait until the limit that refused admits the same request. If several throttles refuse,
	// or several quotas, it is the longest of their waits. A later layer may refuse the request then. Zero means that
	// the time is unknown, [ratelimit.Never] that the limit never admits the request.
	RetryAfter time.Duration

	// RequestID is the id of the answer. If it is empty, ServeHTTP makes a random one. A meter sets it if its Config has
	// Observe or RequestID.
	RequestID string

	cost   int64 // of the request, for Observe; 0 if it is unknown or invalid
	fields []ratelimit.Field
	strict bool // Config.AWSStrict
}

// Error returns a text for logs, with the client, the route, the layer and the cause. It is not for clients.
func (e *Error) Error() string {
	text := "usageplan: "
	if e.Client != "" {
		text += fmt.Sprintf("client %q: ", clip(e.Client)) // ErrNoClient is also the refusal of a client that is too long
	}
	if e.Route != (Route{}) {
		text += clip(e.Route.text()) + ": "
	}
	switch {
	case strings.HasPrefix(e.Layer, "plan "), e.Layer == inFlight.String():
		text += fmt.Sprintf("%s of %q: ", e.Layer, e.Plan)
	case e.Layer != "":
		text += e.Layer + ": "
	}
	return text + fmt.Sprint(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A response is what an HTTP client is told about a cause.
type response struct {
	cause         error
	reason        string // the cause in a word, which the client is not told
	status        int
	code, message string
}

// answers are the responses to the causes; an error that wraps several has the first. A refused request gets API
// Gateway's gateway response
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html), a refused
// change the error of its control plane.
var answers = []response{
	{ErrStale, "stale", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrInvalid, "invalid", http.StatusBadRequest, "BadRequestException", "Bad Request"},
	{ErrConflict, "conflict", http.StatusConflict, "ConflictException", "Conflict"},
	{ErrExists, "exists", http.StatusConflict, "ConflictException", "Conflict"},
	{ErrNotMember, "not_member", http.StatusNotFound, "NotFoundException", "Not Found"},
	{errMethod, "method", http.StatusMethodNotAllowed, "MethodNotAllowedException", "Method Not Allowed"},
	{ErrQuotaExceeded, "quota_exceeded", http.StatusTooManyRequests, "LimitExceededException", "Limit Exceeded"},
	{ErrInFlight, "in_flight", http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"},
	{ErrThrottled, "throttled", http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"},
	{ErrNoClient, "no_client", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrNoPlan, "no_plan", http.StatusForbidden, "ForbiddenException", "Forbidden"},
	{ErrThrottleUnavailable, "throttle_unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ledger.ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{journal.ErrUnavailable, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{context.Canceled, "canceled", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{context.DeadlineExceeded, "unavailable", http.StatusServiceUnavailable, "ServiceUnavailableException", "Service Unavailable"},
	{ErrNoQuota, "no_quota", http.StatusInternalServerError, "ApiConfigurationException", "Internal server error"},
}

// response returns the row of answers for e. Every other cause is a mistake of the operator's and answers 500.
func (e *Error) response() response {
	for _, a := range answers {
		if errors.Is(e.Err, a.cause) {
			return a
		}
	}
	return response{nil, "not_configured", http.StatusInternalServerError, "ApiConfigurationException", "Internal server error"}
}

// StatusCode returns the HTTP status of the answer.
func (e *Error) StatusCode() int { return e.response().status }

// ErrorCode returns the value of the header X-Amzn-ErrorType.
func (e *Error) ErrorCode() string { return e.response().code }

// ErrorMessage returns the text for the client. It does not contain the cause.
func (e *Error) ErrorMessage() string { return e.response().message }

// Reason returns the name of the cause in lower case, such as "no_plan" for [ErrNoPlan]. It is "canceled" if the
// request's context was canceled, "unavailable" if its deadline has passed or the ledger or the journal has failed, and
// "method" for the 405 of [Meter.StatusHandler]. Any other cause is "not_configured".
func (e *Error) Reason() string {
	// It may be joined with a cause that has another answer.
	if errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, errOwnCancel) {
		return "canceled"
	}
	return e.response().reason
}

// SetHeader sets X-Amzn-RequestId to RequestID, unless that is empty or an outer layer has set the header. It sets
// Retry-After (RFC 9110 §10.2.3: whole seconds, rounded up) and the RateLimit fields. For 405 it sets Allow (RFC 9110
// §15.5.6).
func (e *Error) SetHeader(h http.Header) {
	if e.RequestID != "" && h.Get("X-Amzn-RequestId") == "" {
		h.Set("X-Amzn-RequestId", e.RequestID)
	}
	if errors.Is(e.Err, errMethod) {
		h.Set("Allow", "GET, HEAD")
	}
	if e.strict {
		return
	}
	wait := e.RetryAfter
	if wait == 0 && e.StatusCode() == http.StatusServiceUnavailable {
		wait = time.Second
	}
	if wait > 0 && wait != ratelimit.Never {
		seconds := wait / time.Second
		if wait%time.Second > 0 {
			seconds++
		}
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	ratelimit.SetFields(h, e.fields...)
}

// ServeHTTP answers as API Gateway does, byte for byte.
func (e *Error) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.SetHeader(w.Header())
	answer(w, e.StatusCode(), e.ErrorCode(), message{e.ErrorMessage()})
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
