package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Test runs the suite. open returns a new, empty store each time; the suite closes it.
func Test(t *testing.T, open func(t *testing.T) ledger.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, ledger.Store)
	}{
		{"charge", testCharge},
		{"ids", testIDs},
		{"same id at once", testSameIDAtOnce},
		{"stale", testStale},
		{"lease", testLease},
		{"adjustments", testAdjustments},
		{"many adjustments", testManyAdjustments},
		{"kept", testKept},
		{"thresholds", testThresholds},
		{"accounts", testAccounts},
		{"like memory", testLikeMemory},
		{"contention", testContention},
		{"ledger", testLedger},
		{"context", testContext},
		{"closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			tt.run(t, s)
		})
	}
}

const day = 86400

var (
	key     = ledger.Key{Plan: "plan", Subject: "subject"}
	start   = int64(20_000 * day) // 2024-10-04
	account = ledger.Account{Key: key, Start: start}
)

// op is an operation on account with a limit of 10.
func op(kind ledger.Kind, want, least int64) ledger.Op {
	return ledger.Op{Kind: kind, Account: account, Day: start, Time: start + 1, Limit: 10, Want: want, Min: least}
}

func apply(t *testing.T, s ledger.Store, o ledger.Op) ledger.Outcome {
	t.Helper()
	outs, err := s.Apply(t.Context(), []ledger.Op{o})
	if err != nil || len(outs) != 1 {
		t.Fatalf("Apply(%v): got %d outcomes, %v", o.Kind, len(outs), err)
	}
	return outs[0]
}

// expect applies o and compares granted, refused, used and held.
func expect(t *testing.T, s ledger.Store, o ledger.Op, granted int64, refused bool, used, held int64) ledger.Outcome {
	t.Helper()
	out := apply(t, s, o)
	if out.Granted != granted || out.Refused != refused || out.Totals.Used != used || out.Totals.Held != held {
		t.Fatalf("%v want %d min %d: got granted %d, refused %v, used %d, held %d; want %d, %v, %d, %d",
			o.Kind, o.Want, o.Min, out.Granted, out.Refused, out.Totals.Used, out.Totals.Held, granted, refused, used, held)
	}
	return out
}

func testCharge(t *testing.T, s ledger.Store) {
	expect(t, s, op(ledger.KindRead, 0, 0), 0, false, 0, 0)
	expect(t, s, op(ledger.KindCharge, 7, 7), 7, false, 7, 0)
	expect(t, s, op(ledger.KindCharge, 4, 4), 0, true, 7, 0)
	expect(t, s, op(ledger.KindTrueUp, 4, 0), 3, false, 10, 0)
	expect(t, s, op(ledger.KindTrueUp, 4, 0), 0, true, 10, 0)
	expect(t, s, op(ledger.KindRefund, 2, 0), 2, false, 8, 0)
	forced := op(ledger.KindTrueUp, 5, 0)
	forced.Force = true
	expect(t, s, forced, 5, false, 13, 0)
	raised := op(ledger.KindCharge, 2, 2)
	raised.Limit = 15
	expect(t, s, raised, 2, false, 15, 0)
	expect(t, s, op(ledger.KindRefund, 20, 0), 15, false, 0, 0)
}

