package usageplan_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// A mux in another mux replaces the pattern, and a meter in the inner one sees the new pattern.
func TestMethodThrottleBelowAnotherMux(t *testing.T) {
	for _, tt := range []struct {
		key, outer, strip, inner, method, target string
		throttled                                bool
	}{
		{"/pets/GET", "/Prod/", "/Prod", "GET /pets", "GET", "/Prod/pets", true},
		{"/pets/GET", "/Prod/", "/Prod", "GET /pets", "HEAD", "/Prod/pets", true}, // served by GET
		{"/pets/GET", "example.com/Prod/", "/Prod", "GET /pets", "GET", "/Prod/pets", true},
		{"/pets/GET", "/", "", "GET /Prod/pets", "GET", "/Prod/pets", true},
		{"/pets/GET", "/Prod/", "", "example.com/Prod/pets", "GET", "/Prod/pets", true},
		{"/pets/{id}/ANY", "/Prod/", "/Prod", "/pets/{petId}", "PUT", "/Prod/pets/7", true},
		{"/pets/{id}/GET", "/Prod/pets/", "/Prod", "GET /pets/{petId}/{$}", "GET", "/Prod/pets/7/", true},
		{"/{proxy+}/ANY", "/Prod/", "/Prod", "/{rest...}", "POST", "/Prod/a/b", true},
		{"/{proxy+}/ANY", "/Prod/", "/Prod", "/", "POST", "/Prod/a/b", true},
		{"/{id}/GET", "/Prod/pets/", "/Prod/pets", "GET /{petId}", "GET", "/Prod/pets/7", true}, // named as that mux has it
		{"/pets/{id}/GET", "/Prod/pets/", "/Prod/pets", "GET /{petId}", "GET", "/Prod/pets/7", false},
	} {
		stages := []usageplan.Stage{{API: "pets", Name: "Prod", Methods: map[string]ratelimit.Limit{tt.key: {Burst: 1}}}}
		c := usageplan.Config{API: "pets", Stage: "Prod", Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: stages}}}
		outer, inner := http.NewServeMux(), http.NewServeMux()
		inner.Handle(tt.inner, meter(t, c).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		outer.Handle(tt.outer, http.StripPrefix(tt.strip, inner))
		var got []int
		for range 2 {
			r := httptest.NewRequest(tt.method, tt.target, nil)
			r.Header.Set("Verified-Client", "a")
			w := httptest.NewRecorder()
			outer.ServeHTTP(w, r)
			got = append(got, w.Code)
		}
		want := []int{200, 200}
		if tt.throttled {
			want = []int{200, 429}
		}
		require.Equal(t, want, got, "throttle %s, %s %s below %s", tt.key, tt.method, tt.inner, tt.outer)

		c.Client, c.Ledger, c.Routes = caller, memory(t), []string{tt.inner}
		_, err := usageplan.New(c)
		require.Equal(t, tt.throttled, err == nil, "Config.Routes tells: throttle %s, %s below %s: %v", tt.key, tt.inner, tt.outer, err)
	}
}

// A redirect or a 405 by which a mux itself answers is not metered. The request that follows the redirect is.
func TestRedirectOfMuxIsNotMetered(t *testing.T) {
	stages := []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Burst: 1}}}}
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: stages, Quotas: daily(9)}}})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats/", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for range 3 {
		require.Equal(t, "/dev/cats/", call(mux, "a", "/dev/cats").Header.Get("Location"))
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/dev/cats/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, http.StatusOK, call(mux, "a", "/dev/cats/").StatusCode)
	require.Equal(t, http.StatusTooManyRequests, call(mux, "a", "/dev/cats/more").StatusCode)
	require.EqualValues(t, 1, used(t, m, "p", "a"))
}
