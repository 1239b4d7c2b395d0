package ratelimit_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
)

var (
	limit = ratelimit.Limit{Rate: 0.5, Burst: 2}
	ok    = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
)

func byUser(r *http.Request) (string, bool) {
	user := r.Header.Get("User")
	return user, user != ""
}

func byCost(r *http.Request) int64 {
	n, _ := strconv.ParseInt(r.Header.Get("Cost"), 10, 64)
	return n
}

// serve sends a request of the given user and cost through h.
func serve(h http.Handler, user, cost string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User", user)
	r.Header.Set("Cost", cost)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerAnswersByCause(t *testing.T) {
	for _, test := range []struct {
		name   string
		config ratelimit.Config[string]
		user   string
		costs  []string // of the requests; the last one's answer counts
		status int
		header http.Header
		body   string
	}{
		{
			"admitted",
			ratelimit.Config[string]{Key: byUser},
			"a",
			[]string{"1"},
			204,
			http.Header{},
			"",
		},
		{
			"admitted, with fields",
			ratelimit.Config[string]{Key: byUser, Name: "default", XRateLimit: true},
			"a",
			[]string{"1"},
			204,
			http.Header{
				"Ratelimit-Policy": {`"default";q=2;w=4`}, "Ratelimit": {`"default";r=1;t=2`},
				"X-Ratelimit-Limit": {"2"}, "X-Ratelimit-Remaining": {"1"}, "X-Ratelimit-Reset": {"2"},
			},
			"",
		},
		{
			"limited",
			ratelimit.Config[string]{Key: byUser},
			"a",
			[]string{"1", "1", "1"},
			429,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"2"}},
			`{"message":"Too Many Requests"}`,
		},
		{
			"limited, with fields",
			ratelimit.Config[string]{Key: byUser, Name: "default", XRateLimit: true},
			"a",
			[]string{"1", "1", "1"},
			429,
			http.Header{
				"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"2"},
				"Ratelimit-Policy": {`"default";q=2;w=4`}, "Ratelimit": {`"default";r=0;t=4`},
				"X-Ratelimit-Limit": {"2"}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"4"},
			},
			`{"message":"Too Many Requests"}`,
		},
		{
			"cost",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a",
			[]string{"2", "2"},
			429,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"4"}},
			`{"message":"Too Many Requests"}`,
		},
		{
			"cost in bytes, admitted",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, Name: "default", Unit: "content-bytes"},
			"a",
			[]string{"1"},
			204,
			http.Header{"Ratelimit-Policy": {`"default";q=2;qu="content-bytes";w=4`}, "Ratelimit": {`"default";r=1;t=2`}},
			"",
		},
		{
			"cost in bytes, limited",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, Name: "default", Unit: "content-bytes"},
			"a",
			[]string{"2", "2"},
			429,
			http.Header{
				"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"4"},
				"Ratelimit-Policy": {`"default";q=2;qu="content-bytes";w=4`}, "Ratelimit": {`"default";r=0;t=4`},
			},
			`{"message":"Too Many Requests"}`,
		},
		{
			"cost of some requests, admitted",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, Name: "default", Unit: "requests"},
			"a",
			[]string{"1"},
			204,
			http.Header{"Ratelimit-Policy": {`"default";q=2;w=4`}, "Ratelimit": {`"default";r=1;t=2`}},
			"",
		},
		{
			"cost without a unit, admitted: as requests it would be a lie",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, Name: "default", XRateLimit: true},
			"a",
			[]string{"1"},
			204,
			http.Header{"X-Ratelimit-Limit": {"2"}, "X-Ratelimit-Remaining": {"1"}, "X-Ratelimit-Reset": {"2"}},
			"",
		},
		{
			"cost without a unit, limited",
			ratelimit.Config[string]{Key: byUser, Cost: byCost, Name: "default"},
			"a",
			[]string{"2", "2"},
			429,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"4"}},
			`{"message":"Too Many Requests"}`,
		},
		{
			"cost that no wait lifts",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a",
			[]string{"3"},
			429,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}},
			`{"message":"Too Many Requests"}`,
		},
		{
			"free",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a",
			[]string{"2", "0"},
			204,
			http.Header{},
			"",
		},
		{
			"negative cost",
			ratelimit.Config[string]{Key: byUser, Cost: byCost},
			"a",
			[]string{"-1"},
			500,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"ApiConfigurationException"}},
			`{"message":"Internal server error"}`,
		},
		{
			"no key",
			ratelimit.Config[string]{Key: byUser, Name: "default", XRateLimit: true},
			"",
			[]string{"1"},
			403,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"ForbiddenException"}},
			`{"message":"Forbidden"}`,
		},
		{
			"no key function",
			ratelimit.Config[string]{},
			"a",
			[]string{"1"},
			500,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"ApiConfigurationException"}},
			`{"message":"Internal server error"}`,
		},
		{
			"observed",
			ratelimit.Config[string]{Key: byUser, Name: "default", AllowDespite: func(*http.Request, error) bool { return true }},
			"a",
			[]string{"1", "1", "1"},
			204,
			http.Header{"Ratelimit-Policy": {`"default";q=2;w=4`}, "Ratelimit": {`"default";r=0;t=4`}},
			"",
		},
		{
			"not open for this cause",
			ratelimit.Config[string]{Key: byUser, AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, ratelimit.ErrNoKey) }},
			"a",
			[]string{"1", "1", "1"},
			429,
			http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"TooManyRequestsException"}, "Retry-After": {"2"}},
			`{"message":"Too Many Requests"}`,
		},
		{
			"open for this cause",
			ratelimit.Config[string]{Key: byUser, AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, ratelimit.ErrNoKey) }},
			"",
			[]string{"1"},
			204,
			http.Header{},
			"",
		},
		{
			"own answer",
			ratelimit.Config[string]{Key: byUser, Name: "x", ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusTeapot)
			}},
			"a",
			[]string{"1", "1", "1"},
			418,
			http.Header{
				"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}, "Retry-After": {"2"},
				"Ratelimit-Policy": {`"x";q=2;w=4`}, "Ratelimit": {`"x";r=0;t=4`},
			},
			"ratelimit: rate limit exceeded\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.config.Limit = limit
				h := newLimiter(t, test.config).Handler(ok)
				var w *httptest.ResponseRecorder
				for _, cost := range test.costs {
					w = serve(h, test.user, cost)
				}
				got := w.Result()
				if got.Header.Get("Content-Type") == "application/json" {
					require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, got.Header.Get("X-Amzn-RequestId"))
					got.Header.Del("X-Amzn-RequestId")
				}
				require.Equal(t, test.status, got.StatusCode)
				require.Equal(t, test.header, got.Header)
				require.Equal(t, test.body, w.Body.String())
			})
		})
	}
}

