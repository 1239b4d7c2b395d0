package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

// An answer depends on the cause, however deep it is wrapped.
func TestErrorAnswersAWrappedCause(t *testing.T) {
	wraps := map[string]func(error) error{
		"bare":   func(err error) error { return err },
		"once":   func(err error) error { return fmt.Errorf("tenant 7: %w", err) },
		"twice":  func(err error) error { return fmt.Errorf("again: %w", fmt.Errorf("tenant 7: %w", err)) },
		"joined": func(err error) error { return errors.Join(errors.New("logged"), err) },
		"error":  func(err error) error { return &ratelimit.Error{Err: err} },
	}
	for _, test := range []struct {
		cause      error
		reason     string
		status     int
		code       string
		message    string
		retryAfter string
	}{
		{ratelimit.ErrLimited, "limited", 429, "TooManyRequestsException", "Too Many Requests", "2"},
		{ratelimit.ErrBlocked, "blocked", 403, "ForbiddenException", "Forbidden", ""},
		{ratelimit.ErrNoKey, "no_key", 403, "ForbiddenException", "Forbidden", ""},
		{ratelimit.ErrUnavailable, "unavailable", 503, "ServiceUnavailableException", "Service Unavailable", "2"},
		{ratelimit.ErrNotConfigured, "not_configured", 500, "ApiConfigurationException", "Internal server error", ""},
		{errors.New("another"), "not_configured", 500, "ApiConfigurationException", "Internal server error", ""},
		{context.Canceled, "canceled", 500, "ApiConfigurationException", "Internal server error", ""},
	} {
		for name, wrap := range wraps {
			e := &ratelimit.Error{Err: wrap(test.cause), Decision: ratelimit.Decision{RetryAfter: 1500 * time.Millisecond}}
			require.Equal(t, test.reason, e.Reason(), "%v, %s", test.cause, name)
			require.Equal(t, test.status, e.StatusCode(), "%v, %s", test.cause, name)
			require.Equal(t, test.code, e.ErrorCode(), "%v, %s", test.cause, name)
			require.Equal(t, test.message, e.ErrorMessage(), "%v, %s", test.cause, name)
			h := http.Header{}
			e.SetHeader(h)
			require.Equal(t, test.retryAfter, h.Get("Retry-After"), "%v, %s", test.cause, name)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, nil)
			require.Equal(t, test.status, w.Code, "%v, %s", test.cause, name)
		}
	}
	require.Equal(t, 500, (&ratelimit.Error{}).StatusCode())
	require.Equal(t, "not_configured", (&ratelimit.Error{}).Reason())
}

// An answer keeps the id that an outer layer has given it. Else it gets the error's, and else a random one.
func TestErrorNamesTheAnswer(t *testing.T) {
	e := &ratelimit.Error{Err: ratelimit.ErrLimited, RequestID: "mine"}
	h := http.Header{}
	e.SetHeader(h)
	require.Equal(t, "mine", h.Get("X-Amzn-RequestId"))
	h.Set("X-Amzn-RequestId", "outer")
	e.SetHeader(h)
	require.Equal(t, "outer", h.Get("X-Amzn-RequestId"))
	for id, want := range map[string]string{"mine": "^mine$", "": "^[0-9a-f]{8}-"} {
		w := httptest.NewRecorder()
		(&ratelimit.Error{Err: ratelimit.ErrLimited, RequestID: id}).ServeHTTP(w, nil)
		require.Regexp(t, want, w.Header().Get("X-Amzn-RequestId"))
	}
}

// An operator reads in the error what is missing, and a client does not.
func TestNotConfiguredSaysWhatIsMissing(t *testing.T) {
	for _, test := range []struct {
		limiter *ratelimit.Limiter[string]
		want    string
	}{
		{nil, "ratelimit: not configured: the limiter was not made by New"},
		{&ratelimit.Limiter[string]{}, "ratelimit: not configured: the limiter was not made by New"},
		{
			newLimiter(t, ratelimit.Config[string]{Limit: limit}),
			"ratelimit: not configured: Config.Key is nil, so no request can be charged",
		},
		{
			newLimiter(t, ratelimit.Config[string]{
				Limit: limit,
				Key:   func(*http.Request) (string, bool) { return "a", true },
				Cost:  func(*http.Request) int64 { return -1 },
			}),
			"ratelimit: not configured: Config.Cost returned a negative cost",
		},
	} {
		_, err := test.limiter.Check(httptest.NewRequest("GET", "/", nil))
		require.EqualError(t, err, test.want)
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		w := serve(test.limiter.Handler(ok), "a", "1")
		require.Equal(t, 500, w.Code)
		require.Equal(t, `{"message":"Internal server error"}`, w.Body.String())
	}
	var told error
	h := newLimiter(t, ratelimit.Config[string]{Limit: limit, ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
		told = err
	}}).Handler(ok)
	serve(h, "a", "1")
	require.ErrorContains(t, told, "Config.Key")
}
