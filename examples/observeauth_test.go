package examples_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// errDown is what a dependency returns that has failed.
var errDown = errors.New("down")

// with sets a header.
func with(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

// canceled cancels the request's context.
func canceled(r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	*r = *r.WithContext(ctx)
}

// verbs are those of an authenticator.
func verbs[I any](verify func(*http.Request) (I, error), authenticate func(*http.Request) (*http.Request, error)) map[string]func(*http.Request) error {
	return map[string]func(*http.Request) error{
		"Verify":       func(r *http.Request) error { _, err := verify(r); return err },
		"Authenticate": func(r *http.Request) error { _, err := authenticate(r); return err },
	}
}

// signatures is a guard by signatures, with another key source if it is not nil.
func signatures(keys func(context.Context, sigv4.Scope) (sigv4.Key, error)) func(*testing.T, wishes) guard {
	if keys == nil {
		keys = sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: "julianwood"}}.Key
	}
	return func(t *testing.T, w wishes) guard {
		v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
			Keys: keys, Regions: []string{"eu-west-1"},
			Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
		})
		require.NoError(t, err)
		return guard{v.Handler, verbs(v.Verify, v.Authenticate)}
	}
}

// signedAs signs a request by other credentials, in another region or at another time.
func signedAs(t *testing.T, c sigv4.Credentials, region string, off time.Duration) func(*http.Request) {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) { return c, nil }, Region: region, Service: "execute-api",
	})
	require.NoError(t, err)
	return func(r *http.Request) { require.NoError(t, signer.SignAt(r, time.Now().Add(off))) }
}

func signatureSituations(t *testing.T) []situation {
	t.Helper()
	known := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}
	session := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret", SessionToken: "another"}
	sign := signBy(t, "secret")
	all := []situation{
		{name: "allowed", edits: []func(*http.Request){sign}},
		{name: "missing", cause: sigv4.ErrMissing},
		{name: "malformed", edits: []func(*http.Request){with("Authorization", "AWS4-HMAC-SHA256 x")}, cause: sigv4.ErrMalformed},
		{name: "ambiguous", edits: []func(*http.Request){sign, func(r *http.Request) {
			r.URL.RawQuery, r.RequestURI = "X-Amz-Algorithm=AWS4-HMAC-SHA256", r.RequestURI+"?X-Amz-Algorithm=AWS4-HMAC-SHA256"
		}}, cause: sigv4.ErrAmbiguous},
		{name: "unsigned", edits: []func(*http.Request){sign, with("X-Amz-Extra", "1")}, cause: sigv4.ErrUnsigned},
		{name: "too_large", edits: []func(*http.Request){sign, func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")+strings.Repeat(" ", 11_000))
		}}, cause: sigv4.ErrTooLarge},
		{name: "body", edits: []func(*http.Request){sign, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(iotest.ErrReader(errDown)), -1
		}}, cause: sigv4.ErrBody},
		{name: "not_current", edits: []func(*http.Request){signedAs(t, known, "eu-west-1", -6*time.Minute)}, cause: sigv4.ErrNotCurrent},
		{name: "scope", edits: []func(*http.Request){signedAs(t, known, "us-east-1", 0)}, cause: sigv4.ErrScope},
		{name: "unknown_key", edits: []func(*http.Request){signedAs(t, sigv4.Credentials{AccessKeyID: "AKIDUNKNOWN", Secret: "secret"}, "eu-west-1", 0)}, cause: sigv4.ErrUnknownKey},
		{name: "signature_mismatch", edits: []func(*http.Request){signBy(t, "wrong")}, cause: sigv4.ErrSignatureMismatch},
		{name: "session_token", edits: []func(*http.Request){signedAs(t, session, "eu-west-1", 0)}, cause: sigv4.ErrSessionToken},
		{name: "unavailable", edits: []func(*http.Request){sign}, cause: sigv4.ErrUnavailable, guard: signatures(
			func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errDown },
		)},
		{name: "not_configured", edits: []func(*http.Request){sign}, cause: sigv4.ErrNotConfigured, guard: signatures(
			func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, nil },
		)},
		{name: "canceled", edits: []func(*http.Request){sign, canceled}, cause: context.Canceled, guard: signatures(
			func(ctx context.Context, _ sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, ctx.Err() },
		)},
	}
	return proven(complete(all, "sigv4", signatures(nil), "unavailable", "not_configured", "canceled"), "julianwood", "allowed", "session_token")
}