func testIDs(t *testing.T, s ledger.Store) {
	o := op(ledger.KindCharge, 3, 3)
	o.ID = "a"
	expect(t, s, o, 3, false, 3, 0)
	for range 3 {
		if out := expect(t, s, o, 3, false, 3, 0); !out.Replayed {
			t.Fatal("a repeated id is not told as replayed")
		}
	}
	b := op(ledger.KindRefund, 1, 0)
	b.ID = "b"
	outs, err := s.Apply(t.Context(), []ledger.Op{b, b, o})
	if err != nil || outs[0].Replayed || !outs[1].Replayed || !outs[2].Replayed || outs[2].Totals.Used != 2 {
		t.Fatalf("ids repeated within a batch: got %+v, %v", outs, err)
	}
	for i := range ledger.RecentIDs/1000 + 2 {
		batch := make([]ledger.Op, 1000)
		for j := range batch {
			batch[j] = op(ledger.KindCharge, 1, 1)
			batch[j].Limit, batch[j].ID = 1<<40, fmt.Sprint("id", i*1000+j)
		}
		if _, err := s.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	old := op(ledger.KindCharge, 1, 1)
	old.Limit, old.ID = 1<<40, fmt.Sprint("id", (ledger.RecentIDs/1000+2)*1000-ledger.RecentIDs)
	if out := apply(t, s, old); !out.Replayed {
		t.Fatalf("an id is forgotten after %d others", ledger.RecentIDs-1)
	}
}

func testSameIDAtOnce(t *testing.T, s ledger.Store) {
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			o := op(ledger.KindCharge, 3, 3)
			o.ID = "same"
			outs, err := s.Apply(context.Background(), []ledger.Op{o})
			if err != nil || outs[0].Granted != 3 {
				t.Errorf("got %+v, %v", outs, err)
				return
			}
			if !outs[0].Replayed {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Fatalf("applied %d times", fresh.Load())
	}
	expect(t, s, op(ledger.KindRead, 0, 0), 0, false, 3, 0)
}

func testStale(t *testing.T, s ledger.Store) {
	expect(t, s, op(ledger.KindCharge, 3, 3), 3, false, 3, 0)
	next := op(ledger.KindCharge, 1, 1)
	next.Account.Start, next.Day = start+day, start+day
	expect(t, s, next, 1, false, 1, 0)
	for _, kind := range []ledger.Kind{ledger.KindRead, ledger.KindCharge, ledger.KindReserve, ledger.KindExtend, ledger.KindCorrect} {
		o := op(kind, 1, 1)
		o.Lease = 1
		if out := apply(t, s, o); !out.Stale || out.Granted != 0 || out.Totals.Start != start+day || out.Totals.Used != 1 {
			t.Fatalf("%v on an older account: got %+v", kind, out)
		}
	}
	expect(t, s, op(ledger.KindRefund, 1, 0), 1, false, 2, 0)
	expect(t, s, op(ledger.KindTrueUp, 5, 0), 5, false, 7, 0)
	other := op(ledger.KindCharge, 1, 1)
	other.Account.Subject = "other"
	expect(t, s, other, 1, false, 1, 0)
}

func testLease(t *testing.T, s ledger.Store) {
	lease := func(kind ledger.Kind, id uint64, want, least, spent int64) ledger.Op {
		o := op(kind, want, least)
		o.Lease, o.Spent = id, spent
		return o
	}
	expect(t, s, lease(ledger.KindReserve, 1, 6, 1, 0), 6, false, 6, 6)
	expect(t, s, lease(ledger.KindReserve, 2, 6, 1, 0), 4, false, 10, 10)
	expect(t, s, lease(ledger.KindReserve, 2, 6, 1, 0), 0, true, 10, 10)
	expect(t, s, lease(ledger.KindReserve, 2, 6, 0, 3), 0, true, 10, 10) // refused: not reported either
	expect(t, s, lease(ledger.KindReport, 1, 0, 0, 2), 0, false, 10, 8)
	expect(t, s, lease(ledger.KindReturn, 1, 100, 0, 4), 2, false, 8, 4)
	expect(t, s, lease(ledger.KindReturn, 1, 100, 0, 4), 0, true, 8, 4)
	expect(t, s, lease(ledger.KindReserve, 2, 6, 1, 1), 2, false, 10, 5)
	expect(t, s, lease(ledger.KindReturn, 2, 0, 0, 1), 0, false, 10, 5) // the rest is lost: it counts, but not as used
	expect(t, s, op(ledger.KindCharge, 1, 1), 0, true, 10, 5)
}

func testAdjustments(t *testing.T, s ledger.Store) {
	expect(t, s, op(ledger.KindCharge, 10, 10), 10, false, 10, 0)
	extend := op(ledger.KindExtend, 5, 0)
	extend.ID, extend.Reason, extend.Actor = "e", "reason", "actor"
	if out := apply(t, s, extend); out.Granted != 5 || out.Totals.Adjustments != 5 {
		t.Fatalf("extend: got %+v", out)
	}
	expect(t, s, op(ledger.KindCharge, 5, 5), 5, false, 15, 0)
	expect(t, s, op(ledger.KindCorrect, -16, 0), 0, true, 15, 0)
	expect(t, s, op(ledger.KindCorrect, -15, 0), -15, false, 0, 0)
	expect(t, s, op(ledger.KindCorrect, 20, 0), 20, false, 20, 0)
	extend.Account.Start += day
	extend.Day += day
	next := extend
	next.Kind, next.ID, next.Want, next.Min = ledger.KindCharge, "", 1, 1
	expect(t, s, next, 1, false, 1, 0)
	if out := apply(t, s, extend); !out.Replayed || out.Granted != 5 || out.Totals.Adjustments != 0 {
		t.Fatalf("an extension repeated in the next period: got %+v", out)
	}
	other := extend
	other.Want++
	if out := apply(t, s, other); !out.Refused || out.Replayed {
		t.Fatalf("another amount under the id of an extension: got %+v", out)
	}
	other.Kind, other.Want = ledger.KindCorrect, extend.Want
	if out := apply(t, s, other); !out.Refused || out.Replayed {
		t.Fatalf("a correction under the id of an extension: got %+v", out)
	}
	huge := op(ledger.KindExtend, ledger.MaxUnits, 0)
	huge.Account.Start, huge.Day = extend.Account.Start, extend.Day
	if out := apply(t, s, huge); out.Refused {
		t.Fatalf("got %+v", out)
	}
	if out := apply(t, s, huge); !out.Refused {
		t.Fatalf("extensions beyond the bound: got %+v", out)
	}
}

// testManyAdjustments: an account remembers the ids of its last 256 adjustments.
func testManyAdjustments(t *testing.T, s ledger.Store) {
	for i := range 256 {
		for range 2 {
			o := op(ledger.KindExtend, 1, 0)
			o.ID = fmt.Sprint("gift", i)
			if out := apply(t, s, o); out.Totals.Adjustments != int64(i)+1 {
				t.Fatalf("extension %d: got %+v", i, out)
			}
		}
	}
	first := op(ledger.KindExtend, 1, 0)
	first.ID = "gift0"
	if out := apply(t, s, first); !out.Replayed || out.Totals.Adjustments != 256 {
		t.Fatalf("an id is forgotten after 255 others: got %+v", out)
	}
}

// testKept: the engine keeps neither the operations nor what it returns.
func testKept(t *testing.T, s ledger.Store) {
	ops := []ledger.Op{op(ledger.KindCharge, 3, 3), op(ledger.KindReserve, 2, 2), op(ledger.KindExtend, 1, 0)}
	ops[0].ID, ops[1].Lease, ops[2].ID = "kept", 7, "gift"
	outs, err := s.Apply(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	clear(ops)
	clear(outs)
	for _, state := range states(t, s, key) {
		clear(state.Days)
		clear(state.Leases)
		clear(state.Applied)
	}
	list := states(t, s, key)
	if len(list) != 1 || list[0].Used != 5 || len(list[0].Days) != 1 || list[0].Days[0].Used != 5 ||
		len(list[0].Leases) != 1 || list[0].Leases[0].ID != 7 || len(list[0].Applied) != 1 || list[0].Applied[0].ID != "gift" {
		t.Fatalf("after the caller's copies were cleared: got %+v", list)
	}
}

func testThresholds(t *testing.T, s ledger.Store) {
	with := func(o ledger.Op) ledger.Op {
		o.Limit, o.Thresholds = 100, []int{50, 100}
		return o
	}
	crossed := func(o ledger.Op, granted int64, want ledger.Percents) {
		t.Helper()
		if out := apply(t, s, o); out.Granted != granted || out.Totals.Crossed != want {
			t.Fatalf("%v: got %d, crossed %v; want %d, %v", o.Kind, out.Granted, out.Totals.Crossed, granted, want)
		}
	}
	none, half := ledger.Percents{}, ledger.Percents{}.With(50)
	reserve := with(op(ledger.KindReserve, 80, 1))
	reserve.Lease = 1
	crossed(reserve, 49, none)
	crossed(reserve, 1, half)
	crossed(reserve, 49, half)
	crossed(with(op(ledger.KindRefund, 60, 0)), 0, half) // nothing but leases to take from
	crossed(with(op(ledger.KindCharge, 1, 1)), 1, half.With(100))
	tell := with(op(ledger.KindTell, 50, 0))
	if out := apply(t, s, tell); out.Refused || out.Totals.Told != half {
		t.Fatalf("tell: got %+v", out)
	}
	if out := apply(t, s, tell); !out.Refused {
		t.Fatalf("told twice: got %+v", out)
	}
	lowered := op(ledger.KindCharge, 1, 1)
	lowered.ID, lowered.Limit, lowered.Thresholds = "lowered", 90, []int{50, 110}
	for range 2 { // a refusal is repeated, not remembered
		out := apply(t, s, lowered)
		if !out.Refused || out.Replayed || out.Totals.Used != 100 || out.Totals.Crossed != half.With(100).With(110) {
			t.Fatalf("refused by a lowered limit: got %+v", out)
		}
	}
}

func testAccounts(t *testing.T, s ledger.Store) {
	for i := range int64(5) {
		o := op(ledger.KindCharge, i+1, 1)
		o.Account.Start, o.Day = start+i*7*day, start+(i*7+i)*day
		expect(t, s, o, i+1, false, i+1, 0)
	}
	var got []int64
	for state, err := range s.Accounts(t.Context(), key, start+8*day, start+24*day) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, state.Used)
		if len(state.Days) != 1 || state.Days[0].Used != state.Used || state.Days[0].Limit != 10 {
			t.Fatalf("days: got %+v", state.Days)
		}
		apply(t, s, op(ledger.KindRead, 0, 0)) // the store may be used meanwhile
		state.Days[0].Used = 99
	}
	if !reflect.DeepEqual(got, []int64{2, 3, 4}) {
		t.Fatalf("accounts with days in range: got used %v", got)
	}
	for state := range s.Accounts(t.Context(), key, 0, 1<<40) {
		if state.Days[0].Used == 99 {
			t.Fatal("a yielded state is not the caller's own")
		}
	}
	for state, err := range s.Accounts(t.Context(), ledger.Key{Plan: "pla", Subject: "nsubject"}, 0, 1<<40) {
		t.Fatalf("another key: got %+v, %v", state, err)
	}
}

