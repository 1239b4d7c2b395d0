package admin_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestNewRefusesMissingFields(t *testing.T) {
	p := newPlane(t, settings{})
	for name, remove := range map[string]func(*admin.Config){
		"Keys":         func(c *admin.Config) { c.Keys = nil },
		"Plans":        func(c *admin.Config) { c.Plans = nil },
		"Authenticate": func(c *admin.Config) { c.Authenticate = nil },
		"Actor":        func(c *admin.Config) { c.Actor = nil },
		"Authorize":    func(c *admin.Config) { c.Authorize = nil },
		"Stages[1]":    func(c *admin.Config) { c.Stages = []usageplan.Stage{{API: "a", Name: "b"}, {API: "a"}} },
	} {
		c := config(t, p)
		remove(&c)
		s, err := admin.New(c)
		require.Nil(t, s, name)
		require.ErrorIs(t, err, admin.ErrNotConfigured, name)
		require.ErrorContains(t, err, "Config."+name)
	}
	_, err := admin.New(admin.Config{})
	require.EqualError(t, err, strings.Join([]string{
		"admin: the server is not configured: Config.Keys is required",
		"admin: the server is not configured: Config.Plans is required",
		"admin: the server is not configured: Config.Authorize is required",
	}, "\n"), "every mistake at once, in the order of the fields")
}

// A control plane for the page alone has nobody who signs requests, and refuses all that it gets itself.
func TestServerForThePageOnly(t *testing.T) {
	c := config(t, newPlane(t, settings{}))
	c.Authenticate, c.Actor = nil, nil
	c.Authorize = func(*http.Request, admin.Action) error { return nil }
	s, err := admin.New(c)
	require.NoError(t, err)
	for _, target := range []string{"/apikeys", "/account", "/unknown", "/"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, signed(t, httptest.NewRequest("GET", target, nil), owner, region))
		require.Equal(t, 500, w.Code, target)
	}
	h, err := admin.Page(admin.PageConfig{Control: s, Who: func(*http.Request) (string, bool) { return "julian", true }})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 200, w.Code)
}

// What the caller does to its configuration later does not concern the server.
func TestNewCopiesTheConfiguration(t *testing.T) {
	stages := []usageplan.Stage{{API: "a", Name: "b", Methods: map[string]ratelimit.Limit{"//GET": {Rate: 1, Burst: 1}}}}
	limit := ratelimit.Limit{Rate: 1, Burst: 1}
	p := newPlane(t, settings{admin: func(c *admin.Config) { c.Stages, c.AccountThrottle = stages, &limit }})
	before := p.send("GET", "/restapis/a/stages", "").Body.String() + p.send("GET", "/account", "").Body.String()
	stages[0].Methods["//GET"], stages[0].Name, limit.Rate = ratelimit.Limit{Rate: 9}, "c", 9
	require.Equal(t, before, p.send("GET", "/restapis/a/stages", "").Body.String()+p.send("GET", "/account", "").Body.String())
}

func TestZeroServerRefuses(t *testing.T) {
	var none *admin.Server
	for _, s := range []*admin.Server{none, {}} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request("GET", "/apikeys", ""))
		requireRefusal(t, w, 500, "InternalFailure", "Internal server error", "zero Server")
	}
}

// operations are all operations, each with a request and the path in the ARN that it is authorized by.
var operations = []struct{ operation, method, target, resource string }{
	{"CreateApiKey", "POST", "/apikeys", "/apikeys"},
	{"ImportApiKeys", "POST", "/apikeys?mode=import&format=csv", "/apikeys"},
	{"GetApiKeys", "GET", "/apikeys", "/apikeys"},
	{"GetApiKey", "GET", "/apikeys/k", "/apikeys/k"},
	{"UpdateApiKey", "PATCH", "/apikeys/k", "/apikeys/k"},
	{"DeleteApiKey", "DELETE", "/apikeys/k", "/apikeys/k"},
	{"CreateUsagePlan", "POST", "/usageplans", "/usageplans"},
	{"GetUsagePlans", "GET", "/usageplans?keyId=k", "/usageplans"},
	{"GetUsagePlan", "GET", "/usageplans/p", "/usageplans/p"},
	{"UpdateUsagePlan", "PATCH", "/usageplans/p", "/usageplans/p"},
	{"DeleteUsagePlan", "DELETE", "/usageplans/p", "/usageplans/p"},
	{"CreateUsagePlanKey", "POST", "/usageplans/p/keys", "/usageplans/p/keys"},
	{"GetUsagePlanKeys", "GET", "/usageplans/p/keys", "/usageplans/p/keys"},
	{"GetUsagePlanKey", "GET", "/usageplans/p/keys/k", "/usageplans/p/keys/k"},
	{"DeleteUsagePlanKey", "DELETE", "/usageplans/p/keys/k", "/usageplans/p/keys/k"},
	{"GetUsage", "GET", "/usageplans/p/usage", "/usageplans/p/usage"},
	{"UpdateUsage", "PATCH", "/usageplans/p/keys/k/usage", "/usageplans/p/keys/k/usage"},
	{"TagResource", "PUT", "/tags/" + arn("eu-west-1", "usageplans%2Fp"), "/usageplans/p"},
	{"UntagResource", "DELETE", "/tags/" + arn("eu-west-1", "apikeys%2Fk") + "?tagKeys=a", "/apikeys/k"},
	{"GetTags", "GET", "/tags/" + arn("eu-west-1", "apikeys%2Fk"), "/apikeys/k"},
	{"GetAccount", "GET", "/account", "/account"},
	{"UpdateAccount", "PATCH", "/account", "/account"},
	{"GetRestApis", "GET", "/restapis", "/restapis"},
	{"GetRestApi", "GET", "/restapis/demo", "/restapis/demo"},
	{"GetStages", "GET", "/restapis/demo/stages", "/restapis/demo/stages"},
	{"GetStage", "GET", "/restapis/demo/stages/prod", "/restapis/demo/stages/prod"},
	{"GetUsagePlan", "GET", "/usageplans/p%2Fkeys", "/usageplans/p%2Fkeys"}, // no other path
}

