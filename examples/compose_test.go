package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/window"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// parties are a signer, a key and a user, and the verifiers that know them.
type parties struct {
	sign, sigBad, key, keyBad, token, tokenBad func(*http.Request)

	signature *sigv4.Verifier
	keys      *apikey.Verifier
	users     *auth.Verifier
}

const keyValue = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"

func newParties(t *testing.T) parties {
	t.Helper()
	var p parties
	var err error
	p.signature, err = sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: "julianwood"}}.Key, Regions: []string{"eu-west-1"},
	})
	require.NoError(t, err)
	p.keys, err = apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: keyValue},
	}})
	require.NoError(t, err)
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "client")
	issuer, err := authtest.New(pool.URL)
	require.NoError(t, err)
	pool.Keys = issuer.JWKS()
	p.users, err = auth.New(auth.Config{Issuers: []auth.Issuer{pool}})
	require.NoError(t, err)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Subject: "s", Client: "client"})
	require.NoError(t, err)
	old, err := issuer.IDToken(authtest.User{Username: "julianwood", Subject: "s", Client: "client", Lifetime: -time.Minute})
	require.NoError(t, err)

	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	p.key, p.keyBad = set("x-api-key", keyValue), set("x-api-key", "not a registered value")
	p.token, p.tokenBad = set("Authorization", "Bearer "+token), set("Authorization", "Bearer "+old)
	p.sign, p.sigBad = signBy(t, "secret"), signBy(t, "wrong")
	return p
}

func signBy(t *testing.T, secret sigv4.Secret) func(*http.Request) {
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: secret}, nil
		},
		Region: "eu-west-1", Service: "execute-api",
	})
	require.NoError(t, err)
	return func(r *http.Request) { require.NoError(t, signer.Sign(r)) }
}

func get(edits ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://api.example/Prod/x", nil)
	r.RequestURI = "/Prod/x"
	for _, edit := range edits {
		edit(r)
	}
	return r
}

// Three modes, whose packages do not import each other: every credential in a request must verify. If there is none,
// the first mode answers.
func TestAnyOfVerifiesEveryCredential(t *testing.T) {
	p := newParties(t)
	for _, tt := range []struct {
		name   string
		edits  []func(*http.Request)
		status int
		body   string // of a refusal; else who was proven
	}{
		{"nothing", nil, 403, `{"message":"Missing Authentication Token"}`},
		{"signature", []func(*http.Request){p.sign}, 200, `julianwood||`},
		{"key", []func(*http.Request){p.key}, 200, `|fr92a5qpbj|`},
		{"token", []func(*http.Request){p.token}, 200, `||https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz`},
		{"signature and key", []func(*http.Request){p.key, p.sign}, 200, `julianwood|fr92a5qpbj|`},
		{"bad key with a good token", []func(*http.Request){p.token, p.keyBad}, 403, `{"message":"Forbidden"}`},
		{"bad token with a good key", []func(*http.Request){p.key, p.tokenBad}, 401, `{"message":"The incoming token has expired"}`},
		{"bad signature with a good key", []func(*http.Request){p.key, p.sigBad}, 403, `does not match the signature you provided`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			auth.AnyOf(p.signature, p.keys, p.users).Handler(http.HandlerFunc(who)).ServeHTTP(w, get(tt.edits...))
			require.Equal(t, tt.status, w.Code)
			require.Contains(t, w.Body.String(), tt.body)
		})
	}
}

// who tells what each package has proven.
func who(w http.ResponseWriter, r *http.Request) {
	signer, _ := sigv4.ID(r)
	key, _ := apikey.ID(r)
	user, _ := auth.ID(r)
	fmt.Fprintf(w, "%s|%s|%s", signer, key, user)
}

// problem answers any package's refusal in the form of RFC 9457. It finds status, code and text by their methods.
func problem(w http.ResponseWriter, r *http.Request, err error) {
	refusal, ok := err.(interface {
		StatusCode() int
		ErrorCode() string
		ErrorMessage() string
	})
	if !ok {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(refusal.StatusCode())
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": refusal.StatusCode(), "title": refusal.ErrorCode(), "detail": refusal.ErrorMessage(),
	})
}

// One ErrorHandler serves all packages, and each package still sets the header fields of its protocol.
func TestOneErrorHandlerServesAllPackages(t *testing.T) {
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{}.Key, Regions: []string{"eu-west-1"}, ErrorHandler: problem,
	})
	require.NoError(t, err)
	keys, err := apikey.New(apikey.Config{ErrorHandler: problem})
	require.NoError(t, err)
	users, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.Cognito("eu-west-1", "eu-west-1_a", "c")}, ErrorHandler: problem})
	require.NoError(t, err)
	function, err := custom.New(custom.Config{
		Authorize:    func(context.Context, custom.Event) (custom.Result, error) { return custom.Result{}, nil },
		ErrorHandler: problem,
	})
	require.NoError(t, err)
	limit, err := ratelimit.New(ratelimit.Config[string]{
		Limit: ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1}, ErrorHandler: problem,
		Key: func(*http.Request) (string, bool) { return "all", true },
	})
	require.NoError(t, err)
	require.True(t, limit.Allow("all"))
	meter, err := usageplan.New(usageplan.Config{
		API: "a", Stage: "s", ErrorHandler: problem,
		Client: func(*http.Request) (string, bool) { return "", false },
	})
	require.NoError(t, err)

	for _, tt := range []struct {
		guard  func(http.Handler) http.Handler
		status int
		title  string
		header string // one that must be there
	}{
		{signature.Handler, 403, "MissingAuthenticationTokenException", ""},
		{keys.Handler, 403, "ForbiddenException", ""},
		{users.Handler, 401, "UnauthorizedException", "WWW-Authenticate"},
		{function.Handler, 401, "UnauthorizedException", "WWW-Authenticate"},
		{limit.Handler, 429, "TooManyRequestsException", "Retry-After"},
		{meter.Handler, 403, "ForbiddenException", ""},
	} {
		t.Run(tt.title, func(t *testing.T) {
			w := httptest.NewRecorder()
			tt.guard(http.NotFoundHandler()).ServeHTTP(w, get())
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			var body struct{ Title string }
			require.NoError(t, json.NewDecoder(w.Body).Decode(&body))
			require.Equal(t, tt.title, body.Title)
			if tt.header != "" {
				require.NotEmpty(t, w.Header().Get(tt.header))
			}
		})
	}
}

