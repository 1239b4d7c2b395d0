package function_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// signedCase is one of the requests that a client signs.
type signedCase struct {
	name, method, target string
	body                 []byte
	header               http.Header
}

// cases are what clients sign: paths, queries, bodies and headers that an adapter can lose.
var cases = []signedCase{
	{"root", "GET", "/", nil, nil},
	{"path", "GET", "/loyalty/a900ae6c", nil, nil},
	{"path with a blank", "GET", "/loyalty/a%20b", nil, nil},
	{"path in UTF-8", "GET", "/caf%C3%A9", nil, nil},
	{"path with %2F", "GET", "/loyalty/a%2Fb", nil, nil},
	{"path with %c3", "GET", "/caf%c3%a9", nil, nil},
	{"path with %3F", "GET", "/loyalty/a%3Fb", nil, nil},
	{"query", "GET", "/loyalty?b=2&a=1", nil, nil},
	{"key twice", "GET", "/loyalty?a=2&a=1", nil, nil},
	{"key without value", "GET", "/loyalty?flag", nil, nil},
	{"query with escapes", "GET", "/loyalty?q=x%20y%2Bz%26&e=caf%C3%A9", nil, nil},
	{"presigned", "GET", "/loyalty?a=1", nil, nil},
	{"JSON", "POST", "/loyalty", []byte(`{"name":"Zoë"}`), http.Header{"Content-Type": {"application/json"}}},
	{"bytes", "PUT", "/loyalty/a900ae6c", []byte("\x00\xff\x80"), http.Header{"Content-Type": {"application/octet-stream"}}},
	{"cookies", "GET", "/loyalty", nil, http.Header{"Cookie": {"a=1; b=2"}}},
	{"header with blanks", "DELETE", "/loyalty/1", nil, http.Header{"X-Amz-Meta-Note": {"a,  b"}}},
	{"header twice", "GET", "/loyalty", nil, http.Header{"X-Tag": {"one", "two"}}},
}

// hopeless are the cases that an event has lost; the package documentation of awslambda lists them.
var hopeless = map[string][]string{
	"HTTP 1.0":     {"path with %2F", "path with %c3"},
	"HTTP 2.0":     {"path with %2F", "path with %c3"},
	"HTTP 2.0 key": {"path with %2F", "path with %c3"},
	"ALB single":   {"key twice", "header twice"},
}

// peers are the adapters that others have for each source.
var peers = map[string]string{
	"REST": "signed, httpadapter", "REST domain": "signed, httpadapter", "HTTP 1.0": "signed, httpadapter",
	"HTTP 2.0": "signed, adapter 2.0", "HTTP 2.0 key": "signed, adapter 2.0", "URL": "signed, lambdaurl",
	"ALB multi": "signed, adapter ALB", "ALB single": "signed, adapter ALB",
}

// A signature is verified through every source, except where the event has lost what was signed. The table shows how
// many of the cases the peers' adapters let through to the same handler.
func TestSignaturesThroughEveryEvent(t *testing.T) {
	processes := make(map[string]*process)
	accepted := func(program string, s source, c signedCase) bool {
		if processes[program] == nil {
			processes[program] = serve(t, program)
		}
		got, err := processes[program].invoke(t.Context(), s.of(t, s.sign(t, c)))
		require.NoError(t, err, "%s, %s, %s", program, s.name, c.name)
		if got.fault != nil {
			return false
		}
		a := answerOf(t, got)
		return a.StatusCode == 200 && a.Body == "julianwood "+string(c.body)
	}
	table, n := new(strings.Builder), len(cases)
	fmt.Fprintf(table, "%-14s%6s%8s   refused, ours | peer\n", "source", "ours", "peer")
	for _, s := range sources {
		var refused, refusedByPeer []string
		for _, c := range cases {
			if !accepted("signed", s, c) {
				refused = append(refused, c.name)
			}
			if !accepted(peers[s.name], s, c) {
				refusedByPeer = append(refusedByPeer, c.name)
			}
		}
		require.Equal(t, hopeless[s.name], refused, s.name)
		ours, theirs := n-len(refused), n-len(refusedByPeer)
		require.GreaterOrEqual(t, ours, theirs, s.name)
		if theirs == 0 {
			refusedByPeer = []string{"all"}
		}
		fmt.Fprintf(table, "%-14s%3d/%d%5d/%d   %s | %s\n", s.name, ours, n, theirs, n,
			strings.Join(refused, ", "), strings.Join(refusedByPeer, ", "))
	}
	t.Logf("SigV4 through events: %d cases a source. On AWS \"path with %%3F\" is lost on HTTP APIs, too.\n%s", n, table)
}

// Nothing that was not signed gets through.
func TestTamperedEventsAreRefused(t *testing.T) {
	f := serve(t, "signed")
	for _, s := range sources {
		for name, change := range map[string]func(*http.Request){
			"unsigned": func(r *http.Request) { r.Header.Del("Authorization") },
			"path":     func(r *http.Request) { r.URL.Path += "x" },
			"query":    func(r *http.Request) { r.URL.RawQuery = "a=2" },
			"method":   func(r *http.Request) { r.Method = "DELETE" },
			"header":   func(r *http.Request) { r.Header.Set("X-Tag", "two") },
		} {
			r := s.sign(t, signedCase{"", "GET", "/loyalty?a=1", nil, http.Header{"X-Tag": {"one"}}})
			change(r)
			got, err := f.invoke(t.Context(), s.of(t, r))
			require.NoError(t, err)
			require.Equal(t, 403, answerOf(t, got).StatusCode, "%s, %s", s.name, name)
		}
	}
}

// sign makes the request of a case.
func (s source) sign(t *testing.T, c signedCase) *http.Request {
	t.Helper()
	r := s.request(t, c.method, c.target, c.body)
	for name, values := range c.header {
		r.Header[name] = append([]string(nil), values...)
	}
	if c.name != "presigned" {
		require.NoError(t, signer(t).Sign(r))
		return r
	}
	link, err := signer(t).Presign(r, time.Minute)
	require.NoError(t, err)
	r, err = http.NewRequest(c.method, link, nil)
	require.NoError(t, err)
	return r
}
