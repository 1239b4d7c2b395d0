package auth_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// The second Token equals the first, shared claims set included, exactly if the token was not verified again.
func TestCacheRemembers(t *testing.T) {
	for _, raw := range []bool{false, true} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, AllowRawCache: raw})
		token := rs256(goodHeader, goodClaims(nil))
		first := must(v.VerifyToken(t.Context(), token))
		require.True(t, first == must(v.VerifyToken(t.Context(), token)))
	}
	off := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, CacheBytes: -1})
	token := rs256(goodHeader, goodClaims(nil))
	first := must(off.VerifyToken(t.Context(), token))
	require.False(t, first == must(off.VerifyToken(t.Context(), token)))
	require.Error(t, verify(off, token[:len(token)-4]+"AAAA"))
}

// Only verified tokens are entered, so a bad one takes no room.
func TestCacheHoldsOnlyVerified(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}})
	for _, list := range [][]bad{badForm(), badHeaders(), badClaims(), badKeys()} {
		for _, row := range list {
			require.Error(t, verify(v, row.raw), row.name)
		}
	}
	require.Zero(t, v.Stats().Tokens)
	require.Zero(t, v.Stats().TokenBytes)
}

// The cache stays within its limit for any number of tokens, and drops them one by one.
func TestCacheIsBounded(t *testing.T) {
	const limit = 256 << 10
	for _, raw := range []bool{false, true} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}, CacheBytes: limit, AllowRawCache: raw})
		n := 500
		if heavy {
			n = 10_000
		}
		for i := range n {
			require.NoError(t, verify(v, signed(signers()["EdDSA"], goodClaims(map[string]any{"n": i}))))
			s := v.Stats()
			require.LessOrEqual(t, s.TokenBytes, limit)
			require.LessOrEqual(t, s.Tokens, s.TokenBytes/700)
		}
		require.Greater(t, v.Stats().Tokens, 100)
	}
	tiny := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}, CacheBytes: 1})
	require.NoError(t, verify(tiny, signed(signers()["EdDSA"], goodClaims(nil))))
	require.Zero(t, tiny.Stats().Tokens)
}

func ecIssuer() auth.Issuer {
	is := local()
	is.Keys = set(jwk(signers()["EdDSA"].key.Public(), "k1", ""))
	return is
}

// When a key leaves its set, the tokens that it signed are forgotten. The tokens of the other keys stay.
func TestCacheForgetsRetiredKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := signers()["EdDSA"], signers()["ES256"]
		both := set(jwk(a.key.Public(), "k1", ""), jwk(b.key.Public(), "k1", ""))
		document := both
		v := over(t, wire{"issuer.example": serving(func() []byte { return document })})
		exp := map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}
		tokenA, tokenB := signed(a, goodClaims(exp)), signed(b, goodClaims(exp))
		firstA, firstB := must(v.VerifyToken(t.Context(), tokenA)), must(v.VerifyToken(t.Context(), tokenB))

		fetchAnew := func(raw string) { // the request that starts the fetch does not wait for it
			time.Sleep(15 * time.Minute)
			_ = verify(v, raw)
			synctest.Wait()
		}
		fetchAnew(tokenA) // the same set, so nothing is forgotten
		require.True(t, firstA == must(v.VerifyToken(t.Context(), tokenA)))

		document = set(jwk(b.key.Public(), "k1", ""))
		fetchAnew(tokenA)
		require.ErrorIs(t, verify(v, tokenA), auth.ErrKey)
		require.True(t, firstB == must(v.VerifyToken(t.Context(), tokenB)))

		// Another key with the same kid is another key.
		document = set(jwk(fresh("EdDSA").Public(), "k1", ""))
		fetchAnew(tokenA)
		require.ErrorIs(t, verify(v, tokenA), auth.ErrForged)
		document = both
		fetchAnew(tokenA)
		require.NoError(t, verify(v, tokenA))
		require.False(t, firstA == must(v.VerifyToken(t.Context(), tokenA)), "verified anew")
	})
}

// A cached token needs usable keys too: once they are stale, nothing is accepted.
func TestCacheHitNeedsUsableKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		raw := issue(is)
		require.NoError(t, verify(v, raw))
		is.Fail(500)
		time.Sleep(24*time.Hour + 15*time.Minute)
		require.ErrorIs(t, verify(v, raw), auth.ErrUnavailable)
	})
}

// Many goroutines verify a few tokens with a cache that is too small for them, while keys change. There must be no race
// and no wrong answer.
func TestCacheIsCorrectUnderConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := signers()["EdDSA"]
		documents := [][]byte{set(jwk(s.key.Public(), "k1", "")), set(jwk(s.key.Public(), "k1", ""), jwk(fresh("ES256").Public(), "k2", ""))}
		var mu sync.Mutex
		n := 0
		v := over(t, wire{"issuer.example": serving(func() []byte {
			mu.Lock()
			defer mu.Unlock()
			n++
			return documents[n%2]
		})})
		exp := time.Now().Add(1000 * time.Hour).Unix()
		var tokens []string
		for i := range 50 {
			tokens = append(tokens, signed(s, goodClaims(map[string]any{"sub": string(rune('A' + i)), "exp": exp})))
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 200 {
					k := (g*31 + i) % len(tokens)
					got, err := v.VerifyToken(t.Context(), tokens[k])
					if err != nil || got.Subject != string(rune('A'+k)) {
						t.Error(k, err)
						return
					}
					time.Sleep(time.Minute)
				}
			})
		}
		wg.Wait()
		require.Greater(t, n, 5)
	})
}

// A token of any accepted length is remembered, whether its SHA-256 is computed at once or later.
func TestCacheRemembersLongTokens(t *testing.T) {
	for _, raw := range []bool{false, true} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{ecIssuer()}, AllowRawCache: raw})
		for _, n := range []int{10, 1000, 1300, 3000, 6000, 6200, 9000, 11_000, 11_900} {
			token := signed(signers()["EdDSA"], goodClaims(map[string]any{"x": strings.Repeat("x", n)}))
			require.LessOrEqual(t, len(token), 16<<10)
			first := must(v.VerifyToken(t.Context(), token))
			require.True(t, first == must(v.VerifyToken(t.Context(), token)), "%d", len(token))
			for at := range 3 { // one changed byte makes another token
				other := []byte(token)
				other[len(other)-1-at*20] ^= 'A' ^ 'B'
				require.Error(t, verify(v, string(other)))
			}
			require.True(t, first == must(v.VerifyToken(t.Context(), token)), "%d", len(token))
		}
	}
}
