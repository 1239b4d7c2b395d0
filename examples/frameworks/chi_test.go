package frameworks

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

const partnerKey = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"

// chiRoute reads the route that chi has matched, sub-routers included. A pattern that ends in "*" has not been routed
// to its end: the middleware stands too far outside, and the meter refuses.
func chiRoute(r *http.Request) (usageplan.Route, bool) {
	pattern := chi.RouteContext(r.Context()).RoutePattern()
	resource, found := strings.CutPrefix(pattern, "/Prod")
	return usageplan.Route{API: "airline-loyalty", Stage: "Prod", Resource: resource, Method: r.Method}, found && !strings.HasSuffix(resource, "*")
}

// guards are an API key and a plan that allows one request for points, and then another each second; for the rest five.
func guards() (*apikey.Verifier, *usageplan.Meter) {
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: partnerKey}}})
	if err != nil {
		log.Fatal(err)
	}
	points := ratelimit.Limit{Rate: 1, Burst: 1}
	plans, err := usageplan.New(usageplan.Config{
		Client: apikey.ID,
		Route:  chiRoute,
		Plans: []usageplan.Plan{{
			ID: "restricted", Name: "Restricted", Throttle: &ratelimit.Limit{Rate: 5, Burst: 5},
			Stages: []usageplan.Stage{{
				API: "airline-loyalty", Name: "Prod",
				Methods: map[string]ratelimit.Limit{"/loyalty/{customerId}/GET": points},
			}},
		}},
		Members: []usageplan.Member{{Plan: "restricted", Client: "fr92a5qpbj"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	return keys, plans
}

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }

// try sends a GET with the key and prints the answer.
func try(h http.Handler, target string) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("X-Api-Key", partnerKey)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
}

// A usage plan by chi's route patterns. A Group's middleware wraps the handlers of its routes, so it runs when all
// routing is done; With does the same for one route.
func Example_chi() {
	keys, plans := guards()
	router := chi.NewRouter()
	router.Route("/Prod", func(stage chi.Router) {
		stage.Group(func(metered chi.Router) {
			metered.Use(keys.Handler, plans.Handler)
			metered.Get("/loyalty/{customerId}", hello)
			metered.Get("/flights", hello)
		})
		stage.With(keys.Handler).Method(http.MethodGet, "/usage", plans.StatusHandler())
	})
	try(router, "/Prod/loyalty/a900")
	try(router, "/Prod/loyalty/b117") // the same route, with another customer
	try(router, "/Prod/flights")
	// Output:
	// 200 hello
	// 429 {"message":"Too Many Requests"}
	// 200 hello
}

// Use on a router or sub-router itself runs before that router has matched: the route is not known, or only as
// "/Prod/*". The meter refuses all requests, so the mistake shows at the first one.
func Example_incorrectChiUse() {
	keys, plans := guards()
	router := chi.NewRouter()
	router.Route("/Prod", func(stage chi.Router) {
		stage.Use(keys.Handler, plans.Handler)
		stage.Get("/loyalty/{customerId}", hello)
	})
	try(router, "/Prod/loyalty/a900")

	outside := chi.NewRouter()
	outside.Get("/Prod/loyalty/{customerId}", hello)
	try(keys.Handler(plans.Handler(outside)), "/Prod/loyalty/a900")
	// Output:
	// 500 {"message":"Internal server error"}
	// 500 {"message":"Internal server error"}
}
