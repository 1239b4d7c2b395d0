package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// testLedger runs two ledgers at once over one engine, until a quota of 300 is exhausted, and then two whose charges grow.
//
// Contract: "the ledger decides, and the engine makes the decision durable". So both together admit as much as the
// quota says.
//
// Finds: an engine that loses a row now and then. The ledgers get the engine itself, as it may also be an Owner or a
// Clock.
func testLedger(t *testing.T, e ledger.Engine) {
	e = e.(checked).Engine
	countWith(t, []ledger.Engine{e, e})
	growWith(t, []ledger.Engine{e, e})
}

// testSharedLedgers is [testLedger] with three ledgers, each over an engine of its own, as in three processes.
//
// Contract: the sentence of [testLedger], for all processes together.
//
// Finds: an engine whose processes do not see each other's rows. Then each of them admits the whole quota.
func testSharedLedgers(t *testing.T, open func() ledger.Engine) {
	engines := make([]ledger.Engine, 3)
	for i := range engines {
		e := open()
		defer e.Close()
		engines[i] = e.(checked).Engine
	}
	countWith(t, engines)
	growWith(t, engines)
}

// countWith runs a ledger over each engine, first in the mode that leases units and then in the exact one, until the
// quota is exhausted. As much is admitted as the quota says, and as much is counted as was admitted. A new ledger over
// each engine must tell that.
func countWith(t *testing.T, engines []ledger.Engine) {
	quota := ledger.Quota{Limit: 300, Period: ledger.Monthly}
	for _, exact := range []bool{false, true} {
		key := ledger.Key{Plan: "plan", Subject: fmt.Sprint("exact ", exact)}
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for _, e := range engines {
			wg.Go(func() {
				if err := takeAll(t.Context(), e, exact, key, quota, &admitted); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// One ledger may have been refused while another one held the rest, and returned it.
		if err := takeAll(t.Context(), engines[0], exact, key, quota, &admitted); err != nil {
			t.Error(err)
		}
		for _, e := range engines {
			b, err := balance(t.Context(), e, key, quota)
			if err != nil || admitted.Load() != quota.Limit || b.Used != quota.Limit || b.Remaining != 0 {
				t.Errorf("exact %v: admitted %d of %d; got balance %+v, %v", exact, admitted.Load(), quota.Limit, b, err)
			}
		}
	}
}

// takeAll takes units by four goroutines until none is left, and adds to admitted what it has kept. Each tenth one is
// given back, so that units also move the other way. It closes its ledger. That returns what is left of the leases, and
// the next caller finds it.
func takeAll(ctx context.Context, e ledger.Engine, exact bool, key ledger.Key, q ledger.Quota, admitted *atomic.Int64) error {
	l, err := ledger.New(ledger.Config{Engine: e, Exact: exact, Block: 16})
	if err != nil {
		return err
	}
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for n := 1; errs[i] == nil; n++ {
				charge, err := l.Take(ctx, key, q, 1)
				if errs[i] = err; err == nil && n%10 == 0 {
					errs[i] = charge.Settle(ctx, 0)
				} else if err == nil {
					admitted.Add(1)
				}
			}
			if errors.Is(errs[i], ledger.ErrExhausted) {
				errs[i] = nil
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, l.Close())...)
}

// balance is what a new ledger tells. It has nothing in memory, so the rows alone must tell it.
func balance(ctx context.Context, e ledger.Engine, key ledger.Key, q ledger.Quota) (ledger.Balance, error) {
	l, err := ledger.New(ledger.Config{Engine: e})
	if err != nil {
		return ledger.Balance{}, err
	}
	b, err := l.Balance(ctx, key, q)
	return b, errors.Join(err, l.Close())
}
