package journaltest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// retention is that of the cases in which records go. A change of old is older, and one of now is not.
const retention = time.Hour

func old() time.Time { return time.Now().Add(-2 * retention) }

// enough appends let a journal that drops a few records at each of them drop all those of a case.
const enough = 300

// compact appends changes of now until the records of all changes before are gone, which must be old.
func (m *model) compact() {
	m.t.Helper()
	before := m.planned[:m.head.Load()]
	for i := range enough {
		if m.append(put("filler", fmt.Sprint(i))); !m.remembers(before) {
			return
		}
	}
	m.t.Fatalf("%d appends later, there are records that are older than the retention", enough)
}

// remembers reports whether the history of an item has one of these changes.
func (m *model) remembers(changes []journal.Change) bool {
	m.t.Helper()
	for _, c := range changes {
		for _, it := range c.Items {
			for _, h := range m.history(it.Name) {
				if h.Revision == c.Revision {
					return true
				}
			}
		}
	}
	return false
}

// sequences are all that can be iterated, of an item x.
func (m *model) sequences(ctx context.Context) map[string]iter.Seq2[journal.Change, error] {
	return map[string]iter.Seq2[journal.Change, error]{"Changes": m.Changes(ctx, 0), "History": m.History(ctx, "x")}
}

// testHistory: the history of an item is its own, newest first, also when it is gone or was never there.
//
// Finds: an order by age; a history that ends at a removal, or is forgotten with it; one with the bytes or the other
// items of a change; an item whose name only begins alike.
func testHistory(t *testing.T, open opener) {
	m := open(0)
	for i := range 10 {
		m.append(put("x", fmt.Sprint(i)), put("xx", "1"), put(fmt.Sprint("y", i), "1"))
		m.append(gone("x"))
		m.append(put("y", "1"), gone("never"))
	}
	m.check()
	for _, name := range []string{"", "X", "x\x00", "z"} {
		if got := m.history(name); len(got) > 0 {
			t.Errorf("the history of %q, which was never changed: %v", name, got)
		}
	}
}

// testRetention: a record within the retention is kept, however many changes come after it.
//
// Finds: records that are dropped by their number, or before their time.
func testRetention(t *testing.T, open opener) {
	m := open(retention)
	recent := time.Now().Add(-retention * 5 / 6)
	m.appendAt(recent, put("live", "1"), put("gone", "1"))
	m.appendAt(recent, gone("gone"))
	for i := range 100 {
		m.append(put("filler", fmt.Sprint(i)))
	}
	m.check()
}

// testCompaction: when records are gone, the items are still there. A reader from before gets a snapshot and so loses
// what has been removed.
//
// Finds: records that are never dropped; an item that goes with the record of its latest change; a snapshot that lacks
// an item, has one that is gone, has parts of two revisions, or is not marked; an empty snapshot that is not told.
func testCompaction(t *testing.T, open opener) {
	m := open(retention)
	m.appendAt(old(), put("live", "1"), put("replaced", "1"), put("removed", "1"), put("returns", "1"))
	m.appendAt(old(), put("replaced", "2"), put("later", "1"))
	m.appendAt(old(), gone("removed"), gone("returns"), gone("never"))
	m.appendAt(old(), put("returns", "2"))
	m.compact()
	m.check()
	m.append(put("removed", "2"), gone("live"), put("later", "2"))
	m.check()

	m = open(retention)
	m.appendAt(old(), put("last", "1"))
	m.appendAt(old(), gone("last"))
	m.compact()
	m.append(gone("filler"))
	m.check() // the snapshot is empty, or all of it is gone again
}

// testStop: a reader that stops leaves nothing behind that hinders others.
//
// Finds: a lock, a transaction or a goroutine that is ended only when the sequence is.
func testStop(t *testing.T, open opener) {
	m := open(retention)
	m.appendAt(old(), put("x", "0"))
	m.compact()
	for i := range 5 {
		m.append(put("x", fmt.Sprint(i)))
		for name, changes := range m.sequences(t.Context()) {
			for _, err := range changes {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
		}
	}
	m.check()
}

// testUse: the journal can be used while it iterates, also by its reader.
//
// Finds: a lock or a transaction that is held while the reader has a change.
func testUse(t *testing.T, open opener) {
	m := open(0)
	m.append(put("x", "0"))
	m.append(put("x", "1"), put("y", "1"))
	for name, changes := range m.sequences(t.Context()) {
		steps := 0
		for _, err := range changes {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if steps++; steps > 3 {
				break
			}
			m.append(put("x", "2"), gone("y"))
			m.check()
			if err := m.Wait(t.Context(), 0); err != nil {
				t.Errorf("Wait: %v", err)
			}
		}
	}
}

// testRandom makes random changes, the first of which are old, and reads at random times.
//
// Finds: what depends on the past of an item, such as one that was removed before a compaction and put again.
func testRandom(t *testing.T, open opener) {
	for seed := range uint64(3) {
		m, r := open(retention), rand.New(rand.NewPCG(17, seed))
		m.random(r, 60, func() { m.checkFrom(r.Uint64N(m.head.Load()+1), func() {}) })
		m.check()
	}
}

// random appends changes and calls each after every one. The first ones are old, up to a random one.
func (m *model) random(r *rand.Rand, steps int, each func()) {
	m.t.Helper()
	aged := r.IntN(steps)
	for i := range steps {
		at := time.Now()
		if i < aged {
			at = old()
		}
		m.plan(at, randomItems(r)...)
		m.commit()
		each()
	}
}

func randomItems(r *rand.Rand) (items []journal.Item) {
	for _, name := range r.Perm(10)[:1+r.IntN(4)] {
		if r.IntN(3) == 0 {
			items = append(items, gone(fmt.Sprint(name)))
		} else {
			items = append(items, put(fmt.Sprint(name), fmt.Sprint(r.Uint64())))
		}
	}
	return items
}

// testReadingDuringAppends reads snapshots and changes while the journal grows: first by the reader itself between two
// steps of the sequence, then by another goroutine at any time.
//
// Finds: a snapshot whose parts are of different times, without the changes in between; an item that is left out of its
// change because a later one has it, where the sequence ends before that one.
func testReadingDuringAppends(t *testing.T, open opener) {
	m, r := open(retention), rand.New(rand.NewPCG(17, 17))
	many := make([]journal.Item, 3000) // so that a snapshot has several parts
	for i := range many {
		many[i] = put(fmt.Sprintf("item %04d", i), fmt.Sprint(i))
	}
	m.appendAt(old(), many...)
	m.appendAt(old(), put("last", "1")) // its history tells that the records are gone
	for range enough {
		if m.append(put("filler", "1")); !m.remembers(m.planned[1:2]) {
			break
		}
	}
	change := func() []journal.Item {
		items := randomItems(r)
		for _, i := range []int{r.IntN(1000), 1000 + r.IntN(1000), 2000 + r.IntN(1000)} {
			items = append(items, many[i])
			items[len(items)-1].Gone = r.IntN(2) == 0
			items[len(items)-1].Value = nil
		}
		return items
	}
	for range 20 {
		m.append(change()...)
	}
	for _, after := range []uint64{0, 1, m.head.Load() - 20, m.head.Load() - 2, 0} {
		steps := 0
		m.checkFrom(after, func() {
			if steps++; steps < 20 {
				m.append(change()...)
			}
		})
	}
	for range 100 {
		m.plan(time.Now(), change()...)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m.head.Load() < uint64(len(m.planned)) {
			m.commit()
		}
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		m.checkFrom(0, func() {})
		m.checkFrom(r.Uint64N(m.head.Load()+1), func() {})
	}
}
