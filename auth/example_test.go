package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/auth/custom"
)

// A user pool and one of its users, for which authtest stands. A program leaves Keys empty, so the keys are fetched.
func Example() {
	issuer, _ := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	token, _ := issuer.IDToken(authtest.User{Username: "julianwood", Client: "3fe6quse1kki13s6nebi0ncnin", Groups: []string{"gold"}})

	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	pool.Keys = issuer.JWKS()
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{pool}})
	if err != nil {
		panic(err)
	}
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, _ := auth.FromContext(r.Context())
		fmt.Println("handler:", t.Username, t.Use, t.Groups())
	}))

	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	h.ServeHTTP(httptest.NewRecorder(), r)

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/me", nil))
	fmt.Println(w.Code, w.Body)
	// Output:
	// handler: julianwood id [gold]
	// 401 {"message":"Unauthorized"}
}

// login stands for a remote issuer.
var login = sync.OnceValue(func() *authtest.Issuer {
	issuer, err := authtest.New("https://login.example")
	if err != nil {
		panic(err)
	}
	return issuer
})

// pretend returns that issuer, and the verifier that a program makes for it.
func pretend(rules auth.Rules) (*authtest.Issuer, *auth.Verifier) {
	issuer := login()
	v, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{{URL: issuer.URL(), Keys: issuer.JWKS(), Audiences: []string{"orders"}}},
		Rules:   rules,
	})
	if err != nil {
		panic(err)
	}
	return issuer, v
}

func ExampleNew() {
	_, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.OIDC("https://login.example")}, // for which audience?
		Leeway:  -1,
	})
	fmt.Println(err)
	// Output:
	// auth: leeway -1ns is not between 0 and 5m0s
	// auth: issuer "https://login.example": no audience is accepted: set Audiences, AudiencePattern or AllowAnyAudience
}

// The verifier of a route with its own rules takes the place of the general one: it authenticates and authorizes.
func ExampleVerifier_With() {
	issuer, v := pretend(auth.Rules{})
	refunds, err := v.With(auth.Rules{AnyScope: []string{"orders/refund"}})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})))
	mux.Handle("POST /refunds", refunds.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})))

	token, _ := issuer.Sign("ES256", map[string]any{"sub": "s", "aud": "orders", "scope": "orders/read"})
	for _, route := range []string{"GET /orders", "POST /refunds"} {
		var method, path string
		_, _ = fmt.Sscan(route, &method, &path)
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(route, w.Code)
	}
	// Output:
	// GET /orders 200
	// POST /refunds 401
}

// VerifyToken needs no HTTP request: it serves a gRPC interceptor, a queue or a Lambda authorizer.
func ExampleVerifier_VerifyToken() {
	issuer, v := pretend(auth.Rules{})
	token, _ := issuer.Sign("EdDSA", map[string]any{"sub": "u-17", "aud": "orders"})
	t, err := v.VerifyToken(context.Background(), token)
	fmt.Println(t.ID, err)
	_, err = v.VerifyToken(context.Background(), token+"x")
	fmt.Println(err)
	// Output:
	// https://login.example u-17 <nil>
	// auth: token is malformed: not strict base64url
}

// The error tells the log more than the answer tells the client.
func ExampleVerifier_Verify() {
	issuer, v := pretend(auth.Rules{})
	token, _ := issuer.Sign("RS256", map[string]any{"aud": "orders", "iss": "https://stranger.example"})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	_, err := v.Verify(r)
	fmt.Println(err)
	// Output:
	// auth: issuer is not accepted: iss "https://stranger.example"
}

func ExampleClaims() {
	issuer, v := pretend(auth.Rules{})
	token, _ := issuer.Sign("RS256", map[string]any{"aud": "orders", "tenant": "acme", "limits": map[string]int{"orders": 7}})
	t, _ := v.VerifyToken(context.Background(), token)
	type claims struct {
		Tenant string
		Limits map[string]int
	}
	c, err := auth.Claims[claims](t)
	fmt.Println(c.Tenant, c.Limits["orders"], err)
	// Output:
	// acme 7 <nil>
}

// token_use decides which claim names the client. Both kinds of a pool's tokens are accepted unless a rule demands one.
func ExampleCognito() {
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "3fe6quse1kki13s6nebi0ncnin")
	pool.AudiencePattern = auth.Matching("loyalty-.*") // these clients too: AppSync's app client id expression
	pool.DenyByDefault = true                          // a route must name groups: AppSync's default action
	fmt.Println(pool.URL)
	fmt.Println(pool.Aliases)
	fmt.Println(pool.JWKS)
	// Output:
	// https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz
	// [https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz]
	// https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz/.well-known/jwks.json
}