func TestInfiniteRateSetsNoFields(t *testing.T) {
	h := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: math.Inf(1)}, Key: byUser, Name: "a", XRateLimit: true}).Handler(ok)
	w := serve(h, "a", "1")
	require.Equal(t, 204, w.Code)
	require.Empty(t, w.Header())
}

func TestZeroLimiterAnswers(t *testing.T) {
	for _, l := range []*ratelimit.Limiter[string]{nil, {}} {
		w := serve(l.Handler(ok), "a", "1")
		require.Equal(t, 500, w.Code)
		require.Equal(t, "ApiConfigurationException", w.Header().Get("X-Amzn-ErrorType"))
		_, err := l.Check(httptest.NewRequest("GET", "/", nil))
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
	}
}

func TestCheckReturnsTheDecisionAndTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, ratelimit.Config[string]{Limit: limit, Key: byUser, Name: "default"})
		r := httptest.NewRequest("GET", "/", nil)
		_, err := l.Check(r)
		require.ErrorIs(t, err, ratelimit.ErrNoKey)
		r.Header.Set("User", "a")
		d, err := l.Check(r)
		require.NoError(t, err)
		require.Equal(t, ratelimit.Decision{OK: true, Limit: 2, Remaining: 1, ResetAfter: 2 * time.Second}, d)
		require.True(t, l.Allow("a"))
		d, err = l.Check(r)
		e, is := errors.AsType[*ratelimit.Error](err)
		require.True(t, is)
		require.Equal(t, ratelimit.Decision{Limit: 2, RetryAfter: 2 * time.Second, ResetAfter: 4 * time.Second}, d)
		require.Equal(t, &ratelimit.Error{
			Err: ratelimit.ErrLimited, Decision: d,
			Field: ratelimit.Field{Name: "default", Quota: 2, Window: 4 * time.Second, Reset: 4 * time.Second},
		}, e)
	})
}

