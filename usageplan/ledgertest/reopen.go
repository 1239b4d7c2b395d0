package ledgertest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestReopen is for engines that outlive the process. open opens the store at place, a name that is unique to the test,
// which it makes if there is none; the suite closes it and opens it again.
func TestReopen(t *testing.T, open func(t *testing.T, place string) ledger.Store) {
	t.Run("accounts", func(t *testing.T) { testKeeps(t, open) })
	t.Run("lookalikes", func(t *testing.T) { testKeepsLookalikes(t, open) })
	t.Run("leases", func(t *testing.T) { testOpenLeases(t, open) })
}

func testKeeps(t *testing.T, open func(*testing.T, string) ledger.Store) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	place := fmt.Sprint("keeps", seed)
	twin := ledger.NewOldMemory()
	for range 5 {
		s := open(t, place)
		for range 40 {
			o := random(r)
			got, want := apply(t, s, o), apply(t, twin, o)
			if got != want {
				t.Fatalf("%+v:\ngot  %+v\nwant %+v", o, got, want)
			}
		}
		for i := range 3 {
			if got, want := states(t, s, subject(i)), states(t, twin, subject(i)); !reflect.DeepEqual(got, want) {
				t.Fatalf("accounts of subject %d:\ngot  %+v\nwant %+v", i, got, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// testKeepsLookalikes: keys and ids that are easily taken for one another are kept apart by the engine's next life too.
func testKeepsLookalikes(t *testing.T, open func(*testing.T, string) ledger.Store) {
	place, keys := fmt.Sprint("lookalikes", rand.Uint64()), lookalikeKeys()
	s := open(t, place)
	chargeEach(t, s, keys)
	applyEach(t, s, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, place)
	defer s.Close()
	expectEach(t, s, keys)
	applyEach(t, s, true)
}

// testOpenLeases: a lease that was open at Close is told, with what was noted of it, and a new ledger ends it.
func testOpenLeases(t *testing.T, open func(*testing.T, string) ledger.Store) {
	place := fmt.Sprint("leases", rand.Uint64())
	s := open(t, place)
	n, ok := s.(ledger.Noter)
	if _, recovers := s.(ledger.Recoverer); !ok || !recovers {
		t.Skip("no leases kept")
	}
	slot, err := n.Slot(7)
	if err != nil {
		t.Fatal(err)
	}
	reserve := op(ledger.KindReserve, 8, 1)
	reserve.Lease = 7
	expect(t, s, reserve, 8, false, 8, 8)
	for spent := range int64(6) {
		if err := slot.Note(spent); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, place)
	defer s.Close()
	for o, err := range s.(ledger.Recoverer).Leases(t.Context()) {
		if err != nil || o.Account != account || o.Lease.ID != 7 || o.Known && o.Lease.Spent != 5 {
			t.Fatalf("open lease: got %+v, %v", o, err)
		}
		l, err := ledger.New(ledger.Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		used, held := int64(8), int64(8)
		if o.Known {
			used, held = 5, 0
		}
		expect(t, s, op(ledger.KindRead, 0, 0), 0, false, used, held)
		return
	}
	t.Fatal("an open lease is not told")
}
