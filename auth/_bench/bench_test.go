package bench

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/auth"
)

func ours(f *fixture) func(string) error {
	v := f.ours(auth.Config{})
	return func(raw string) error {
		_, err := v.VerifyToken(context.Background(), raw)
		return err
	}
}

// unseen is ours with a very small cache. When the turn of a token comes again, it is no longer in the cache. So each
// is verified and entered, and another is dropped.
func unseen(f *fixture) func(string) error {
	v := f.ours(auth.Config{CacheBytes: 64 * 2500})
	return func(raw string) error {
		_, err := v.VerifyToken(context.Background(), raw)
		return err
	}
}

func run(b *testing.B, name string, verify func(string) error, tokens []string, want bool) {
	b.Run("impl="+name, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := verify(tokens[i%len(tokens)]); (err == nil) != want {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerify measures the first verification of a token.
func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		f := fixtures()[algorithm]
		b.Run("alg="+algorithm, func(b *testing.B) {
			tokens := f.tokens(512)
			run(b, "ours", unseen(f), tokens, true)
			run(b, "floor", floor(f, tokens), tokens, true)
			for _, p := range peers(b, f) {
				run(b, p.name, p.verify, tokens, true)
			}
		})
	}
}

// BenchmarkVerifyCached measures a token that was verified before. The floor is the SHA-256 of a token as a []byte.
func BenchmarkVerifyCached(b *testing.B) {
	f := fixtures()["EdDSA"] // signs fast; how a token was signed does not matter here
	for _, n := range []int{1, 10_000} {
		name := map[int]string{1: "1", 10_000: "10k"}[n]
		b.Run("tokens="+name, func(b *testing.B) {
			tokens := f.tokens(n)
			v := f.ours(auth.Config{})
			warm(b, v, tokens)
			run(b, "ours", func(raw string) error { _, err := v.VerifyToken(context.Background(), raw); return err }, tokens, true)
			raw := f.ours(auth.Config{AllowRawCache: true})
			warm(b, raw, tokens)
			run(b, "ours-raw", func(t string) error { _, err := raw.VerifyToken(context.Background(), t); return err }, tokens, true)
			hashed := []byte(tokens[0])
			run(b, "floor", func(string) error { _ = sha256.Sum256(hashed); return nil }, tokens, true)
		})
	}
}

func warm(b *testing.B, v *auth.Verifier, tokens []string) {
	for _, raw := range tokens {
		if _, err := v.VerifyToken(context.Background(), raw); err != nil {
			b.Fatal(err)
		}
	}
}

func requests(tokens []string) []*http.Request {
	list := make([]*http.Request, len(tokens))
	for i, raw := range tokens {
		list[i] = httptest.NewRequest(http.MethodGet, "/", nil)
		list[i].Header.Set("Authorization", "Bearer "+raw)
	}
	return list
}

var next = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

func serve(b *testing.B, name string, h http.Handler, list []*http.Request) {
	b.Run("impl="+name, func(b *testing.B) {
		w := httptest.NewRecorder()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h.ServeHTTP(w, list[i%len(list)])
		}
		if w.Code != 200 || w.Body.Len() > 0 {
			b.Fatal(w.Code, w.Body)
		}
	})
}

// BenchmarkHandler measures the first verification of an RS256 token, from the header to a handler that has the claims
// in its context.
func BenchmarkHandler(b *testing.B) {
	f := fixtures()["RS256"]
	tokens := f.tokens(512)
	list := requests(tokens)
	serve(b, "ours", f.ours(auth.Config{CacheBytes: 64 * 2500}).Handler(next), list)
	serve(b, "golang-jwt", golangJWTMiddleware(f)(next), list)
	serve(b, "auth0", auth0Middleware(f)(next), list)
	run(b, "floor", floor(f, tokens), tokens, true)
}

// BenchmarkHandlerCached measures the same for a token that was verified before. The floor is the SHA-256 of the token.
func BenchmarkHandlerCached(b *testing.B) {
	f := fixtures()["RS256"]
	tokens := f.tokens(1)
	list := requests(tokens)
	serve(b, "ours", f.ours(auth.Config{}).Handler(next), list)
	serve(b, "ours-raw", f.ours(auth.Config{AllowRawCache: true}).Handler(next), list)
	serve(b, "golang-jwt", golangJWTMiddleware(f)(next), list)
	serve(b, "auth0", auth0Middleware(f)(next), list)
	hashed := []byte(tokens[0])
	run(b, "floor", func(string) error { _ = sha256.Sum256(hashed); return nil }, tokens, true)
}

// BenchmarkObserve measures what telling an application about an accepted token costs, if the token was verified before.
// impl=nil has no Observe, impl=empty one that does nothing. The cache is the fastest, so that the difference shows.
func BenchmarkObserve(b *testing.B) {
	f := fixtures()["EdDSA"]
	tokens := f.tokens(1)
	for _, row := range []struct {
		name    string
		observe func(context.Context, auth.Event)
	}{{"nil", nil}, {"empty", func(context.Context, auth.Event) {}}} {
		v := f.ours(auth.Config{Observe: row.observe, AllowRawCache: true})
		run(b, row.name, func(raw string) error { _, err := v.VerifyToken(context.Background(), raw); return err }, tokens, true)
	}
}

