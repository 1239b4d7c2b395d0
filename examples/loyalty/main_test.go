package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

const (
	base  = "http://api.example"
	route = "/Prod/loyalty/" + customer
	ok    = `{"points":900,"level":"bronze","remainingPoints":49100}`
)

// api returns the example's handler and the demo tokens.
func api(t *testing.T) (http.Handler, tokens) { return apiWithin(t, accountLimit) }

func apiWithin(t *testing.T, account ratelimit.Limit) (http.Handler, tokens) {
	t.Helper()
	pool, given, err := userPool(options{})
	require.NoError(t, err)
	svc, err := newService(defaults(), pool, inMemory(t), account)
	require.NoError(t, err)
	return svc.api, given
}

// inMemory returns a store that ends with the test.
func inMemory(t *testing.T) store {
	t.Helper()
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	return store{
		quotas: quotas, keys: journal.Memory(0), plans: journal.Memory(0),
		pepper: apikey.Secret(strings.Repeat("p", lengthSecret)),
	}
}

type edit func(*http.Request)

// shapes are what a handler is given: by net/http's server, and by a Lambda function URL's adapter, which leaves
// RequestURI and ContentLength out and gives an address without a port.
var shapes = map[string]edit{
	"server":       func(*http.Request) {},
	"function URL": func(r *http.Request) { r.RequestURI, r.RemoteAddr, r.ContentLength = "", "203.0.113.9", 0 },
}

func withKey(value string) edit { return func(r *http.Request) { r.Header.Set("x-api-key", value) } }

func bearer(token string) edit {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// signed signs with the given secret, at an instant that lies off now.
func signed(t *testing.T, id, secret string, off time.Duration) edit {
	signer := signerOf(t, id, secret, "execute-api")
	return func(r *http.Request) { require.NoError(t, signer.SignAt(r, time.Now().Add(off))) }
}

func send(h http.Handler, method, target string, edits ...edit) *http.Response {
	r := httptest.NewRequest(method, base+target, nil)
	r.RequestURI = target
	for _, e := range edits {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func requireAnswer(t *testing.T, res *http.Response, status int, errorType, body string) {
	t.Helper()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, body, string(got))
	require.Equal(t, status, res.StatusCode)
	require.Equal(t, errorType, res.Header.Get("x-amzn-ErrorType"))
	require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, res.Header.Get("x-amzn-RequestId"))
	if status == http.StatusTooManyRequests {
		require.Regexp(t, `^[1-9][0-9]*$`, res.Header.Get("Retry-After"))
	}
}

func TestRefusalsTakeNoQuota(t *testing.T) {
	h, given := api(t)
	sign := signed(t, accessKey, secretKey, 0)
	const mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	for _, tt := range []struct {
		name, target string
		edits        []edit
		status       int
		errorType    string
		body         string
	}{
		{"unsigned", route, []edit{withKey(apiKey)}, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"no key", route, []edit{sign}, 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"unknown key", route, []edit{sign, withKey(strings.Repeat("x", 40))}, 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"disabled key", route, []edit{sign, withKey(retiredKey)}, 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"wrong secret", route, []edit{withKey(apiKey), signed(t, accessKey, "wrong", 0)}, 403, "InvalidSignatureException", `{"message":"` + mismatch + `"}`},
		{"unknown access key", route, []edit{withKey(apiKey), signed(t, "AKIDUNKNOWN", secretKey, 0)}, 403, "UnrecognizedClientException", `{"message":"The security token included in the request is invalid."}`},
		{"tampered query", route, []edit{withKey(apiKey), sign, func(r *http.Request) { r.RequestURI += "?admin=1"; r.URL.RawQuery = "admin=1" }}, 403, "InvalidSignatureException", `{"message":"` + mismatch + `"}`},
		{"unrouted path", "/Prod/flights", nil, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"other stage", "/dev/loyalty/" + customer, []edit{sign, withKey(apiKey)}, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"usage without key", "/Prod/usage", nil, 403, "ForbiddenException", `{"message":"Forbidden"}`},
		{"me without token", "/Prod/me", nil, 401, "UnauthorizedException", `{"message":"Unauthorized"}`},
		{"expired token", "/Prod/me", []edit{bearer(given.expired)}, 401, "UnauthorizedException", `{"message":"The incoming token has expired"}`},
		{"unknown customer", "/Prod/loyalty/nobody", nil, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"double slash", "//Prod/loyalty/" + customer, nil, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"dot segment", "/Prod/./loyalty/" + customer, nil, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"trailing slash", route + "/", nil, 403, "MissingAuthenticationTokenException", `{"message":"Missing Authentication Token"}`},
		{"me with garbage", "/Prod/me", []edit{bearer("a.b.c")}, 401, "UnauthorizedException", `{"message":"Unauthorized"}`},
	} {
		for name, shape := range shapes {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				requireAnswer(t, send(h, http.MethodGet, tt.target, append(tt.edits, shape)...), tt.status, tt.errorType, tt.body)
			})
		}
	}
	require.EqualValues(t, 0, standing(t, h, shapes["server"]).Used, "refused requests consume no quota")
}

