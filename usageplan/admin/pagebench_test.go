package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// manyKeys is how many keys the benchmarks have, each in a plan and used.
const manyKeys = 100_000

// bigPlane is a control plane over many keys. It is made once for all benchmarks.
var bigPlane = sync.OnceValues(func() (*admin.Server, error) {
	keys, err := apikey.New(apikey.Config{})
	if err != nil {
		return nil, err
	}
	counts, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	if err != nil {
		return nil, err
	}
	plan := usageplan.Plan{
		ID: "gold", Name: "Gold", Quotas: []ledger.Quota{{Limit: 10_000, Period: ledger.Monthly}},
		Stages: []usageplan.Stage{{API: "demo", Name: "prod"}},
	}
	plans, err := usageplan.New(usageplan.Config{Client: apikey.ID, API: "demo", Stage: "prod", Ledger: counts, Plans: []usageplan.Plan{plan}})
	if err != nil {
		return nil, err
	}
	if err := fill(keys, plans); err != nil {
		return nil, err
	}
	return admin.New(admin.Config{
		Keys: keys, Plans: plans,
		Authenticate: func(r *http.Request) (*http.Request, error) { return r, nil },
		Actor:        func(*http.Request) (string, bool) { return "ann", true },
		Authorize:    func(*http.Request, admin.Action) error { return nil },
	})
})

func newBigPage(b *testing.B, control *admin.Server) http.Handler {
	b.Helper()
	h, err := admin.Page(admin.PageConfig{Control: control, Who: func(*http.Request) (string, bool) { return "ann", true }})
	require.NoError(b, err)
	return h
}

// requireSums visits the overview until it has the sums.
func requireSums(b *testing.B, h http.Handler) {
	b.Helper()
	for counted := false; !counted; {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(b, http.StatusOK, w.Code)
		counted = strings.Contains(w.Body.String(), "The sums were counted")
	}
}

// fill makes the keys, adds them to the plan and uses them.
func fill(keys *apikey.Verifier, plans *usageplan.Meter) error {
	ctx := context.Background()
	var members []usageplan.Member
	for i := range manyKeys {
		k := apikey.Key{ID: fmt.Sprintf("k%09d", i), Name: fmt.Sprintf("name-%06d", i*7919%manyKeys), CustomerID: fmt.Sprint("customer", i/3), Enabled: true}
		if _, err := keys.Create(ctx, k, keys.Generate()); err != nil {
			return err
		}
		if members = append(members, usageplan.Member{Plan: "gold", Client: k.ID}); len(members) == 1000 {
			if err := plans.AddMembers(ctx, members...); err != nil {
				return err
			}
			members = members[:0]
		}
	}
	for i := range manyKeys {
		_, err := plans.Take(ctx, usageplan.Request{
			Client: fmt.Sprintf("k%09d", i), Cost: int64(1 + i%9_000),
			Route: usageplan.Route{API: "demo", Stage: "prod", Resource: "/pets", Method: "GET"},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkPage serves each kind of page at 100 000 keys. The budget of a list is 50 ms. Once a minute, the sums of the
// overview are counted anew, which a request waits for; sums measures that.
func BenchmarkPage(b *testing.B) {
	control, err := bigPlane()
	require.NoError(b, err)
	b.Run("overview/sums", func(b *testing.B) {
		for b.Loop() {
			requireSums(b, newBigPage(b, control))
		}
	})
	h := newBigPage(b, control)
	requireSums(b, h)
	for name, address := range map[string]string{
		"overview/created":         "/",
		"overview/name":            "/?sort=name",
		"overview/last":            "/?sort=last",
		"overview/use":             "/?sort=use",
		"overview/search=name":     "/?search=name-09999",
		"overview/search=customer": "/?search=customer7",
		"overview/search=none":     "/?search=nothing",
		"key":                      "/key?key=k000000077",
		"plan":                     "/plan?plan=gold",
		"csv/days=1":               "/usage.csv?from=" + day(time.Now()) + "&to=" + day(time.Now()),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body.String())
				}
			}
		})
	}
}
