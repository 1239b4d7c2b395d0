package policy_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
)

const julian = "arn:aws:iam::123456789012:user/julian"

// parsed returns the policy of a document whose statements are given, with "STAGE" for the ARN of the stage.
func parsed(t testing.TB, statements string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + strings.ReplaceAll(statements, "STAGE", stage) + `]}`))
	require.NoError(t, err)
	return p
}

const (
	allowGET   = `{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"STAGE/GET/*"}`
	allowAll   = `{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}`
	denyAdmin  = `{"Effect":"Deny","Action":"execute-api:Invoke","Resource":["STAGE/*/admin","STAGE/*/admin/*"]}`
	allowsNone = `{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"STAGE/NONE/"}`
)

// byUser is the configuration of a gate for callers who are signed in, and whose identity has one policy.
func byUser(identity *policy.Policy) policy.GateConfig {
	return policy.GateConfig{
		StageARN: stage, Mount: "/Prod", Authorization: "AWS_IAM",
		Principal: func(r *http.Request) (string, bool) { return r.Header.Get("X-Caller"), r.Header["X-Caller"] != nil },
		Policies:  func(*http.Request) (policy.Set, error) { return policy.Set{Identity: []*policy.Policy{identity}}, nil },
	}
}

func newGate(t testing.TB, c policy.GateConfig) *policy.Gate {
	t.Helper()
	g, err := policy.NewGate(c)
	require.NoError(t, err)
	return g
}

// call returns a request of julian's.
func call(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("X-Caller", julian)
	return r
}

func serve(g *policy.Gate, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	return w
}

func TestGateLetsPassWhatThePoliciesAllow(t *testing.T) {
	g := newGate(t, byUser(parsed(t, allowGET+","+denyAdmin)))
	for target, want := range map[string]int{
		"GET /Prod/loyalty/1": 204, "GET /Prod": 204, "GET /Prod/": 204, "GET /Prod/a%20b": 204, "GET /Prod/%C3%A9": 204,
		"POST /Prod/loyalty/1": 403, "GET /Prod/admin": 403, "GET /Prod/%61dmin": 403, "GET /Prod/admin/keys": 403,
		"GET /Prod/administrator": 204, "GET /other": 400, "GET /Production": 400, "GET /Prod/a/../admin": 400, "GET /Prod//admin": 400,
		"GET /Prod/a%2F..%2Fadmin": 400, "get /Prod/": 400, "GET /Prod/./admin": 400,
	} {
		method, path, _ := strings.Cut(target, " ")
		r := call(method, path)
		require.Equal(t, want, serve(g, r).Code, target)
		require.Equal(t, want == 204, g.Check(r) == nil, target)
	}
}

// A HEAD is answered by the handler of GET, so it needs what GET needs.
func TestHeadNeedsGetAsWell(t *testing.T) {
	require.Equal(t, 403, serve(newGate(t, byUser(parsed(t, allowGET))), call("HEAD", "/Prod/a")).Code)
	both := `{"Effect":"Allow","Action":"*","Resource":["STAGE/GET/a","STAGE/HEAD/*"]}`
	g := newGate(t, byUser(parsed(t, both)))
	require.Equal(t, 204, serve(g, call("HEAD", "/Prod/a")).Code)
	require.Equal(t, 403, serve(g, call("HEAD", "/Prod/b")).Code)
}