func TestRefusalsHaveTheTextsOfAPIGateway(t *testing.T) {
	h, _ := api(t)
	for _, tt := range []struct {
		name      string
		edits     []edit
		errorType string
		message   string // a regular expression
	}{
		{"six minutes late", []edit{withKey(apiKey), signed(t, accessKey, secretKey, -6*time.Minute)}, "InvalidSignatureException", `^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$`},
		{"six minutes early", []edit{withKey(apiKey), signed(t, accessKey, secretKey, 6*time.Minute)}, "InvalidSignatureException", `^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$`},
		{"bearer", []edit{withKey(apiKey), bearer("eyJ.eyJ.sig")}, "IncompleteSignatureException", `key=value pair \(missing equal-sign\) in Authorization header`},
	} {
		for name, shape := range shapes {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				res := send(h, http.MethodGet, route, append(tt.edits, shape)...)
				var body struct{ Message string }
				require.NoError(t, json.NewDecoder(res.Body).Decode(&body))
				require.Equal(t, http.StatusForbidden, res.StatusCode)
				require.Equal(t, tt.errorType, res.Header.Get("x-amzn-ErrorType"))
				require.Regexp(t, tt.message, body.Message)
			})
		}
	}
}

func TestTamperedPathDoesNotVerify(t *testing.T) {
	h, _ := api(t)
	other := "/Prod/loyalty/5c2a1f0e-3f0b-4a57-9d0c-7f0d1b9f2a11"
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			res := send(h, http.MethodGet, route, withKey(apiKey), signed(t, accessKey, secretKey, 0), func(r *http.Request) {
				r.RequestURI, r.URL.Path = other, other
			}, shape)
			require.Equal(t, http.StatusForbidden, res.StatusCode)
			require.Equal(t, "InvalidSignatureException", res.Header.Get("x-amzn-ErrorType"))
		})
	}
}

// usage is what GET /Prod/usage answers.
type usage struct {
	Plan                   string
	Limit, Used, Remaining int64
	Reset                  time.Time
}

func standing(t *testing.T, h http.Handler, shape edit) usage {
	t.Helper()
	res := send(h, http.MethodGet, "/Prod/usage", withKey(apiKey), shape)
	require.Equal(t, http.StatusOK, res.StatusCode)
	var u usage
	require.NoError(t, json.NewDecoder(res.Body).Decode(&u))
	return u
}

// The day of the tutorial: a burst, then one request per second, ten in all. The next day starts with a full quota.
func TestDayOfTheTutorial(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { spendDay(t, shape) }) })
	}
}

func spendDay(t *testing.T, shape edit) {
	h, _ := api(t)
	get := func() *http.Response {
		return send(h, http.MethodGet, route, withKey(apiKey), signed(t, accessKey, secretKey, 0), shape)
	}
	requireAnswer(t, get(), 200, "", ok)
	requireAnswer(t, get(), 200, "", ok)
	requireAnswer(t, get(), 429, "TooManyRequestsException", `{"message":"Too Many Requests"}`)
	require.EqualValues(t, 2, standing(t, h, shape).Used)
	for range 8 {
		time.Sleep(time.Second)
		requireAnswer(t, get(), 200, "", ok)
	}
	time.Sleep(time.Second)
	requireAnswer(t, get(), 429, "LimitExceededException", `{"message":"Limit Exceeded"}`)
	midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	require.Equal(t, usage{"RestrictUsage", 10, 10, 0, midnight}, standing(t, h, shape))
	time.Sleep(time.Until(midnight))
	requireAnswer(t, get(), 200, "", ok)
	require.Equal(t, usage{"RestrictUsage", 10, 1, 9, midnight.Add(24 * time.Hour)}, standing(t, h, shape))
}

func TestCustomersHaveTheirPoints(t *testing.T) {
	h, _ := api(t)
	for _, tt := range []struct {
		id     string
		status int
		body   string
	}{
		{"d1b6f2a4-90c7-4d0e-b7a3-6c5e4f3a2b10", 200, `{"points":58000,"level":"platinum","remainingPoints":0}`},
		{"nobody", 404, `{"message":"Customer not found"}`},
	} {
		res := send(h, http.MethodGet, "/Prod/loyalty/"+tt.id, withKey(apiKey), signed(t, accessKey, secretKey, 0))
		requireAnswer(t, res, tt.status, "", tt.body)
	}
}

