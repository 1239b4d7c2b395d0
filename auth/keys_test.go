package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

// wire is a transport that calls the handler of the host. Without a network, time can be faked.
type wire map[string]http.Handler

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := w[r.URL.Host]
	if !ok {
		return nil, errors.New("no such host")
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	res := rec.Result()
	res.Request = r
	return res, nil
}

// remote is an issuer at issuer.example, whose keys are found by discovery.
func remote(t *testing.T) (*authtest.Issuer, *auth.Verifier) {
	t.Helper()
	is := must(authtest.New(plain))
	return is, over(t, wire{"issuer.example": is})
}

// over is a verifier that finds the keys of issuer.example over a transport.
func over(t *testing.T, transport http.RoundTripper) *auth.Verifier {
	t.Helper()
	return newVerifier(t, auth.Config{Issuers: []auth.Issuer{auth.OIDC(plain, client)}, Transport: transport})
}

func issue(is *authtest.Issuer) string {
	return must(is.Sign("ES256", map[string]any{"sub": "s", "aud": client, "exp": time.Now().Add(1000 * time.Hour).Unix()}))
}

func verify(v *auth.Verifier, raw string) error {
	_, err := v.VerifyToken(context.Background(), raw)
	return err
}

func TestKeysAreFoundByDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		for range 5 {
			require.NoError(t, verify(v, issue(is)))
		}
		require.Equal(t, 1, is.Fetches())
	})
}

// While the keys are unreachable, the answer is 503 with Retry-After, and there is at most one fetch a second. Tokens
// are accepted as soon as the server answers.
func TestUnreachableKeysAre503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		is.Fail(500)
		raw := issue(is)
		for range 100 {
			w := call(v.Handler(ok), "/", "Authorization", raw)
			require.Equal(t, 503, w.Code)
			require.Equal(t, "1", w.Header().Get("Retry-After"))
			require.Equal(t, "ServiceUnavailableException", w.Header().Get("X-Amzn-ErrorType"))
			require.JSONEq(t, `{"message":"Service Unavailable"}`, w.Body.String())
			require.Empty(t, w.Header().Get("WWW-Authenticate"))
			time.Sleep(10 * time.Millisecond)
		}
		is.Fail(0)
		time.Sleep(time.Second)
		require.NoError(t, verify(v, raw))
	})
}