// The discovery document of an OpenID Connect provider names its keys. AllowHTTP is only for the server of this
// example.
func ExampleOIDC() {
	var issuer *authtest.Issuer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { issuer.ServeHTTP(w, r) }))
	defer server.Close()
	issuer, _ = authtest.New(server.URL)

	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{auth.OIDC(server.URL, "orders")}, AllowHTTP: true})
	if err != nil {
		panic(err)
	}
	token, _ := issuer.Sign("ES256", map[string]any{"aud": "orders", "sub": "u-17"})
	t, err := v.VerifyToken(context.Background(), token)
	fmt.Println(t.Subject, err)
	// Output:
	// u-17 <nil>
}

// A Lambda function fetches the keys while it starts, so that its first client does not wait for them.
func ExampleVerifier_Prefetch() {
	v, err := auth.New(auth.Config{
		Issuers:   []auth.Issuer{auth.OIDC("https://login.example", "orders")},
		Transport: unreachable{},
	})
	if err != nil {
		panic(err)
	}
	err = v.Prefetch(context.Background())
	fmt.Println(errors.Is(err, auth.ErrUnavailable))
	// Output:
	// true
}

type unreachable struct{}

func (unreachable) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// Authenticate is for a middleware of your own, if Handler does not fit.
func ExampleVerifier_Authenticate() {
	issuer, v := pretend(auth.Rules{})
	token, _ := issuer.Sign("ES256", map[string]any{"aud": "orders", "sub": "u-17"})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if v.Present(r) {
		r, err := v.Authenticate(r)
		if err != nil {
			panic(err)
		}
		fmt.Println(auth.ID(r))
	}
	// Output:
	// https://login.example u-17 true
}

// answer shows what one style writes to a client whose token lacks a scope.
func answer(style func(http.ResponseWriter, *http.Request, error)) {
	w := httptest.NewRecorder()
	style(w, httptest.NewRequest(http.MethodGet, "/", nil), &auth.Error{Err: auth.ErrScope, Scopes: []string{"orders/refund"}})
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	fmt.Println(w.Body)
}

func ExampleHTTPAPI() {
	answer(auth.HTTPAPI)
	// Output:
	// 403 Bearer scope="orders/refund" error="insufficient_scope" error_description="expected scopes: [orders/refund]"
	// {"message":"Forbidden"}
}

func ExampleBearer() {
	answer(auth.Bearer)
	// Output:
	// 403 Bearer error="insufficient_scope", error_description="the token does not have a required scope", scope="orders/refund"
	// {"error":"insufficient_scope","error_description":"the token does not have a required scope"}
}

func ExampleAppSync() {
	answer(auth.AppSync)
	// Output:
	// 401 Bearer error="insufficient_scope", error_description="the token does not have a required scope", scope="orders/refund"
	// {"errors":[{"errorType":"UnauthorizedException","message":"You are not authorized to make this call."}]}
}

// A custom answer keeps the header fields of the protocol. They are set before ErrorHandler is called.
func ExampleError() {
	v, _ := auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.OIDC("https://login.example", "orders")},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if e, ok := errors.AsType[*auth.Error](err); ok {
				fmt.Println("log:", e)
				http.Error(w, e.ErrorMessage(), e.StatusCode())
			}
		},
	})
	w := httptest.NewRecorder()
	v.Handler(nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// log: auth: no token presented
	// 401 Bearer
}

// key stands for the verifier of another package, such as apikey's.
type key struct{}

func (key) Present(r *http.Request) bool { return r.Header.Get("X-Api-Key") != "" }

func (key) Authenticate(r *http.Request) (*http.Request, error) { return r, nil }

func ExampleAnyOf() {
	_, v := pretend(auth.Rules{})
	either := auth.AnyOf(v, key{})
	either.ErrorHandler = auth.Bearer
	h := either.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for _, header := range []string{"", "X-Api-Key", "Authorization"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("X-Api-Key", "k")
			r.Header.Set(header, "v")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header()["Www-Authenticate"])
	}
	// Output:
	// 401 ["Bearer"]
	// 200 []
	// 401 ["Bearer error=\"invalid_token\", error_description=\"token contains an invalid number of segments\""]
}

// A test of a handler does not need a signed token.
func ExampleInsecureToken() {
	t, _ := auth.InsecureToken([]byte(`{"iss":"https://login.example","sub":"u-17","groups":["staff"]}`))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(auth.NewContext(r.Context(), t))
	fmt.Println(auth.ID(r))
	// Output:
	// https://login.example u-17 true
}

// The mistake here is to use the subject alone as a key: two issuers may both have a user 1, and the two would share
// one quota.
func Example_incorrectSubjectAsKey() {
	a, _ := auth.InsecureToken([]byte(`{"iss":"https://a.example","sub":"1"}`))
	b, _ := auth.InsecureToken([]byte(`{"iss":"https://b.example","sub":"1"}`))
	fmt.Println("incorrect:", a.Subject == b.Subject)
	fmt.Println("correct:", a.ID == b.ID)
	// Output:
	// incorrect: true
	// correct: false
}

