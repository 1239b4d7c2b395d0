package ledgertest

import (
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
		{"present limit", testPresentLimit},
		{"units", testUnits},
		{"lease", testLease},
		{"thresholds", testThresholds},
		{"ids", testIDs},
		{"same id at once", testSameIDAtOnce},
		{"adjustments", testAdjustments},
		{"many adjustments", testManyAdjustments},
		{"lookalike ids", testLookalikeIDs},
		{"lookalike keys", testLookalikeKeys},
		{"stale", testStale},
		{"accounts", testAccounts},
		{"epoch", testEpoch},
		{"kept", testKept},
		{"like memory", testLikeMemory},
		{"contention", testContention},
		{"batches", testBatches},
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

func states(t *testing.T, s ledger.Store, k ledger.Key) (list []ledger.State) {
	t.Helper()
	for state, err := range s.Accounts(t.Context(), k, -1<<40, 1<<40) {
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
