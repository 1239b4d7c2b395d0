package custom_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
)

type source = func(*http.Request) (string, bool)

func newAuthorizer(t *testing.T, cfg custom.Config) *custom.Authorizer {
	t.Helper()
	a, err := custom.New(cfg)
	require.NoError(t, err)
	return a
}

// yes returns a function that authorizes every caller and counts its calls.
func yes(calls *int) func(context.Context, custom.Event) (custom.Result, error) {
	return func(context.Context, custom.Event) (custom.Result, error) {
		*calls++
		return custom.Result{PrincipalID: "p", Authorized: true}, nil
	}
}

func withToken(values ...string) *http.Request {
	r := httptest.NewRequest("GET", "/loyalty/1", nil)
	r.Header["Authorization"] = values
	return r
}

// statements returns a policy; each statement is "Allow" or "Deny" and a resource.
func statements(t *testing.T, s ...string) *policy.Policy {
	t.Helper()
	d := policy.Document{Version: "2012-10-17"}
	for i := 0; i < len(s); i += 2 {
		d.Statement = append(d.Statement, policy.Statement{Effect: s[i], Action: []string{policy.Invoke}, Resource: []string{s[i+1]}})
	}
	p, err := policy.New(d)
	require.NoError(t, err)
	return p
}

func TestAnswersOfEveryCause(t *testing.T) {
	allowAll, denyAll := statements(t, "Allow", "*"), statements(t, "Allow", "*", "Deny", stage+"/GET/*")
	other := statements(t, "Allow", stage+"/POST/*")
	const (
		unauthorized = `{"message":"Unauthorized"}`
		failed       = `{"message":null}`
	)
	for _, tt := range []struct {
		name   string
		result custom.Result
		err    error
		status int
		code   string
		body   string
		cause  error
	}{
		{"policy allows", custom.Result{PrincipalID: "p", Policy: allowAll}, nil, 200, "", "", nil},
		{"policy denies", custom.Result{PrincipalID: "p", Policy: denyAll}, nil, 403, "AccessDeniedException", `{"Message":"User is not authorized to access this resource with an explicit deny"}`, custom.ErrDenied},
		{"policy is of others", custom.Result{PrincipalID: "p", Policy: other}, nil, 403, "AccessDeniedException", `{"Message":"User is not authorized to access this resource"}`, custom.ErrDenied},
		{"zero policy", custom.Result{PrincipalID: "p", Policy: new(policy.Policy)}, nil, 403, "AccessDeniedException", `{"Message":"User is not authorized to access this resource"}`, custom.ErrDenied},
		{"yes", custom.Result{Authorized: true}, nil, 200, "", "", nil},
		{"no", custom.Result{PrincipalID: "p"}, nil, 403, "AccessDeniedException", `{"Message":"User is not authorized to access this resource"}`, custom.ErrDenied},
		{"unauthorized", custom.Result{Authorized: true}, custom.ErrUnauthorized, 401, "UnauthorizedException", unauthorized, custom.ErrUnauthorized},
		{"wrapped", custom.Result{}, errors.Join(errors.New("a"), custom.ErrUnauthorized), 401, "UnauthorizedException", unauthorized, custom.ErrUnauthorized},
		{"the text", custom.Result{}, errors.New("Unauthorized"), 401, "UnauthorizedException", unauthorized, custom.ErrUnauthorized},
		{"the text in lower case", custom.Result{}, errors.New("unauthorized"), 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"the text with more", custom.Result{}, errors.New("Unauthorized: expired"), 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"another cause of ours", custom.Result{}, custom.ErrDenied, 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"error", custom.Result{Authorized: true}, errors.New("boom"), 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"no principal", custom.Result{Policy: allowAll}, nil, 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"two answers", custom.Result{PrincipalID: "p", Policy: allowAll, Authorized: true}, nil, 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"nested context", custom.Result{PrincipalID: "p", Policy: allowAll, Context: map[string]any{"a": []string{"b"}}}, nil, 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
		{"nil in context", custom.Result{PrincipalID: "p", Policy: allowAll, Context: map[string]any{"a": nil}}, nil, 500, "AuthorizerConfigurationException", failed, custom.ErrFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
				return tt.result, tt.err
			}})
			w := httptest.NewRecorder()
			reached := false
			a.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, withToken("t"))
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, tt.status == 200, reached)
			require.Equal(t, tt.body, w.Body.String())
			require.Equal(t, tt.code, w.Header().Get("X-Amzn-ErrorType"))
			require.Equal(t, tt.status == 401, w.Header().Get("WWW-Authenticate") == "Bearer")
			id, err := a.Verify(withToken("t"))
			require.ErrorIs(t, err, tt.cause)
			if err == nil {
				require.Equal(t, tt.result.PrincipalID, id.PrincipalID)
				return
			}
			require.Zero(t, id)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))
			if tt.status == 403 {
				require.Equal(t, "p", err.(*custom.Error).PrincipalID)
			}
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err, "the cause is not lost")
			}
		})
	}
}