// Each limit of a chain sets its fields, and an Error that sets its header twice says so once.
func TestHandlersInARowSetAllFieldsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer := newLimiter(t, ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1, Burst: 100}, Key: byUser, Name: "outer"})
		inner := newLimiter(t, ratelimit.Config[string]{Limit: limit, Key: byUser, Name: "inner"})
		h := outer.Handler(inner.Handler(ok))
		for _, want := range []struct {
			status int
			limit  []string
		}{
			{204, []string{`"outer";r=99;t=1`, `"inner";r=1;t=2`}},
			{204, []string{`"outer";r=98;t=2`, `"inner";r=0;t=4`}},
			{429, []string{`"outer";r=97;t=3`, `"inner";r=0;t=4`}},
		} {
			w := serve(h, "a", "1")
			require.Equal(t, want.status, w.Code)
			require.Equal(t, want.limit, w.Header()["Ratelimit"])
			require.Equal(t, []string{`"outer";q=100;w=100`, `"inner";q=2;w=4`}, w.Header()["Ratelimit-Policy"])
		}
	})
}

// Every response owns the values of its header: a handler that writes to them changes no other response, of this
// limiter or of another, admitted or refused.
func TestHeaderValuesBelongToTheResponse(t *testing.T) {
	spoil := func(w http.ResponseWriter) {
		for _, values := range w.Header() {
			for i := range values[:cap(values)] {
				values[:cap(values)][i] = "spoiled"
			}
		}
	}
	spoilt := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { spoil(w) })
	for _, c := range []ratelimit.Config[string]{
		{Name: "default"},
		{XRateLimit: true},
		{Name: "default", XRateLimit: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c.Limit, c.Key = limit, byUser
			clean := newLimiter(t, c).Handler(ok)
			c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { spoil(w) }
			dirty := newLimiter(t, c).Handler(spoilt)
			for n := range 4 { // two are admitted, two refused
				serve(dirty, "a", "1")
				serve(dirty, "b", "1") // the same numbers
				want := serve(clean, "a", "1").Header()
				require.NotEmpty(t, want)
				for field, values := range serve(clean, "b", "1").Header() {
					if field == "X-Amzn-Requestid" { // the only one that differs
						continue
					}
					require.Equal(t, want[field], values, "request %d: %s", n, field)
					require.NotContains(t, values, "spoiled", "request %d: %s", n, field)
				}
			}
		})
	}
}

// The window is sent in whole seconds, rounded up. The rounding error of a float division does not add a second.
func TestWindowIsRoundedUpToSeconds(t *testing.T) {
	for _, test := range []struct {
		limit ratelimit.Limit
		want  string
	}{
		{ratelimit.Limit{Rate: 20.0 / 3600, Burst: 20}, `"a";q=20;w=3600`},
		{ratelimit.Limit{Rate: 1e9 / 3600, Burst: 1e9}, `"a";q=1000000000;w=3600`},
		{ratelimit.Limit{Rate: 7.0 / 86400 / 365, Burst: 7}, `"a";q=7;w=31536000`},
		{ratelimit.Limit{Rate: 10, Burst: 11}, `"a";q=11;w=2`},
		{ratelimit.Limit{Rate: 1e10, Burst: 1}, `"a";q=1;w=1`},
		{ratelimit.Limit{Rate: 0, Burst: 1}, `"a";q=1`},
	} {
		w := serve(newLimiter(t, ratelimit.Config[string]{Limit: test.limit, Key: byUser, Name: "a"}).Handler(ok), "u", "1")
		require.Equal(t, []string{test.want}, w.Header()["Ratelimit-Policy"], "%v", test.limit)
	}
}
