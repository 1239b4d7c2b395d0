package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// caller stands for apikey.ID: it tells which verified client calls.
func caller(r *http.Request) (string, bool) {
	id := r.Header.Get("Verified-Client")
	return id, id != ""
}

func call(h http.Handler, client, target string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Verified-Client", client)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// The steps of AWS's tutorial "Controlling serverless API access": create a plan, attach a stage, create a key and add it
// to the plan, call, read the usage, grant an extension.
func Example() {
	ctx := context.Background()
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	check(err)
	defer quotas.Close()
	keys, err := apikey.New(apikey.Config{})
	check(err)
	meter, err := usageplan.New(usageplan.Config{Client: apikey.ID, API: "airline-loyalty", Stage: "Prod", Ledger: quotas})
	check(err)

	// Create the plan: a burst of 20, 3 requests a day.
	plan, err := meter.CreatePlan(ctx, usageplan.Plan{
		Name:     "RestrictUsage",
		Throttle: &ratelimit.Limit{Rate: 1, Burst: 20},
		Quotas:   []ledger.Quota{{Limit: 3, Period: ledger.Daily}},
	})
	check(err)

	// Attach the stage.
	plan, err = meter.UpdatePlan(ctx, plan.ID, func(p *usageplan.Plan) error {
		p.Stages = append(p.Stages, usageplan.Stage{API: "airline-loyalty", Name: "Prod"})
		return nil
	})
	check(err)

	// Create the key, whose value is shown once, and add it to the plan.
	value := keys.Generate()
	key, err := keys.Create(ctx, apikey.Key{Name: "julianwood", Enabled: true}, value)
	check(err)
	check(meter.AddMembers(ctx, usageplan.Member{Plan: plan.ID, Client: key.ID}))

	// Call.
	mux := http.NewServeMux()
	loyalty := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.Handle("GET /Prod/loyalty/{customerId}", keys.Handler(meter.Handler(loyalty)))
	get := func() string {
		r := httptest.NewRequest(http.MethodGet, "/Prod/loyalty/a900ae6c", nil)
		r.Header.Set("x-api-key", string(value))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Result().Status
	}
	for range 4 {
		fmt.Println(get())
	}

	// Read the usage per day, and extend the quota of today.
	quota := usageplan.QuotaKey{Plan: plan.ID, Client: key.ID}
	today := time.Now()
	for day, err := range meter.Usage(ctx, quota, today, today) {
		fmt.Println("used", day.Used, "remaining", day.Remaining, err)
	}
	balance, err := meter.Extend(ctx, quota, ledger.Adjustment{Delta: 5, Reason: "launch week", Actor: "owner"})
	fmt.Println("remaining", balance.Remaining, err)
	fmt.Println(get())

	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// 429 Too Many Requests
	// used 3 remaining 0 <nil>
	// remaining 5 <nil>
	// 200 OK
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func newMeter(c usageplan.Config) *usageplan.Meter {
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	if err != nil {
		panic(err)
	}
	c.Client, c.Ledger = caller, quotas
	c.API, c.Stage = "pets", "dev"
	c.Plans = []usageplan.Plan{{
		ID: "basic", Name: "Basic",
		Throttle: &ratelimit.Limit{Rate: 10, Burst: 5},
		Quotas:   []ledger.Quota{{Limit: 100, Period: ledger.Monthly}},
		Stages:   []usageplan.Stage{{API: "pets", Name: "dev"}},
	}}
	c.Members = []usageplan.Member{{Plan: "basic", Client: "k1"}}
	m, err := usageplan.New(c)
	if err != nil {
		panic(err)
	}
	return m
}

// An error has the answer for the client and the cause for logs.
func ExampleMeter_Check() {
	m := newMeter(usageplan.Config{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dev/cats", func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		if err != nil {
			fmt.Println(err)
			err.(http.Handler).ServeHTTP(w, r)
			return
		}
		b, _ := charge.Balance(ledger.Monthly)
		fmt.Println("remaining", b.Remaining)
	})
	call(mux, "k1", "/dev/cats")
	fmt.Println(call(mux, "stranger", "/dev/cats").Status)
	// Output:
	// remaining 99
	// usageplan: client "stranger": GET /cats of pets:dev: client has no usage plan for the api stage
	// 403 Forbidden
}

// Usage is counted without a quota too. A quota per day that the plan gets later goes on from there.
func ExampleMeter_Usage() {
	ctx := context.Background()
	m := newMeter(usageplan.Config{})
	_, err := m.CreatePlan(ctx, usageplan.Plan{ID: "trial", Name: "Trial", Stages: []usageplan.Stage{{API: "pets", Name: "test"}}})
	check(err)
	check(m.AddMembers(ctx, usageplan.Member{Plan: "trial", Client: "k1"}))
	cats := usageplan.Request{Client: "k1", Route: usageplan.Route{API: "pets", Stage: "test", Resource: "/cats", Method: "GET"}, Cost: 1}
	take := func() {
		_, err := m.Take(ctx, cats)
		fmt.Println("exceeded", errors.Is(err, usageplan.ErrQuotaExceeded))
	}
	take()
	take()
	today := time.Now()
	for day, err := range m.Usage(ctx, usageplan.QuotaKey{Plan: "trial", Client: "k1"}, today, today) {
		fmt.Println("used", day.Used, err)
	}
	_, err = m.UpdatePlan(ctx, "trial", func(p *usageplan.Plan) error {
		p.Quotas = []ledger.Quota{{Limit: 3, Period: ledger.Daily}}
		return nil
	})
	check(err)
	take()
	take()
	// Output:
	// exceeded false
	// exceeded false
	// used 2 <nil>
	// exceeded false
	// exceeded true
}

// A request that fails in the server need not count: a handler that knows the status settles the charge.
func ExampleCharge_Settle() {
	m := newMeter(usageplan.Config{})
	backend := func(w http.ResponseWriter, r *http.Request) int { // a handler that tells what it answered
		status := http.StatusOK
		if r.URL.Query().Has("fail") {
			status = http.StatusBadGateway
		}
		w.WriteHeader(status)
		return status
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dev/cats", func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		if err != nil {
			err.(http.Handler).ServeHTTP(w, r)
			return
		}
		if backend(w, r) >= 500 {
			_ = charge.Settle(r.Context(), 0) // a ledger that is down settles later
		}
	})
	call(mux, "k1", "/dev/cats")
	call(mux, "k1", "/dev/cats?fail")
	b, err := m.Balance(context.Background(), usageplan.QuotaKey{Plan: "basic", Client: "k1"})
	fmt.Println("used", b.Used, err)
	// Output: used 1 <nil>
}