// Some keys every request has by itself.
func TestConditionsOnEveryRequest(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"},"StringLike":{"aws:UserAgent":"till/*"}}},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`))
	require.NoError(t, err)
	a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		return custom.Result{PrincipalID: "p", Policy: p}, nil
	}})
	for _, tt := range []struct {
		agent string
		tls   *tls.ConnectionState
		want  error
	}{
		{"till/1", &tls.ConnectionState{}, nil},
		{"till/1", nil, custom.ErrDenied},
		{"curl/8", &tls.ConnectionState{}, custom.ErrDenied},
	} {
		r := withToken("t")
		r.TLS = tt.tls
		r.Header.Set("User-Agent", tt.agent)
		_, err := a.Verify(r)
		require.ErrorIs(t, err, tt.want)
	}
}

// A policy with conditions needs their values: without them a denial would not apply. With Facts they are judged for
// each request, also if the result is kept.
func TestConditionsNeedTheirValues(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"` + stage + `/GET/${aws:userid}/*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`))
	require.NoError(t, err)
	calls := 0
	cfg := custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		calls++
		return custom.Result{PrincipalID: "p", Policy: p}, nil
	}}
	_, err = newAuthorizer(t, cfg).Verify(withToken("t"))
	require.ErrorIs(t, err, custom.ErrFailed)
	require.ErrorContains(t, err, `Policy asks for ["aws:SourceIp" "aws:userid"], but Config has no Facts`)

	cfg.Facts = func(r *http.Request, asked *policy.Request) {
		asked.Action, asked.Resource = "ignored", "ignored"
		asked.SourceIP = netip.MustParseAddrPort(r.RemoteAddr).Addr()
		asked.Values = map[string]any{"aws:userid": "loyalty"}
	}
	a := newAuthorizer(t, cfg)
	calls = 0
	for address, want := range map[string]error{"198.51.100.1:1": nil, "203.0.113.7:1": custom.ErrDenied} {
		r := withToken("t")
		r.RemoteAddr = address
		_, err = a.Verify(r)
		require.ErrorIs(t, err, want, address)
	}
	r := withToken("t")
	r.RemoteAddr, r.URL.Path = "198.51.100.1:1", "/other/1"
	_, err = a.Verify(r)
	require.ErrorIs(t, err, custom.ErrDenied)
	require.Equal(t, 1, calls)
}

func TestTokenIsOneValueThatMatches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    custom.Config
		values []string
		want   error
	}{
		{"good", custom.Config{}, []string{"Bearer x"}, nil},
		{"missing", custom.Config{}, nil, custom.ErrMissing},
		{"empty", custom.Config{}, []string{""}, custom.ErrMalformed},
		{"twice", custom.Config{}, []string{"x", "x"}, custom.ErrMalformed},
		{"16 KiB", custom.Config{}, []string{strings.Repeat("x", 16<<10)}, nil},
		{"longer", custom.Config{}, []string{strings.Repeat("x", 16<<10+1)}, custom.ErrMalformed},
		{"matches", custom.Config{ValidationExpression: "Bearer [a-z]+"}, []string{"Bearer x"}, nil},
		{"matches in part", custom.Config{ValidationExpression: "Bearer [a-z]+"}, []string{"Bearer x1"}, custom.ErrMalformed},
		{"matches a line", custom.Config{ValidationExpression: "(?m)^x$"}, []string{"x\ny"}, custom.ErrMalformed},
		{"the longer alternative", custom.Config{ValidationExpression: "x|xy"}, []string{"xy"}, nil},
		{"an alternative's end", custom.Config{ValidationExpression: "x|y"}, []string{"xz"}, custom.ErrMalformed},
		{"another header", custom.Config{TokenHeader: "x-token"}, []string{"Bearer x"}, custom.ErrMissing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			tt.cfg.Authorize = yes(&calls)
			a := newAuthorizer(t, tt.cfg)
			_, err := a.Verify(withToken(tt.values...))
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.want == nil, calls == 1, "a request refused earlier makes no call")
			another := tt.cfg.TokenHeader != "" || tt.cfg.ValidationExpression != "" && tt.want != nil
			require.Equal(t, len(tt.values) > 0 && !another, a.Present(withToken(tt.values...)))
			if tt.want != nil {
				require.Equal(t, 401, err.(*custom.Error).StatusCode())
			}
		})
	}
}

// Present is false for a credential that clearly belongs to another mode. It is true for a value that may be meant for
// this authorizer, which must then verify.
func TestPresentLeavesOtherCredentials(t *testing.T) {
	calls := 0
	for _, tt := range []struct {
		expression string
		want       bool
		values     []string
	}{
		{"", true, []string{"x"}},
		{"", false, []string{"AWS4-HMAC-SHA256 Credential=AKID/20250101/eu-west-1/execute-api/aws4_request, SignedHeaders=host, Signature=aa"}},
		{"", false, []string{"aws4-HMAC-SHA256 x"}},
		{"", true, []string{"AWS4"}},
		{"Session [0-9]+", true, []string{"Session 1"}},
		{"Session [0-9]+", false, []string{"Bearer eyJ.eyJ.AA"}},
		{"Session [0-9]+", true, []string{"Session 1", "Bearer eyJ.eyJ.AA"}},
		{"Session [0-9]+", true, []string{""}},
		{"Session [0-9]+", false, nil},
		{".*", false, []string{"AWS4-x"}},
	} {
		a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), ValidationExpression: tt.expression})
		require.Equal(t, tt.want, a.Present(withToken(tt.values...)), "%q %q", tt.expression, tt.values)
	}
}

// A handler for GET may serve HEAD, and a handler for every method may serve get. Neither gets around a policy about
// GET.
func TestMethodsDoNotEvadePolicy(t *testing.T) {
	const (
		denied   = "User is not authorized to access this resource"
		explicit = denied + " with an explicit deny"
	)
	for _, tt := range []struct {
		name, method string
		policy       []string
		want         string // the message; empty if the method is allowed
	}{
		{"both", "HEAD", []string{"Allow", stage + "/*/loyalty/1"}, ""},
		{"both, apart", "HEAD", []string{"Allow", stage + "/HEAD/loyalty/1", "Allow", stage + "/GET/loyalty/1"}, ""},
		{"GET denied", "HEAD", []string{"Allow", "*", "Deny", stage + "/GET/loyalty/1"}, explicit},
		{"HEAD denied", "HEAD", []string{"Allow", "*", "Deny", stage + "/HEAD/loyalty/1"}, explicit},
		{"GET alone", "HEAD", []string{"Allow", stage + "/GET/*"}, denied},
		{"HEAD alone", "HEAD", []string{"Allow", stage + "/HEAD/*"}, denied},
		{"GET needs no HEAD", "GET", []string{"Allow", stage + "/GET/*", "Deny", stage + "/HEAD/*"}, ""},
		{"lower case", "get", []string{"Allow", "*", "Deny", stage + "/GET/*"}, "Bad Request"},
		{"mixed case", "Get", []string{"Allow", "*"}, "Bad Request"},
		{"mixed case", "HEAd", []string{"Allow", "*"}, "Bad Request"},
		{"wildcard", "*", []string{"Allow", "*"}, "Bad Request"},
		{"with a hyphen", "M-SEARCH", []string{"Allow", "*"}, ""},
	} {
		a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: "p", Policy: statements(t, tt.policy...)}, nil
		}})
		r := withToken("t")
		r.Method = tt.method
		_, err := a.Verify(r)
		if tt.want == "" {
			require.NoError(t, err, tt.name)
			continue
		}
		require.Equal(t, tt.want, err.(*custom.Error).ErrorMessage(), tt.name)
		require.Equal(t, tt.want == "Bad Request", errors.Is(err, custom.ErrPath), tt.name)
		require.Equal(t, tt.want != "Bad Request", errors.Is(err, custom.ErrDenied), tt.name)
	}
}