// If the key server answers nothing usable, the keys of the last good answer stay in use.
func TestLastGoodKeysStay(t *testing.T) {
	is := must(authtest.New(plain))
	for name, body := range map[string]string{
		"empty object": `{}`, "no keys": `{"keys":[]}`, "null": `{"keys":null}`, "HTML": `<html>`, "nothing": ``, "array": `[]`,
		"unknown kty alone": `{"keys":[{"kty":"new","kid":"k"}]}`, "cut": `{"keys":[{"kty":"RSA"`,
		"duplicate": `{"keys":[],"Keys":[]}`, "too long": `{"keys":[]}` + strings.Repeat(" ", 150_000),
		"too many":   `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"new"},`, 101), ",") + `]}`,
		"wrong type": `{"keys":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := false
				v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if broken && strings.HasSuffix(r.URL.Path, "jwks.json") {
						_, _ = io.WriteString(w, body)
						return
					}
					is.ServeHTTP(w, r)
				})})
				require.NoError(t, verify(v, issue(is)))
				broken = true
				for range 96 { // until just before MaxStale has passed after the keys were due
					time.Sleep(15 * time.Minute)
					require.NoError(t, verify(v, issue(is)))
				}
				time.Sleep(16 * time.Minute)
				require.ErrorIs(t, verify(v, issue(is)), auth.ErrUnavailable)
				broken = false
				time.Sleep(10 * time.Second)
				require.NoError(t, verify(v, issue(is)))
			})
		})
	}
}

// A key of an unknown type does not affect the others.
func TestUnknownKeyTypeIsIgnored(t *testing.T) {
	is := local()
	is.Keys = []byte(strings.Replace(string(is.Keys), `"keys":[`, `"keys":[{"kty":"AKP","kid":"k1","alg":"ML-DSA-44","pub":"AA"},{},7,null,`, 1))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	require.NoError(t, verify(v, rs256(goodHeader, goodClaims(nil))))
}

// Unknown kids cause at most one fetch in ten seconds, and bad signatures none. A new key is used within ten seconds.
func TestAttackFetchesLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		stranger := must(authtest.New(plain))
		good := issue(is)
		require.NoError(t, verify(v, good))
		time.Sleep(time.Minute)

		forged := good[:len(good)-4] + "AAAA"
		for range 1000 {
			require.ErrorIs(t, verify(v, forged), auth.ErrForged)
		}
		require.Equal(t, 1, is.Fetches())

		unknown := issue(stranger)
		start := time.Now()
		for range 10_000 {
			require.ErrorIs(t, verify(v, unknown), auth.ErrKey)
			time.Sleep(5 * time.Millisecond)
		}
		require.LessOrEqual(t, is.Fetches(), 1+1+int(time.Since(start)/(10*time.Second)))
		require.Greater(t, is.Fetches(), 2)

		require.NoError(t, is.Rotate())
		rotated := issue(is)
		start = time.Now()
		for verify(v, rotated) != nil {
			require.ErrorIs(t, verify(v, unknown), auth.ErrKey)
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, time.Since(start), 10*time.Second+100*time.Millisecond)
		require.ErrorIs(t, verify(v, good), auth.ErrKey, "the old key is gone, and with it what it signed")
	})
}

// While the server fails, a token with an unknown kid cannot be judged. It is not a bad token.
func TestUnknownKidIs503WhileTheServerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		good := issue(is)
		require.NoError(t, verify(v, good))
		time.Sleep(time.Minute)
		require.NoError(t, is.Rotate())
		is.Fail(500)
		_, err := v.VerifyToken(t.Context(), issue(is))
		require.ErrorIs(t, err, auth.ErrUnavailable)
		e, _ := errors.AsType[*auth.Error](err)
		require.Equal(t, 10*time.Second, e.RetryAfter)
		require.NoError(t, verify(v, good), "the old keys are still used")
	})
}

// There is at most one fetch at a time: a thousand requests before the first answer cause one fetch.
func TestConcurrentRequestsShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		is.Slow(500 * time.Millisecond)
		raw := issue(is)
		var good atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range 1000 {
			wg.Go(func() {
				if verify(v, raw) == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1000, good.Load())
		require.Equal(t, 1, is.Fetches())
		require.Equal(t, time.Second, time.Since(start), "discovery and key set")
	})
}

// When the keys are due, the next request starts a fetch, and no request waits for it. Until it ends, the current keys
// verify all tokens, cached ones included.
func TestNoRequestWaitsForARefresh(t *testing.T) {
	for name, row := range map[string]struct {
		cacheControl string
		after, slow  time.Duration
	}{
		"due":                      {"", 15 * time.Minute, time.Second},
		"due for an hour":          {"", time.Hour, 1400 * time.Millisecond},
		"no-cache":                 {"no-cache", 10 * time.Second, 800 * time.Millisecond},
		"max-age=0":                {"max-age=0", 10 * time.Second, time.Second},
		"a server that never ends": {"", 15 * time.Minute, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			is := must(authtest.New(plain))
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", row.cacheControl)
				is.ServeHTTP(w, r)
			})})
			raw := issue(is)
			require.NoError(t, verify(v, raw))
			time.Sleep(row.after)
			is.Slow(row.slow)
			start := time.Now()
			for i := range 200 { // twice the pause between fetches
				require.NoError(t, verify(v, raw), name)
				require.NoError(t, verify(v, issue(is)), name)
				require.Equal(t, time.Duration(i)*100*time.Millisecond, time.Since(start), name)
				time.Sleep(100 * time.Millisecond)
			}
			if row.slow < time.Hour {
				require.GreaterOrEqual(t, is.Fetches(), 2, name)
			}
			time.Sleep(3 * time.Second)
		})
	}
}

// An hour after the keys are due, a request waits for the fetch that it starts. Without that, a process that is frozen
// between requests would use withdrawn keys for longer. If that fetch fails, later requests do not wait again.
func TestRequestWaitsForLateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		raw := issue(is)
		require.NoError(t, verify(v, raw))
		require.NoError(t, is.Rotate())
		is.Slow(500 * time.Millisecond)
		time.Sleep(15*time.Minute + time.Hour - time.Millisecond)
		require.NoError(t, verify(v, raw), "not late yet, and nothing was fetched before")
		time.Sleep(2 * time.Second)
		require.ErrorIs(t, verify(v, raw), auth.ErrKey)

		raw = issue(is)
		require.NoError(t, verify(v, raw))
		time.Sleep(15*time.Minute + time.Hour)
		start := time.Now()
		require.NoError(t, verify(v, raw))
		require.Equal(t, time.Second, time.Since(start), "late: discovery and key set")

		is.Slow(time.Hour)
		time.Sleep(15*time.Minute + time.Hour)
		start = time.Now()
		require.NoError(t, verify(v, raw))
		require.Equal(t, 1500*time.Millisecond, time.Since(start), "late: until the fetch has failed")
		for range 300 {
			time.Sleep(11 * time.Second)
			start = time.Now()
			require.NoError(t, verify(v, raw))
			require.Zero(t, time.Since(start), "the server is known not to answer")
		}
		time.Sleep(3 * time.Second)
	})
}

// If the process was frozen during a fetch, the failure of the fetch says nothing about the server.
func TestFailureOfAFrozenFetchDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := must(authtest.New(plain))
		var frozen atomic.Bool
		v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if frozen.Load() {
				time.Sleep(20 * time.Minute) // it ignores its context, like a process that does not run
			}
			is.ServeHTTP(w, r)
		})})
		raw := issue(is)
		require.NoError(t, verify(v, raw))
		require.NoError(t, is.Rotate())
		time.Sleep(15 * time.Minute)
		frozen.Store(true)
		for range 3 {
			require.NoError(t, verify(v, raw))
			time.Sleep(21 * time.Minute)
		}
		frozen.Store(false)
		require.ErrorIs(t, verify(v, raw), auth.ErrKey, "late for three minutes, although fetches failed meanwhile")
	})
}

// A fetch is given up after 1.5 s. It goes on when the client that caused it goes away.
func TestSlowServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		is.Slow(time.Hour)
		start := time.Now()
		require.ErrorIs(t, verify(v, issue(is)), auth.ErrUnavailable)
		require.Equal(t, 1500*time.Millisecond, time.Since(start))

		is.Slow(time.Second / 2)
		time.Sleep(time.Second)
		gone, cancel := context.WithCancel(t.Context())
		go func() { _, _ = v.VerifyToken(gone, issue(is)) }()
		synctest.Wait()
		waiting, cancelWaiting := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancelWaiting()
		_, err := v.VerifyToken(waiting, issue(is))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, auth.ErrUnavailable)
		cancel()
		require.NoError(t, verify(v, issue(is)))
		require.Equal(t, 1, is.Fetches())
	})
}

func TestPrefetchFetchesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		require.NoError(t, v.Prefetch(t.Context()))
		require.NoError(t, v.Prefetch(t.Context()))
		require.Equal(t, 1, is.Fetches())
		require.NoError(t, verify(v, issue(is)))
		require.Equal(t, 1, is.Fetches())

		v = over(t, wire{})
		require.ErrorIs(t, v.Prefetch(t.Context()), auth.ErrUnavailable)
	})
}

// Cache-Control decides when keys are fetched again, between ten seconds and a day.
func TestCacheControlSetsTheLifetime(t *testing.T) {
	is := must(authtest.New(plain))
	for field, want := range map[string]time.Duration{
		"":                                  15 * time.Minute,
		"public":                            15 * time.Minute,
		"public, max-age=3600":              time.Hour - 5*time.Second,
		`Max-Age="60"`:                      55 * time.Second,
		"max-age=1":                         10 * time.Second,
		"max-age=-1":                        10 * time.Second,
		"max-age=x":                         10 * time.Second,
		"no-store, max-age=3600":            10 * time.Second,
		"max-age=2147483647":                24 * time.Hour,
		"max-age=2147483648":                24 * time.Hour, // RFC 9111 section 1.2.2
		"max-age=4294967296":                24 * time.Hour,
		"max-age=99999999999999999999":      24 * time.Hour,
		"max-age=+60":                       10 * time.Second,
		"max-age=6e1":                       10 * time.Second,
		"max-age=":                          10 * time.Second,
		"max-age":                           10 * time.Second,
		"max-age=60, max-age=3600":          55 * time.Second, // RFC 9111 section 4.2.1
		"no-cache":                          10 * time.Second,
		"max-age=31536000, must-revalidate": 24 * time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", field)
				w.Header().Set("Age", "5")
				is.ServeHTTP(w, r)
			})})
			raw, before := issue(is), is.Fetches()
			require.NoError(t, verify(v, raw))
			time.Sleep(want - time.Millisecond)
			require.NoError(t, verify(v, raw))
			require.Equal(t, 1, is.Fetches()-before, field)
			time.Sleep(time.Millisecond)
			require.NoError(t, verify(v, raw))
			synctest.Wait()
			require.Equal(t, 2, is.Fetches()-before, field)
		})
	}
}

// Keys come over https, from the host that was asked.
func TestKeysComeFromTheIssuersHostByHTTPS(t *testing.T) {
	is := must(authtest.New(plain))
	redirect := func(to string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.Path, http.StatusFound)
		})
	}
	discovery := func(doc string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, doc) })
	}
	for _, row := range []struct {
		name string
		host http.Handler
		ok   bool
		want string
	}{
		{"same host", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/a") {
				is.ServeHTTP(w, r)
				return
			}
			http.Redirect(w, r, "/a"+r.URL.Path, http.StatusFound)
		}), true, ""},
		{"other host", redirect("https://evil.example"), false, "redirect to another host"},
		{"http", redirect("http://issuer.example"), false, "redirect to another host"},
		{"loop", redirect("https://issuer.example"), false, "too many redirects"},
		{"other issuer's document", discovery(`{"issuer":"https://evil.example","jwks_uri":"https://evil.example/k"}`), false, `of issuer "https://evil.example"`},
		{"keys over http", discovery(`{"issuer":"https://issuer.example","jwks_uri":"http://issuer.example/k"}`), false, "not an https URL"},
		{"no document", discovery(`x`), false, "discovery document"},
		{"not found", http.NotFoundHandler(), false, "404"},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": row.host, "evil.example": is})
			err := verify(v, issue(is))
			if row.ok {
				require.NoError(t, err, row.name)
				return
			}
			require.ErrorIs(t, err, auth.ErrUnavailable, row.name)
			require.ErrorContains(t, err, row.want, row.name)
		})
	}
}

// A discovery document is read as strictly as a key set.
func TestDiscoveryDocumentIsReadStrictly(t *testing.T) {
	const good = `"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"`
	for name, row := range map[string]struct{ document, want string }{
		"as it is":              {`{` + good + `}`, ""},
		"with more":             {`{` + good + `,"a":[1,{"b":null}],"Claims_supported":["x"]}`, ""},
		"long lists":            {`{` + good + `,"a":["x"` + strings.Repeat(`,"x"`, 500) + `],"b":["y"` + strings.Repeat(`,"y"`, 500) + `]}`, ""},
		"a byte order mark":     {"\ufeff{" + good + `}`, ""},
		"two of them":           {"\ufeff\ufeff{" + good + `}`, "not a JSON object"},
		"escapes":               {strings.ReplaceAll(`{`+good+`}`, "/", `\/`), ""},
		"issuer twice":          {`{"issuer":"https://evil.example",` + good + `}`, "twice"},
		"jwks_uri twice":        {`{` + good + `,"jwks_uri":"https://evil.example/keys"}`, "twice"},
		"any member twice":      {`{` + good + `,"a":1,"a":1}`, "twice"},
		"twice within":          {`{` + good + `,"a":{"b":1,"b":2}}`, "twice"},
		"in two cases":          {`{` + good + `,"Jwks_uri":"https://evil.example/keys"}`, "twice"},
		"in another case":       {`{"issuer":"https://issuer.example","JWKS_URI":"https://issuer.example/keys"}`, "case"},
		"too deep":              {`{` + good + `,"a":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, "too deep"},
		"too many members":      {`{` + good + numbered(300, `,"m%d":0`) + `}`, "too many"},
		"too long":              {`{` + good + strings.Repeat(" ", 150_000) + `}`, "more than 150000 bytes"},
		"trailing":              {`{` + good + `}{}`, "after the object"},
		"not UTF-8":             {`{` + good + ",\"a\":\"\xff\"}", "UTF-8"},
		"array":                 {`[{` + good + `}]`, "not a JSON object"},
		"empty":                 {``, "not a JSON object"},
		"no issuer":             {`{"jwks_uri":"https://issuer.example/keys"}`, "not there"},
		"issuer null":           {`{"issuer":null,"jwks_uri":"https://issuer.example/keys"}`, "not a JSON object"},
		"issuer with a slash":   {`{"issuer":"https://issuer.example/","jwks_uri":"https://issuer.example/keys"}`, `is of issuer "https://issuer.example/"`},
		"issuer of many bytes":  {`{"issuer":"` + strings.Repeat("x", 100_000) + `","jwks_uri":"https://issuer.example/keys"}`, "is of issuer"},
		"no jwks_uri":           {`{"issuer":"https://issuer.example"}`, "not there"},
		"jwks_uri not a string": {`{"issuer":"https://issuer.example","jwks_uri":["https://issuer.example/keys"]}`, "not a JSON object"},
		"jwks_uri empty":        {`{"issuer":"https://issuer.example","jwks_uri":""}`, "not there"},
		"jwks_uri over http":    {`{"issuer":"https://issuer.example","jwks_uri":"http://issuer.example/keys"}`, "not an https URL"},
		"jwks_uri of a file":    {`{"issuer":"https://issuer.example","jwks_uri":"file:///etc/keys"}`, "not an https URL"},
		"jwks_uri relative":     {`{"issuer":"https://issuer.example","jwks_uri":"/keys"}`, "not an https URL"},
		"jwks_uri with a user":  {`{"issuer":"https://issuer.example","jwks_uri":"https://u:p@issuer.example/keys"}`, "not an https URL"},
		"jwks_uri too long":     {`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/` + strings.Repeat("x", 3000) + `"}`, "too long"},
	} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/keys" {
					_, _ = w.Write(local().Keys)
					return
				}
				_, _ = io.WriteString(w, row.document)
			})})
			err := verify(v, rs256(goodHeader, goodClaims(nil)))
			if row.want == "" {
				require.NoError(t, err, name)
				return
			}
			require.ErrorIs(t, err, auth.ErrUnavailable, name)
			require.ErrorContains(t, err, row.want, name)
			require.Less(t, len(err.Error()), 500, name)
		})
	}
}