// complete fills in what the situations of a layer have in common. The name of one is its reason up to a comma. Those
// in failed are not decided.
func complete(all []situation, layer string, usual func(*testing.T, wishes) guard, failed ...string) []situation {
	for i := range all {
		s := &all[i]
		s.layer, s.outcome = layer, "refused"
		s.reason, _, _ = strings.Cut(s.name, ",")
		if s.guard == nil {
			s.guard = usual
		}
		if s.cause == nil {
			s.reason, s.outcome = "", "allowed"
		}
		if slices.Contains(failed, s.name) {
			s.outcome = "failed"
		}
	}
	return all
}

// proven sets who is named in the events of some situations.
func proven(all []situation, client string, names ...string) []situation {
	for i := range all {
		if slices.Contains(names, all[i].name) {
			all[i].client = client
		}
	}
	return all
}

// pool is an issuer of tokens.
type pool struct{ *authtest.Issuer }

func newPool(t *testing.T) pool {
	t.Helper()
	issuer, err := authtest.New("https://issuer.example")
	require.NoError(t, err)
	return pool{issuer}
}

// token returns a good token but for one claim.
func (p pool) token(t *testing.T, name string, value any) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": p.URL(), "sub": "s", "aud": "api", "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	claims[name] = value
	token, err := p.Sign("RS256", claims)
	require.NoError(t, err)
	return token
}

// verifier accepts the tokens of the issuer, unless change makes it stricter.
func (p pool) verifier(t *testing.T, w wishes, change func(*auth.Config)) *auth.Verifier {
	t.Helper()
	api := auth.OIDC(p.URL(), "api")
	api.Keys = p.JWKS()
	c := auth.Config{
		Issuers: []auth.Issuer{api}, Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
	}
	if change != nil {
		change(&c)
	}
	v, err := auth.New(c)
	require.NoError(t, err)
	return v
}

func tokenSituations(t *testing.T) []situation {
	t.Helper()
	p := newPool(t)
	usual := func(change func(*auth.Config)) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			v := p.verifier(t, w, change)
			return guard{v.Handler, verbs(v.Verify, v.Authenticate)}
		}
	}
	bearer := func(name string, value any) func(*http.Request) {
		return with("Authorization", "Bearer "+p.token(t, name, value))
	}
	good := []func(*http.Request){bearer("sub", "s")}
	forge := func(r *http.Request) { // another subject under the same signature
		parts := strings.Split(r.Header.Get("Authorization"), ".")
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		require.NoError(t, err)
		parts[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte(`"sub":"s"`), []byte(`"sub":"t"`), 1))
		r.Header.Set("Authorization", strings.Join(parts, "."))
	}
	all := []situation{
		{name: "allowed", edits: good},
		{name: "missing", cause: auth.ErrMissing},
		{name: "ambiguous", edits: []func(*http.Request){with("Authorization", "Bearer a.b.c", "Bearer d.e.f")}, cause: auth.ErrAmbiguous},
		{name: "malformed", edits: []func(*http.Request){with("Authorization", "Bearer a.b.c")}, cause: auth.ErrMalformed},
		{name: "issuer", edits: []func(*http.Request){bearer("iss", "https://other.example")}, cause: auth.ErrIssuer},
		{name: "signature", edits: append(slices.Clone(good), forge), cause: auth.ErrSignature},
		{name: "audience", edits: []func(*http.Request){bearer("aud", "another")}, cause: auth.ErrAudience},
		{name: "not_current", edits: []func(*http.Request){bearer("exp", time.Now().Add(-time.Second).Unix())}, cause: auth.ErrNotCurrent},
		{name: "too_old", edits: good, cause: auth.ErrTooOld, guard: usual(func(c *auth.Config) { c.Rules.MaxAge = time.Second })},
		{name: "scope", edits: good, cause: auth.ErrScope, guard: usual(func(c *auth.Config) { c.Rules.AnyScope = []string{"read"} })},
		{name: "refused", edits: good, cause: auth.ErrRefused, guard: usual(func(c *auth.Config) { c.Rules.AnyGroup = []string{"loyalty"} })},
		{name: "unavailable", edits: good, cause: auth.ErrUnavailable, guard: usual(func(c *auth.Config) {
			c.Revoked = func(context.Context, auth.Token) (bool, error) { return false, errDown }
		})},
		{name: "unavailable, keys", edits: good, cause: auth.ErrUnavailable, guard: usual(func(c *auth.Config) {
			c.Issuers[0].Keys, c.Transport = nil, broken{}
		})},
		{name: "canceled", edits: append([]func(*http.Request){canceled}, good...), cause: context.Canceled, guard: usual(func(c *auth.Config) {
			c.Revoked = func(ctx context.Context, _ auth.Token) (bool, error) { return false, ctx.Err() }
		})},
	}
	return proven(
		complete(all, "auth", usual(nil), "unavailable", "unavailable, keys", "canceled"), "https://issuer.example s",
		"allowed", "not_current", "too_old", "scope", "refused", "unavailable", "canceled",
	)
}

