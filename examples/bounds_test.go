package examples_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
)

// hostile are requests with a megabyte of one thing in a place that some package reads.
func hostile(p parties) map[string]*http.Request {
	found := make(map[string]*http.Request)
	for _, fill := range []string{"\xff", "\u00e9", "\"", "a=,", "&"} {
		long := strings.Repeat(fill, 1_000_000/len(fill))
		for name, edit := range map[string]func(*http.Request){
			"path":   func(r *http.Request) { r.URL.Path = "/" + long },
			"method": func(r *http.Request) { r.Method = long },
			"host":   func(r *http.Request) { r.Host = long },
			"query":  func(r *http.Request) { r.URL.RawQuery = long },
			"query name": func(r *http.Request) {
				r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0&X-Amz-" + url.QueryEscape(long[:5000])
			},
			"address":     func(r *http.Request) { r.RemoteAddr = long },
			"pattern":     func(r *http.Request) { r.Pattern = long },
			"header name": func(r *http.Request) { r.Header[long] = []string{"x"} },
		} {
			found[name+" of "+fill] = get(p.sign, p.key, edit)
			found[name+" alone of "+fill] = get(edit)
		}
		for _, parameter := range []string{"Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Security-Token"} {
			r := get()
			q := url.Values{
				"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {"AKIDEXAMPLE/20261128/eu-west-1/execute-api/aws4_request"}, "X-Amz-Date": {"20261128T000000Z"},
				"X-Amz-Expires": {"300"}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Signature": {strings.Repeat("0", 64)},
			}
			q.Set("X-Amz-"+parameter, long[:8000])
			r.URL.RawQuery = q.Encode()
			found["presigned "+parameter+" of "+fill] = r
		}
		for _, header := range []string{
			"Authorization", "X-Amz-Date", "Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "X-Api-Key", "X-Forwarded-For", "Forwarded", "Connection",
			"X-Amzn-RequestId", "Origin", "Content-Type", "Trailer", "X-Amzn-Oidc-Data", "User-Agent", "Cookie", "X-Amz-Meta",
		} {
			for name, prefix := range map[string]string{
				"": "", "bearer": "Bearer ", "signature": "AWS4-HMAC-SHA256 Credential=", "signature of 2": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
				"algorithm": "AWS4-", "list": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-west-1/execute-api/aws4_request, SignedHeaders=",
			} {
				for at, n := range map[string]int{"": len(long), " of the bound": 8000} {
					r := get(p.sign, p.key)
					r.Header[header] = []string{prefix + long[:n]}
					found[header+" "+name+at+" of "+fill] = r
				}
			}
		}
	}
	return found
}

// No answer of any package holds more than a little of what a client sent.
func TestAnswersAreBounded(t *testing.T) {
	p := newParties(t)
	s3, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "other"}}.Key, Regions: []string{"eu-west-1"}, ErrorHandler: sigv4.S3XML,
	})
	require.NoError(t, err)
	styled := func(style func(http.ResponseWriter, *http.Request, error)) http.Handler {
		m := auth.AnyOf(p.users, p.signature, p.keys)
		m.ErrorHandler = style
		return m.Handler(http.NotFoundHandler())
	}
	function, err := custom.New(custom.Config{
		ByRequest: true, IdentitySources: []func(*http.Request) (string, bool){custom.Header("Authorization")},
		StageARN: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod",
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: e.IdentitySource[0] + e.MethodARN}, nil
		},
	})
	require.NoError(t, err)
	gate, err := policy.NewGate(policy.GateConfig{
		StageARN: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod", Authorization: "NONE",
		Resource: func() *policy.Policy { return nil },
	})
	require.NoError(t, err)
	header := func(r *http.Request) (string, bool) { return r.Header.Get("Authorization") + r.URL.Path, true }
	all := func(*http.Request) (string, bool) { return "all", true }
	limit, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Burst: 1}, Key: all})
	require.NoError(t, err)
	require.True(t, limit.Allow("all"))
	rule, err := window.NewRateRule(window.RuleConfig{Limit: 10, Aggregate: []window.Component{window.IP()}})
	require.NoError(t, err)
	meter, err := usageplan.New(usageplan.Config{API: "a", Stage: "Prod", Client: header})
	require.NoError(t, err)
	next := http.NotFoundHandler()
	guards := map[string]http.Handler{
		"sigv4": p.signature.Handler(next), "S3XML": s3.Handler(next), "apikey": p.keys.Handler(next), "auth": p.users.Handler(next),
		"custom": function.Handler(next), "policy": gate.Handler(next), "HTTPAPI": styled(auth.HTTPAPI), "AppSync": styled(auth.AppSync), "Bearer": styled(auth.Bearer),
		"problem": styled(problem), "ratelimit": limit.Handler(next), "window": rule.Handler(next), "usageplan": meter.Handler(next),
	}
	for _, s := range append(identitySituations(t), roleSituations(t)...) { // they answer everything themselves
		guards[s.layer] = s.guard(t, wishes{}).handler(next)
	}
	const (
		clipped = 256 * len("&#34;") // what is left of a field, escaped
		words   = 512                // of ours
	)
	echoed := 0
	for name, r := range hostile(p) {
		for kind, guard := range guards {
			w := httptest.NewRecorder()
			guard.ServeHTTP(w, r.Clone(r.Context()))
			size := w.Body.Len()
			for field, values := range w.Header() {
				size += len(field) + len(strings.Join(values, ""))
			}
			require.LessOrEqual(t, size, clipped+words, "%s %s", kind, name)
			if strings.Contains(w.Body.String(), "\u2026 (cut)") {
				echoed++
			}
		}
	}
	require.Greater(t, echoed, 20)
}
