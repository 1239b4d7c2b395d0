package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// testLikeMemory compares with the engine in memory, over random operations.
func testLikeMemory(t *testing.T, s ledger.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	twin := ledger.NewOldMemory()
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
		if e.Kind.Adjusts() && (e.Reason != "reason" || e.Actor != "actor") {
			t.Fatalf("entry without its reason and actor: got %+v", e)
		}
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
