package auth_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

// fetches records what ObserveFetch is told.
type fetches []auth.Fetch

func (f *fetches) observe(_ context.Context, fetch auth.Fetch) { *f = append(*f, fetch) }

// only returns the one fetch since the last call.
func (f *fetches) only(t *testing.T) auth.Fetch {
	t.Helper()
	require.Len(t, *f, 1, "exactly one fetch")
	fetch := (*f)[0]
	*f = nil
	return fetch
}

// A fetch tells what is in use after it. So a failed one shows how old the keys are, and when requests will be refused.
func TestFetchTellsWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := must(authtest.New(plain))
		var told fetches
		v := newVerifier(t, auth.Config{
			Issuers: []auth.Issuer{auth.OIDC(plain, client)}, ObserveFetch: told.observe, MaxStale: time.Hour,
			Transport: wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(100 * time.Millisecond)
				is.ServeHTTP(w, r)
			})},
		})
		require.Equal(t, auth.IssuerStats{Issuer: plain}, v.Stats().Issuers[0], "nothing is fetched yet")
		is.Fail(500)
		require.Error(t, verify(v, issue(is)))
		failed := told.only(t)
		require.ErrorContains(t, failed.Err, "500")
		require.Equal(t, auth.Fetch{Issuer: plain, Duration: 100 * time.Millisecond, Err: failed.Err}, failed, "there are no keys")
		require.Equal(t, auth.IssuerStats{Issuer: plain, Error: failed.Err.Error()}, v.Stats().Issuers[0])

		is.Fail(0)
		time.Sleep(time.Second)
		require.NoError(t, verify(v, issue(is)))
		end := time.Now().Add(15*time.Minute + time.Hour) // the lifetime of keys without Cache-Control, and MaxStale
		keys := v.Stats().Issuers[0].Keys
		require.Positive(t, keys)
		require.Equal(t, auth.Fetch{Issuer: plain, Duration: 200 * time.Millisecond, Keys: keys, Until: end}, told.only(t), "two documents")
		time.Sleep(time.Minute)
		require.Equal(t, auth.IssuerStats{Issuer: plain, Keys: keys, Age: time.Minute, Until: end}, v.Stats().Issuers[0])

		is.Fail(500)
		time.Sleep(14 * time.Minute) // the keys are due
		require.NoError(t, verify(v, issue(is)), "the request does not wait")
		time.Sleep(time.Second)
		synctest.Wait() // for the fetch, whose record is read now
		failed = told.only(t)
		require.Error(t, failed.Err)
		require.Equal(t, auth.Fetch{
			Issuer: plain, Duration: 100 * time.Millisecond, Err: failed.Err, Age: 15*time.Minute + 100*time.Millisecond, Keys: keys, Until: end,
		}, failed)
		time.Sleep(time.Hour)
		require.Error(t, verify(v, issue(is)))
		failed = told.only(t)
		require.Equal(t, auth.Fetch{Issuer: plain, Duration: 100 * time.Millisecond, Err: failed.Err}, failed, "stale keys are not in use")
		require.Equal(t, auth.IssuerStats{Issuer: plain, Error: failed.Err.Error()}, v.Stats().Issuers[0])
	})
}

// A request that waits for a fetch is answered after ObserveFetch has been told, with the values of the request that
// has started the fetch. If that request ends sooner, the fetch goes on and is told too.
func TestFetchIsToldBeforeRequestsGoOn(t *testing.T) {
	type mark struct{}
	synctest.Test(t, func(t *testing.T) {
		is := must(authtest.New(plain))
		told := false
		v := newVerifier(t, auth.Config{
			Issuers: []auth.Issuer{auth.OIDC(plain, client)},
			Transport: wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(100 * time.Millisecond)
				is.ServeHTTP(w, r)
			})},
			ObserveFetch: func(ctx context.Context, _ auth.Fetch) {
				require.Equal(t, true, ctx.Value(mark{}))
				require.NoError(t, ctx.Err())
				time.Sleep(time.Second)
				told = true
			},
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), mark{}, true), time.Millisecond)
		defer cancel()
		_, err := v.VerifyToken(ctx, issue(is))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.False(t, told)
		require.NoError(t, verify(v, issue(is)))
		require.True(t, told)
	})
}