// testLikeMemory compares with the engine in memory, over random operations.
func testLikeMemory(t *testing.T, s ledger.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	twin := ledger.NewMemory()
	for range 100 {
		batch := make([]ledger.Op, 1+r.IntN(60))
		for i := range batch {
			batch[i] = random(r)
		}
		got, err := s.Apply(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := twin.Apply(t.Context(), batch)
		for i := range batch {
			if got[i] != want[i] {
				t.Fatalf("%+v:\ngot  %+v\nwant %+v", batch[i], got[i], want[i])
			}
		}
	}
	for i := range 3 {
		k := subject(i)
		if got, want := states(t, s, k), states(t, twin, k); !reflect.DeepEqual(got, want) {
			t.Fatalf("accounts of %v:\ngot  %+v\nwant %+v", k, got, want)
		}
	}
	testEntries(t, s)
}

func subject(i int) ledger.Key { return ledger.Key{Plan: "plan", Subject: fmt.Sprint("subject", i)} }

func random(r *rand.Rand) ledger.Op {
	o := op(ledger.Kind(r.IntN(int(ledger.KindTell)+1)), r.Int64N(20), 0)
	o.Account.Key = subject(r.IntN(3))
	o.Account.Start += r.Int64N(4) * day
	o.Day = o.Account.Start + r.Int64N(3)*day
	o.Limit = 50 + r.Int64N(2)*1000
	o.Thresholds = []int{50, 100}
	if r.IntN(2) == 0 {
		o.ID = fmt.Sprint(r.IntN(200))
	}
	switch o.Kind {
	case ledger.KindCharge:
		o.Min = o.Want
	case ledger.KindReserve, ledger.KindReport, ledger.KindReturn:
		o.Lease, o.Spent = uint64(1+r.IntN(4)), r.Int64N(5)-1
	case ledger.KindExtend, ledger.KindCorrect:
		o.Want -= 8
		o.Reason, o.Actor = "reason", "actor"
	case ledger.KindTell:
		o.Want = 50
	}
	return o
}

func states(t *testing.T, s ledger.Store, k ledger.Key) (list []ledger.State) {
	t.Helper()
	for state, err := range s.Accounts(t.Context(), k, 0, 1<<40) {
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Leases) == 0 {
			state.Leases = nil
		}
		if len(state.Applied) == 0 {
			state.Applied = nil
		}
		list = append(list, state)
	}
	return list
}