// arn returns the ARN of a resource as it stands in a path.
func arn(region, resource string) string {
	return "arn%3Aaws%3Aapigateway%3A" + region + "%3A%3A%2F" + resource
}

// Whatever is asked, the question is put to Authorize first, with the operation and the resource, and a refusal says in
// IAM's words what was refused.
func TestEveryOperationIsAuthorized(t *testing.T) {
	for _, op := range operations {
		var asked []admin.Action
		var refused error
		denied := errors.New("not today")
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error {
				asked = append(asked, a)
				return denied
			}
			c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				refused = err
				err.(http.Handler).ServeHTTP(w, r)
			}
		}})
		w := p.serve(signed(t, request(op.method, op.target, ""), customer, region))
		resource := "arn:aws:apigateway:eu-west-1::" + op.resource
		requireRefusal(t, w, 403, "AccessDeniedException",
			"User: AKIDCUSTOMER is not authorized to perform: apigateway:"+op.method+" on resource: "+resource, op.operation)
		require.Len(t, asked, 1, op.operation)
		require.Equal(t, op.operation, asked[0].Operation)
		require.Equal(t, resource, asked[0].Resource)
		require.ErrorIs(t, refused, admin.ErrDenied)
		require.ErrorIs(t, refused, denied)
		require.Contains(t, refused.Error(), op.operation)
	}
}

// Authorize is told whether values of keys are asked for.
func TestAuthorizeKnowsOfValues(t *testing.T) {
	for target, want := range map[string]bool{
		"/apikeys": false, "/apikeys?includeValues=true": true, "/apikeys?includeValues=false": false,
		"/apikeys?includeValue=true": false, "/apikeys/k?includeValue=TRUE": true, "/apikeys/k": false,
		"/usageplans/p/keys": true, "/usageplans/p/keys/k": true, "/usageplans/p/usage": false,
	} {
		var got admin.Action
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error { got = a; return io.EOF }
		}})
		p.send("GET", target, "")
		require.Equal(t, want, got.Reveals, target)
	}
}

func TestOnlyTheOwnerIsLetIn(t *testing.T) {
	p := newPlane(t, settings{})
	requireRefusal(t, p.serve(request("GET", "/apikeys", "")), 403, "MissingAuthenticationTokenException", "Missing Authentication Token", "unsigned")
	requireRefusal(t, p.serve(signed(t, request("GET", "/apikeys", ""), "AKIDNOBODY", region)), 403,
		"UnrecognizedClientException", "The security token included in the request is invalid.", "unknown access key")

	forged := signed(t, request("POST", "/apikeys", `{"name":"a"}`), owner, region)
	forged.Body = io.NopCloser(strings.NewReader(`{"name":"b"}`))
	w := p.serve(forged)
	require.Equal(t, 403, w.Code)
	require.Equal(t, "InvalidSignatureException", w.Header().Get("X-Amzn-ErrorType"))

	old := request("GET", "/apikeys", "")
	signed(t, old, owner, region)
	old.Header.Set("X-Amz-Date", "20200101T000000Z")
	require.Equal(t, 403, p.serve(old).Code)

	requireRefusal(t, p.serve(signed(t, request("GET", "/apikeys", ""), customer, region)), 403, "AccessDeniedException",
		"User: AKIDCUSTOMER is not authorized to perform: apigateway:GET on resource: arn:aws:apigateway:eu-west-1::/apikeys", "customer")
	p.want("GET", "/apikeys", "", 200, `{"item":[]}`)
	require.Empty(t, slices.Collect(p.keys.Keys()), "nothing was created")
}

// A presigned URL has the signature in its query.
func TestPresignedURLIsServed(t *testing.T) {
	p := newPlane(t, settings{})
	s, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: credentials, Region: region, Service: "apigateway",
	})
	require.NoError(t, err)
	url, err := s.Presign(request("GET", "/apikeys?limit=3", ""), time.Minute)
	require.NoError(t, err)
	r := httptest.NewRequest("GET", url, nil)
	r.RequestURI = ""
	require.Equal(t, 200, p.serve(r).Code)
}

