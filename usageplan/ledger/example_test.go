package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A customer with two units a month.
func Example() {
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	customer := ledger.Key{Plan: "basic", Subject: "ann"}
	quota := ledger.Quota{Limit: 2, Period: ledger.Monthly}
	for range 3 {
		charge, err := l.Take(context.Background(), customer, quota, 1)
		switch {
		case errors.Is(err, ledger.ErrExhausted):
			fmt.Println("429:", err)
		case err != nil:
			fmt.Println("503:", err)
		default:
			fmt.Println("200, remaining:", charge.Balance().Remaining)
		}
	}
	// Output:
	// 200, remaining: 1
	// 200, remaining: 0
	// 429: ledger: quota exhausted: 0 left of 2
}

var (
	ctx      = context.Background()
	customer = ledger.Key{Plan: "basic", Subject: "ann"}
	monthly  = ledger.Quota{Limit: 100, Period: ledger.Monthly}
)

func open() *ledger.Ledger {
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	if err != nil {
		panic(err)
	}
	return l
}

// Operation and Reason are words for the labels of a metric. The account is for logs.
func ExampleConfig_observe() {
	units := make(map[string]int64)
	l, err := ledger.New(ledger.Config{
		Engine: ledger.NewMemory(),
		Observe: func(_ context.Context, e ledger.Event) {
			units["granted by "+e.Operation] += e.Granted
			units["spent by "+e.Operation] += e.Spent
			units["returned by "+e.Operation] += e.Returned
			if e.Err != nil {
				log.Print(e.Operation, " ", e.Account, " ", e.Duration, " ", e.Err)
			}
		},
	})
	if err != nil {
		panic(err)
	}
	for range 5 {
		if _, err := l.Take(ctx, customer, monthly, 1); err != nil {
			panic(err)
		}
	}
	fmt.Println("a lease holds", l.Stats().Reserved)
	if err := l.Close(); err != nil {
		panic(err)
	}
	fmt.Println("granted", units["granted by reserve"])
	fmt.Println("spent", units["spent by return"], "and returned", units["returned by return"])
	// Output:
	// a lease holds 16
	// granted 16
	// spent 5 and returned 11
}

// Who takes for the same key again and again names it once, and may share one reading of the clock with other limits.
func ExampleRef_TakeAt() {
	l := open()
	defer l.Close()
	ann, err := l.Ref(customer)
	if err != nil {
		panic(err)
	}
	for range 2 {
		charge, err := ann.TakeAt(ctx, time.Now(), monthly, 1)
		fmt.Println(charge.Balance().Remaining, err)
	}
	// Output:
	// 99 <nil>
	// 98 <nil>
}

// A request that fails is given back.
func ExampleCharge_Settle() {
	l := open()
	defer l.Close()
	failed, _ := l.Take(ctx, customer, monthly, 5)
	partial, _ := l.Take(ctx, customer, monthly, 5)
	_ = failed.Settle(ctx, 0)
	_ = partial.Settle(ctx, 2)
	b, _ := l.Balance(ctx, customer, monthly)
	fmt.Println(b.Used, b.Remaining)
	// Output: 2 98
}

// A request that has cost more than was taken. By default only what is left is counted.
func ExampleCharge_Settle_more() {
	for _, overdraw := range []bool{false, true} {
		l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), AllowOverdraw: overdraw})
		if err != nil {
			panic(err)
		}
		charge, _ := l.Take(ctx, customer, monthly, 90)
		err = charge.Settle(ctx, 120)
		b, _ := l.Balance(ctx, customer, monthly)
		fmt.Println(b.Used, b.Remaining, errors.Is(err, ledger.ErrForgiven))
		_ = l.Close()
	}
	// Output:
	// 100 0 true
	// 120 0 false
}

// A stream that is cut at the limit. Its charge grows part by part; at the end it is settled with what was sent.
func ExampleCharge_More() {
	l := open()
	defer l.Close()
	charge, err := l.TakeUpTo(ctx, customer, monthly, 1, 40)
	if err != nil {
		panic(err)
	}
	sent := int64(0)
	for _, part := range []int64{30, 30, 30, 30} {
		if need := sent + part - charge.Units(); need > 0 {
			if err := charge.More(ctx, need); err != nil {
				fmt.Println("cut after", sent, "units:", errors.Is(err, ledger.ErrExhausted))
				break
			}
		}
		sent += part
	}
	if err := charge.Settle(ctx, sent); err != nil {
		panic(err)
	}
	fmt.Println("remaining:", charge.Balance().Remaining)
	// Output:
	// cut after 90 units: true
	// remaining: 10
}

// TakeUpTo takes what is left, up to what the request may need.
func ExampleLedger_TakeUpTo() {
	l := open()
	defer l.Close()
	for range 3 {
		charge, err := l.TakeUpTo(ctx, customer, monthly, 10, 60)
		fmt.Println(charge.Units(), errors.Is(err, ledger.ErrExhausted))
	}
	// Output:
	// 60 false
	// 40 false
	// 0 true
}