// If the cost is known only with the answer, the handler settles its charge then.
func ExampleFromContext() {
	m := newMeter(usageplan.Config{ChargeInContext: true, Unit: "tokens", Cost: func(*http.Request) int64 { return 50 }})
	complete := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens := int64(7) // what the model has really used
		if charge, found := usageplan.FromContext(r.Context()); found {
			_ = charge.Settle(r.Context(), tokens) // a ledger that is down settles later
			charge.SetHeader(w.Header())           // before the answer: those that the meter has set count 50 tokens
		}
	})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/complete", m.Handler(complete))
	fields := call(mux, "k1", "/dev/complete").Header.Get("RateLimit")
	quota, _, _ := strings.Cut(fields[strings.Index(fields, `"quota`):], ";t=")
	fmt.Println(quota)
	b, err := m.Balance(context.Background(), usageplan.QuotaKey{Plan: "basic", Client: "k1"})
	fmt.Println("used", b.Used, err)
	// Output:
	// "quota-month";r=93
	// used 7 <nil>
}

// Observe mode counts refusals without refusing.
func ExampleConfig_allowDespite() {
	refused := 0
	m := newMeter(usageplan.Config{AllowDespite: func(_ *http.Request, err error) bool {
		refused++
		return true
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats", m.Handler(http.NotFoundHandler()))
	for _, client := range []string{"k1", "stranger", "k1", "stranger"} {
		call(mux, client, "/dev/cats")
	}
	fmt.Println("would have refused", refused)
	// Output: would have refused 2
}

// Each decision is told, for metrics and logs. Layer, outcome, reason, plan and route are of closed sets and can be labels
// of a metric. Clients are too many for that; they are for logs.
func ExampleConfig_observe() {
	m := newMeter(usageplan.Config{Observe: func(_ context.Context, e usageplan.Event) {
		fmt.Printf("decisions{layer=%q, outcome=%q, reason=%q, plan=%q, route=%q}\n", e.Layer, e.Outcome, e.Reason, e.Plan, e.Route)
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats", m.Handler(http.NotFoundHandler()))
	for _, client := range []string{"k1", "stranger"} {
		call(mux, client, "/dev/cats")
	}
	// Output:
	// decisions{layer="usageplan", outcome="allowed", reason="", plan="basic", route="GET /dev/cats"}
	// decisions{layer="usageplan", outcome="refused", reason="no_plan", plan="", route="GET /dev/cats"}
}

// Every change is stored in the journal before it is visible. The next process reads it there. The journal also tells
// who has made it.
func ExampleConfig_journal() {
	cfg := usageplan.Config{
		Client: caller, API: "pets", Stage: "dev",
		Journal: journal.Memory(0), // or (*boltstore.Store).Journal("plans", 0), which survives kill -9
	}
	m, err := usageplan.New(cfg)
	check(err)
	ctx := journal.NewContext(context.Background(), journal.Origin{Actor: "AKIDEXAMPLE"})
	_, err = m.CreatePlan(ctx, usageplan.Plan{ID: "basic", Name: "Basic", Stages: []usageplan.Stage{{API: "pets", Name: "dev"}}})
	check(err)
	check(m.AddMembers(ctx, usageplan.Member{Plan: "basic", Client: "k1"}, usageplan.Member{Plan: "basic", Client: "k2"}))

	next, err := usageplan.New(cfg)
	check(err)
	page, _ := next.Members("basic", 0, 25)
	fmt.Println(page[0].Client, page[1].Client)
	for c, err := range next.History(ctx, "basic", "k1") {
		fmt.Println(c.Actor, c.Operation, err)
	}
	// Output:
	// k2 k1
	// AKIDEXAMPLE CreateUsagePlanKey <nil>
}

// A throttle of a method is in addition to the plan's: here one request a minute for each member.
func ExampleStage_methods() {
	m, err := usageplan.New(usageplan.Config{
		Client: caller, API: "pets", Stage: "dev",
		Routes: []string{"GET /dev/cats", "POST /dev/report"}, // a key that fits none of them would be a mistake
		Plans: []usageplan.Plan{{ID: "basic", Name: "Basic", Stages: []usageplan.Stage{{
			API: "pets", Name: "dev",
			Methods: map[string]ratelimit.Limit{"/report/POST": {Rate: 1.0 / 60, Burst: 1}},
		}}}},
		Members: []usageplan.Member{{Plan: "basic", Client: "k1"}},
	})
	check(err)
	report := usageplan.Route{API: "pets", Stage: "dev", Resource: "/report", Method: "POST"}
	for range 2 {
		_, err := m.Take(context.Background(), usageplan.Request{Client: "k1", Route: report})
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// usageplan: client "k1": POST /report of pets:dev: plan method throttle of "basic": request rate is above the limit
}

// A client reads what is left of its own plan.
func ExampleMeter_StatusHandler() {
	m := newMeter(usageplan.Config{})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats", m.Handler(http.NotFoundHandler()))
	mux.Handle("GET /dev/usage", m.StatusHandler())
	call(mux, "k1", "/dev/cats")
	var body strings.Builder
	_ = call(mux, "k1", "/dev/usage").Write(&body)
	before, _, _ := strings.Cut(body.String()[strings.Index(body.String(), "{"):], `,"reset"`)
	fmt.Println(before)
	// Output: {"plan":"Basic","rateLimit":10,"burstLimit":5,"period":"MONTH","limit":100,"used":1,"remaining":99
}

// The page for persons: a browser cannot send X-API-Key, but it can ask for a password, and that is the key here. Only
// the page accepts it so. At a route that changes something, another site could use a password that the browser keeps.
func ExampleMeter_StatusHandler_browser() {
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{
		Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT",
	}}})
	check(err)
	meter, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, API: "airline-loyalty", Stage: "Prod",
		Plans:   []usageplan.Plan{{ID: "jcfq33", Name: "Gold", Stages: []usageplan.Stage{{API: "airline-loyalty", Name: "Prod"}}}},
		Members: []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}},
	})
	check(err)
	status := meter.StatusHandler()
	mux := http.NewServeMux()
	mux.Handle("GET /Prod/usage", keys.Handler(status)) // for programs
	mux.HandleFunc("GET /Prod/usage/page", func(w http.ResponseWriter, r *http.Request) {
		_, value, _ := r.BasicAuth()
		client, err := keys.VerifyKey(r.Context(), value)
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="the password is the API key"`)
			http.Error(w, "The password is the API key.", http.StatusUnauthorized)
			return
		}
		status.ServeHTTP(w, r.WithContext(apikey.NewContext(r.Context(), client)))
	})

	for _, password := range []string{"guessed", "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"} {
		r := httptest.NewRequest(http.MethodGet, "/Prod/usage/page", nil)
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		r.SetBasicAuth("", password)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Content-Type"), strings.Contains(w.Body.String(), "Gold"))
	}
	// Output:
	// 401 text/plain; charset=utf-8 false
	// 200 text/html; charset=utf-8 true
}

// Plans come from the files that the AWS command line reads and writes.
func ExampleLoad() {
	plans, err := usageplan.Load(strings.NewReader(`{
		"name": "RestrictUsage",
		"apiStages": [{"apiId": "airline-loyalty", "stage": "Prod"}],
		"throttle": {"rateLimit": 1, "burstLimit": 2},
		"quota": {"limit": 10, "period": "DAY"}
	}`))
	fmt.Println(plans[0].Name, plans[0].Throttle.Rate, plans[0].Quotas[0].Limit, err)

	_, err = usageplan.Load(strings.NewReader(`{"name": "x", "quota": {"limit": 10, "period": "HOUR"}, "colour": 1}`))
	fmt.Println(err)
	// Output:
	// RestrictUsage 1 10 <nil>
	// usageplan: invalid: $.colour is not a field of API Gateway's
	// $.quota.period is not DAY, WEEK or MONTH
}

// A stream reserves ten tokens, takes more while it runs, and is cut when the budget of the day ends.
func ExampleCharge_More() {
	ctx := context.Background()
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	check(err)
	defer quotas.Close()
	meter, err := usageplan.New(usageplan.Config{
		Ledger: quotas, Unit: "tokens", Default: "budget",
		Plans: []usageplan.Plan{{
			ID: "budget", Name: "Budget", Stages: []usageplan.Stage{{API: "chat", Name: "v1"}},
			Quotas: []ledger.Quota{{Limit: 25, Period: ledger.Daily}},
		}},
	})
	check(err)
	charge, err := meter.TakeUpTo(ctx, usageplan.Request{
		Client: "k1", Cost: 10,
		Route: usageplan.Route{API: "chat", Stage: "v1", Resource: "/completions", Method: "POST"},
	}, 4)
	check(err)
	used := int64(0)
	for { // each chunk of the answer has four tokens
		if more := used + 4 - charge.Units(); more > 0 {
			if err := charge.More(ctx, more); err != nil {
				fmt.Println(errors.Is(err, usageplan.ErrQuotaExceeded))
				break
			}
		}
		used += 4
	}
	check(charge.Settle(ctx, used))
	b, _ := charge.Balance(ledger.Daily)
	fmt.Println(charge.Units(), "used,", b.Remaining, "left")
	// Output:
	// true
	// 24 used, 1 left
}

// A server streams words, a unit each, and a client has 12 a day and one stream at a time. The handler reserves 8, takes
// more while it streams, and cuts the stream when the budget ends. It gives back its place and what it has not used.
func ExampleMeter_TakeUpTo() {
	quotas, err := ledger.New(ledger.Config{
		Engine: ledger.NewMemory(), SettleWithin: 10 * time.Minute, // more than the longest stream takes
		Observe: func(_ context.Context, e ledger.Event) {
			if e.Operation == "unsettled" {
				log.Printf("a stream of %s was never settled: its %d units stay counted", e.Account.Subject, e.Units)
			}
		},
	})
	check(err)
	defer quotas.Close()
	meter, err := usageplan.New(usageplan.Config{
		Ledger: quotas, Unit: "words", Default: "budget", InFlight: 1000,
		Plans: []usageplan.Plan{{
			ID: "budget", Name: "Budget", Stages: []usageplan.Stage{{API: "words", Name: "v1"}},
			Quotas: []ledger.Quota{{Limit: 12, Period: ledger.Daily}}, InFlight: usageplan.InFlight{Client: 1},
		}},
	})
	check(err)
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _ := caller(r)
		charge, err := meter.TakeUpTo(r.Context(), usageplan.Request{
			Client: client, Cost: 8, Route: usageplan.Route{API: "words", Stage: "v1", Resource: "/stream", Method: r.Method},
		}, 2)
		if err != nil {
			err.(http.Handler).ServeHTTP(w, r)
			return
		}
		defer charge.Release()
		used := int64(0)
		defer func() { _ = charge.Settle(r.Context(), used) }()
		charge.SetHeader(w.Header())
		for range 10 {
			if used == charge.Units() && charge.More(r.Context(), 1) != nil {
				fmt.Fprint(w, "(cut)")
				return
			}
			used++
			fmt.Fprint(w, "word ")
		}
	})
	for range 3 {
		res := call(stream, "k1", "/stream")
		text, err := io.ReadAll(res.Body)
		check(err)
		left, _, _ := strings.Cut(res.Header.Get("RateLimit"), ";t=")
		fmt.Println(res.StatusCode, left, strings.TrimSpace(string(text)))
	}
	fmt.Println(meter.Stats().InFlight, "run,", quotas.Stats().Open, "not settled")
	// Output:
	// 200 "quota-day";r=4 word word word word word word word word word word
	// 200 "quota-day";r=0 word word (cut)
	// 429 "quota-day";r=0 {"message":"Limit Exceeded"}
	// 0 run, 0 not settled
}

// A common mistake: a meter around the mux does not know the route, and refuses. The error says what to do.
func Example_incorrectAroundMux() {
	m := newMeter(usageplan.Config{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		fmt.Println(err)
		err.(http.Handler).ServeHTTP(w, r)
	}})
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats", http.NotFoundHandler())
	fmt.Println(call(m.Handler(mux), "k1", "/dev/cats").Status)
	// Output:
	// usageplan: client "k1": meter is not configured for the request: its route is unknown: r.Pattern is empty, no mux has matched the request: wrap the handlers that are given to the mux, not the mux, or set Config.Route
	// 500 Internal Server Error
}

// A meter in front of a mux needs a Config.Route that asks the mux for the pattern.
func ExampleConfig_routeBeforeDispatch() {
	mux := http.NewServeMux()
	mux.Handle("GET /dev/cats", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	byPattern := usageplan.Pattern("pets", "dev")
	m := newMeter(usageplan.Config{Route: func(r *http.Request) (usageplan.Route, bool) {
		_, pattern := mux.Handler(r)
		return byPattern(&http.Request{Method: r.Method, Pattern: pattern})
	}})
	fmt.Println(call(m.Handler(mux), "k1", "/dev/cats").Status)
	// Output: 200 OK
}

// Two nodes share a journal. A client that joins a plan on one of them is admitted by the other, which follows.
func ExampleConfig_follow() {
	ctx := context.Background()
	store := journal.Memory(0) // two processes need a store that they share
	open := func() *usageplan.Meter {
		m, err := usageplan.New(usageplan.Config{
			Plans:   []usageplan.Plan{{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "dev"}}}},
			Journal: store,
			Follow:  true, MaxStale: 10 * time.Second, // a node that cannot hear for so long refuses with 503
		})
		if err != nil {
			panic(err)
		}
		return m
	}
	here, there := open(), open()
	defer here.Close()
	defer there.Close()
	r := usageplan.Request{Client: "c", Route: usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}}
	_, err := there.Take(ctx, r)
	fmt.Println(errors.Is(err, usageplan.ErrNoPlan))
	if err := here.AddMembers(ctx, usageplan.Member{Plan: "p", Client: "c"}); err != nil {
		panic(err)
	}
	for there.Stats().Revision < here.Stats().Revision {
		time.Sleep(time.Millisecond) // less than a second in all
	}
	_, err = there.Take(ctx, r)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// A client may have two streams at a time, whatever its rate is. The third is refused until one of them has ended.
func ExamplePlan_inFlight() {
	ctx := context.Background()
	m, err := usageplan.New(usageplan.Config{
		Plans: []usageplan.Plan{{
			ID: "streams", Name: "Streams", InFlight: usageplan.InFlight{Client: 2, Total: 100},
			Stages: []usageplan.Stage{{API: "pets", Name: "dev"}},
		}},
		Members: []usageplan.Member{{Plan: "streams", Client: "k1"}, {Plan: "streams", Client: "k2", InFlight: 10}},
	})
	check(err)
	r := usageplan.Request{Client: "k1", Route: usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}}
	first, err := m.Take(ctx, r) // Handler does this, and releases, by itself
	check(err)
	second, err := m.Take(ctx, r)
	check(err)
	defer second.Release()
	_, err = m.Take(ctx, r)
	fmt.Println(err)
	fmt.Println(errors.Is(err, usageplan.ErrInFlight), m.Stats().InFlight)
	first.Release()
	third, err := m.Take(ctx, r)
	check(err)
	defer third.Release()
	fmt.Println(m.Stats().InFlight)
	// Output:
	// usageplan: client "k1": GET /cats of pets:dev: in flight of "streams": too many requests run at once: of the client, by InFlight of its membership or InFlight.Client of the plan
	// true 2
	// 2
}