// The mistake here is to accept ID tokens: an ID token tells the client who the user is, but it is not meant for an
// API. A rule says which use a route accepts.
func Example_incorrectTokenUse() {
	issuer, _ := authtest.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz")
	id, _ := issuer.IDToken(authtest.User{Username: "julianwood", Client: "c"})
	pool := auth.Cognito("eu-west-1", "eu-west-1_aQYCzHwCz", "c")
	pool.Keys = issuer.JWKS()
	incorrect, _ := auth.New(auth.Config{Issuers: []auth.Issuer{pool}})
	correct, _ := incorrect.With(auth.Rules{TokenUse: "access"})
	_, err := incorrect.VerifyToken(context.Background(), id)
	fmt.Println("incorrect:", err)
	_, err = correct.VerifyToken(context.Background(), id)
	fmt.Println("correct:", err)
	// Output:
	// incorrect: <nil>
	// correct: auth: token use is not accepted: it is "id"
}

// The mistake here is to ignore the error of Authenticate. The request is then nil, so the handler panics instead of
// serving the client.
func Example_incorrectIgnoredError() {
	_, v := pretend(auth.Rules{})
	secret := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("served", r.URL)
	})
	incorrect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authenticated, _ := v.Authenticate(r)
		secret.ServeHTTP(w, authenticated)
	})
	defer func() { fmt.Println("panic:", recover() != nil) }()
	incorrect.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	// Output:
	// panic: true
}

// A dry run: refusals are counted, and the requests pass without a token.
func ExampleConfig_allowDespite() {
	v, _ := auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.OIDC("https://login.example", "orders")},
		AllowDespite: func(r *http.Request, err error) bool {
			fmt.Println("would refuse", r.URL, err)
			return true
		},
	})
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, proven := auth.FromContext(r.Context())
		fmt.Println("served, proven:", proven)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders", nil))
	// Output:
	// would refuse /orders auth: no token presented
	// served, proven: false
}

// Each decision is counted. The labels are closed sets of words; the client and the text of the error are for logs only.
func ExampleConfig_observe() {
	issuer := login()
	v, _ := auth.New(auth.Config{
		Issuers: []auth.Issuer{{URL: issuer.URL(), Keys: issuer.JWKS(), Audiences: []string{"orders"}}},
		Observe: func(_ context.Context, e auth.Event) {
			fmt.Printf("decisions{layer=%q, outcome=%q, reason=%q, route=%q}\n", e.Layer, e.Outcome, e.Reason, e.Route)
		},
	})
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", v.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for _, audience := range []string{"orders", "invoices"} {
		token, _ := issuer.Sign("ES256", map[string]any{"aud": audience, "sub": "u-17"})
		r := httptest.NewRequest(http.MethodGet, "/orders/17", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(httptest.NewRecorder(), r)
	}
	// Output:
	// decisions{layer="auth", outcome="allowed", reason="", route="GET /orders/{id}"}
	// decisions{layer="auth", outcome="refused", reason="audience", route="GET /orders/{id}"}
}

// A TOKEN authorizer looks up opaque tokens in the same header in which a verifier finds JWTs. Each gets its own words,
// and a word that fits neither is refused.
func ExampleAnyOf_opaqueTokens() {
	issuer := login()
	tokens, _ := auth.New(auth.Config{
		Issuers: []auth.Issuer{{URL: issuer.URL(), Keys: issuer.JWKS(), Audiences: []string{"orders"}}},
		Foreign: func(word string) bool { return strings.HasPrefix(word, "session-") },
	})
	sessions, _ := custom.New(custom.Config{
		ValidationExpression: "Bearer session-[0-9]+", // these words, but not JWTs
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			session := strings.TrimPrefix(e.AuthorizationToken, "Bearer ") // the header's whole value
			user, found := map[string]string{"session-42": "julianwood"}[session]
			if !found {
				return custom.Result{}, custom.ErrUnauthorized
			}
			return custom.Result{Authorized: true, PrincipalID: user}, nil
		},
	})
	h := auth.AnyOf(tokens, sessions).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, token := auth.ID(r)
		_, session := custom.ID(r)
		fmt.Println("token:", token, "session:", session)
	}))
	jwt, _ := issuer.Sign("ES256", map[string]any{"aud": "orders", "sub": "u-17"})
	for _, word := range []string{jwt, "session-42", "session-x", "garbage"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+word)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			fmt.Println(w.Code)
		}
	}
	// Output:
	// token: true session: false
	// token: false session: true
	// 401
	// 401
}
