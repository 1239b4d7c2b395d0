package ledgertest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

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

// testBatches: nobody sees the middle of a batch. Each charges one unit of two keys, in turn, fifty times.
func testBatches(t *testing.T, s ledger.Store) {
	reads, charges := make([]ledger.Op, 2), make([]ledger.Op, 100)
	for i := range reads {
		reads[i].Account = ledger.Account{Key: subject(i), Start: start}
	}
	for i := range charges {
		charges[i] = op(ledger.KindCharge, 1, 1)
		charges[i].Account.Key, charges[i].Limit = subject(i%2), 1<<40
	}
	var wg sync.WaitGroup
	var done atomic.Bool
	for range 3 {
		wg.Go(func() {
			for !done.Load() {
				seeWhole(t, s, reads)
			}
		})
	}
	for range 100 {
		if _, err := s.Apply(t.Context(), charges); err != nil {
			t.Error(err)
		}
		runtime.Gosched()
	}
	done.Store(true)
	wg.Wait()
}

func seeWhole(t *testing.T, s ledger.Store, reads []ledger.Op) {
	outs, err := s.Apply(context.Background(), reads)
	if err != nil || outs[0].Totals.Used%50 != 0 || outs[0].Totals.Used != outs[1].Totals.Used {
		t.Errorf("between batches of 50 and 50: got %+v, %v", outs, err)
	}
	for state, err := range s.Accounts(context.Background(), reads[0].Account.Key, 0, 1<<40) {
		if err != nil || state.Used%50 != 0 || state.Days[0].Used%50 != 0 {
			t.Errorf("between batches of 50: got %+v, %v", state, err)
		}
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
