package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// Twenty requests an hour for each tenant, all of them at once if it likes. An authenticator in front has set the
// header: a limit by what a client may write limits nothing.
func Example() {
	tenant := func(r *http.Request) (string, bool) {
		t := r.Header.Get("Tenant")
		return t, t != ""
	}
	limiter, err := ratelimit.New(ratelimit.Config[string]{
		Limit: ratelimit.Limit{Rate: 20.0 / 3600, Burst: 20},
		Key:   tenant,
		Name:  "tenant",
	})
	if err != nil {
		log.Fatal(err)
	}
	h := limiter.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Tenant", "a")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body, w.Header().Get("RateLimit-Policy"), w.Header().Get("RateLimit"))

	limiter.Take("a", 19)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body, w.Header().Get("Retry-After") != "")
	// Output:
	// 200 hello "tenant";q=20;w=3600 "tenant";r=19;t=180
	// 429 {"message":"Too Many Requests"} true
}

func ExampleBucket_Allow() {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 1.0 / 3600, Burst: 2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Allow(), b.Allow(), b.Allow())
	// Output: true true false
}

// A simulation chooses the instants. Here only the first is the present.
func ExampleRef_Take() {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 5, Burst: 10})
	if err != nil {
		log.Fatal(err)
	}
	t := time.Now()
	fmt.Println(b.Ref().Take(t, 10).Decision().OK)
	d := b.Ref().Take(t.Add(time.Second), 8).Decision()
	fmt.Println(d.OK, d.Remaining, d.RetryAfter, d.ResetAfter)
	fmt.Println(b.Ref().Take(t.Add(time.Second+d.RetryAfter), 8).Decision().OK)
	// Output:
	// true
	// false 5 600ms 1s
	// true
}

// What a request costs may be known only afterwards. Take what it may cost at most, and give the rest back.
func ExampleReceipt_Undo() {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Burst: 1000})
	if err != nil {
		log.Fatal(err)
	}
	receipt := b.Ref().Take(time.Now(), 600)
	if receipt.Decision().OK {
		used := int64(250)
		receipt.Undo(600 - used)
	}
	fmt.Println(b.Peek().Remaining)
	// Output: 750
}

func ExampleLimiter_SetKeyLimit() {
	l, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Burst: 1}})
	if err != nil {
		log.Fatal(err)
	}
	if err := l.SetKeyLimit("vip", &ratelimit.Limit{Burst: 1000}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Take("anyone", 1).Limit, l.Take("vip", 1).Limit)
	if err := l.SetKeyLimit("vip", nil); err != nil { // back to the limit of all keys
		log.Fatal(err)
	}
	fmt.Println(l.Peek("vip").Limit)
	// Output:
	// 1 1000
	// 1
}

// A drained bucket serves at the new rate at once, for every key.
func ExampleLimiter_SetLimit() {
	l, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Rate: 1.0 / 3600, Burst: 10}})
	if err != nil {
		log.Fatal(err)
	}
	l.Take("a", 10)
	if err := l.SetLimit(ratelimit.Limit{Rate: 100, Burst: 10}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Peek("a").RetryAfter <= 10*time.Millisecond)
	// Output: true
}

// Ten at once for each client, and no more than fifteen for all. A client that one limit refuses has consumed nothing
// of the other.
func ExampleTakeAll() {
	clients, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Burst: 10}})
	if err != nil {
		log.Fatal(err)
	}
	server, err := ratelimit.NewBucket(ratelimit.Limit{Burst: 15})
	if err != nil {
		log.Fatal(err)
	}
	take := func(client string, receipts []ratelimit.Receipt) {
		refs := []ratelimit.Ref{clients.Ref(client), server.Ref()}
		fmt.Println(ratelimit.TakeAll(time.Now(), 8, refs, receipts))
	}
	var a, b [2]ratelimit.Receipt
	take("a", a[:])
	take("b", b[:]) // server, which has index 1, refuses
	for i := range a {
		a[i].Undo(8) // a's request was refused by something else
	}
	take("b", b[:])
	fmt.Println(clients.Peek("a").Remaining, clients.Peek("b").Remaining, server.Peek().Remaining)
	// Output:
	// -1 true
	// 1 false
	// -1 true
	// 10 2 7
}

