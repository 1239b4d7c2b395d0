package window_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/clientip"
	"github.com/tallygate/tallygate/ratelimit/window"
)

var passed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func newRule(t testing.TB, c window.RuleConfig) *window.RateRule {
	t.Helper()
	r, err := window.NewRateRule(c)
	require.NoError(t, err)
	return r
}

func from(addr string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = addr
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func byIP() window.RuleConfig {
	return window.RuleConfig{Limit: 10, Window: time.Minute, Aggregate: []window.Component{window.IP()}}
}

func TestNewRateRuleReportsEveryMistake(t *testing.T) {
	all := func(*http.Request) bool { return true }
	ip := []window.Component{window.IP()}
	for _, test := range []struct {
		config window.RuleConfig
		want   string
	}{
		{window.RuleConfig{}, "window: Limit 0 is not within 10 to 2000000000\nwindow: Aggregate: 0 components are not 1 to 5"},
		{
			window.RuleConfig{Limit: 9, Window: time.Second, MaxKeys: -1, Aggregate: ip},
			"window: Limit 9 is not within 10 to 2000000000\nwindow: Window 1s is not 60s, 120s, 300s or 600s\nwindow: MaxKeys -1 is not within 0 to 2^31-1",
		},
		{window.RuleConfig{Limit: 2_000_000_001, Aggregate: ip}, "window: Limit 2000000001 is not within 10 to 2000000000"},
		{window.RuleConfig{Limit: 10, Aggregate: make([]window.Component, 1)}, "window: a Component is made by one of the functions, such as IP"},
		{
			window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.ForwardedIP(nil), window.Header(""), window.Header("a b"), window.Cookie("a="), window.QueryArgument("")}},
			"window: ForwardedIP without a resolver\nwindow: \"\" is not the name of a header field or cookie\nwindow: \"a b\" is not the name of a header field or cookie\nwindow: \"a=\" is not the name of a header field or cookie\nwindow: QueryArgument without a name",
		},
		{
			window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.IP(), window.Method(), window.Path(), window.QueryString(), window.Header("A"), window.Header("B")}},
			"window: Aggregate: 6 components are not 1 to 5",
		},
		{window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.Constant()}}, "window: Constant stands alone and needs a ScopeDown"},
		{
			window.RuleConfig{Limit: 10, ScopeDown: all, Aggregate: []window.Component{window.Constant(), window.IP()}},
			"window: Constant stands alone and needs a ScopeDown",
		},
	} {
		_, err := window.NewRateRule(test.config)
		require.EqualError(t, err, test.want)
	}
	for _, limit := range []int64{10, 2_000_000_000} {
		for _, w := range []time.Duration{0, 60 * time.Second, 120 * time.Second, 300 * time.Second, 600 * time.Second} {
			newRule(t, window.RuleConfig{Limit: limit, Window: w, Aggregate: ip})
		}
	}
}

// From the request that is one too many to that which the window has room for again.
func TestRuleBlocksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := newRule(t, byIP())
		h := rule.Handler(passed)
		for range 10 {
			require.Equal(t, 204, serve(h, from("192.0.2.1:1")).Code)
		}
		w := serve(h, from("192.0.2.1:2"))
		require.Equal(t, 403, w.Code)
		require.JSONEq(t, `{"message":"Forbidden"}`, w.Body.String())
		require.Equal(t, "ForbiddenException", w.Header().Get("X-Amzn-ErrorType"))
		require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))
		require.Empty(t, w.Header().Get("Retry-After"))
		require.Equal(t, 204, serve(h, from("192.0.2.2:1")).Code, "another address")

		time.Sleep(30 * time.Second)
		for range 10 { // a client that does not slow down stays out
			require.Equal(t, 403, serve(h, from("192.0.2.1:1")).Code)
		}
		time.Sleep(40 * time.Second)
		require.Equal(t, 403, serve(h, from("192.0.2.1:1")).Code)
		time.Sleep(64 * time.Second)
		require.Equal(t, 204, serve(h, from("192.0.2.1:1")).Code)
	})
}