func TestUnnamedCallerIsRefused(t *testing.T) {
	p := newPlane(t, settings{admin: func(c *admin.Config) {
		c.Actor = func(*http.Request) (string, bool) { return "", false }
	}})
	requireRefusal(t, p.send("GET", "/apikeys", ""), 403, "AccessDeniedException", "Access Denied", "no name")
}

// An authenticator whose errors are no answers is answered for.
func TestAuthenticatorOfAnyKind(t *testing.T) {
	wrong := errors.New("wrong token")
	p := newPlane(t, settings{admin: func(c *admin.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			require.ErrorIs(t, err, wrong)
			require.ErrorIs(t, err, admin.ErrDenied)
			err.(http.Handler).ServeHTTP(w, r)
		}
		c.Authenticate = func(r *http.Request) (*http.Request, error) {
			if r.Header.Get("X-Token") != "right" {
				return nil, wrong
			}
			return r, nil
		}
		c.Actor = func(*http.Request) (string, bool) { return "someone", true }
		c.Authorize = func(*http.Request, admin.Action) error { return nil }
		c.Region = nil
	}})
	requireRefusal(t, p.serve(request("GET", "/apikeys", "")), 403, "AccessDeniedException", "Access Denied", "wrong")
	r := request("GET", "/apikeys", "")
	r.Header.Set("X-Token", "right")
	require.Equal(t, 200, p.serve(r).Code)
}

func TestUnknownRoutes(t *testing.T) {
	p := newPlane(t, settings{})
	for _, line := range []string{
		"GET /", "GET /nothing", "GET /apikeys/", "GET //apikeys", "GET /apikeys//", "GET /apikeys/a/b", "HEAD /apikeys",
		"OPTIONS /apikeys", "PUT /apikeys", "DELETE /apikeys", "POST /apikeys/a", "GET /usageplans/p/", "GET /usageplans//keys",
		"GET /usageplans/p/keys/k/usage", "PATCH /usageplans/p/usage", "GET /tags", "GET /tags/", "POST /account",
		"GET /tags/arn:aws:apigateway:eu-west-1::/apikeys/k", // the slashes are not escaped
		"GET /%61pikeys", "GET /APIKEYS", "GET /restapis/demo/stages/", "POST /restapis", "GET /v1/apikeys", "get /apikeys",
	} {
		method, target, _ := strings.Cut(line, " ")
		requireRefusal(t, p.serve(request(method, target, "")), 403, "MissingAuthenticationTokenException", "Missing Authentication Token", line)
	}
}

// Behind http.StripPrefix, the paths are those of the server.
func TestServerUnderAPrefix(t *testing.T) {
	p := newPlane(t, settings{})
	r := signed(t, request("GET", "/control/tags/"+arn("eu-west-1", "usageplans%2Fnone"), ""), owner, region)
	r.RequestURI = r.URL.RequestURI() // what the signature covers
	w := httptest.NewRecorder()
	http.StripPrefix("/control", p).ServeHTTP(w, r)
	requireRefusal(t, w, 404, "NotFoundException", "Invalid Usage Plan ID specified", "prefix")
}

func TestBodyAboveTenMebibytes(t *testing.T) {
	p := newPlane(t, settings{})
	whole := strings.Repeat(" ", 10<<20-2) + "{}"
	w := p.send("POST", "/apikeys", whole)
	require.Equal(t, 201, w.Code, w.Body)
	w = p.send("POST", "/apikeys", whole+" ")
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code, w.Body)

	open := newPlane(t, settings{admin: func(c *admin.Config) { // an authenticator that does not read the body
		c.Authenticate = func(r *http.Request) (*http.Request, error) { return r, nil }
		c.Actor = func(*http.Request) (string, bool) { return "someone", true }
		c.Authorize = func(*http.Request, admin.Action) error { return nil }
	}})
	for _, more := range []int{1, 2, 1 << 20} {
		requireRefusal(t, open.serve(request("POST", "/apikeys", whole+strings.Repeat(" ", more))), 413,
			"RequestEntityTooLargeException", "Request Too Long", "unread body")
	}
	require.Equal(t, 201, open.serve(request("POST", "/apikeys", whole)).Code)
	broken := request("POST", "/apikeys", "")
	broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{}))
	requireRefusal(t, open.serve(broken), 400, "BadRequestException", "Invalid request input", "a body that breaks off")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestErrorHandlerGetsTheError(t *testing.T) {
	var got error
	p := newPlane(t, settings{admin: func(c *admin.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
			got = err
			w.WriteHeader(http.StatusTeapot)
		}
	}})
	require.Equal(t, http.StatusTeapot, p.send("GET", "/usageplans/none", "").Code)
	e, is := errors.AsType[*admin.Error](got)
	require.True(t, is)
	require.Equal(t, admin.Action{Operation: "GetUsagePlan", Resource: "arn:aws:apigateway:eu-west-1::/usageplans/none", Actor: owner}, e.Action)
	require.ErrorIs(t, got, admin.ErrNotFound)
	require.Equal(t, http.StatusTeapot, p.serve(request("GET", "/usageplans/none", "")).Code)
	require.ErrorIs(t, got, sigv4.ErrMissing)
}