// Check decides without answering, for what is not an http.Handler.
func ExampleLimiter_Check() {
	l, err := ratelimit.New(ratelimit.Config[string]{
		Limit: ratelimit.Limit{Burst: 5},
		Key:   func(r *http.Request) (string, bool) { return r.Host, true },
		Cost:  func(r *http.Request) int64 { return 1 + r.ContentLength/1024 },
	})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("PUT", "/", nil)
	r.ContentLength = 3000
	d, err := l.Check(r)
	fmt.Println(d.Remaining, err)
	d, err = l.Check(r)
	fmt.Println(d.Remaining, err)
	// Output:
	// 2 <nil>
	// 2 ratelimit: rate limit exceeded: no wait helps: the cost is above the burst of 5, or the rate is 0
}

// What is limited may be something else than requests: here the bytes of their bodies. Unit says so to the clients.
func ExampleConfig_unit() {
	l, err := ratelimit.New(ratelimit.Config[string]{
		Limit: ratelimit.Limit{Rate: 1e9 / 3600, Burst: 1e9},
		Key:   func(r *http.Request) (string, bool) { return r.Host, true },
		Cost: func(r *http.Request) int64 {
			if r.ContentLength < 0 { // chunked: the length is not known, so it costs the most that the handler reads
				return 10 << 20
			}
			return r.ContentLength
		},
		Name: "upload",
		Unit: "content-bytes", // without it there would be no fields, because a client would read bytes as requests
	})
	if err != nil {
		log.Fatal(err)
	}
	h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", "/", strings.NewReader("hello")))
	fmt.Println(w.Header().Get("RateLimit-Policy"))
	fmt.Println(w.Header().Get("RateLimit"))
	// Output:
	// "upload";q=1000000000;qu="content-bytes";w=3600
	// "upload";r=999999995;t=1
}

// The words of an event are few enough to be labels of a metric. The client and the error are for the log.
func ExampleConfig_observe() {
	counts := map[string]int{}
	observe := func(_ context.Context, e ratelimit.Event) {
		counts[strings.Join([]string{e.Layer, e.Plan, e.Outcome, e.Reason}, "/")]++
		if e.Err != nil {
			fmt.Println(e.RequestID, e.Client, e.Err)
		}
	}
	l, err := ratelimit.New(ratelimit.Config[string]{
		Limit:     ratelimit.Limit{Burst: 2},
		Key:       func(r *http.Request) (string, bool) { return r.Host, true },
		Name:      "host",
		Observe:   observe,
		RequestID: func(*http.Request) string { return "7b1e" }, // a program returns the id of its trace
	})
	if err != nil {
		log.Fatal(err)
	}
	h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://a/", nil))
	}
	fmt.Println(counts)
	// Output:
	// 7b1e a ratelimit: rate limit exceeded: no wait helps: the cost is above the burst of 2, or the rate is 0
	// map[ratelimit/host/allowed/:2 ratelimit/host/refused/limited:1]
}

// A handler that calls Take or TakeAll itself answers by an Error with the decision.
func ExampleError() {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := b.Take(1); !d.OK {
			(&ratelimit.Error{Err: ratelimit.ErrLimited, Decision: d}).ServeHTTP(w, r)
			return
		}
		fmt.Fprint(w, "hello")
	})
	b.Allow() // the only token
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code, w.Body, w.Header().Get("Retry-After") != "")
	// Output: 429 {"message":"Too Many Requests"} true
}

