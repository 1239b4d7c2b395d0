//go:build !race

package auth_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

func allocs(f func()) float64 { return testing.AllocsPerRun(200, f) }

func TestVerifiedTokenDoesNotAllocate(t *testing.T) {
	for _, raw := range []bool{false, true} {
		v := newVerifier(t, auth.Config{
			Issuers: []auth.Issuer{cognito()}, AllowRawCache: raw,
			Rules: auth.Rules{TokenUse: "access", AnyScope: []string{"openid"}, AnyGroup: []string{"gold"}, MaxAge: time.Hour},
		})
		u := julian
		u.Scopes = []string{"email", "openid"}
		token := must(poolIssuer().AccessToken(u))
		require.NoError(t, verify(v, token))
		require.Zero(t, allocs(func() { _ = verify(v, token) }))

		r := httptest.NewRequest(http.MethodGet, "/?a=b", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got, ok := auth.FromContext(r.Context()); !ok || !got.InGroup("gold") {
				panic("no token")
			}
			if id, ok := auth.ID(r); !ok || id == "" {
				panic("no ID")
			}
		})
		h, w := v.Handler(next), httptest.NewRecorder()
		require.LessOrEqual(t, allocs(func() { h.ServeHTTP(w, r) }), 2.0)
		require.Zero(t, allocs(func() { _ = v.Present(r) }))
		both := auth.AnyOf(v, foreign{"X-Api-Key"}).Handler(next)
		require.LessOrEqual(t, allocs(func() { both.ServeHTTP(w, r) }), 2.0)
	}
}

// An Event of an allowed request is passed by value and has a verdict that all share, so telling it costs no allocation.
func TestTellingOfAllowedRequestsDoesNotAllocate(t *testing.T) {
	told := 0
	observe := func(context.Context, auth.Event) { told++ }
	token := must(poolIssuer().IDToken(julian))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Observe: observe})
	require.NoError(t, verify(v, token))
	require.Zero(t, allocs(func() { _ = verify(v, token) }))

	m := auth.AnyOf(v, foreign{"X-Api-Key"})
	m.Observe = observe
	r, w := post("Authorization", token), httptest.NewRecorder()
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, h := range []http.Handler{v.Handler(next), m.Handler(next)} {
		require.LessOrEqual(t, allocs(func() { h.ServeHTTP(w, r) }), 2.0, "those of the request with the token")
	}
	require.GreaterOrEqual(t, told, 4*200)
}

func TestFirstVerificationAllocatesLittle(t *testing.T) {
	for name, limit := range map[string]float64{"RS256": 30, "EdDSA": 30, "ES256": 42} {
		is := local()
		is.Keys = set(jwk(signers()[name].key.Public(), "k1", ""))
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}, CacheBytes: -1})
		claims := map[string]any{"groups": []string{"a", "b"}, "scope": "a b c", "jti": "j", "x": map[string]any{"y": []int{1}}}
		token := signed(signers()[name], goodClaims(claims))
		require.LessOrEqual(t, allocs(func() { _ = verify(v, token) }), limit, name)
	}
}

// The cache counts its memory correctly: the heap grows by at most the limit and a fifth.
func TestCacheStaysWithinItsMemory(t *testing.T) {
	const limit = 2 << 20 // enough for a token of any length in each shard
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first run does not free what pools hold
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	groups := strings.Split(strings.TrimSuffix(numbered(100, "g%d "), " "), " ")
	for name, row := range map[string]struct {
		n      int
		header string
		claims map[string]any
	}{
		"usual":         {2000, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"groups": []string{"gold", "staff"}, "scope": "a b", "x": strings.Repeat("x", 400)}},
		"lists":         {600, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"groups": groups, "cognito:groups": groups, "aud": []string{client, "x"}}},
		"escapes":       {600, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"sub": strings.Repeat("x", 500) + "\n", "groups": groups}},
		"joined scopes": {600, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"scp": strings.Split(strings.Repeat("abcdefghijklmnopqrstuvwxyz ", 150)+"a", " ")}},
		"long claims":   {600, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"x": strings.Repeat("x", 6200)}},
		"longer claims": {600, `{"alg":"EdDSA","kid":"k1"}`, map[string]any{"x": strings.Repeat("x", 9000)}},
		"a long header": {2000, `{"alg":"EdDSA","kid":"k1","x":"` + strings.Repeat("x", 1400) + `"}`, nil},
	} {
		for _, raw := range []bool{false, true} {
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}, CacheBytes: limit, AllowRawCache: raw})
			before := heap()
			for i := range row.n {
				claims := maps.Clone(row.claims)
				if claims == nil {
					claims = map[string]any{}
				}
				claims["n"] = i
				require.NoError(t, verify(v, signedAs(signers()["EdDSA"], row.header, goodClaims(claims))))
			}
			after := heap()
			entries := v.Stats().Tokens
			if row.claims != nil {
				require.Less(t, entries, row.n, "full")
				require.Greater(t, after-before, uint64(limit*5/10), "%s: %d entries", name, entries)
			}
			require.Less(t, after-before, uint64(limit*12/10), "%s: %d entries", name, entries)
		}
	}
}

func TestRefusalsAllocateLittle(t *testing.T) {
	v := localVerifier(t)
	good := rs256(goodHeader, goodClaims(nil))
	for name, raw := range map[string]string{
		"empty": "", "dots": strings.Repeat(".", 16<<10), "many dots": strings.Repeat("a.", 8<<10), "long": strings.Repeat("a", 1<<20), "no dot": strings.ReplaceAll(good, ".", "_"),
		"base64": "!" + good[1:], "padding": strings.Replace(good, ".", "=.", 1), "header": rs256(`{}`, goodClaims(nil)), "none": rs256(`{"alg":"none"}`, ""),
		"deep header": rs256(`{"alg":"RS256","x":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+`}`, ""), "claims": rs256(goodHeader, `[]`),
		"issuer": rs256(goodHeader, `{"iss":"x"}`),
	} {
		require.Error(t, verify(v, raw), name)
		require.LessOrEqual(t, allocs(func() { _ = verify(v, raw) }), 4.0, name)
	}
}

// Looking for a second token in the query does not allocate, whatever the query is.
func TestQueryDoesNotAllocate(t *testing.T) {
	v := localVerifier(t)
	r := httptest.NewRequest(http.MethodGet, "/?%61"+numbered(9000, "&p%d=%%41"), nil)
	r.Header.Set("Authorization", "x")
	require.Zero(t, testing.AllocsPerRun(5, func() { _ = v.Present(r) }))
}
