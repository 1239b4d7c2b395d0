package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A customer with two units a day.
func Example() {
	l, err := ledger.New(ledger.Config{Store: ledger.NewMemory()})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	customer := ledger.Key{Plan: "basic", Subject: "ann"}
	quota := ledger.Quota{Limit: 2, Period: ledger.Daily}
	for range 3 {
		charge, err := l.Take(context.Background(), customer, quota, 1)
		if errors.Is(err, ledger.ErrExhausted) {
			fmt.Println("429:", err)
			continue
		}
		fmt.Println("200, remaining:", charge.Balance().Remaining)
	}
	// Output:
	// 200, remaining: 1
	// 200, remaining: 0
	// 429: ledger: quota exhausted
}

var (
	ctx      = context.Background()
	customer = ledger.Key{Plan: "basic", Subject: "ann"}
	monthly  = ledger.Quota{Limit: 100, Period: ledger.Monthly}
)

func open() *ledger.Ledger {
	l, err := ledger.New(ledger.Config{Store: ledger.NewMemory()})
	if err != nil {
		panic(err)
	}
	return l
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

func ExampleQuota_Bounds() {
	q := ledger.Quota{Limit: 1000, Period: ledger.Monthly, Offset: 14} // from the 15th
	start, end := q.Bounds(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	fmt.Println(start.Format(time.DateOnly), end.Format(time.DateOnly))
	// Output: 2026-02-15 2026-03-15
}

// Asking for the balance first and taking afterwards lets two requests share the last unit. Take decides and counts in one.
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
	// right: <nil> / ledger: quota exhausted
}