// broken is a transport without a network.
type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, errDown }

// functions is a guard by a function.
func functions(f func(context.Context, custom.Event) (custom.Result, error)) func(*testing.T, wishes) guard {
	return func(t *testing.T, w wishes) guard {
		a, err := custom.New(custom.Config{
			Authorize: f, ValidationExpression: "good .*", Mount: "/Prod",
			Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
		})
		require.NoError(t, err)
		return guard{a.Handler, verbs(a.Verify, a.Authenticate)}
	}
}

func functionSituations() []situation {
	good := []func(*http.Request){with("Authorization", "good word")}
	returns := func(r custom.Result, err error) func(*testing.T, wishes) guard {
		return functions(func(context.Context, custom.Event) (custom.Result, error) { return r, err })
	}
	allow := returns(custom.Result{PrincipalID: "p", Authorized: true}, nil)
	all := []situation{
		{name: "allowed", edits: good},
		{name: "missing", cause: custom.ErrMissing},
		{name: "malformed", edits: []func(*http.Request){with("Authorization", "bad word")}, cause: custom.ErrMalformed},
		{name: "unauthorized", edits: good, cause: custom.ErrUnauthorized, guard: returns(custom.Result{}, custom.ErrUnauthorized)},
		{name: "denied", edits: good, cause: custom.ErrDenied, guard: returns(custom.Result{PrincipalID: "p"}, nil)},
		{name: "path", edits: append([]func(*http.Request){func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/Prod/a/b", "/Prod/a%2Fb" }}, good...), cause: custom.ErrPath},
		{name: "failed", edits: good, cause: custom.ErrFailed, guard: returns(custom.Result{}, errDown)},
		{name: "canceled", edits: append([]func(*http.Request){canceled}, good...), cause: context.Canceled, guard: functions(
			func(ctx context.Context, _ custom.Event) (custom.Result, error) {
				<-ctx.Done()
				return custom.Result{}, ctx.Err()
			},
		)},
	}
	return proven(complete(all, "custom", allow, "failed", "canceled"), "p", "allowed")
}

// byKey is a guard by API keys.
func byKey(t *testing.T, w wishes) guard {
	v := keyVerifier(t, w)
	return guard{v.Handler, verbs(v.Verify, v.Authenticate)}
}

const disabledValue = "Qn3vX8kZ2mB7tR5yW1cL9dF6hJ4pS0aGuEiOxVzN"

func keyVerifier(t *testing.T, w wishes) *apikey.Verifier {
	t.Helper()
	v, err := apikey.New(apikey.Config{
		Keys: []apikey.Entry{
			{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: keyValue},
			{Key: apikey.Key{ID: "k7w2m9x4qd"}, Value: disabledValue},
		},
		Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
	})
	require.NoError(t, err)
	return v
}

// byStaleKeys is byKey for a node that has lost its journal.
func byStaleKeys(t *testing.T, w wishes) guard {
	t.Helper()
	log := &losable{Journal: journal.Memory(0)}
	v, err := apikey.New(apikey.Config{
		Pepper: "a pepper of thirty-two bytes or more", Journal: log, MaxStale: 1,
		Observe: w.tell, AllowDespite: w.despite, RequestID: w.id, ErrorHandler: w.answer,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	log.lost = true
	return guard{v.Handler, verbs(v.Verify, v.Authenticate)}
}

// losable is a journal that is lost after a while.
type losable struct {
	journal.Journal
	lost bool
}

func (l *losable) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if l.lost {
		return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, errDown) }
	}
	return l.Journal.Changes(ctx, after)
}

func keySituations() []situation {
	all := complete([]situation{
		{name: "allowed", edits: []func(*http.Request){with("x-api-key", keyValue)}},
		{name: "missing", cause: apikey.ErrMissing},
		{name: "unknown", edits: []func(*http.Request){with("x-api-key", strings.Repeat("x", 40))}, cause: apikey.ErrUnknown},
		{name: "inactive", edits: []func(*http.Request){with("x-api-key", disabledValue)}, cause: apikey.ErrInactive},
		{name: "stale", edits: []func(*http.Request){with("x-api-key", keyValue)}, cause: apikey.ErrStale, guard: byStaleKeys},
	}, "apikey", byKey, "stale")
	return proven(proven(all, "fr92a5qpbj", "allowed"), "k7w2m9x4qd", "inactive")
}

// modes is a guard by a signature or a key. The modes observe and name requests, and each mode by itself does not.
func modes(first auth.Mode, keys *apikey.Verifier) func(*testing.T, wishes) guard {
	return func(_ *testing.T, w wishes) guard {
		m := auth.AnyOf(first, keys)
		m.Observe, m.RequestID, m.AllowDespite, m.ErrorHandler = w.tell, w.id, w.despite, w.answer
		return guard{m.Handler, map[string]func(*http.Request) error{
			"Authenticate": func(r *http.Request) error { _, err := m.Authenticate(r); return err },
		}}
	}
}

func modeSituations(t *testing.T) []situation {
	t.Helper()
	verifier := func(keys func(context.Context, sigv4.Scope) (sigv4.Key, error)) *sigv4.Verifier {
		v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: keys, Regions: []string{"eu-west-1"}})
		require.NoError(t, err)
		return v
	}
	keys := keyVerifier(t, wishes{})
	down := verifier(func(context.Context, sigv4.Scope) (sigv4.Key, error) { return sigv4.Key{}, errDown })
	sign, key := signBy(t, "secret"), with("x-api-key", keyValue)
	return complete([]situation{
		{name: "allowed", edits: []func(*http.Request){key, sign}},
		{name: "missing", cause: sigv4.ErrMissing},
		{name: "signature_mismatch", edits: []func(*http.Request){key, signBy(t, "wrong")}, cause: sigv4.ErrSignatureMismatch},
		{name: "unknown", edits: []func(*http.Request){with("x-api-key", strings.Repeat("x", 40)), sign}, cause: apikey.ErrUnknown},
		{name: "unavailable", edits: []func(*http.Request){sign}, cause: sigv4.ErrUnavailable, guard: modes(down, keys)},
		{name: "not_configured", edits: []func(*http.Request){sign}, cause: auth.ErrNotConfigured, guard: modes(nil, keys), strict: true},
	}, "anyof", modes(verifier(sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret"}}.Key), keys), "unavailable", "not_configured")
}