// testEntries: if the engine shows its entries, the accounts are what they add up to.
func testEntries(t *testing.T, s ledger.Store) {
	a, ok := s.(ledger.Auditor)
	if !ok {
		return
	}
	fold := make(map[ledger.Key]*ledger.History)
	last := uint64(0)
	for e, err := range a.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq <= last {
			t.Fatalf("entry %d after %d", e.Seq, last)
		}
		last = e.Seq
		h := fold[e.Account.Key]
		if h == nil {
			h = new(ledger.History)
			fold[e.Account.Key] = h
		}
		h.Replay(&e)
	}
	for k, h := range fold {
		for i, state := range states(t, s, k) {
			want := (*h)[i].Clone()
			if state.Totals != want.Totals || !reflect.DeepEqual(state.Days, want.Days) {
				t.Fatalf("fold of the entries of %v:\ngot  %+v\nwant %+v", k, state, want)
			}
		}
	}
	for e := range a.Entries(t.Context(), last-1) {
		if e.Seq != last {
			t.Fatalf("entries after %d begin with %d", last-1, e.Seq)
		}
	}
}

func testContention(t *testing.T, s ledger.Store) {
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				o := op(ledger.KindCharge, 1, 1)
				o.Limit = 100
				outs, err := s.Apply(context.Background(), []ledger.Op{o, o})
				if err != nil {
					t.Error(err)
					return
				}
				granted.Add(outs[0].Granted + outs[1].Granted)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 100 {
		t.Fatalf("granted %d of 100", granted.Load())
	}
}