func TestEveryIdentitySourceNeedsOneValue(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{
		ByRequest: true, Authorize: yes(&calls), Challenge: `Custom realm="x"`,
		IdentitySources: []source{custom.Header("x-tenant"), custom.Query("key"), custom.Header("host")},
	})
	for _, tt := range []struct {
		name, query string
		tenants     []string
		present     bool
		want        error
	}{
		{"good", "?key=k", []string{"t"}, true, nil},
		{"no query", "", []string{"t"}, true, custom.ErrMissing},
		{"no header", "?key=k", nil, true, custom.ErrMissing},
		{"empty query", "?key=", []string{"t"}, true, custom.ErrMalformed},
		{"empty header", "?key=k", []string{""}, true, custom.ErrMalformed},
		{"key twice", "?key=k&key=k", []string{"t"}, true, custom.ErrMalformed},
		{"header twice", "?key=k", []string{"t", "u"}, true, custom.ErrMalformed},
		{"broken query", "?key=k&a=%zz", []string{"t"}, true, custom.ErrMalformed},
		{"semicolon", "?key=k;key=l", []string{"t"}, true, custom.ErrMalformed},
		{"other case", "?Key=k", []string{"t"}, true, custom.ErrMissing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/"+tt.query, nil)
			r.Header["X-Tenant"] = tt.tenants
			require.Equal(t, tt.present, a.Present(r))
			_, err := a.Verify(r)
			require.ErrorIs(t, err, tt.want)
			if err != nil {
				h := http.Header{}
				err.(*custom.Error).SetHeader(h)
				require.Equal(t, `Custom realm="x"`, h.Get("WWW-Authenticate"))
			}
		})
	}
	require.Equal(t, 1, calls)

	bare := newAuthorizer(t, custom.Config{ByRequest: true, Authorize: yes(&calls), IdentitySources: []source{custom.Header("A"), custom.Query("b")}})
	require.False(t, bare.Present(httptest.NewRequest("GET", "/?c=d", nil)))
	require.True(t, bare.Present(httptest.NewRequest("GET", "/?b=1&b=2", nil)), "it is present, so it must verify")
}

