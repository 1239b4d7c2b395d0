package ledgertest

import (
	"slices"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

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

// testPresentLimit: a true-up is decided by the limit of the last charge, not by that of the request's admission.
func testPresentLimit(t *testing.T, s ledger.Store) {
	charge := func(limit, used int64) {
		t.Helper()
		o := op(ledger.KindCharge, 1, 1)
		o.Limit = limit
		expect(t, s, o, 1, false, used, 0)
	}
	charge(10, 1)
	charge(15, 2)
	expect(t, s, op(ledger.KindTrueUp, 20, 0), 13, false, 15, 0)
	expect(t, s, op(ledger.KindRefund, 10, 0), 10, false, 5, 0)
	charge(7, 6)
	expect(t, s, op(ledger.KindTrueUp, 20, 0), 1, false, 7, 0)
	expect(t, s, op(ledger.KindTrueUp, 20, 0), 0, true, 7, 0)
	inForce := op(ledger.KindTrueUp, 20, 0)
	inForce.Limit, inForce.InForce = 9, true
	expect(t, s, inForce, 2, false, 9, 0)
	expect(t, s, op(ledger.KindRefund, 1, 0), 1, false, 8, 0)
	expect(t, s, op(ledger.KindTrueUp, 20, 0), 1, false, 9, 0) // the account knows the limit that was in force
}

// testUnits: limits and amounts up to [ledger.MaxUnits] count to the last unit.
func testUnits(t *testing.T, s ledger.Store) {
	for i, most := range []int64{ledger.MaxUnits, ledger.MaxUnits - 1, 1<<32 + 1} {
		with := func(kind ledger.Kind, want, least, spent int64) ledger.Op {
			o := op(kind, want, least)
			o.Account.Key, o.Limit, o.Lease, o.Spent = subject(i), most, uint64(i+1), spent
			return o
		}
		expect(t, s, with(ledger.KindCharge, most-1, most-1, 0), most-1, false, most-1, 0)
		expect(t, s, with(ledger.KindCharge, 2, 2, 0), 0, true, most-1, 0)
		expect(t, s, with(ledger.KindTrueUp, most, 0, 0), 1, false, most, 0)
		expect(t, s, with(ledger.KindRefund, most-1, 0, 0), most-1, false, 1, 0)
		expect(t, s, with(ledger.KindCorrect, most-1, 0, 0), most-1, false, most, 0)
		expect(t, s, with(ledger.KindCorrect, -most, 0, 0), -most, false, 0, 0)
		expect(t, s, with(ledger.KindReserve, most, 1, 0), most, false, most, most)
		expect(t, s, with(ledger.KindReturn, most, 0, most-2), 2, false, most-2, 0)
		expect(t, s, with(ledger.KindExtend, -most, 0, 0), -most, false, most-2, 0)
		expect(t, s, with(ledger.KindExtend, most-1, 0, 0), most-1, false, most-2, 0)
		expect(t, s, with(ledger.KindCharge, 1, 1, 0), 1, false, most-1, 0)
		expect(t, s, with(ledger.KindCharge, 1, 1, 0), 0, true, most-1, 0)
		list := states(t, s, subject(i))
		if len(list) != 1 || list[0].Totals != (ledger.Totals{Start: start, Day: start, Limit: most, Adjustments: -1, Used: most - 1}) ||
			!slices.Equal(list[0].Days, []ledger.DayTotal{{Day: start, Limit: most, Adjustments: -1, Used: most - 1}}) {
			t.Fatalf("limit %d: got %+v", most, list)
		}
	}
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