// testLedger runs a ledger over the store, in both modes.
func testLedger(t *testing.T, s ledger.Store) {
	for i, mode := range []ledger.Mode{ledger.Leased, ledger.Exact} {
		l, err := ledger.New(ledger.Config{Store: s, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		q := ledger.Quota{Limit: 500, Period: ledger.Monthly}
		var granted atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for n := range 100 {
					c, err := l.Take(context.Background(), subject(i), q, 1)
					if errors.Is(err, ledger.ErrExhausted) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					granted.Add(1)
					if n%10 == 0 {
						if err := c.Settle(context.Background(), 0); err != nil {
							t.Error(err)
						}
						granted.Add(-1)
					}
				}
			})
		}
		wg.Wait()
		for range 500 { // what a refund left over
			if _, err := l.Take(t.Context(), subject(i), q, 1); err == nil {
				granted.Add(1)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if granted.Load() != 500 {
			t.Fatalf("mode %d granted %d of 500", mode, granted.Load())
		}
		for _, state := range states(t, s, subject(i)) {
			if state.Used != 500 || state.Held != 0 || state.Leases != nil {
				t.Fatalf("mode %d left %+v", mode, state)
			}
		}
	}
}

func testContext(t *testing.T, s ledger.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, []ledger.Op{op(ledger.KindCharge, 1, 1)}); err == nil {
		t.Fatal("a context that has ended is ignored")
	}
	expect(t, s, op(ledger.KindRead, 0, 0), 0, false, 0, 0)
}

func testClosed(t *testing.T, s ledger.Store) {
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatalf("close twice: %v", err)
	}
	if _, err := s.Apply(t.Context(), []ledger.Op{op(ledger.KindRead, 0, 0)}); err == nil {
		t.Fatal("Apply after Close: no error")
	}
	for _, err := range s.Accounts(t.Context(), key, 0, 1) {
		if err != nil {
			return
		}
	}
	t.Fatal("Accounts after Close: no error")
}
