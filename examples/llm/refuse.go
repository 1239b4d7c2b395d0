package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

var (
	errRequest  = errors.New("bad request")
	errTooLarge = errors.New("the body is too large")
	errModel    = errors.New("no such model")
	errPath     = errors.New("no such path")
	errUpstream = errors.New("the upstream has failed")
)

// A refusal is an error in OpenAI's shape.
type refusal struct {
	cause   error
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"` // always null
	Code    string  `json:"code"`
}

// refusals are the answers to the causes. OpenAI's client raises a RateLimitError for the status 429 and an
// AuthenticationError for 401.
var refusals = []refusal{
	{usageplan.ErrQuotaExceeded, 429, "You exceeded your budget of tokens.", "insufficient_quota", nil, "insufficient_quota"},
	{usageplan.ErrThrottled, 429, "Too many requests for this model.", "requests", nil, "rate_limit_exceeded"},
	{usageplan.ErrInFlight, 429, "Too many requests at once.", "requests", nil, "rate_limit_exceeded"},
	{ratelimit.ErrInFlight, 429, "Too many requests at once.", "requests", nil, "rate_limit_exceeded"},
	{apikey.ErrMissing, 401, "You did not provide an API key.", "invalid_request_error", nil, "invalid_api_key"},
	{apikey.ErrUnknown, 401, "Incorrect API key provided.", "invalid_request_error", nil, "invalid_api_key"},
	{apikey.ErrInactive, 401, "Incorrect API key provided.", "invalid_request_error", nil, "invalid_api_key"},
	{errModel, 404, "The model does not exist.", "invalid_request_error", nil, "model_not_found"},
	{errPath, 404, "Unknown request URL.", "invalid_request_error", nil, "unknown_url"},
	{errTooLarge, 413, "The body is too large.", "invalid_request_error", nil, "request_too_large"},
	{errRequest, 400, "", "invalid_request_error", nil, "invalid_request"},
	{errUpstream, 502, "The upstream has failed.", "server_error", nil, "upstream_error"},
}

// of returns the answer to err. Every other cause is a failure of the gateway, such as a ledger that cannot count.
func of(err error) refusal {
	for _, a := range refusals {
		if errors.Is(err, a.cause) {
			if a.cause == errRequest {
				a.Message = err.Error() // it quotes nothing
			}
			return a
		}
	}
	return refusal{err, 503, "The gateway cannot decide at the moment.", "server_error", nil, "unavailable"}
}

// text returns the body of an error.
func (a refusal) text() []byte {
	text, _ := json.Marshal(map[string]refusal{"error": a}) // strings always encode
	return text
}

// refuse answers a request that was refused with err.
func refuse(w http.ResponseWriter, _ *http.Request, err error) {
	if e, is := errors.AsType[interface {
		error
		SetHeader(http.Header)
	}](err); is {
		e.SetHeader(w.Header()) // Retry-After, RateLimit
	}
	a := of(err)
	h := w.Header()
	switch {
	case a.status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer") // RFC 9110 §15.5.2
	case a.cause == usageplan.ErrQuotaExceeded:
		h.Set("X-Should-Retry", "false") // OpenAI's client would try again at once
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.text()) // an error means that the client has gone
}

// cut is the event that ends a stream with an error. OpenAI's client raises an APIError for it.
func cut(err error) []byte {
	return bytes.Join([][]byte{[]byte("data: "), of(err).text(), []byte("\n\n")}, nil)
}
