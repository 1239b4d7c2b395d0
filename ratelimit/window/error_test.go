package window_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// An operator reads in the error what is missing.
func TestNotConfiguredSaysWhatIsMissing(t *testing.T) {
	hour := window.AtMost{Limit: 1, Window: time.Hour}
	for _, test := range []struct {
		check func(*http.Request) (ratelimit.Decision, error)
		want  string
	}{
		{(*window.Limiter[string])(nil).Check, "ratelimit: not configured: the limiter was not made by window.New"},
		{(&window.Limiter[string]{}).Check, "ratelimit: not configured: the limiter was not made by window.New"},
		{
			newLimiter(t, window.Config[string]{AtMost: hour}).Check,
			"ratelimit: not configured: Config.Key is nil, so no request can be charged",
		},
		{(*window.RateRule)(nil).Check, "ratelimit: not configured: the rule was not made by window.NewRateRule"},
		{(&window.RateRule{}).Check, "ratelimit: not configured: the rule was not made by window.NewRateRule"},
	} {
		_, err := test.check(httptest.NewRequest("GET", "/", nil))
		require.EqualError(t, err, test.want)
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
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
		AtMost: window.AtMost{Limit: 2, Window: time.Hour}, Key: byHost, Name: "login",
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { spoil(w) },
	}).Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { spoil(w) }))
	clean := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 2, Window: time.Hour}, Key: byHost, Name: "login"}).Handler(passed)
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