// Kubernetes answers 406 if Accept lacks the media type of key sets, other servers if it lacks JSON.
func TestAcceptNamesBothMediaTypes(t *testing.T) {
	is := must(authtest.New(plain))
	for _, only := range []string{"application/json", "application/jwk-set+json"} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/jwks.json") && !slices.Contains(strings.Split(r.Header.Get("Accept"), ", "), only) {
					w.WriteHeader(http.StatusNotAcceptable)
					return
				}
				is.ServeHTTP(w, r)
			})})
			require.NoError(t, verify(v, issue(is)), only)
		})
	}
}

// Three redirects are followed, a fourth is not.
func TestThreeRedirectsAreFollowed(t *testing.T) {
	is := must(authtest.New(plain))
	for _, n := range []int{3, 4} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Count(r.URL.Path, "/a") < n {
					http.Redirect(w, r, "/a"+r.URL.Path, http.StatusTemporaryRedirect)
					return
				}
				is.ServeHTTP(w, r)
			})})
			require.Equal(t, n == 3, verify(v, issue(is)) == nil)
		})
	}
}

// endless is a body without end that counts the bytes read.
type endless struct{ read atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read.Add(int64(len(p)))
	return copy(p, strings.Repeat(" ", len(p))), nil
}

func (e *endless) Close() error { return nil }

