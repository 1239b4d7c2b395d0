package usageplan

import (
	"bytes"
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
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Causes of refusal, and of a failed call; match them with [errors.Is]. A refusal may also have a cause of the ledger:
// [ledger.ErrUnavailable] and [ledger.ErrClosed] answer 503.
var (
	ErrNotConfigured = errors.New("meter is not configured")                    // 500: a zero Meter, or one without Config.Client
	ErrNoRoute       = errors.New("route of the request is unknown")            // 500: the meter wraps the mux, not a handler
	ErrInvalidCost   = errors.New("cost of the request is out of range")        // 500
	ErrNoClient      = errors.New("request has no verified client")             // 403
	ErrNoPlan        = errors.New("client has no usage plan for the api stage") // 403
	ErrThrottled     = errors.New("request rate is above the limit")            // 429
	ErrQuotaExceeded = errors.New("quota of the period is used up")             // 429
	ErrMethod        = errors.New("method is neither GET nor HEAD")             // 405: of Self

	ErrNoQuota   = errors.New("plan has no such quota")          // of Balance, Usage, Extend and Correct
	ErrNotMember = errors.New("client is no member of the plan") // of Extend and Correct
	ErrInvalid   = errors.New("invalid")                         // 400: of New, Apply, Load and LoadMembers
	ErrConflict  = errors.New("conflict")                        // 409: of Apply, a change that the present plans or members do not allow
)

// A Layer is one of the limits that a request passes, in the order in which they refuse.
type Layer uint8

// The layers, as API Gateway orders them
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html).
const (
	NoLayer             Layer = iota // a refusal by no limit
	PlanMethodThrottle               // the plan's throttle of the method
	PlanThrottle                     // the plan's throttle of the client
	PlanQuota                        // a quota of the plan
	StageMethodThrottle              // the stage's throttle of the method, over all callers
	AccountThrottle                  // the throttle of all requests together
)

var layerNames = [...]string{"no layer", "plan method throttle", "plan throttle", "plan quota", "stage method throttle", "account throttle"}

// String names the layer for logs.
func (l Layer) String() string {
	if int(l) < len(layerNames) {
		return layerNames[l]
	}
	return fmt.Sprintf("Layer(%d)", uint8(l))
}

// An Error is why a request or a change was refused. It answers as API Gateway does. Every refusal of a Meter is an *Error.
type Error struct {
	Err    error         // the cause: one of this package's, or the ledger's
	Client string        // who called; empty where that is unknown
	Route  Route         // where to; zero where that is unknown
	Plan   string        // the id of the client's plan; empty where there is none
	Layer  Layer         // what refused
	Period ledger.Period // of the quota that refused; zero for other layers

	// RetryAfter is how long to wait before what refused would let the same request pass; a layer behind it may refuse then.
	// Zero is unknown; [ratelimit.Never], in vain.
	RetryAfter time.Duration

	fields []ratelimit.Field
	strict bool // Config.AWSStrict
}

// Error tells all for logs; nothing of it is meant for clients.
func (e *Error) Error() string {
	text := "usageplan: "
	if e.Client != "" {
		text += fmt.Sprintf("client %q: ", e.Client)
	}
	if e.Route != (Route{}) {
		text += fmt.Sprintf("%s %s of %s:%s: ", e.Route.Method, e.Route.Resource, e.Route.API, e.Route.Stage)
	}
	switch e.Layer {
	case PlanMethodThrottle, PlanThrottle, PlanQuota:
		text += fmt.Sprintf("%v of %q: ", e.Layer, e.Plan)
	case StageMethodThrottle, AccountThrottle:
		text += fmt.Sprintf("%v: ", e.Layer)
	}
	return text + fmt.Sprint(e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// StatusCode is the HTTP status of the answer.
func (e *Error) StatusCode() int {
	switch {
	case errors.Is(e.Err, ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(e.Err, ErrConflict):
		return http.StatusConflict
	case errors.Is(e.Err, ErrMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(e.Err, ErrThrottled), errors.Is(e.Err, ErrQuotaExceeded):
		return http.StatusTooManyRequests
	case errors.Is(e.Err, ErrNoClient), errors.Is(e.Err, ErrNoPlan):
		return http.StatusForbidden
	case errors.Is(e.Err, ledger.ErrUnavailable), errors.Is(e.Err, ledger.ErrClosed):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// ErrorCode is the value of x-amzn-ErrorType.
func (e *Error) ErrorCode() string {
	code, _ := e.words()
	return code
}

// ErrorMessage is the text meant for clients; the cause is not in it.
func (e *Error) ErrorMessage() string {
	_, message := e.words()
	return message
}

// words are API Gateway's for the status: of its gateway responses for a request
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html), of its control
// plane's errors for a change.
func (e *Error) words() (code, message string) {
	switch e.StatusCode() {
	case http.StatusBadRequest:
		return "BadRequestException", "Bad Request"
	case http.StatusForbidden:
		return "ForbiddenException", "Forbidden"
	case http.StatusMethodNotAllowed:
		return "MethodNotAllowedException", "Method Not Allowed"
	case http.StatusConflict:
		return "ConflictException", "Conflict"
	case http.StatusTooManyRequests:
		if errors.Is(e.Err, ErrQuotaExceeded) {
			return "LimitExceededException", "Limit Exceeded"
		}
		return "TooManyRequestsException", "Too Many Requests"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailableException", "Service Unavailable"
	}
	return "ApiConfigurationException", "Internal server error"
}

// SetHeader sets Retry-After (RFC 9110 §10.2.3, whole seconds, rounded up) and the RateLimit fields, and Allow where the
// method is refused (RFC 9110 §15.5.6).
func (e *Error) SetHeader(h http.Header) {
	if errors.Is(e.Err, ErrMethod) {
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