// In a handler: 429 with the time of the next period, 503 if it cannot be counted, and failed requests are given back.
func ExampleLedger_Take() {
	l := open()
	defer l.Close()
	serve := func(w http.ResponseWriter, r *http.Request) (ok bool) { return r.URL.Path != "/fails" }
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charge, err := l.Take(r.Context(), customer, ledger.Quota{Limit: 2, Period: ledger.Monthly}, 1)
		if e, is := errors.AsType[*ledger.Error](err); is && errors.Is(err, ledger.ErrExhausted) {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(time.Until(e.Balance.Reset).Seconds()))))
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if !serve(w, r) {
			_ = charge.Settle(r.Context(), 0) // made good later if it fails
		}
	})
	for _, path := range []string{"/fails", "/", "/", "/"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(path, w.Code, w.Header().Get("Retry-After") != "")
	}
	// Output:
	// /fails 200 false
	// / 200 false
	// / 200 false
	// / 429 true
}

// Every decision durable, and somebody told when 80 % are used.
func ExampleConfig() {
	l, err := ledger.New(ledger.Config{
		Engine: ledger.NewMemory(), // boltstore.Open for what shall last
		Exact:  true, Thresholds: []int{80},
		OnThreshold: func(c ledger.Crossing) { fmt.Println(c.Account.Subject, c.Percent, "%:", c.Used, "of", c.Limit) },
	})
	if err != nil {
		panic(err)
	}
	for range 90 {
		_, _ = l.Take(ctx, customer, monthly, 1)
	}
	_ = l.Close() // waits for OnThreshold
	// Output: ann 80 %: 80 of 100
}

// Of two leased ledgers over one engine, one may refuse what the other holds. Close gives it back, and so does the end
// of the day; exact ledgers do not hold anything. The other notices at once here, and within a second by default.
func Example_twoLedgers() {
	engine := ledger.NewMemory()
	one, _ := ledger.New(ledger.Config{Engine: engine, Block: 8, Stale: -1})
	two, _ := ledger.New(ledger.Config{Engine: engine, Block: 8, Stale: -1})
	granted := 0
	take := func(l *ledger.Ledger) (err error) {
		if _, err = l.Take(ctx, customer, monthly, 1); err == nil {
			granted++
		}
		return err
	}
	_ = take(one) // and seven more are reserved
	for take(two) == nil {
	}
	fmt.Println(granted)
	_ = one.Close()
	for take(two) == nil {
	}
	fmt.Println(granted)
	_ = two.Close()
	// Output:
	// 93
	// 100
}

// A temporary extension, retried under its ID.
func ExampleLedger_Extend() {
	l := open()
	defer l.Close()
	gift := ledger.Adjustment{ID: "ticket-812", Delta: 50, Reason: "outage on Monday", Actor: "support/bo"}
	for range 2 {
		b, err := l.Extend(ctx, customer, monthly, gift)
		fmt.Println(b.Limit, b.Adjustments, b.Remaining, err)
	}
	// Output:
	// 100 50 150 <nil>
	// 100 50 150 <nil>
}

// Requests that were counted by mistake are taken off.
func ExampleLedger_Correct() {
	l := open()
	defer l.Close()
	_, _ = l.Take(ctx, customer, monthly, 10)
	b, _ := l.Correct(ctx, customer, monthly, ledger.Adjustment{Delta: -4, Reason: "probe", Actor: "ops"})
	fmt.Println(b.Used, b.Remaining)
	_, err := l.Correct(ctx, customer, monthly, ledger.Adjustment{Delta: -7})
	fmt.Println(errors.Is(err, ledger.ErrAdjustment))
	// Output:
	// 6 94
	// true
}

func ExampleLedger_Usage() {
	l := open()
	defer l.Close()
	_, _ = l.Take(ctx, customer, monthly, 10)
	today := time.Now()
	for day, err := range l.Usage(ctx, customer, monthly, today, today) {
		fmt.Println(day.Used, day.Remaining, err)
	}
	// Output: 10 90 <nil>
}

// The arguments of a deferred call are evaluated at once: what the request has cost is not known yet.
func Example_incorrectDeferSettle() {
	l := open()
	defer l.Close()
	serve := func() (actual int64) { return 5 }

	func() {
		charge, _ := l.Take(ctx, customer, monthly, 10)
		var actual int64
		defer charge.Settle(ctx, actual) // gives all back
		actual = serve()
	}()
	b, _ := l.Balance(ctx, customer, monthly)
	fmt.Println("wrong:", b.Used)

	func() {
		charge, _ := l.Take(ctx, customer, monthly, 10)
		var actual int64
		defer func() { _ = charge.Settle(ctx, actual) }()
		actual = serve()
	}()
	b, _ = l.Balance(ctx, customer, monthly)
	fmt.Println("right:", b.Used)
	// Output:
	// wrong: 0
	// right: 5
}

// Asking for the balance first and taking afterwards lets two requests share the last unit. Take decides and counts in
// one.
func Example_incorrectCheckThenTake() {
	l := open()
	defer l.Close()
	one := ledger.Quota{Limit: 1, Period: ledger.Daily}

	first, _ := l.Balance(ctx, customer, one)
	second, _ := l.Balance(ctx, customer, one)
	fmt.Println("wrong, both see:", first.Remaining, second.Remaining)

	_, err := l.Take(ctx, customer, one, 1)
	_, err2 := l.Take(ctx, customer, one, 1)
	fmt.Println("right:", err, "/", err2)
	// Output:
	// wrong, both see: 1 1
	// right: <nil> / ledger: quota exhausted: 0 left of 1
}