// However a fetch ends, it is told once, and the next fetch is possible.
func TestEveryEndOfAFetchIsTold(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("transport") }, "Goexit": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			is := must(authtest.New(plain))
			broken := true
			var told fetches
			v := newVerifier(t, auth.Config{
				Issuers: []auth.Issuer{auth.OIDC(plain, client)}, ObserveFetch: told.observe,
				Transport: wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if broken {
						end()
					}
					is.ServeHTTP(w, r)
				})},
			})
			require.ErrorIs(t, verify(v, issue(is)), auth.ErrUnavailable, name)
			require.Error(t, told.only(t).Err, name)
			broken = false
			time.Sleep(time.Second)
			require.NoError(t, verify(v, issue(is)), name)
			require.NoError(t, told.only(t).Err, name)
		})
	}
}

// ObserveFetch may end its goroutine. The waiting requests go on, and the next fetch is possible.
func TestObserveFetchThatDoesNotReturnReleasesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := must(authtest.New(plain))
		v := newVerifier(t, auth.Config{
			Issuers: []auth.Issuer{auth.OIDC(plain, client)}, Transport: wire{"issuer.example": is},
			ObserveFetch: func(context.Context, auth.Fetch) { runtime.Goexit() },
		})
		for range 3 {
			require.NoError(t, verify(v, issue(is)))
			time.Sleep(time.Hour)
		}
		require.Equal(t, 3, is.Fetches())
	})
}

// The stats have one entry for each configured issuer, whatever tenants and keys the tokens name.
func TestStatsAreAsLongAsTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := &albKeys{known: map[string]string{albURL + albKID: spki(signers()["ES256"].key.Public())}}
		var told fetches
		tenants := local()
		tenants.URL = "https://login.example/{tenantid}/v2.0"
		v := newVerifier(t, auth.Config{
			Issuers: []auth.Issuer{auth.ALB(albARN, issURL, client), tenants, local()}, Transport: keys, ObserveFetch: told.observe,
		})
		require.NoError(t, verify(v, albToken(nil, nil)))
		first := told.only(t)
		require.Equal(t, auth.Fetch{Issuer: issURL, Keys: 1, Until: first.Until}, first)
		time.Sleep(time.Minute)
		const second = "00000000-0000-4000-8000-000000000000"
		keys.known[albURL+second] = keys.known[albURL+albKID]
		require.NoError(t, verify(v, albToken(map[string]any{"kid": second}, nil)))
		require.Equal(t, auth.IssuerStats{Issuer: issURL, Keys: 2, Age: time.Minute, Until: first.Until}, v.Stats().Issuers[0])
		for n := range 20 {
			require.Error(t, verify(v, albToken(map[string]any{"kid": fmt.Sprintf("%08x-1111-4000-8000-000000000000", n)}, nil)))
			require.Error(t, verify(v, rs256(goodHeader, goodClaims(map[string]any{"iss": fmt.Sprintf("https://login.example/%d/v2.0", n)}))))
		}
		s := v.Stats()
		require.Len(t, s.Issuers, 3)
		require.Equal(t, 2, s.Issuers[0].Keys)
		require.Contains(t, s.Issuers[0].Error, "403", "a kid that is not known")
		require.Equal(t, auth.IssuerStats{Issuer: tenants.URL, Keys: 1}, s.Issuers[1], "fixed keys have no age and no end")
		require.Equal(t, auth.IssuerStats{Issuer: plain, Keys: 1}, s.Issuers[2])
		require.Equal(t, 2, s.Tokens)
		require.Greater(t, s.TokenBytes, 2*700)
	})
}

func TestStatsOfVerifiersThatShareTheState(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}})
	route := must(v.With(auth.Rules{}))
	require.NoError(t, verify(route, rs256(goodHeader, goodClaims(nil))))
	require.Equal(t, 1, v.Stats().Tokens)
	require.Equal(t, v.Stats(), route.Stats())
	for _, zero := range []*auth.Verifier{nil, {}} {
		require.Equal(t, auth.Stats{}, zero.Stats())
	}
	uncached := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local()}, CacheBytes: -1})
	require.Len(t, uncached.Stats().Issuers, 1)
	require.Zero(t, uncached.Stats().TokenBytes)

	var published auth.Stats
	text := expvar.Func(func() any { return v.Stats() }).String()
	require.NoError(t, json.NewDecoder(strings.NewReader(text)).Decode(&published))
	require.Equal(t, v.Stats(), published)
}