func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: e, Request: r, Header: http.Header{}}, nil
}

// At most as much of an answer is read as a key set may have.
func TestEndlessAnswerIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endless{}
		require.ErrorContains(t, verify(over(t, e), rs256(goodHeader, goodClaims(nil))), "more than 150000 bytes")
		require.LessOrEqual(t, e.read.Load(), int64(400_000), "what a growing buffer asks for")
	})
}

// A refused discovery document has no influence on the next fetch.
func TestRefusedDiscoveryIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := must(authtest.New(plain))
		discovered, fetched := 0, 0
		v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
				discovered++
				_, _ = io.WriteString(w, `{"issuer":"`+plain+`","jwks_uri":"http://issuer.example/keys"}`)
				return
			}
			fetched++
			_, _ = w.Write(is.JWKS())
		})})
		for range 3 {
			require.ErrorIs(t, verify(v, issue(is)), auth.ErrUnavailable)
			time.Sleep(time.Second)
		}
		require.Equal(t, 3, discovered)
		require.Zero(t, fetched)
	})
}

// If a transport panics or ends its goroutine, the waiting requests are released, and the program goes on.
func TestPanickingTransportReleasesRequests(t *testing.T) {
	for want, broken := range map[string]func(){"panicked: x": func() { panic("x") }, "did not end": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			v := over(t, wire{"issuer.example": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { broken() })})
			raw := rs256(goodHeader, goodClaims(nil))
			for range 3 {
				err := verify(v, raw)
				require.ErrorIs(t, err, auth.ErrUnavailable)
				require.ErrorContains(t, err, want)
				time.Sleep(time.Second)
			}
		})
	}
}