func ExampleSetFields() {
	h := http.Header{}
	ratelimit.SetFields(h,
		ratelimit.Field{Name: "second", Quota: 10, Window: time.Second, Remaining: 9, Reset: 100 * time.Millisecond},
		ratelimit.Field{Name: "day", Quota: 1000, Window: 24 * time.Hour, Remaining: 400, Reset: 5 * time.Hour})
	fmt.Println(h.Get("RateLimit-Policy"))
	fmt.Println(h.Get("RateLimit"))
	// Output:
	// "second";q=10;w=1, "day";q=1000;w=86400
	// "second";r=9;t=1, "day";r=400;t=18000
}

// Two calls are two decisions: when the second limit refuses, the first has charged for nothing. [ratelimit.TakeAll] is
// one decision.
func Example_incorrectTwoTakes() {
	minute, err := ratelimit.NewBucket(ratelimit.Limit{Burst: 10})
	if err != nil {
		log.Fatal(err)
	}
	second, err := ratelimit.NewBucket(ratelimit.Limit{Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	admitted := 0
	for range 10 {
		if minute.Allow() && second.Allow() {
			admitted++
		}
	}
	fmt.Println(admitted, "admitted,", minute.Peek().Remaining, "left")
	// Output: 1 admitted, 0 left
}

// Peek before Take is a race: between them, others take. Take alone decides.
func Example_incorrectPeekThenTake() {
	b, err := ratelimit.NewBucket(ratelimit.Limit{Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	mine, theirs := b.Peek().OK, b.Peek().OK
	fmt.Println(mine, theirs, "but", b.Allow(), b.Allow())
	// Output: true true but true false
}

// A pace waits before each request that it sends, so that the server need not refuse any.
type pace struct {
	bucket *ratelimit.Bucket
	base   http.RoundTripper
}

func (p pace) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.bucket.Wait(r.Context(), 1); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes it, also on errors
		}
		return nil, err
	}
	return p.base.RoundTrip(r)
}

// On the client's side: an http.RoundTripper that waits.
func ExampleBucket_Wait() {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	bucket, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 50, Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: pace{bucket, http.DefaultTransport}}
	begin := time.Now()
	for range 3 {
		answer, err := client.Get(server.URL)
		if err != nil {
			log.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	fmt.Println(time.Since(begin) >= 40*time.Millisecond)

	slow, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	slow.Allow() // the next token comes in an hour
	client.Transport = pace{slow, http.DefaultTransport}
	client.Timeout = time.Minute // http.Client makes it the context's deadline, so the request fails at once
	_, err = client.Get(server.URL)
	fmt.Println(errors.Is(err, ratelimit.ErrLimited))
	// Output:
	// true
	// true
}

// What is reserved is used after its delay, or given back.
func ExampleBucket_Reserve() {
	bucket, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 0.5 / 3600, Burst: 1})
	if err != nil {
		log.Fatal(err)
	}
	bucket.Reserve(1)
	r, delay := bucket.Reserve(1)
	fmt.Println(delay.Round(time.Hour))
	r.Undo(1) // too late for us
	fmt.Println(bucket.Peek().RetryAfter.Round(time.Hour))
	// Output:
	// 2h0m0s
	// 2h0m0s
}

// A client may have two reports at once, and all clients together ten.
func ExampleInFlight() {
	reports, err := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{Limit: 2, Total: 10})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reports.Acquire("julianwood"), reports.Acquire("julianwood"), reports.Acquire("julianwood"))
	reports.Release("julianwood")
	fmt.Println(reports.Acquire("julianwood"))
	// Output:
	// true true false
	// true
}

// The mistake here is to release when the client leaves. The handler still runs, so more run than may. Handler releases
// when the inner handler returns or panics.
func ExampleInFlight_incorrect() {
	reports, err := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{Limit: 1})
	if err != nil {
		log.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	fmt.Println(reports.Acquire("julianwood"))
	released := make(chan bool)
	context.AfterFunc(ctx, func() { reports.Release("julianwood"); close(released) })
	leave() // the first report is still written
	<-released
	fmt.Println(reports.Acquire("julianwood"))
	// Output:
	// true
	// true
}