func TestMeShowsTheCallersClaims(t *testing.T) {
	h, given := api(t)
	res := send(h, http.MethodGet, "/Prod/me", bearer(given.valid))
	require.Equal(t, http.StatusOK, res.StatusCode)
	var body struct {
		Sub      string
		Groups   []string
		TokenUse string `json:"token_use"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&body))
	require.NotEmpty(t, body.Sub)
	require.Equal(t, []string{"loyalty"}, body.Groups)
	require.Equal(t, "id", body.TokenUse)
	requireAnswer(t, send(h, http.MethodGet, "/Prod/me", bearer(given.expired)), 401, "UnauthorizedException", `{"message":"The incoming token has expired"}`)
}

// A request with a presigned URL also needs the key, in a header that the client has signed.
func TestPresignedURLNeedsTheKey(t *testing.T) {
	h, _ := api(t)
	signer := signerOf(t, accessKey, secretKey, "execute-api")
	r, err := http.NewRequest(http.MethodGet, base+route, nil)
	require.NoError(t, err)
	url, err := signer.Presign(r, time.Minute)
	require.NoError(t, err)
	target := strings.TrimPrefix(url, base)
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			requireAnswer(t, send(h, http.MethodGet, target, shape), 403, "ForbiddenException", `{"message":"Forbidden"}`)
			requireAnswer(t, send(h, http.MethodGet, target, withKey(apiKey), shape), 200, "", ok)
			tampered := send(h, http.MethodGet, target+"&admin=1", withKey(apiKey), shape)
			require.Equal(t, "InvalidSignatureException", tampered.Header.Get("x-amzn-ErrorType"))
		})
	}
}

// The program says where it listens, serves over TCP, and ends on a signal.
func TestProgramServesUntilASignal(t *testing.T) {
	url, stop := start(t)
	r, err := http.NewRequest(http.MethodGet, url+route, nil)
	require.NoError(t, err)
	withKey(apiKey)(r)
	signed(t, accessKey, secretKey, 0)(r)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	requireAnswer(t, res, 200, "", ok)
	require.NoError(t, stop())
}

// start runs the program on a free port and returns its address and a function that ends it.
func start(t *testing.T, args ...string) (url string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, append([]string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, args...), in)
	}()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	m := regexp.MustCompile(`^Loyalty API on (http://127\.0\.0\.1:\d+)\n$`).FindStringSubmatch(first)
	require.NotNil(t, m, first)
	return m[1], func() error { cancel(); return <-ended }
}

func TestBadFlagsEndTheProgram(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"address in use", []string{"-addr", taken.Addr().String()}, "address already in use"},
		{"malformed address", []string{"-addr", "nowhere"}, "missing port"},
		{"unknown flag", []string{"-port", "1"}, "not defined: -port"},
		{"argument", []string{"start"}, `unexpected argument "start"`},
		{"issuer without client", []string{"-issuer", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x"}, "-issuer and -client go together"},
		{"empty address", []string{"-addr="}, "-addr is empty"},
		{"malformed issuer", []string{"-issuer", "://x", "-client", "c"}, "is not an absolute URL"},
		{"JWKS without host", []string{"-issuer", "https://a.example/eu-west-1_x", "-client", "c", "-jwks", "http:///x"}, "is not an absolute URL"},
		{"admin address in use", []string{"-addr", "127.0.0.1:0", "-admin", taken.Addr().String()}, "address already in use"},
		{"empty admin address", []string{"-admin="}, "-admin is empty"},
		{"stage without API", []string{"-stages", "Prod"}, `"Prod" is not api:stage`},
		{"two APIs with one stage", []string{"-stages", "a:Prod,b:Prod"}, `"b:Prod" is not api:stage, or a second stage`},
		{"demo without keys", []string{"-demo", "-empty"}, "-demo makes plans and keys, and -empty leaves them out"},
		{"owner without secret", []string{"-key", "AKIDOWNER"}, "is not id:secret"},
		{"owner who is the customer", []string{"-key", accessKey + ":secret"}, "is the customer's access key"},
		{"no pool", []string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-issuer", "https://example.com", "-client", "c"}, "is not a user pool"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), tt.args, io.Discard)
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// If the keys of the pool cannot be fetched, the answer is 503, not that the token is wrong.
func TestUnreachableKeysAre503(t *testing.T) {
	_, given := api(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	url, stop := start(t, "-issuer", "https://cognito-idp.eu-west-1.amazonaws.com/"+demoPool, "-client", demoClient,
		"-jwks", "http://"+gone.Addr().String()+"/.well-known/jwks.json")
	r, err := http.NewRequest(http.MethodGet, url+"/Prod/me", nil)
	require.NoError(t, err)
	bearer(given.valid)(r)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	requireAnswer(t, res, 503, "ServiceUnavailableException", `{"message":"Service Unavailable"}`)
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	require.NoError(t, stop())
}

// The commands that are printed use keys that are there: none with -empty.
func TestHelpUsesKeysThatAreThere(t *testing.T) {
	listeners, err := listen("127.0.0.1:0", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _, _ = listeners[0].Close(), listeners[1].Close() }()
	for _, empty := range []bool{false, true} {
		o := defaults()
		o.empty = empty
		var text strings.Builder
		require.NoError(t, printHelp(&text, listeners[0], o, tokens{}, "http://x/sign-in?link=y"))
		require.Equal(t, !empty, strings.Contains(text.String(), apiKey))
		require.Equal(t, !empty, strings.Contains(text.String(), `"$KEY"`))
		require.NotContains(t, text.String(), "{{")
	}
}