func TestWhatIsCountedTogether(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	forwarded, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Trusted: proxies})
	require.NoError(t, err)
	hops, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1})
	require.NoError(t, err)
	quoted, err := clientip.New(clientip.Config{Header: "Forwarded", Hops: 1})
	require.NoError(t, err)
	type c = window.Component
	request := func(method, target, addr string, fields ...string) *http.Request {
		r := httptest.NewRequest(method, target, nil)
		r.RemoteAddr = addr
		for i := 0; i < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		return r
	}
	get := func(target string, fields ...string) *http.Request {
		return request("GET", target, "192.0.2.1:1", fields...)
	}
	for _, test := range []struct {
		name string
		by   []c
		a, b *http.Request // nil: a lacks a component
		same bool
	}{
		{"one network", []c{window.IP()}, request("GET", "/", "[2001:db8::1]:1"), request("GET", "/a", "[2001:db8::2]:2"), true},
		{"two networks", []c{window.IP()}, request("GET", "/", "[2001:db8::1]:1"), request("GET", "/", "[2001:db8:0:1::1]:1"), false},
		{"mapped", []c{window.IP()}, request("GET", "/", "192.0.2.1:1"), request("GET", "/", "[::ffff:192.0.2.1]:1"), true},
		{"no address", []c{window.IP()}, request("GET", "/", "@"), nil, false},
		{"the header means nothing to IP", []c{window.IP()}, get("/", "X-Forwarded-For", "1.1.1.1"), get("/", "X-Forwarded-For", "2.2.2.2"), true},
		{
			"not the first entry",
			[]c{window.ForwardedIP(forwarded)},
			request("GET", "/", "10.0.0.1:1", "X-Forwarded-For", "1.1.1.1, 198.51.100.7"),
			request("GET", "/", "10.0.0.2:1", "X-Forwarded-For", "2.2.2.2, 198.51.100.7"),
			true,
		},
		{
			"forwarded apart",
			[]c{window.ForwardedIP(forwarded)},
			request("GET", "/", "10.0.0.1:1", "X-Forwarded-For", "198.51.100.8"),
			request("GET", "/", "10.0.0.1:1", "X-Forwarded-For", "198.51.100.7"),
			false,
		},
		{"no forwarded address", []c{window.ForwardedIP(hops)}, get("/"), nil, false},
		{
			"nonsense in place of an address",
			[]c{window.ForwardedIP(hops)},
			get("/", "X-Forwarded-For", "a"), get("/", "X-Forwarded-For", "b"), true,
		},
		{
			"nonsense apart",
			[]c{window.ForwardedIP(hops)},
			get("/", "X-Forwarded-For", "a"), get("/", "X-Forwarded-For", "192.0.2.1"), false,
		},
		{
			"much before the address",
			[]c{window.ForwardedIP(hops)},
			get("/", "X-Forwarded-For", strings.Repeat("x", 9000)+", 198.51.100.7"), get("/", "X-Forwarded-For", "198.51.100.7"), true,
		},
		{
			"an open quote before the address",
			[]c{window.ForwardedIP(quoted)},
			get("/", "Forwarded", `for="x, for=198.51.100.7`), get("/", "Forwarded", `for="y, for=198.51.100.7`), true,
		},
		{"header", []c{window.Header("x-key")}, get("/", "X-Key", "a"), get("/b", "X-KEY", "a"), true},
		{"the first of two lines", []c{window.Header("x-key")}, get("/", "X-Key", "a", "X-Key", "b"), get("/", "X-Key", "a"), true},
		{"header apart", []c{window.Header("x-key")}, get("/", "X-Key", "a"), get("/", "X-Key", "b"), false},
		{"empty header", []c{window.Header("x-key")}, get("/", "X-Key", ""), get("/", "X-Key", ""), true},
		{"no header", []c{window.Header("x-key")}, get("/"), nil, false},
		{"host", []c{window.Header("host")}, get("http://a/"), get("http://b/"), false},
		{"cookie", []c{window.Cookie("s")}, get("/", "Cookie", "a=b; s=1"), get("/", "Cookie", `s="1"; a=c`), true},
		{"cookie apart", []c{window.Cookie("s")}, get("/", "Cookie", "s=1"), get("/", "Cookie", "s=2"), false},
		{"no cookie", []c{window.Cookie("s")}, get("/", "Cookie", "S=1; as=2"), nil, false},
		{"argument", []c{window.QueryArgument("q")}, get("/?q=a+b"), get("/?x=1&%71=a%20b&q=c"), true},
		{"argument apart", []c{window.QueryArgument("q")}, get("/?q=a"), get("/?q=b"), false},
		{"empty argument", []c{window.QueryArgument("q")}, get("/?q"), get("/?q="), true},
		{"no argument", []c{window.QueryArgument("q")}, get("/?Q=1&p=q"), nil, false},
		{"query string", []c{window.QueryString()}, get("/?a=1"), get("/b?a=1"), true},
		{"query string apart", []c{window.QueryString()}, get("/?a=1"), get("/?a=%31"), false},
		{"no query string", []c{window.QueryString()}, get("/?"), nil, false},
		{"method", []c{window.Method()}, get("/"), get("/x"), true},
		{"method apart", []c{window.Method()}, get("/"), request("POST", "/", "192.0.2.1:1"), false},
		{"path", []c{window.Path()}, get("/a?x"), get("/%61"), true},
		{"path apart", []c{window.Path()}, get("/a"), get("/A"), false},
		{"two", []c{window.IP(), window.Path()}, get("/a"), get("/b"), false},
		{"two, in order", []c{window.Header("A"), window.Header("B")}, get("/", "A", "x", "B", "y"), get("/", "A", "y", "B", "x"), false},
		{"no sums", []c{window.Header("A"), window.Header("B")}, get("/", "A", "xy", "B", "z"), get("/", "A", "x", "B", "yz"), false},
		{"one of two lacks", []c{window.IP(), window.Header("A")}, get("/"), nil, false},
		{
			"five",
			[]c{window.IP(), window.Method(), window.Path(), window.QueryArgument("q"), window.Cookie("s")},
			get("/a?q=1&r=1", "Cookie", "s=2"), get("/a?q=1&r=2", "Cookie", "s=2"), true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rule := newRule(t, window.RuleConfig{Limit: 10, Aggregate: test.by})
			for range 10 {
				_, err := rule.Check(test.a)
				require.NoError(t, err)
			}
			d, err := rule.Check(test.a)
			if test.b == nil {
				require.NoError(t, err)
				require.Equal(t, ratelimit.Decision{OK: true}, d)
				require.Empty(t, rule.Limited())
				return
			}
			require.ErrorIs(t, err, ratelimit.ErrBlocked)
			_, err = rule.Check(test.b)
			require.Equal(t, test.same, errors.Is(err, ratelimit.ErrBlocked))
		})
	}
}