// A query source finds what url.ParseQuery finds, wherever in the query it is.
func TestQueryFindsWhatParseQueryFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	parts := []string{"key", "key", "=", "=", "&", "&", "k", "%6b", "%6Bey", "+", "%20", "%zz", "%", ";", "key=1", "key%3d1", "&key=2", "other=value-of-some-length", "\xff"}
	names := []string{"key", "key", "k", "", "key=1", " key", "+", "\xff"}
	found := 0
	for range 20_000 {
		name := names[rng.IntN(len(names))]
		var query strings.Builder
		for range rng.IntN(6) {
			query.WriteString(parts[rng.IntN(len(parts))])
		}
		value, ok := custom.Query(name)(&http.Request{URL: &url.URL{RawQuery: query.String()}})
		values, err := url.ParseQuery(query.String())
		want, present := "", err != nil || len(values[name]) > 0
		if err == nil && len(values[name]) == 1 {
			want = values[name][0]
			found++
		}
		require.Equal(t, present, ok, query.String())
		require.Equal(t, want, value, query.String())
	}
	require.Greater(t, found, 500)
}

// The bound on a query value is on its decoded length, however it is encoded.
func TestQueryBoundsTheDecodedValue(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{ByRequest: true, Authorize: yes(&calls), IdentitySources: []source{custom.Query("key")}})
	for _, tt := range []struct {
		value string
		want  error
	}{
		{strings.Repeat("a", 16<<10), nil},
		{strings.Repeat("%41", 16<<10), nil},
		{strings.Repeat("a", 16<<10+1), custom.ErrMalformed},
		{strings.Repeat("%41", 16<<10+1), custom.ErrMalformed},
		{strings.Repeat("%41", 1<<20), custom.ErrMalformed},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = "key=" + tt.value
		require.True(t, a.Present(r))
		_, err := a.Verify(r)
		require.ErrorIs(t, err, tt.want, len(tt.value))
	}
	require.Equal(t, 2, calls)
}