// The answers are those that API Gateway was seen to send. The account of the resource is masked, that of the caller is
// not, and the name of the text has a capital letter.
func TestGateAnswersAsAPIGateway(t *testing.T) {
	masked := "arn:aws:execute-api:eu-west-1:********9012:a1b2c3d4e5/Prod/"
	user := "User: " + julian + " is not authorized to perform: execute-api:Invoke on resource: " + masked
	resource := func(statements string) func() *policy.Policy {
		p := parsed(t, statements)
		return func() *policy.Policy { return p }
	}
	session := byUser(parsed(t, allowAll))
	session.Policies = func(*http.Request) (policy.Set, error) {
		return policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}, Session: []*policy.Policy{parsed(t, allowsNone)}}, nil
	}
	boundary := byUser(parsed(t, allowAll))
	boundary.Policies = func(*http.Request) (policy.Set, error) {
		return policy.Set{Identity: []*policy.Policy{parsed(t, allowAll)}, Boundary: parsed(t, allowAll+","+denyAdmin)}, nil
	}
	open := policy.GateConfig{StageARN: stage, Mount: "/Prod", Authorization: "NONE", Resource: resource(denyAdmin)}
	anonymous := "User: anonymous is not authorized to perform: execute-api:Invoke on resource: " + masked
	for _, tt := range []struct {
		name   string
		config policy.GateConfig
		want   string
	}{
		{"no identity-based policy", byUser(parsed(t, allowsNone)), user + "GET/admin because no identity-based policy allows the execute-api:Invoke action"},
		{"explicit deny by identity", byUser(parsed(t, denyAdmin)), user + "GET/admin with an explicit deny in an identity-based policy"},
		{"no session policy", session, user + "GET/admin because no session policy allows the execute-api:Invoke action"},
		{"explicit deny by boundary", boundary, user + "GET/admin with an explicit deny in a permissions boundary"},
		{"explicit deny of an anonymous caller", open, anonymous + "GET/admin with an explicit deny in a resource-based policy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(newGate(t, tt.config), call("GET", "/Prod/admin"))
			require.Equal(t, 403, w.Code)
			require.Equal(t, "AccessDeniedException", w.Header().Get("X-Amzn-ErrorType"))
			require.JSONEq(t, `{"Message":"`+tt.want+`"}`, w.Body.String())
			require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))
		})
	}
	w := serve(newGate(t, open), call("GET", "/Prod/a"))
	require.JSONEq(t, `{"Message":"`+anonymous+`GET/a because no resource-based policy allows the execute-api:Invoke action"}`, w.Body.String())
}

// AWS's text for a Lambda authorizer names neither the caller nor the method.
func TestGateAnswersForALambdaAuthorizer(t *testing.T) {
	c := byUser(parsed(t, denyAdmin))
	c.Authorization, c.Principal = "CUSTOM", nil
	g := newGate(t, c)
	require.JSONEq(t, `{"Message":"User is not authorized to access this resource with an explicit deny in an identity-based policy"}`,
		serve(g, call("GET", "/Prod/admin")).Body.String())
	require.JSONEq(t, `{"Message":"User is not authorized to access this resource because no identity-based policy allows the execute-api:Invoke action"}`,
		serve(g, call("GET", "/Prod/a")).Body.String())
}

func TestZeroGateRefuses(t *testing.T) {
	for _, g := range []*policy.Gate{nil, {}} {
		w := serve(g, call("GET", "/"))
		require.Equal(t, 500, w.Code)
		require.JSONEq(t, `{"message":"Internal server error"}`, w.Body.String())
		require.ErrorIs(t, g.Check(call("GET", "/")), policy.ErrNotConfigured)
	}
}