func TestScopeDownLeavesOtherRequestsAlone(t *testing.T) {
	rule := newRule(t, window.RuleConfig{
		Limit:     10,
		Aggregate: []window.Component{window.Constant()},
		ScopeDown: func(r *http.Request) bool { return r.Method == "POST" },
	})
	h := rule.Handler(passed)
	for i := range 20 {
		require.Equal(t, 204, serve(h, from("192.0.2.1:1")).Code)
		want := 204
		if i >= 10 {
			want = 403
		}
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", i)
		require.Equal(t, want, serve(h, r).Code, "all addresses together")
	}
	require.Equal(t, []string{""}, rule.Limited()[0].Key)
}

func TestAllowDespiteCountsAndPasses(t *testing.T) {
	c := byIP()
	var would []error
	c.AllowDespite = func(_ *http.Request, err error) bool { would = append(would, err); return true }
	rule := newRule(t, c)
	for range 12 {
		require.Equal(t, 204, serve(rule.Handler(passed), from("192.0.2.1:1")).Code)
	}
	require.Len(t, would, 2)
	require.ErrorIs(t, would[0], ratelimit.ErrBlocked)
	d, err := rule.Check(from("192.0.2.1:1"))
	require.NoError(t, err)
	require.False(t, d.OK)
	require.Equal(t, int64(13), rule.Limited()[0].Requests)
}

func TestRuleAnswersByItsErrorHandler(t *testing.T) {
	c := byIP()
	c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusTeapot)
	}
	h := newRule(t, c).Handler(passed)
	var w *httptest.ResponseRecorder
	for range 11 {
		w = serve(h, from("192.0.2.1:1"))
	}
	require.Equal(t, 418, w.Code)
	require.Equal(t, "ratelimit: blocked by rate rule\n", w.Body.String())
}

func TestSetLimitKeepsTheCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := newRule(t, window.RuleConfig{Limit: 1000, Window: 60 * time.Second, Aggregate: []window.Component{window.IP()}})
		check := func() ratelimit.Decision {
			d, _ := rule.Check(from("192.0.2.1:1"))
			return d
		}
		for range 20 {
			require.True(t, check().OK)
		}
		require.NoError(t, rule.SetLimit(10, 60*time.Second))
		require.False(t, check().OK, "at once")
		require.NoError(t, rule.SetLimit(2_000_000_000, 600*time.Second))
		require.Equal(t, int64(2_000_000_000-22), check().Remaining)
		require.NoError(t, rule.SetLimit(30, 0)) // 300 s
		time.Sleep(200 * time.Second)
		require.Equal(t, int64(7), check().Remaining)
		time.Sleep(200 * time.Second)
		require.Equal(t, int64(28), check().Remaining)

		require.EqualError(t, rule.SetLimit(1, time.Second), "window: Limit 1 is not within 10 to 2000000000\nwindow: Window 1s is not 60s, 120s, 300s or 600s")
		require.Equal(t, int64(27), check().Remaining)
	})
}

func TestLimitedListsWhatIsBlockedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := byIP()
		c.Aggregate = append(c.Aggregate, window.QueryArgument("q"))
		rule := newRule(t, c)
		send := func(addr, q string, n int) {
			r := from(addr)
			r.URL.RawQuery = url.Values{"q": {q}}.Encode()
			for range n {
				_, _ = rule.Check(r)
			}
		}
		send("192.0.2.1:1", "a b&", 12)
		send("192.0.2.2:1", "x", 10) // up to the limit, never blocked
		send("[2001:db8::5]:1", "x", 30)
		want := []window.Limited{
			{Key: []string{"2001:db8::/64", "x"}, Requests: 30, RetryAfter: 64 * time.Second},
			{Key: []string{"192.0.2.1", "a b&"}, Requests: 12, RetryAfter: 64 * time.Second},
		}
		require.Equal(t, want, rule.Limited())
		time.Sleep(62 * time.Second)
		send("192.0.2.2:1", "x", 1)
		require.Len(t, rule.Limited(), 3)
		time.Sleep(2 * time.Second)
		require.Empty(t, rule.Limited(), "all may come again")
	})
}

// A client in whose header there is no address is listed by the peer that sent the request.
func TestUnreadableAddressIsListedByPeer(t *testing.T) {
	hops, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1})
	require.NoError(t, err)
	rule := newRule(t, window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.ForwardedIP(hops)}})
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("X-Forwarded-For", "unknown")
	for range 11 {
		_, err = rule.Check(r)
	}
	require.ErrorIs(t, err, ratelimit.ErrBlocked)
	require.Equal(t, []string{"unreadable, by way of 192.0.2.1"}, rule.Limited()[0].Key)
}

// More offenders than are listed are blocked all the same, and there is room for new ones when the old are gone.
func TestListingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := newRule(t, byIP())
		attack := func(net byte) {
			for i := range 10_500 {
				r := &http.Request{RemoteAddr: netip.AddrFrom4([4]byte{net, 0, byte(i >> 8), byte(i)}).String()}
				for range 10 {
					_, err := rule.Check(r)
					require.NoError(t, err)
				}
				_, err := rule.Check(r)
				require.ErrorIs(t, err, ratelimit.ErrBlocked)
			}
		}
		attack(10)
		require.Len(t, rule.Limited(), 10_000)
		time.Sleep(2 * time.Minute)
		require.Empty(t, rule.Limited())
		attack(11)
		listed := rule.Limited()
		require.Greater(t, len(listed), 9_000)
		require.LessOrEqual(t, len(listed), 10_000)
		require.Equal(t, "11.0.0.0", listed[0].Key[0])
	})
}

func TestZeroRuleRefuses(t *testing.T) {
	for _, r := range []*window.RateRule{nil, {}} {
		w := serve(r.Handler(passed), from("192.0.2.1:1"))
		require.Equal(t, 500, w.Code)
		require.Equal(t, "ApiConfigurationException", w.Header().Get("X-Amzn-ErrorType"))
		require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
		_, err := r.Check(from("192.0.2.1:1"))
		require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
		require.ErrorIs(t, r.SetLimit(10, 0), ratelimit.ErrNotConfigured)
		require.Empty(t, r.Limited())
	}
}

func byHost(r *http.Request) (string, bool) { return r.Host, r.Host != "" }