func TestEventDescribesTheRequest(t *testing.T) {
	type contextKey struct{}
	var got custom.Event
	began := time.Now()
	capture := func(ctx context.Context, e custom.Event) (custom.Result, error) {
		require.Equal(t, "v", ctx.Value(contextKey{}))
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		require.False(t, deadline.Before(began.Add(10*time.Second)))
		require.False(t, deadline.After(time.Now().Add(10*time.Second)))
		got = e
		return custom.Result{Authorized: true}, nil
	}
	r := httptest.NewRequest("PUT", "/Prod/pets/a%20b?q=1", strings.NewReader("body"))
	r = r.WithContext(context.WithValue(r.Context(), contextKey{}, "v"))
	r.Header.Set("Authorization", "Bearer x")

	a := newAuthorizer(t, custom.Config{Authorize: capture, StageARN: stage, Mount: "/Prod"})
	_, err := a.Verify(r)
	require.NoError(t, err)
	require.Equal(t, custom.Event{MethodARN: stage + "/PUT/pets/a b", AuthorizationToken: "Bearer x"}, got)

	a = newAuthorizer(t, custom.Config{Authorize: capture, ByRequest: true, IdentitySources: []source{custom.Query("q"), custom.Header("Authorization")}})
	_, err = a.Verify(r)
	require.NoError(t, err)
	require.Empty(t, got.MethodARN)
	require.Equal(t, []string{"1", "Bearer x"}, got.IdentitySource)
	require.Equal(t, r.URL, got.Request.URL)
	require.Equal(t, r.Header, got.Request.Header)
	require.Equal(t, http.NoBody, got.Request.Body)
	got.Request.Header.Set("Authorization", "changed")
	require.Equal(t, "Bearer x", r.Header.Get("Authorization"))
}

func TestMethodARNOfPaths(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{StageARN: stage, Mount: "/Prod", Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
		calls++
		return custom.Result{PrincipalID: e.MethodARN, Policy: statements(t, "Allow", "*")}, nil
	}, TTL: -1})
	for _, tt := range []struct {
		path, want string // the ARN after the stage
		err        error
		status     int
	}{
		{"/Prod", "/GET/", nil, 0},
		{"/Prod/", "/GET/", nil, 0},
		{"/Prod/pets/", "/GET/pets/", nil, 0},
		{"/Prod/pets/%C3%A9%3A*", "/GET/pets/é:*", nil, 0},
		{"/Prod/Prod", "/GET/Prod", nil, 0},
		{"/Prod/...", "/GET/...", nil, 0},
		{"/", "", custom.ErrPath, 400},
		{"/Production", "", custom.ErrPath, 400},
		{"/prod/pets", "", custom.ErrPath, 400},
		{"/Prod//pets", "", custom.ErrPath, 400},
		{"/Prod/a/../pets", "", custom.ErrPath, 400},
		{"/Prod/a/%2e%2e/pets", "", custom.ErrPath, 400},
		{"/Prod/./pets", "", custom.ErrPath, 400},
		{"/Prod/pets/..", "", custom.ErrPath, 400},
		{"/Prod/pets/.", "", custom.ErrPath, 400},
		{"/Prod/pets/.x/..y/z..", "/GET/pets/.x/..y/z..", nil, 0},
		{"/Prod/pets//", "", custom.ErrPath, 400},
		{"/Prod/a%2Fb", "", custom.ErrPath, 400},
		{"/Prod/a%2fb", "", custom.ErrPath, 400},
		{"/Prod/a%2Fb\u00e9", "", custom.ErrPath, 400}, // a byte that is not encoded does not hide the slash
		{"/Prod/" + strings.Repeat("x", 1600-len(stage)-5), "/GET/" + strings.Repeat("x", 1600-len(stage)-5), nil, 0},
		{"/Prod/" + strings.Repeat("x", 1600-len(stage)-4), "", custom.ErrPath, 414},
	} {
		r := httptest.NewRequest("GET", tt.path, nil)
		r.Header.Set("Authorization", "t")
		before := calls
		id, err := a.Verify(r)
		require.ErrorIs(t, err, tt.err, tt.path)
		if err != nil {
			require.Equal(t, tt.status, err.(*custom.Error).StatusCode(), tt.path)
			require.Equal(t, before, calls, "no call")
			continue
		}
		require.Equal(t, stage+tt.want, id.PrincipalID)
	}
	r := withToken("t")
	r.URL.Path, r.Method = "/Prod/pets", "GET/x"
	_, err := a.Verify(r)
	require.ErrorIs(t, err, custom.ErrPath, "a method that would shift the path")
	r.Method = ""
	id, err := a.Verify(r)
	require.NoError(t, err)
	require.Equal(t, stage+"/GET/pets", id.PrincipalID)
	r.URL.Path = "*"
	_, err = a.Verify(r)
	require.ErrorIs(t, err, custom.ErrPath)

	plain := newAuthorizer(t, custom.Config{Authorize: yes(&calls)})
	r = withToken("t")
	r.URL.Path = "/a/../b"
	_, err = plain.Verify(r)
	require.NoError(t, err, "a plain yes is the same for every path")

	noStage := newAuthorizer(t, custom.Config{Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		return custom.Result{PrincipalID: "p", Policy: statements(t, "Allow", "*")}, nil
	}})
	_, err = noStage.Verify(withToken("t"))
	require.ErrorIs(t, err, custom.ErrFailed)
}

