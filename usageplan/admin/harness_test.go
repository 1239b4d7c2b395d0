package admin_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The access keys of the tests. The owner may do everything, the customer may call the API and nothing here.
const (
	owner    = "AKIDOWNER"
	customer = "AKIDCUSTOMER"
	secret   = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region   = "eu-west-1"
)

// The stages of the tests.
var served = []usageplan.Stage{
	{API: "demo", Name: "prod"},
	{API: "demo", Name: "dev", Methods: map[string]ratelimit.Limit{"/pets/{id}/GET": {Rate: 2.5, Burst: 5}}},
	{API: "other", Name: "prod"},
}

// A plane is a control plane with all that it is over.
type plane struct {
	t     *testing.T
	keys  *apikey.Verifier
	plans *usageplan.Meter
	http.Handler
}

// settings are what a test changes in the configurations.
type settings struct {
	keys  func(*apikey.Config)
	plans func(*usageplan.Config)
	admin func(*admin.Config)
}

func newPlane(t *testing.T, s settings) *plane {
	t.Helper()
	var keys apikey.Config
	if s.keys != nil {
		s.keys(&keys)
	}
	p := &plane{t: t}
	var err error
	p.keys, err = apikey.New(keys)
	require.NoError(t, err)
	counts, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	plans := usageplan.Config{Client: apikey.ID, API: "demo", Stage: "prod", Ledger: counts}
	if s.plans != nil {
		s.plans(&plans)
	}
	p.plans, err = usageplan.New(plans)
	require.NoError(t, err)
	c := config(t, p)
	if s.admin != nil {
		s.admin(&c)
	}
	p.Handler, err = admin.New(c)
	require.NoError(t, err)
	return p
}

// config returns a configuration that lets in the owner alone.
func config(t *testing.T, p *plane) admin.Config {
	t.Helper()
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys:    sigv4.Keyring{owner: {Secret: secret}, customer: {Secret: secret}}.Key,
		Regions: []string{region, "us-east-1"}, Services: []string{"apigateway"},
	})
	require.NoError(t, err)
	return admin.Config{
		Keys: p.keys, Plans: p.plans, Stages: served,
		Authenticate: v.Authenticate,
		Actor:        sigv4.ID,
		Authorize: func(r *http.Request, _ admin.Action) error {
			if id, _ := sigv4.ID(r); id != owner {
				return io.ErrUnexpectedEOF // any error
			}
			return nil
		},
		Region: func(r *http.Request) (string, bool) {
			id, ok := sigv4.FromContext(r.Context())
			return id.Region, ok
		},
	}
}

// signed signs a request as an SDK does.
func signed(t *testing.T, r *http.Request, access, in string) *http.Request {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: access, Secret: secret}, nil
		},
		Region: in, Service: "apigateway",
	})
	require.NoError(t, err)
	require.NoError(t, signer.Sign(r))
	return r
}

func credentials(context.Context) (sigv4.Credentials, error) {
	return sigv4.Credentials{AccessKeyID: owner, Secret: secret}, nil
}

// request returns a request that is not signed.
func request(method, target, body string) *http.Request {
	var text io.Reader
	if body != "" {
		text = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://control.example"+target, text)
	r.RequestURI = "" // an absolute one is a proxy's
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
	return r
}

// send sends a request of the owner.
func (p *plane) send(method, target, body string) *httptest.ResponseRecorder {
	p.t.Helper()
	return p.serve(signed(p.t, request(method, target, body), owner, region))
}

func (p *plane) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// want sends a request of the owner and requires the answer, whose dates are all written as 0.
func (p *plane) want(method, target, body string, status int, text string) {
	p.t.Helper()
	w := p.send(method, target, body)
	require.Equal(p.t, text, dates.ReplaceAllString(w.Body.String(), `Date":0`), "%s %s %s", method, target, body)
	require.Equal(p.t, status, w.Code, "%s %s %s", method, target, body)
	require.NotEmpty(p.t, w.Header().Get("X-Amzn-RequestId"))
	if text != "" {
		require.Equal(p.t, "application/json", w.Header().Get("Content-Type"))
	}
}

var dates = regexp.MustCompile(`Date":\d{10}\b`)

// refuse sends a request of the owner and requires a refusal.
func (p *plane) refuse(method, target, body string, status int, code, text string) {
	p.t.Helper()
	requireRefusal(p.t, p.send(method, target, body), status, code, text, method+" "+target+" "+body)
}

func requireRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code, text, what string) {
	t.Helper()
	require.Equal(t, status, w.Code, "%s: %s", what, w.Body)
	require.JSONEq(t, `{"message":`+quote(text)+`}`, w.Body.String(), what)
	require.Equal(t, code, w.Header().Get("X-Amzn-ErrorType"), what)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"), what)
	require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"), what)
}

// key registers an enabled key of the given id, which is filled up to 10 characters.
func (p *plane) key(id, name string) string {
	p.t.Helper()
	id = (id + "0000000000")[:10]
	_, err := p.keys.Create(p.t.Context(), apikey.Key{ID: id, Name: name, Enabled: true}, p.keys.Generate())
	require.NoError(p.t, err)
	return id
}

// plan creates a plan that opens demo:prod.
func (p *plane) plan(id string, quotas ...ledger.Quota) {
	p.t.Helper()
	_, err := p.plans.CreatePlan(p.t.Context(), usageplan.Plan{
		ID: id, Name: "plan " + id, Quotas: quotas, Stages: []usageplan.Stage{{API: "demo", Name: "prod"}},
	})
	require.NoError(p.t, err)
}

func (p *plane) join(plan string, clients ...string) {
	p.t.Helper()
	for _, c := range clients {
		require.NoError(p.t, p.plans.AddMembers(p.t.Context(), usageplan.Member{Plan: plan, Client: c}))
	}
}

// take makes n requests of the client.
func (p *plane) take(client string, n int) {
	p.t.Helper()
	route := usageplan.Route{API: "demo", Stage: "prod", Resource: "/pets", Method: "GET"}
	for range n {
		_, err := p.plans.Take(p.t.Context(), usageplan.Request{Client: client, Route: route, Cost: 1})
		require.NoError(p.t, err)
	}
}

var daily = ledger.Quota{Limit: 10, Period: ledger.Daily}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// names returns the names in a list, in its order.
func names(body string) []string {
	var found []string
	for _, m := range nameField.FindAllStringSubmatch(body, -1) {
		found = append(found, m[1])
	}
	return found
}

var nameField = regexp.MustCompile(`"name":"([^"]*)"`)