func TestNewGateReportsEveryMistake(t *testing.T) {
	some := func() *policy.Policy { return nil }
	caller := func(*http.Request) (string, bool) { return julian, true }
	set := func(*http.Request) (policy.Set, error) { return policy.Set{}, nil }
	for _, tt := range []struct {
		config policy.GateConfig
		want   []string
	}{
		{policy.GateConfig{}, []string{`StageARN "" is not`, `Authorization "" is none of`}},
		{policy.GateConfig{StageARN: stage + "/GET", Mount: "Prod", Authorization: "JWT"}, []string{"StageARN", "Mount", "Authorization"}},
		{policy.GateConfig{StageARN: stage, Mount: "/Prod/", Authorization: "AWS_IAM"}, []string{"Mount", "Principal is required", "Policies or Resource"}},
		{policy.GateConfig{StageARN: stage, Authorization: "CUSTOM", Principal: caller}, []string{"Policies is required", "Principal is for"}},
		{
			policy.GateConfig{StageARN: stage, Authorization: "NONE", Principal: caller, Policies: set},
			[]string{"Resource is required", "Policies is for", "Principal is for"},
		},
		{policy.GateConfig{StageARN: stage, Authorization: "COGNITO_USER_POOLS"}, []string{"Resource is required"}},
		{policy.GateConfig{StageARN: stage, Authorization: "NONE", Resource: some}, nil},
		{policy.GateConfig{StageARN: stage, Authorization: "AWS_IAM", Principal: caller, Resource: some}, nil},
	} {
		_, err := policy.NewGate(tt.config)
		if tt.want == nil {
			require.NoError(t, err)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		require.Len(t, lines, len(tt.want), err)
		for i, want := range tt.want {
			require.Contains(t, lines[i], "policy: "+want)
		}
	}
}

// What the gate cannot learn refuses, whatever the policies say.
func TestGateRefusesWhatItCannotLearn(t *testing.T) {
	down := errors.New("down")
	for _, tt := range []struct {
		name   string
		change func(*policy.GateConfig)
		edit   func(*http.Request)
		cause  error
		status int
		body   string
	}{
		{"no principal", nil, func(r *http.Request) { r.Header.Del("X-Caller") }, policy.ErrNoPrincipal, 403, `{"message":"Missing Authentication Token"}`},
		{"empty principal", nil, func(r *http.Request) { r.Header.Set("X-Caller", "") }, policy.ErrNoPrincipal, 403, `{"message":"Missing Authentication Token"}`},
		{"principal that is no ARN", nil, func(r *http.Request) { r.Header.Set("X-Caller", "julian") }, policy.ErrNotConfigured, 500, `{"message":"Internal server error"}`},
		{"no address", nil, func(r *http.Request) { r.RemoteAddr = "@" }, policy.ErrNoAddress, 403, `{"message":"Forbidden"}`},
		{"long path", nil, func(r *http.Request) { r.URL.Path += strings.Repeat("a", 1600) }, policy.ErrPath, 414, `{"message":"Request URI too long"}`},
		{"no policies", func(c *policy.GateConfig) {
			c.Policies = func(*http.Request) (policy.Set, error) { return policy.Set{}, down }
		}, nil, policy.ErrUnavailable, 503, `{"message":"Service Unavailable"}`},
		{"canceled", func(c *policy.GateConfig) {
			c.Policies = func(*http.Request) (policy.Set, error) { return policy.Set{}, context.Canceled }
		}, nil, context.Canceled, 503, `{"message":"Service Unavailable"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := byUser(parsed(t, allowAll))
			if tt.change != nil {
				tt.change(&c)
			}
			r := call("GET", "/Prod/a")
			if tt.edit != nil {
				tt.edit(r)
			}
			g := newGate(t, c)
			require.ErrorIs(t, g.Check(r), tt.cause)
			w := serve(g, r)
			require.Equal(t, tt.status, w.Code)
			require.JSONEq(t, tt.body, w.Body.String())
			require.Equal(t, tt.status == 503, w.Header().Get("Retry-After") != "")
		})
	}
}

// A mistake in the wiring names what Principal has returned, for the operator alone.
func TestErrorNamesThePrincipalThatIsNoARN(t *testing.T) {
	r := call("GET", "/Prod/a")
	r.Header.Set("X-Caller", "AKIDEXAMPLE")
	err := newGate(t, byUser(parsed(t, allowAll))).Check(r)
	require.ErrorContains(t, err, `Principal has returned "AKIDEXAMPLE", which is no ARN`)
}

// A resource policy can be replaced while the gate works.
func TestResourcePolicyIsReadForEachRequest(t *testing.T) {
	var current atomic.Pointer[policy.Policy]
	g := newGate(t, policy.GateConfig{StageARN: stage, Authorization: "NONE", Resource: current.Load})
	require.Error(t, g.Check(call("GET", "/a")), "there is no policy")
	current.Store(parsed(t, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`))
	require.NoError(t, g.Check(call("GET", "/a")))
	current.Store(parsed(t, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`))
	require.ErrorIs(t, g.Check(call("GET", "/a")), policy.ErrDenied)
}

// Facts may add what it knows, but cannot change who asks for what.
func TestFactsCannotChangeTheMethodOrTheCaller(t *testing.T) {
	c := byUser(parsed(t, `{"Effect":"Allow","Action":"*","Resource":"STAGE/GET/${aws:username}/${aws:PrincipalTag/team}"}`))
	c.Facts = func(_ *http.Request, about *policy.Request) {
		about.Action, about.Resource, about.Principal = "execute-api:*", stage+"/GET/root/loyalty", "arn:aws:iam::123456789012:user/root"
		about.PrincipalTags = map[string]string{"team": "loyalty"}
	}
	g := newGate(t, c)
	require.NoError(t, g.Check(call("GET", "/Prod/julian/loyalty")))
	for _, target := range []string{"POST /Prod/julian/loyalty", "GET /Prod/root/loyalty", "GET /Prod/julian/other"} {
		method, path, _ := strings.Cut(target, " ")
		require.ErrorIs(t, g.Check(call(method, path)), policy.ErrDenied, target)
	}
}

// Facts may set the address that it has from a proxy. One that it could not parse refuses the request: for an address
// that is not known, NotIpAddress would hold.
func TestGateRefusesAnAddressThatFactsCouldNotParse(t *testing.T) {
	c := byUser(parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`))
	c.Facts = func(r *http.Request, about *policy.Request) {
		about.SourceIP, _ = netip.ParseAddr(r.Header.Get("X-Proxy-Client"))
	}
	g := newGate(t, c)
	for address, want := range map[string]error{
		"198.51.100.7": nil, "203.0.113.7": policy.ErrDenied, "unknown": policy.ErrNoAddress, "": policy.ErrNoAddress,
	} {
		r := call("GET", "/Prod/a")
		r.Header.Set("X-Proxy-Client", address)
		require.ErrorIs(t, g.Check(r), want, address)
	}
}

// A policy means the same to a gate and to an authorizer: both name a method alike, or both refuse its path.
func TestGateNamesMethodsAsAnAuthorizerDoes(t *testing.T) {
	var named string
	authorizer, err := custom.New(custom.Config{
		StageARN: stage, Mount: "/Prod", TTL: -1, TokenHeader: "X-Caller",
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			named = e.MethodARN
			return custom.Result{Authorized: true}, nil
		},
	})
	require.NoError(t, err)
	g := newGate(t, byUser(parsed(t, allowsNone)))
	random := rand.New(rand.NewPCG(23, 6))
	accepted, refused := 0, 0
	for range 5000 {
		var path strings.Builder
		path.WriteString("/Prod")
		for range random.IntN(6) {
			path.WriteString([]string{"/", "a", ".", "..", "%2F", "%2f", "%2E", "%C3%A9", "%FF", "%20", ":", "é", "//", "%0A", "*", "%3F"}[random.IntN(16)])
		}
		r := call("GET", "/")
		r.Method = []string{"GET", "POST", "", "get", "M-SEARCH", "G T", "DELETE/x"}[random.IntN(7)]
		u, err := url.ParseRequestURI(path.String())
		require.NoError(t, err)
		r.URL = u
		named = ""
		_, err = authorizer.Verify(r)
		e, ok := errors.AsType[*policy.Error](g.Check(r))
		require.True(t, ok)
		if errors.Is(err, custom.ErrPath) {
			refused++
			require.ErrorIs(t, e, policy.ErrPath, path.String())
			continue
		}
		accepted++
		require.NoError(t, err)
		require.Equal(t, named, e.Resource, path.String())
	}
	require.True(t, accepted > 500 && refused > 500, "%d accepted, %d refused", accepted, refused)
}

// The error says for logs who was refused what, and why.
func TestGateErrorTells(t *testing.T) {
	err := newGate(t, byUser(parsed(t, denyAdmin))).Check(call("GET", "/Prod/admin"))
	e, ok := errors.AsType[*policy.Error](err)
	require.True(t, ok)
	require.Equal(t, julian, e.Principal)
	require.Equal(t, stage+"/GET/admin", e.Resource)
	require.Equal(t, `policy: the method is not allowed: a statement of the identity-based policy denies it ("`+stage+`/GET/admin" for `+julian+`)`, err.Error())
}

func TestDryRunLetsPass(t *testing.T) {
	c := byUser(parsed(t, denyAdmin))
	var despite []error
	c.AllowDespite = func(_ *http.Request, err error) bool { despite = append(despite, err); return true }
	g := newGate(t, c)
	require.Equal(t, 204, serve(g, call("GET", "/Prod/admin")).Code)
	require.NoError(t, g.Check(call("GET", "/Prod/admin")))
	require.Len(t, despite, 2)
	require.ErrorIs(t, despite[0], policy.ErrDenied)
}
