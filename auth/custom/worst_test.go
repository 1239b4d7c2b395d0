package custom_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
)

// The bounds of what an authorizer reads, and of what net/http's server accepts by default.
const (
	maxIdentity = 16 << 10
	maxARN      = 1600
	megabyte    = 1_000_000
)

// worst lists the requests that cost an authorizer the most for their size. Each has the token "good" in the header
// Token unless it sets that header itself.
var worst = []struct {
	name, method, target, token string
	want                        error
}{
	{"escapes-1MB", "GET", "/Prod/pets?" + strings.Repeat("%41", megabyte/3) + "&key=k", "good", nil},
	{"parameters-1MB", "GET", "/Prod/pets?" + strings.Repeat("a&", megabyte/2) + "key=k", "good", nil},
	{"empty-parameters-1MB", "GET", "/Prod/pets?" + strings.Repeat("&", megabyte) + "key=k", "good", nil},
	{"names-1MB", "GET", "/Prod/pets?" + strings.Repeat("ke&", megabyte/3) + "key=k", "good", nil},
	{"escaped-names-1MB", "GET", "/Prod/pets?" + strings.Repeat("%6b%65%78&", megabyte/10) + "key=k", "good", nil},
	{"key-twice-1MB", "GET", "/Prod/pets?" + strings.Repeat("key=k&", megabyte/6), "good", custom.ErrMalformed},
	{"semicolons-1MB", "GET", "/Prod/pets?" + strings.Repeat(";", megabyte), "good", custom.ErrMalformed},
	{"value-1MB", "GET", "/Prod/pets?key=" + strings.Repeat("%41", megabyte/3), "good", custom.ErrMalformed},
	{"value-at-limit", "GET", "/Prod/pets?key=" + strings.Repeat("%41", maxIdentity-4), "good", nil},
	{"path-1MB", "GET", "/Prod/" + strings.Repeat("a/", megabyte/2) + "?key=k", "good", nil},
	{"escaped-path-1MB", "GET", "/Prod/" + strings.Repeat("%41", megabyte/3) + "?key=k", "good", nil},
	{"path-at-limit", "GET", "/Prod/" + strings.Repeat("a", maxARN-len(stage)-5) + "?key=k", "good", nil},
	{"head-at-limit", "HEAD", "/Prod/" + strings.Repeat("a", maxARN-len(stage)-6) + "?key=k", "good", nil},
	{"method-1MB", strings.Repeat("A", megabyte), "/Prod/pets?key=k", "good", nil},
	{"token-1MB", "GET", "/Prod/pets?key=k", strings.Repeat("a", megabyte), custom.ErrMalformed},
	{"token-at-limit", "GET", "/Prod/pets?key=k", strings.Repeat("ab", maxIdentity/2-1), nil},
	{"expression", "GET", "/Prod/pets?key=k", strings.Repeat("ab", maxIdentity/2-1) + "!", nil},
}

// BenchmarkWorst measures requests at the bounds with three authorizers: TOKEN with a ValidationExpression, REQUEST,
// and REQUEST with only a Mount, which does not bound the length of paths. The floor is what net/http takes to read the
// same bytes, plus a valid verification (for TOKEN, of the longest token). Ours must stay within 3 times the floor.
// Package policy measures what a policy costs.
func BenchmarkWorst(b *testing.B) {
	flood(b)
	calls := 0
	sources := []source{custom.Header("Token"), custom.Query("key")}
	long := strings.Repeat("ab", maxIdentity/2-1)
	for kind, cfg := range map[string]custom.Config{
		"token":   {TokenHeader: "Token", ValidationExpression: "[a-z]+", Mount: "/Prod", StageARN: stage},
		"request": {ByRequest: true, IdentitySources: sources, Mount: "/Prod", StageARN: stage},
		"mount":   {ByRequest: true, IdentitySources: sources, Mount: "/Prod"},
	} {
		cfg.Authorize = yes(&calls)
		a, err := custom.New(cfg)
		require.NoError(b, err)
		for _, w := range worst {
			text := w.method + " " + w.target + " HTTP/1.1\r\nHost: a\r\nToken: " + w.token + "\r\n\r\n"
			valid := withToken()
			valid.URL.Path, valid.URL.RawQuery = "/Prod/pets", "key=k"
			valid.Header.Set("Token", "good")
			if kind == "token" {
				valid.Header.Set("Token", long)
			}
			b.Run("input="+w.name+"/kind="+kind, func(b *testing.B) {
				b.Run("impl=ours", func(b *testing.B) {
					r := parsed(b, text)
					for b.Loop() {
						a.Present(r)
						_, _ = a.Verify(r)
					}
				})
				b.Run("impl=floor", func(b *testing.B) {
					for b.Loop() {
						parsed(b, text)
						if _, err := a.Verify(valid); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

// flood measures refusals of one bad token again and again, and of many bad tokens. The floor is what net/http takes to
// read a small request, plus the verification of as many good tokens. The function answers at once, so this measures
// what the authorizer adds.
func flood(b *testing.B) {
	const small = "GET /loyalty/1 HTTP/1.1\r\nHost: a\r\nAuthorization: bad1\r\n\r\n"
	for _, tokens := range []int{1, 1_000_000} {
		a, err := custom.New(custom.Config{RefusalTTL: time.Minute, Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			if strings.HasPrefix(e.AuthorizationToken, "good") {
				return custom.Result{PrincipalID: "p", Authorized: true}, nil
			}
			return custom.Result{}, custom.ErrUnauthorized
		}})
		require.NoError(b, err)
		for impl, prefix := range map[string]string{"ours": "bad", "floor": "good"} {
			b.Run(fmt.Sprintf("input=flood/tokens=%d/impl=%s", tokens, impl), func(b *testing.B) {
				b.RunParallel(func(p *testing.PB) {
					r := withToken("")
					for i := 0; p.Next(); i++ {
						if impl == "floor" {
							_, _ = http.ReadRequest(bufio.NewReader(strings.NewReader(small)))
						}
						r.Header["Authorization"][0] = prefix + strconv.Itoa(i%tokens)
						a.Present(r)
						_, err := a.Verify(r)
						if (err != nil) != (impl == "ours") {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func parsed(t testing.TB, text string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	require.NoError(t, err)
	return r
}
