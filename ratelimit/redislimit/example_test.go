package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
	"github.com/tallygate/tallygate/usageplan"
)

// gone is the address of a server that does not run, so that the examples show what an outage does.
const gone = "127.0.0.1:1"

func Example() {
	client := redis.NewClient(&redis.Options{Addr: gone, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	limiter, err := redislimit.New(redislimit.Config{
		Client: client, Namespace: "api", Nodes: 8,
		Limit: ratelimit.Limit{Rate: 10, Burst: 20}, // of all processes together
		Key:   func(r *http.Request) (string, bool) { return r.Header.Get("User"), r.Header.Get("User") != "" },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer limiter.Close()
	h := limiter.Handler(http.NotFoundHandler())

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User", "ann")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body, "retry after", w.Header().Get("Retry-After"))
	// Output: 503 {"message":"Service Unavailable"} retry after 1
}

// A node that does not reach the server goes on with its share of the limit: here a quarter of 8 tokens.
func ExampleLimiter_Take() {
	client := redis.NewClient(&redis.Options{Addr: gone, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	limiter, err := redislimit.New(redislimit.Config{
		Client: client, Namespace: "api", Nodes: 4, Away: redislimit.LocalShare,
		OnOutage: func(o redislimit.Outage) {
			if o.Phase == "began" {
				fmt.Println("outage; requests get:", o.Policy)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer limiter.Close()

	names := []string{"GET /pets", "plan"}
	limits := []ratelimit.Limit{{Rate: 0.001, Burst: 8}, {Rate: 0.001, Burst: 100}}
	decisions := make([]ratelimit.Decision, 2)
	for range 3 {
		refused, err := limiter.Take(context.Background(), "ann", names, limits, decisions)
		switch {
		case err != nil:
			fmt.Println(err)
		case refused >= 0:
			fmt.Println("refused by", names[refused])
		default:
			fmt.Println("taken from both")
		}
	}
	// Output:
	// outage; requests get: local share
	// taken from both
	// taken from both
	// refused by GET /pets
}

// A client that ignores contexts would hold requests for seconds when the server hangs. New refuses it.
func Example_incorrect() {
	client := redis.NewClient(&redis.Options{Addr: gone, DialerRetries: 1})
	defer client.Close()
	_, err := redislimit.New(redislimit.Config{Client: client, Namespace: "api", Nodes: 8})
	fmt.Println(err)
	// Output: redislimit: the client ignores contexts: set ContextTimeoutEnabled
}

func ExampleLimiter_Check() {
	var limiter redislimit.Limiter // not made by New
	_, err := limiter.Check(httptest.NewRequest("GET", "/", nil))
	fmt.Println(errors.Is(err, ratelimit.ErrNotConfigured))
	// Output: true
}

// The throttles of usage plans hold over all processes if their meters take from a Limiter. It needs neither Limit nor
// Key then, as the plans have the limits and the members. Here no server runs, so a process goes on with its third of
// the burst.
func Example_usagePlans() {
	client := redis.NewClient(&redis.Options{Addr: gone, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	limiter, err := redislimit.New(redislimit.Config{
		Client: client, Namespace: "shop", Nodes: 3, Away: redislimit.LocalShare,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer limiter.Close()
	plans, err := usageplan.New(usageplan.Config{
		Throttle: limiter,
		Plans: []usageplan.Plan{{
			ID: "gold", Name: "gold", Throttle: &ratelimit.Limit{Rate: 0.001, Burst: 6},
			Stages: []usageplan.Stage{{API: "shop", Name: "prod"}},
		}},
		Members: []usageplan.Member{{Plan: "gold", Client: "ann"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	request := usageplan.Request{
		Client: "ann", Route: usageplan.Route{API: "shop", Stage: "prod", Resource: "/pets", Method: "GET"},
	}
	for range 3 {
		_, err := plans.Take(context.Background(), request)
		fmt.Println("throttled:", errors.Is(err, usageplan.ErrThrottled))
	}
	// Output:
	// throttled: false
	// throttled: false
	// throttled: true
}