// The request that starts a fetch waits no longer than its own context, and so does Prefetch. The fetch goes on.
func TestFetchOutlivesRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		is.Slow(500 * time.Millisecond)
		for _, first := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := v.VerifyToken(ctx, issue(is)); return err },
			v.Prefetch,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := first(ctx)
			require.ErrorIs(t, err, auth.ErrUnavailable)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 50*time.Millisecond, time.Since(start))
		}
		time.Sleep(time.Second)
		require.Equal(t, 1, is.Fetches())
		is.Fail(500)
		require.NoError(t, verify(v, issue(is)), "the keys are there")
	})
}

// FetchTimeout limits the discovery document and the key set separately.
func TestFetchTimeoutIsPerDocument(t *testing.T) {
	for _, row := range []struct {
		timeout, slow, want time.Duration
		ok                  bool
	}{
		{0, 900 * time.Millisecond, 1800 * time.Millisecond, true},
		{0, 1499 * time.Millisecond, 2998 * time.Millisecond, true},
		{0, 1600 * time.Millisecond, 1500 * time.Millisecond, false},
		{5 * time.Second, 4 * time.Second, 8 * time.Second, true},
		{100 * time.Millisecond, 200 * time.Millisecond, 100 * time.Millisecond, false},
		{time.Minute, 59 * time.Second, 118 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			is := must(authtest.New(plain))
			v := newVerifier(t, auth.Config{
				Issuers: []auth.Issuer{auth.OIDC(plain, client)}, Transport: wire{"issuer.example": is}, FetchTimeout: row.timeout,
			})
			is.Slow(row.slow)
			start := time.Now()
			err := v.Prefetch(t.Context())
			require.Equal(t, row.want, time.Since(start))
			if row.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, auth.ErrUnavailable)
		})
	}
	for _, timeout := range []time.Duration{-1, time.Minute + 1} {
		_, err := auth.New(auth.Config{Issuers: []auth.Issuer{local()}, FetchTimeout: timeout})
		require.ErrorContains(t, err, "fetch timeout")
	}
}

