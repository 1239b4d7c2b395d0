package window_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// An answer depends on the cause, however deep it is wrapped.
func TestErrorAnswersAWrappedCause(t *testing.T) {
	wraps := map[string]func(error) error{
		"bare":   func(err error) error { return err },
		"once":   func(err error) error { return fmt.Errorf("tenant 7: %w", err) },
		"twice":  func(err error) error { return fmt.Errorf("again: %w", fmt.Errorf("tenant 7: %w", err)) },
		"joined": func(err error) error { return errors.Join(errors.New("logged"), err) },
		"error":  func(err error) error { return &window.Error{Err: err} },
	}
	for _, test := range []struct {
		cause      error
		status     int
		code       string
		message    string
		retryAfter string
	}{
		{window.ErrLimited, 429, "TooManyRequestsException", "Too Many Requests", "2"},
		{window.ErrBlocked, 403, "ForbiddenException", "Forbidden", ""},
		{window.ErrNoKey, 403, "ForbiddenException", "Forbidden", ""},
		{window.ErrNotConfigured, 500, "ApiConfigurationException", "Internal server error", ""},
		{errors.New("another"), 500, "ApiConfigurationException", "Internal server error", ""},
	} {
		for name, wrap := range wraps {
			e := &window.Error{Err: wrap(test.cause), Decision: ratelimit.Decision{RetryAfter: 1500 * time.Millisecond}}
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
	require.Equal(t, 500, (&window.Error{}).StatusCode())
}

// An operator reads in the error what is missing.
func TestNotConfiguredSaysWhatIsMissing(t *testing.T) {
	hour := window.AtMost{N: 1, W: time.Hour}
	for _, test := range []struct {
		check func(*http.Request) (ratelimit.Decision, error)
		want  string
	}{
		{(*window.Limiter[string])(nil).Check, "window: not configured: the limiter was not made by New"},
		{(&window.Limiter[string]{}).Check, "window: not configured: the limiter was not made by New"},
		{
			newLimiter(t, window.Config[string]{AtMost: hour}).Check,
			"window: not configured: Config.Key is nil, so no request can be charged",
		},
		{(*window.RateRule)(nil).Check, "window: not configured: the rule was not made by NewRateRule"},
		{(&window.RateRule{}).Check, "window: not configured: the rule was not made by NewRateRule"},
	} {
		_, err := test.check(httptest.NewRequest("GET", "/", nil))
		require.EqualError(t, err, test.want)
		require.ErrorIs(t, err, window.ErrNotConfigured)
	}
}

// Every response owns the values of its header: a handler that writes to them changes no other response.
func TestHeaderValuesBelongToTheResponse(t *testing.T) {
	spoil := func(w http.ResponseWriter) {
		for _, values := range w.Header() {
			for i := range values[:cap(values)] {
				values[:cap(values)][i] = "spoiled"
			}
		}
	}
	h := newLimiter(t, window.Config[string]{
		AtMost: window.AtMost{N: 2, W: time.Hour}, Key: byHost, Name: "login",
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { spoil(w) },
	}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { spoil(w) }))
	clean := newLimiter(t, window.Config[string]{AtMost: window.AtMost{N: 2, W: time.Hour}, Key: byHost, Name: "login"}).Handler(passed)
	for range 4 { // two are admitted, two refused
		for _, host := range []string{"http://a/", "http://b/"} {
			r := httptest.NewRequest("GET", host, nil)
			require.Equal(t, []string{"spoiled"}, serve(h, r).Header()["Ratelimit"])
			header := serve(clean, r).Header()
			require.NotContains(t, header["Ratelimit"], "spoiled")
			require.NotContains(t, header["Ratelimit-Policy"], "spoiled")
			require.NotContains(t, header["Retry-After"], "spoiled")
		}
	}
}