func TestZeroAuthorizerRefuses(t *testing.T) {
	for name, a := range map[string]*custom.Authorizer{"zero": new(custom.Authorizer), "nil": nil} {
		t.Run(name, func(t *testing.T) {
			require.True(t, a.Present(withToken()))
			_, err := a.Verify(withToken("t"))
			require.ErrorIs(t, err, custom.ErrNotConfigured)
			_, err = a.Authenticate(withToken("t"))
			require.ErrorIs(t, err, custom.ErrNotConfigured)
			w := httptest.NewRecorder()
			a.Handler(greet).ServeHTTP(w, withToken("t"))
			require.Equal(t, 500, w.Code)
			require.Equal(t, `{"message":"Internal server error"}`, w.Body.String())
			require.Equal(t, "ApiConfigurationException", w.Header().Get("X-Amzn-ErrorType"))
		})
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := custom.New(custom.Config{
		IdentitySources: []source{nil}, ValidationExpression: "(", TTL: time.Hour + 1, MaxResults: -1, Timeout: time.Minute,
		RefusalTTL: time.Minute + 1,
		StageARN:   stage + "/GET", Mount: "Prod/",
	})
	require.EqualError(t, err, strings.Join([]string{
		`custom: Authorize is required`,
		`custom: IdentitySources are for REQUEST authorizers: set ByRequest`,
		`custom: nil in IdentitySources`,
		`custom: TTL 1h0m0.000000001s is above 1h0m0s`,
		`custom: RefusalTTL 1m0.000000001s is not between 0 and 1m0s`,
		`custom: MaxResults -1 is negative`,
		`custom: Timeout 1m0s is not between 0 and 30s`,
		`custom: StageARN "` + stage + `/GET" is not the ARN of a stage, like arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod`,
		`custom: Mount "Prod/" is not a path like /Prod`,
		"custom: ValidationExpression: error parsing regexp: missing closing ): `(`",
	}, "\n"))
	calls := 0
	_, err = custom.New(custom.Config{ByRequest: true, Authorize: yes(&calls), TokenHeader: "A"})
	require.EqualError(t, err, "custom: TokenHeader and ValidationExpression are for TOKEN authorizers, and ByRequest is set\ncustom: IdentitySources are required where results are kept: set them, or a negative TTL and no RefusalTTL")
	_, err = custom.New(custom.Config{ByRequest: true, Authorize: yes(&calls), TTL: -1, RefusalTTL: 1})
	require.EqualError(t, err, "custom: IdentitySources are required where results are kept: set them, or a negative TTL and no RefusalTTL")
	_, err = custom.New(custom.Config{Authorize: yes(&calls), RefusalTTL: -1})
	require.Error(t, err)
	_, err = custom.New(custom.Config{Authorize: yes(&calls), ValidationExpression: ")|("})
	require.Error(t, err, "an expression cannot leave its group")
	for _, arn := range []string{stage, "arn:aws-cn:execute-api:cn-north-1:123456789012:airline-loyalty/$default"} {
		_, err = custom.New(custom.Config{Authorize: yes(&calls), StageARN: arn})
		require.NoError(t, err)
	}
}

func TestAuthenticatePutsIdentityIntoContext(t *testing.T) {
	given := map[string]any{"tenant": "airline", "level": 3, "ratio": 0.5, "on": true}
	a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		return custom.Result{PrincipalID: "p", Policy: statements(t, "Allow", "*"), Context: given, UsageIdentifierKey: "key"}, nil
	}})
	r, err := a.Authenticate(withToken("t"))
	require.NoError(t, err)
	given["tenant"] = "changed later"
	id, ok := custom.FromContext(r.Context())
	require.True(t, ok)
	require.Equal(t, custom.Identity{
		PrincipalID: "p", UsageIdentifierKey: "key", Context: map[string]any{"tenant": "airline", "level": 3, "ratio": 0.5, "on": true},
	}, id)
	principal, ok := custom.ID(r)
	require.True(t, ok)
	require.Equal(t, "p", principal)
	key, ok := custom.UsageIdentifierKey(r)
	require.True(t, ok)
	require.Equal(t, "key", key)

	for name, ctx := range map[string]context.Context{
		"empty":     t.Context(),
		"anonymous": a.Anonymous(r).Context(),
		"blank":     custom.NewContext(r.Context(), custom.Identity{}),
	} {
		_, ok = custom.FromContext(ctx)
		require.Equal(t, name == "blank", ok)
		_, ok = custom.ID(r.WithContext(ctx))
		require.False(t, ok, name)
		_, ok = custom.UsageIdentifierKey(r.WithContext(ctx))
		require.False(t, ok, name)
	}
}

