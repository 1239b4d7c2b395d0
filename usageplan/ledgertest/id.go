package ledgertest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

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