// named is a claims set with n further members, padded to about size bytes.
func named(size, n int, member func(int) string) string {
	var b strings.Builder
	b.WriteString(`{"iss":"` + issuer + `"`)
	for i := range n {
		b.WriteString(member(i))
	}
	b.WriteString(`,"pad":"` + strings.Repeat("x", max(size-b.Len(), 0)) + `"}`)
	return b.String()
}

// refusals are tokens that must be refused, by what is wrong with them.
func refusals(f *fixture) []struct{ kind, raw string } {
	good := f.token(1)
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	nested := b64([]byte(`{"alg":"RS256","kid":"` + f.kid + `","x":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`))
	members := `{"iss":"` + issuer + `","exp":1`
	for i := 0; len(members) < 11_000; i++ {
		members += fmt.Sprintf(`,"m%d":%d`, i, i)
	}
	quotes := `{"iss":"` + issuer + `","x":[` + strings.TrimSuffix(strings.Repeat(`"",`, 2000), ",") + `]}`
	// From here on: the most of each thing that is still accepted, so that the signature is checked too.
	escapes := `{"iss":"` + issuer + `","x":"` + strings.Repeat(`\u00e9`, 250) + strings.Repeat("x", 10_000) + `"}`
	most := named(11_500, 170, func(i int) string { return fmt.Sprintf(`,"member%03d":"\u00e9"`, i) })
	upper := named(11_900, 45, func(i int) string { return fmt.Sprintf(`,"%s%03d":1`, strings.Repeat("UPPER", 48), i) })
	// As many runes outside ASCII as the names of a text may have.
	cherokee := named(11_500, 2, func(i int) string { return fmt.Sprintf(`,"%s%d":1`, strings.Repeat("Ꭰ", 82+i), i) })
	deseret := named(11_500, 3, func(i int) string { return fmt.Sprintf(`,"%s%d":1`, strings.Repeat("𐐀", 60+i), i) })
	beyond := named(11_900, 45, func(i int) string { return fmt.Sprintf(`,"%s%d":1`, strings.Repeat("Ж", 120), i) })
	scp := named(11_900, 1, func(int) string {
		return `,"scp":["` + strings.Repeat(strings.Repeat("scope", 13)+`","`, 168) + `x"]`
	})
	scpMore := named(11_900, 1, func(int) string { return `,"scp":["` + strings.Repeat(`abcdefghijklmnopqrstu","`, 400) + `x"]` })
	scopes := `{"iss":"` + issuer + `","exp":9999999999,"aud":"` + audience + `","scope":"` + strings.TrimSuffix(strings.Repeat("a ", 5700), " ") + `"}`
	header := `{"alg":"RS256","kid":"` + f.kid + `"}`
	return []struct{ kind, raw string }{
		{"malformed-no-dot", strings.ReplaceAll(good, ".", "_")},
		{"malformed-dots", strings.Repeat(".", 16<<10)},
		{"malformed-base64", "!" + good[1:]},
		{"malformed-header", b64([]byte("{}")) + "." + parts[1] + "." + parts[2]},
		{"malformed-padded", parts[0] + "=." + parts[1] + "." + parts[2]},
		{"malformed-none", b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."},
		{"oversized-1MiB", strings.Repeat("a", 1<<20)},
		{"oversized-header", nested + "." + parts[1] + "." + parts[2]},
		{"claims-members", b64([]byte(header)) + "." + b64([]byte(members+"}")) + "." + parts[2]},
		{"claims-values", b64([]byte(header)) + "." + b64([]byte(quotes)) + "." + parts[2]},
		{"claims-escapes", b64([]byte(header)) + "." + b64([]byte(escapes)) + "." + parts[2]},
		{"claims-most", b64([]byte(header)) + "." + b64([]byte(most)) + "." + parts[2]},
		{"claims-names-upper", b64([]byte(header)) + "." + b64([]byte(upper)) + "." + parts[2]},
		{"claims-names-unicode", b64([]byte(header)) + "." + b64([]byte(cherokee)) + "." + parts[2]},
		{"claims-names-deseret", b64([]byte(header)) + "." + b64([]byte(deseret)) + "." + parts[2]},
		{"claims-names-beyond", b64([]byte(header)) + "." + b64([]byte(beyond)) + "." + parts[2]},
		{"claims-scp", b64([]byte(header)) + "." + b64([]byte(scp)) + "." + parts[2]},
		{"claims-scp-beyond", b64([]byte(header)) + "." + b64([]byte(scpMore)) + "." + parts[2]},
		{"claims-scopes", b64([]byte(header)) + "." + b64([]byte(scopes)) + "." + parts[2]},
		{"unknown-kid", b64([]byte(`{"alg":"RS256","kid":"unknown"}`)) + "." + parts[1] + "." + parts[2]},
		{"bad-signature", parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))},
	}
}

// BenchmarkRefuse measures refusals. The floor is that of a valid RS256 token. impl=valid is ours for the first
// verification of a valid token of the usual size; no refusal may cost more than twice as much.
func BenchmarkRefuse(b *testing.B) {
	f := fixtures()["RS256"]
	valid := f.tokens(256)
	for _, r := range refusals(f) {
		b.Run("kind="+r.kind, func(b *testing.B) {
			tokens := []string{r.raw}
			run(b, "ours", ours(f), tokens, false)
			run(b, "floor", floor(f, valid), tokens, true)
			run(b, "valid", unseen(f), valid, true)
			for _, p := range peers(b, f) {
				run(b, p.name, p.verify, tokens, false)
			}
		})
	}
}
