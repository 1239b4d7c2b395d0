package frameworks

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	coraza_http "github.com/corazawaf/coraza/v3/http"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
)

const maxBody = 1 << 20

// guarded is a handler in API Gateway's order: the rate rule, the attack rules, authentication. It counts what reaches
// the attack rules.
func guarded(t *testing.T, limit int64) (h http.Handler, inspected *atomic.Int64) {
	rule, err := window.NewRateRule(window.RuleConfig{Limit: limit, Aggregate: []window.Component{window.IP()}})
	require.NoError(t, err)
	attacks, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(fmt.Sprintf(`
		Include @coraza.conf-recommended
		Include @crs-setup.conf.example
		Include @owasp_crs/*.conf
		SecRuleEngine On
		SecRequestBodyLimit %d
		SecRequestBodyLimitAction Reject
		SecResponseBodyAccess Off
		SecAuditEngine Off
	`, maxBody)))
	require.NoError(t, err)
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "julianwood"}}.Key, Regions: []string{"eu-west-1"}, Services: []string{"lambda"},
		MaxBody: maxBody,
	})
	require.NoError(t, err)

	inspected = new(atomic.Int64)
	inspect := coraza_http.WrapHandler(attacks, signature.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))
	return rule.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inspected.Add(1)
		inspect.ServeHTTP(w, r)
	})), inspected
}

func answer(h http.Handler, r *http.Request) (int, string) {
	r.RemoteAddr = "203.0.113.9:4711"
	if r.Body == nil {
		r.Body = http.NoBody // as net/http's server has it
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// typed gives a request the headers that clients send; the signature covers the content type.
func typed(r *http.Request) *http.Request {
	r.Header.Set("User-Agent", "partner/1.0")
	r.Header.Set("Accept", "application/json")
	if r.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func TestCorazaLetsPassWhatIsSigned(t *testing.T) {
	h, _ := guarded(t, 1000)
	for _, tt := range []struct{ name, method, target, body string }{
		{"GET", "GET", "/Prod/loyalty/a900?from=2026-11-01", ""},
		{"POST", "POST", "/Prod/loyalty", `{"points":900}`},
		{"a longer body", "POST", "/Prod/loyalty", `{"note":"` + strings.Repeat("thank you ", 50_000) + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := answer(h, sign(t, typed(request(t, tt.method, tt.target, tt.body))))
			require.Equal(t, 200, status, body)
			require.Equal(t, tt.body, body, "the handler reads the body that Coraza and the verifier have read before it")
		})
	}
}

// The verifier's refusals come through Coraza's writer as they are.
func TestCorazaLeavesTheSignatureToTheVerifier(t *testing.T) {
	h, _ := guarded(t, 1000)
	r := sign(t, typed(request(t, "POST", "/Prod/loyalty", `{"points":900}`)))
	r.Body = io.NopCloser(strings.NewReader(`{"points":901}`))
	status, body := answer(h, r)
	require.Equal(t, 403, status)
	require.Contains(t, body, "signature")

	status, body = answer(h, typed(request(t, "GET", "/Prod/loyalty/a900", "")))
	require.Equal(t, 403, status)
	require.Equal(t, `{"message":"Missing Authentication Token"}`, body)
}

func TestCorazaRefusesAttacks(t *testing.T) {
	h, _ := guarded(t, 1000)
	for _, tt := range []struct{ name, method, target, body string }{
		{"SQL injection", "GET", "/Prod/loyalty?id=1%27%20OR%20%271%27%3D%271%27%20--%20", ""},
		{"path traversal", "GET", "/Prod/loyalty?file=../../../../etc/passwd", ""},
		{"script", "GET", "/Prod/loyalty?name=%3Cscript%3Ealert(1)%3C/script%3E", ""},
		{"SQL injection in a body", "POST", "/Prod/loyalty", `{"id":"1' UNION SELECT password FROM users -- "}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := answer(h, sign(t, typed(request(t, tt.method, tt.target, tt.body))))
			require.Equal(t, 403, status, body)
			require.Empty(t, body, "Coraza's answer, no verifier's: the signature is good")
		})
	}
	status, _ := answer(h, sign(t, typed(request(t, "POST", "/Prod/loyalty", `{"note":"`+strings.Repeat("x", maxBody)+`"}`))))
	require.Equal(t, 413, status, "a body that is not inspected whole is refused")
}

// What doc.go warns of: no handler runs, but the answer does not tell.
func TestCorazaAnswersNothingToABrokenBody(t *testing.T) {
	h, _ := guarded(t, 1000)
	r := sign(t, typed(request(t, "POST", "/Prod/loyalty", `{"points":900}`)))
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"points"`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	status, body := answer(h, r)
	require.Equal(t, 200, status)
	require.Empty(t, body)
}

// A flood costs the rate rule's nanoseconds, not the rules' milliseconds.
func TestRateRuleBeforeCoraza(t *testing.T) {
	h, inspected := guarded(t, 10)
	for range 10 {
		status, body := answer(h, sign(t, typed(request(t, "GET", "/Prod/loyalty/a900", ""))))
		require.Equal(t, 200, status, body)
	}
	for range 100 {
		status, body := answer(h, typed(request(t, "GET", "/Prod/loyalty?file=../../etc/passwd", "")))
		require.Equal(t, 403, status)
		require.Equal(t, `{"message":"Forbidden"}`, body)
	}
	require.EqualValues(t, 10, inspected.Load())
}