func TestErrorHandlerGetsTheError(t *testing.T) {
	var got error
	a := newAuthorizer(t, custom.Config{
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{}, custom.ErrUnauthorized
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			got = err
			w.WriteHeader(http.StatusTeapot)
		},
	})
	w := httptest.NewRecorder()
	a.Handler(greet).ServeHTTP(w, withToken("t"))
	require.Equal(t, http.StatusTeapot, w.Code)
	require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"), "set before a custom answer")
	require.ErrorIs(t, got, custom.ErrUnauthorized)
	require.EqualError(t, got, "custom: Unauthorized")
	require.EqualError(t, &custom.Error{Err: custom.ErrDenied, PrincipalID: "p"}, `custom: the method is not allowed (principal "p")`)
	require.Equal(t, "Internal server error", (&custom.Error{Err: custom.ErrFailed}).ErrorMessage())
	require.Equal(t, 500, (&custom.Error{}).StatusCode())
}

// A mux inside sets the pattern on the request that it gets. The layers outside must see it, in a dry run as well.
func TestPatternReachesOuterLayers(t *testing.T) {
	calls := 0
	for name, cfg := range map[string]custom.Config{
		"allowed": {Authorize: yes(&calls)},
		"dry run": {Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{}, custom.ErrUnauthorized
		}, AllowDespite: func(*http.Request, error) bool { return true }},
	} {
		mux := http.NewServeMux()
		mux.Handle("GET /loyalty/{id}", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		r := withToken("t")
		r = r.WithContext(custom.NewContext(r.Context(), custom.Identity{PrincipalID: "outer"}))
		newAuthorizer(t, cfg).Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, "GET /loyalty/{id}", r.Pattern, name)
	}
}

func TestAllowDespiteLetsPassWithoutProof(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*http.Request)
		err  error // that the function returns
		want error
	}{
		{"missing", func(r *http.Request) { r.Header.Del("Authorization") }, nil, custom.ErrMissing},
		{"ambiguous", func(r *http.Request) { r.Header.Add("Authorization", "u") }, nil, custom.ErrMalformed},
		{"unauthorized", func(*http.Request) {}, custom.ErrUnauthorized, custom.ErrUnauthorized},
		{"down", func(*http.Request) {}, errors.New("down"), custom.ErrFailed},
		{"denied", func(*http.Request) {}, nil, custom.ErrDenied},
		{"path", func(r *http.Request) { r.URL.Path = "/a/../b" }, nil, custom.ErrPath},
		{"long", func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("x", 1600) }, nil, custom.ErrPath},
	} {
		for _, allow := range []bool{true, false} {
			var asked error
			a := newAuthorizer(t, custom.Config{
				StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) { return custom.Result{}, tt.err },
				AllowDespite: func(_ *http.Request, err error) bool { asked = err; return allow },
			})
			r := httptest.NewRequest("POST", "/loyalty/1", strings.NewReader("body"))
			r.Header.Set("Authorization", "t")
			tt.edit(r)
			_, err := a.Verify(r)
			require.ErrorIs(t, err, tt.want, tt.name)
			_, err = a.Authenticate(r)
			require.ErrorIs(t, err, tt.want, tt.name)
			require.NoError(t, asked, "Verify and Authenticate do not ask")

			outer := custom.NewContext(r.Context(), custom.Identity{PrincipalID: "outer", UsageIdentifierKey: "key"})
			w, reached := httptest.NewRecorder(), false
			a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached = true
				_, proven := custom.FromContext(r.Context())
				require.False(t, proven, "an outer proof must not reach next")
				_, proven = custom.ID(r)
				require.False(t, proven)
				_, proven = custom.UsageIdentifierKey(r)
				require.False(t, proven)
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, "body", string(body))
				require.Empty(t, w.Header())
			})).ServeHTTP(w, r.WithContext(outer))
			require.ErrorIs(t, asked, tt.want, tt.name)
			require.Equal(t, allow, reached, tt.name)
			if !allow {
				require.Equal(t, asked.(*custom.Error).StatusCode(), w.Code, tt.name)
			}
		}
	}
	calls, asked := 0, false
	a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), AllowDespite: func(*http.Request, error) bool { asked = true; return true }})
	require.True(t, strings.HasPrefix(send(a.Handler(greet), "GET", "/", "t"), "200 hello p"))
	require.False(t, asked, "nothing was refused")
}

