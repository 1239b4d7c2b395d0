package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// All keys of one customer share one quota if Config.Client is [apikey.CustomerID]. The plan's members are customers
// then, not keys. A key without a customer is refused.
func Example_customer() {
	const phone, server, other, lone = "phone-6sfLSq19U1GuGk1RB5DwaS7EIYsW", "server-fLSq19U1GuGk1RB5DwaS7EIYsW",
		"other-6sfLSq19U1GuGk1RB5DwaS7EIYsW", "lone-76sfLSq19U1GuGk1RB5DwaS7EIYsW"
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: "phone00001", CustomerID: "airline", Enabled: true}, Value: phone},
		{Key: apikey.Key{ID: "server0001", CustomerID: "airline", Enabled: true}, Value: server},
		{Key: apikey.Key{ID: "other00001", CustomerID: "hotel", Enabled: true}, Value: other},
		{Key: apikey.Key{ID: "lone000001", Enabled: true}, Value: lone},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer quotas.Close()
	plans, err := usageplan.New(usageplan.Config{
		Client: apikey.CustomerID, API: "airline-loyalty", Stage: "Prod", Ledger: quotas,
		Plans: []usageplan.Plan{{
			ID: "jcfq33", Name: "three a month",
			Quotas: []ledger.Quota{{Limit: 3, Period: ledger.Monthly}},
			Stages: []usageplan.Stage{{API: "airline-loyalty", Name: "Prod"}},
		}},
		Members: []usageplan.Member{{Plan: "jcfq33", Client: "airline"}, {Plan: "jcfq33", Client: "hotel"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /Prod/loyalty/{customerId}", keys.Handler(plans.Handler(points)))
	for _, key := range []string{phone, server, phone, server, other, lone} {
		r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/1", nil)
		r.Header.Set("x-api-key", key)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 {"points":900}
	// 200 {"points":900}
	// 200 {"points":900}
	// 429 {"message":"Limit Exceeded"}
	// 200 {"points":900}
	// 403 {"message":"Forbidden"}
}