// Keys that move to another URL are found within ten seconds, even if the old URL still answers.
func TestMovedKeysAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := "a"
		v := over(t, wire{"issuer.example": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/a":
				_, _ = w.Write(set(jwk(rsaPrivate().Public(), "k1", "RS256")))
			case "/b":
				_, _ = w.Write(set(jwk(rsaPrivate().Public(), "k2", "RS256")))
			default:
				_, _ = io.WriteString(w, `{"issuer":"`+plain+`","jwks_uri":"`+plain+`/`+place+`"}`)
			}
		})})
		exp := map[string]any{"exp": time.Now().Add(time.Hour).Unix()}
		before, after := rs256(goodHeader, goodClaims(exp)), rs256(`{"alg":"RS256","kid":"k2"}`, goodClaims(exp))
		require.NoError(t, verify(v, before))
		require.ErrorIs(t, verify(v, after), auth.ErrKey)
		place = "b"
		time.Sleep(10 * time.Second)
		require.NoError(t, verify(v, after))
		require.ErrorIs(t, verify(v, before), auth.ErrKey)
	})
}

// serving is issuer.example with a key set that can be replaced.
func serving(document func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/openid-configuration") {
			_, _ = io.WriteString(w, `{"issuer":"`+plain+`","jwks_uri":"`+plain+`/keys"}`)
			return
		}
		_, _ = w.Write(document())
	})
}