func TestAnonymousRemovesTheProof(t *testing.T) {
	a := new(custom.Authorizer)
	r := withToken("t")
	require.Same(t, r, a.Anonymous(r))
	proven := r.WithContext(custom.NewContext(r.Context(), custom.Identity{PrincipalID: "p"}))
	_, ok := custom.FromContext(a.Anonymous(proven).Context())
	require.False(t, ok)
	_, ok = custom.FromContext(proven.Context())
	require.True(t, ok, "the request itself is as it was")
}

// Every method of an Error finds its cause, however deeply it is wrapped.
func TestWrappedCausesAnswerAlike(t *testing.T) {
	for cause, want := range map[error]int{
		custom.ErrUnauthorized: 401, custom.ErrMissing: 401, custom.ErrMalformed: 401, custom.ErrDenied: 403,
		custom.ErrExplicitDeny: 403, custom.ErrFailed: 500, custom.ErrNotConfigured: 500, custom.ErrPath: 400, custom.ErrURITooLong: 414,
	} {
		bare := &custom.Error{Err: cause, Challenge: "Bearer"}
		wrapped := &custom.Error{Err: errors.Join(errors.New("layer"), fmt.Errorf("layer: %w", cause)), Challenge: "Bearer"}
		require.Equal(t, want, wrapped.StatusCode(), "%v", cause)
		require.Equal(t, bare.ErrorCode(), wrapped.ErrorCode())
		require.Equal(t, bare.ErrorMessage(), wrapped.ErrorMessage())
		h := http.Header{}
		wrapped.SetHeader(h)
		require.Equal(t, want == 401, h.Get("WWW-Authenticate") == "Bearer")
	}
}

// No answer holds anything that a client sent or that the function said.
func TestAnswersDoNotEcho(t *testing.T) {
	long := strings.Repeat("\xff", 1<<16)
	calls := 0
	for _, err := range []error{nil, errors.New(long), fmt.Errorf("%w: %s", custom.ErrUnauthorized, long)} {
		a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			calls++
			return custom.Result{PrincipalID: long}, err
		}})
		for _, edit := range []func(*http.Request){
			func(*http.Request) {},
			func(r *http.Request) { r.Header.Set("Authorization", long) },
			func(r *http.Request) { r.URL.Path = "/" + long },
			func(r *http.Request) { r.Method = long },
		} {
			r, w := withToken("t"), httptest.NewRecorder()
			edit(r)
			a.Handler(greet).ServeHTTP(w, r)
			require.GreaterOrEqual(t, w.Code, 400)
			size := w.Body.Len()
			for name, values := range w.Header() {
				size += len(name) + len(strings.Join(values, ""))
			}
			require.Less(t, size, 512)
		}
	}
	require.Equal(t, 3, calls)
}

// A policy is evaluated for the decoded path, in which a question mark matches one character.
func TestQuestionMarkMatchesOneDecodedCharacter(t *testing.T) {
	a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		return custom.Result{PrincipalID: "p", Policy: statements(t, "Allow", "*", "Deny", stage+"/GET/loyalty/?")}, nil
	}})
	for path, want := range map[string]error{
		"/loyalty/a": custom.ErrDenied, "/loyalty/%61": custom.ErrDenied, "/loyalty/%C3%A9": custom.ErrDenied,
		"/loyalty/%c3%a9": custom.ErrDenied, "/loyalty/%E2%82%AC": custom.ErrDenied, "/loyalty/%F0%9F%98%80": custom.ErrDenied,
		"/loyalty/%FF": custom.ErrDenied, "/loyalty/%3F": custom.ErrDenied, "/loyalty/%2F": custom.ErrPath,
		"/loyalty/ab": nil, "/loyalty/e%CC%81": nil, "/loyalty/": nil, "/Loyalty/a": nil,
	} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Authorization", "t")
		_, err := a.Verify(r)
		require.ErrorIs(t, err, want, path)
	}
}
