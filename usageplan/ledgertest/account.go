package ledgertest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

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
	later := next
	later.Day += 2 * day // the same account, as of a weekly quota
	expect(t, s, later, 1, false, 2, 0)
	for _, kind := range []ledger.Kind{ledger.KindRead, ledger.KindCharge, ledger.KindReserve, ledger.KindExtend, ledger.KindCorrect} {
		o := next
		o.Kind, o.Day, o.Lease = kind, later.Day-day, 2
		if out := apply(t, s, o); !out.Stale || out.Granted != 0 || out.Totals.Day != later.Day || out.Totals.Used != 2 {
			t.Fatalf("%v on an older day: got %+v", kind, out)
		}
	}
	for _, kind := range []ledger.Kind{ledger.KindRead, ledger.KindCharge, ledger.KindReserve, ledger.KindExtend, ledger.KindCorrect} {
		o := op(kind, 1, 1) // a new account, as of a quota with a shorter period, would begin on an older day
		o.Account.Start, o.Day, o.Lease = start+2*day, start+2*day, 3
		if out := apply(t, s, o); !out.Stale || out.Granted != 0 || out.Totals.Start != start+day || out.Totals.Day != later.Day {
			t.Fatalf("%v of a newer account, on an older day: got %+v", kind, out)
		}
	}
	expect(t, s, op(ledger.KindRefund, 1, 0), 1, false, 2, 0)
	expect(t, s, op(ledger.KindTrueUp, 5, 0), 5, false, 7, 0)
	other := op(ledger.KindCharge, 1, 1)
	other.Account.Subject = "other"
	expect(t, s, other, 1, false, 1, 0)
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

// testKept: the engine keeps neither the operations nor what it returns.
func testKept(t *testing.T, s ledger.Store) {
	const lease = 1<<63 + 1 // neither a signed number nor a floating one
	ops := []ledger.Op{op(ledger.KindCharge, 3, 3), op(ledger.KindReserve, 2, 2), op(ledger.KindExtend, 1, 0)}
	ops[0].ID, ops[1].Lease, ops[2].ID = "kept", lease, "gift"
	outs, err := s.Apply(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(outs)
	read := op(ledger.KindRead, 0, 0)
	if _, err := s.Apply(t.Context(), []ledger.Op{read, read, read}); err != nil || !slices.Equal(outs, before) {
		t.Fatalf("after a further call: got %+v, %v; want %+v", outs, err, before)
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
		len(list[0].Leases) != 1 || list[0].Leases[0].ID != lease || len(list[0].Applied) != 1 || list[0].Applied[0].ID != "gift" {
		t.Fatalf("after the caller's copies were cleared: got %+v", list)
	}
}

// testEpoch: the week of the epoch begins before it, and another one before that.
func testEpoch(t *testing.T, s ledger.Store) {
	for i := range int64(3) { // 1969-12-22, 1969-12-29 and 1970-01-05
		o := op(ledger.KindCharge, i+1, 1)
		o.Account.Start = (i*7 - 10) * day
		o.Day, o.Time = o.Account.Start, o.Account.Start+1
		expect(t, s, o, i+1, false, i+1, 0)
	}
	list := states(t, s, key)
	if len(list) != 3 || list[0].Start != -10*day || list[1].Start != -3*day || list[2].Start != 4*day {
		t.Fatalf("got %+v", list)
	}
	for state, err := range s.Accounts(t.Context(), key, -10*day+1, 4*day-1) {
		if err != nil || state.Start != -3*day || state.Used != 2 {
			t.Fatalf("the week of the epoch: got %+v, %v", state, err)
		}
	}
}
