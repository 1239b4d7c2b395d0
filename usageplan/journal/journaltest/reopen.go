package journaltest

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// testReopen: what was acknowledged is there after the journal was opened again: items, records, histories and the
// head, at which the next change goes on.
//
// Finds: a change that was acknowledged before it was stored; a head that is kept in memory alone; records that lose
// what they say.
func testReopen(t *testing.T, open func(time.Duration) (*model, func())) {
	m, reopen := open(0)
	reopen()
	m.check()
	for _, items := range [][]journal.Item{
		{put("x", "1"), put("y", "\x00")},
		{put("x", "2"), gone("y"), gone("never")},
		{put("y", "3"), gone("x")},
	} {
		m.append(items...)
		reopen()
		m.check()
		for _, after := range []uint64{m.head.Load() - 1, m.head.Load() + 1} {
			_, err := m.Append(t.Context(), after, journal.Change{Items: items})
			if !errors.Is(err, journal.ErrBehind) {
				t.Errorf("Append after %d, the head is %d: %v", after, m.head.Load(), err)
			}
		}
		if err := m.Wait(t.Context(), m.head.Load()-1); err != nil {
			t.Errorf("Wait for what was there before: %v", err)
		}
	}
}

// testReopenCompacted: a reader from before a compaction gets a snapshot, and a record that is gone stays gone.
//
// Finds: a journal that no longer knows which records it has dropped.
func testReopenCompacted(t *testing.T, open func(time.Duration) (*model, func())) {
	m, reopen := open(retention)
	m.appendAt(old(), put("live", "1"), put("removed", "1"))
	m.appendAt(old(), gone("removed"))
	m.compact()
	reopen()
	m.check()
	if m.remembers(m.planned[:2]) {
		t.Error("a record that was gone is back")
	}
}

// testReopenRandom opens the journal again at random times between random changes.
//
// Finds: what only a certain order of changes and openings breaks.
func testReopenRandom(t *testing.T, open func(time.Duration) (*model, func())) {
	m, reopen := open(retention)
	r := rand.New(rand.NewPCG(17, 4))
	m.random(r, 100, func() {
		if r.IntN(5) == 0 {
			reopen()
			m.checkFrom(r.Uint64N(m.head.Load()+1), func() {})
		}
	})
	reopen()
	m.check()
}