func newLimiter(t testing.TB, c window.Config[string]) *window.Limiter[string] {
	t.Helper()
	l, err := window.New(c)
	require.NoError(t, err)
	return l
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := window.New(window.Config[string]{MaxKeys: math.MaxInt32, Name: "\n"})
	require.EqualError(t, err, "window: Limit 0 is not within 1 to 2^31\nwindow: Window 0s is not within 1ms to 36.5 years\nwindow: Name \"\\n\" is not printable ASCII")
	_, err = window.New(window.Config[string]{AtMost: window.AtMost{Limit: 1<<31 + 1, Window: 1<<60 + 1}})
	require.EqualError(t, err, "window: Limit 2147483649 is not within 1 to 2^31\nwindow: Window 320255h58m24.606846977s is not within 1ms to 36.5 years")
	_, err = window.New(window.Config[string]{AtMost: window.AtMost{Limit: 1 << 31, Window: 1 << 60}})
	require.NoError(t, err)
}

func TestLimiterHandlerRefusesAndSetsFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 2, Window: 15 * time.Second}, Key: byHost, Name: "login"})
		h := l.Handler(passed)
		r := httptest.NewRequest("GET", "http://a/", nil)
		for _, left := range []string{`"login";r=1;t=16`, `"login";r=0;t=16`} {
			w := serve(h, r)
			require.Equal(t, 204, w.Code)
			require.Equal(t, http.Header{"Ratelimit-Policy": {`"login";q=2;w=15`}, "Ratelimit": {left}}, w.Header())
		}
		w := serve(h, r)
		require.Equal(t, 429, w.Code)
		require.JSONEq(t, `{"message":"Too Many Requests"}`, w.Body.String())
		require.Equal(t, "TooManyRequestsException", w.Header().Get("X-Amzn-ErrorType"))
		require.Equal(t, "16", w.Header().Get("Retry-After"))
		require.Equal(t, `"login";r=0;t=16`, w.Header().Get("RateLimit"))
		require.Equal(t, 204, serve(h, httptest.NewRequest("GET", "http://b/", nil)).Code)
		time.Sleep(16 * time.Second)
		require.Equal(t, 204, serve(h, r).Code, "what was refused does not count")

		r.Host = ""
		w = serve(h, r)
		require.Equal(t, 403, w.Code)
		require.JSONEq(t, `{"message":"Forbidden"}`, w.Body.String())
		_, err := l.Check(r)
		require.ErrorIs(t, err, ratelimit.ErrNoKey)
	})
}

func TestTakeTakesAllPlacesOrNone(t *testing.T) {
	l := newLimiter(t, window.Config[string]{AtMost: window.AtMost{Limit: 5, Window: time.Hour}})
	require.True(t, l.Allow("a"))
	require.True(t, l.Take("a", 3).OK)
	require.True(t, l.Take("a", 0).OK)
	require.False(t, l.Take("a", 2).OK)
	require.Equal(t, ratelimit.Never, l.Take("a", 6).RetryAfter)
	require.Equal(t, ratelimit.Never, l.Take("a", -1).RetryAfter)
	require.Equal(t, int64(1), l.Peek("a").Remaining)
	require.NoError(t, l.SetLimit(window.AtMost{Limit: 7, Window: time.Hour}))
	require.Equal(t, int64(3), l.Peek("a").Remaining)
	require.Error(t, l.SetLimit(window.AtMost{}))
	_, err := l.Check(httptest.NewRequest("GET", "/", nil))
	require.ErrorIs(t, err, ratelimit.ErrNotConfigured)
}

func TestAllowDespiteOfOneCause(t *testing.T) {
	l := newLimiter(t, window.Config[string]{
		AtMost: window.AtMost{Limit: 1, Window: time.Hour}, Key: byHost,
		AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, ratelimit.ErrLimited) },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(http.StatusTeapot) },
	})
	r := httptest.NewRequest("GET", "http://a/", nil)
	for range 3 {
		require.Equal(t, 204, serve(l.Handler(passed), r).Code)
	}
	r.Host = ""
	require.Equal(t, 418, serve(l.Handler(passed), r).Code)
}

func TestZeroLimiterRefuses(t *testing.T) {
	for _, l := range []*window.Limiter[string]{nil, {}} {
		require.Equal(t, 500, serve(l.Handler(passed), from("192.0.2.1:1")).Code)
		require.False(t, l.Allow("a"))
		require.Equal(t, ratelimit.Decision{RetryAfter: ratelimit.Never}, l.Take("a", 1))
		require.Equal(t, ratelimit.Decision{RetryAfter: ratelimit.Never}, l.Peek("a"))
		require.ErrorIs(t, l.SetLimit(window.AtMost{Limit: 1, Window: time.Hour}), ratelimit.ErrNotConfigured)
	}
}
