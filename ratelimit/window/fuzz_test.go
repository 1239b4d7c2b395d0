package window_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/window"
)

// The rule sees the argument that Values.Get sees, and counts by it: its key is exhausted by requests that spell it
// otherwise.
func FuzzQueryArgument(f *testing.F) {
	for _, seed := range []string{"q=a", "%71=a+b&q=c", "q", "q=%zz&q=1", "q;x=1&q=2", "&&=q&q=%", "q%3D=1", "q=a=b", "+q=1", "q=%00%ff", "x=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Count(query, "&") > 1000 {
			return // url.Query may have a limit, which the rule does not share
		}
		values, _ := url.ParseQuery(query) // with errors, it still holds what it could read
		checkComponent(t, window.QueryArgument("q"),
			&http.Request{URL: &url.URL{RawQuery: query}},
			values.Has("q"),
			&http.Request{URL: &url.URL{RawQuery: "q=" + url.QueryEscape(values.Get("q"))}})
	})
}

// The rule sees the cookie that Request.Cookie sees.
func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"s=1", "a=b; s=1; s=2", `s="1"`, "s=a\"b; s=2", " s = 1 ;", "s", "s=", "S=1", "s=1\ts=2", "=s", "s=\x80; s=1", `s="`} {
		f.Add(seed, "")
	}
	f.Add("a=1", "s=1")
	f.Fuzz(func(t *testing.T, first, second string) {
		if strings.Count(first+second, ";") > 1000 {
			return
		}
		r := &http.Request{Header: http.Header{"Cookie": {first, second}}}
		c, err := r.Cookie("s")
		twin := &http.Request{Header: http.Header{}}
		if err == nil {
			twin.Header.Set("Cookie", `s="`+c.Value+`"`)
		}
		checkComponent(t, window.Cookie("s"), r, err == nil, twin)
	})
}

// checkComponent holds that r has the component or not, and that it shares its key with the twin.
func checkComponent(t *testing.T, c window.Component, r *http.Request, has bool, twin *http.Request) {
	rule, err := window.NewRateRule(window.RuleConfig{Limit: 10, MaxKeys: 1, Aggregate: []window.Component{c}})
	require.NoError(t, err)
	d, err := rule.Check(r)
	require.NoError(t, err)
	require.Equal(t, has, d.Limit == 10)
	if has {
		d, err = rule.Check(twin)
		require.NoError(t, err)
		require.Equal(t, int64(8), d.Remaining)
	}
}