// The methods that all authenticators have, checked by the compiler.
type authenticator interface {
	Present(*http.Request) bool
	Authenticate(*http.Request) (*http.Request, error)
	Handler(http.Handler) http.Handler
}

type answer interface {
	error
	http.Handler
	Unwrap() error
	StatusCode() int
	ErrorCode() string
	ErrorMessage() string
	SetHeader(http.Header)
}

var (
	_ = []authenticator{&sigv4.Verifier{}, &apikey.Verifier{}, &auth.Verifier{}, &auth.Modes{}, &custom.Authorizer{}}
	_ = []func(*http.Request) (string, bool){sigv4.ID, apikey.ID, auth.ID, custom.ID, custom.UsageIdentifierKey}
)

// A zero Error has no cause, but can answer a request and be logged.
func TestZeroErrorsAnswer(t *testing.T) {
	for _, e := range []answer{&sigv4.Error{}, &apikey.Error{}, &auth.Error{}, &custom.Error{}, &ratelimit.Error{}, &usageplan.Error{}} {
		require.NotPanics(t, func() { require.NotEmpty(t, e.Error()) }, "%T", e)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, get())
		require.Equal(t, http.StatusInternalServerError, w.Code, "%T", e)
	}
	require.NotPanics(t, func() { _ = (&ledger.Error{}).Error() })
}

// The zero value of every verifier and limit refuses, with 500.
func TestZeroValuesRefuse(t *testing.T) {
	for name, guard := range map[string]func(http.Handler) http.Handler{
		"sigv4":     new(sigv4.Verifier).Handler,
		"apikey":    new(apikey.Verifier).Handler,
		"auth":      new(auth.Verifier).Handler,
		"modes":     new(auth.Modes).Handler,
		"custom":    new(custom.Authorizer).Handler,
		"ratelimit": new(ratelimit.Limiter[string]).Handler,
		"window":    new(window.Limiter[string]).Handler,
		"rule":      new(window.RateRule).Handler,
		"usageplan": new(usageplan.Meter).Handler,
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			guard(http.HandlerFunc(who)).ServeHTTP(w, get())
			require.Equal(t, http.StatusInternalServerError, w.Code)
			require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
		})
	}
}

// An outer layer, for example one that names its spans by the route, reads the pattern from the request that it passed
// on. It finds it behind each guard, behind all of them, and if a dry run admits a refused request.
func TestPatternReachesTheOutside(t *testing.T) {
	p := newParties(t)
	function, err := custom.New(custom.Config{
		TokenHeader: "X-Session",
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: "p", Authorized: true}, nil
		},
	})
	require.NoError(t, err)
	session := func(r *http.Request) { r.Header.Set("X-Session", "s") }
	all := func(*http.Request) (string, bool) { return "all", true }
	limit, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1e6, Burst: 1e6}, Key: all})
	require.NoError(t, err)
	rule, err := window.NewRateRule(window.RuleConfig{Limit: 1000, Aggregate: []window.Component{window.IP()}})
	require.NoError(t, err)
	modes := auth.AnyOf(p.signature, p.keys, p.users, function)
	dry := auth.AnyOf(p.signature, p.keys, p.users, function)
	dry.AllowDespite = func(*http.Request, error) bool { return true }
	chain := func(guards ...func(http.Handler) http.Handler) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			for _, guard := range guards {
				h = guard(h)
			}
			return h
		}
	}
	for _, tt := range []struct {
		name  string
		guard func(http.Handler) http.Handler
		edits []func(*http.Request)
	}{
		{"sigv4", p.signature.Handler, []func(*http.Request){p.sign}},
		{"apikey", p.keys.Handler, []func(*http.Request){p.key}},
		{"auth", p.users.Handler, []func(*http.Request){p.token}},
		{"custom", function.Handler, []func(*http.Request){session}},
		{"modes", modes.Handler, []func(*http.Request){p.key, session, p.sign}},
		{"dry run", dry.Handler, nil},
		{"dry run with good ones", dry.Handler, []func(*http.Request){p.key, session, p.sigBad}},
		{"ratelimit", limit.Handler, nil},
		{"window", rule.Handler, nil},
		{"all", chain(limit.Handler, function.Handler, p.keys.Handler, p.signature.Handler, dry.Handler, rule.Handler), []func(*http.Request){p.key, session, p.sign}},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /Prod/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.PathValue("id")) })
		r, w := get(tt.edits...), httptest.NewRecorder()
		r.RemoteAddr = "203.0.113.9:4711"
		tt.guard(mux).ServeHTTP(w, r)
		require.Equal(t, "x", w.Body.String(), tt.name)
		require.Equal(t, "GET /Prod/{id}", r.Pattern, tt.name)
	}
}
