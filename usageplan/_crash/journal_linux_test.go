package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
)

const (
	topic    = "keys"
	retain   = 30 * time.Millisecond // so that records are dropped all the time
	appended = 'J'                   // a change is in the journal; its revision is in Start
)

// journalChange is the change of a revision. It follows from the number alone, and so does what a journal has. It makes
// an item, replaces one, and removes one that was made 20 changes before. Each 50th makes many.
func journalChange(revision uint64) journal.Change {
	put := func(n uint64) journal.Item {
		return journal.Item{Name: fmt.Sprintf("made %06d", n), Value: fmt.Appendf(nil, "by %d", revision)}
	}
	c := journal.Change{Time: time.Now(), Operation: fmt.Sprint("change ", revision), Items: []journal.Item{
		put(revision), {Name: fmt.Sprint("replaced ", revision%7), Value: fmt.Append(nil, revision)},
	}}
	if revision > 20 {
		c.Items = append(c.Items, journal.Item{Name: fmt.Sprintf("made %06d", revision-20), Gone: true})
	}
	if revision%50 == 0 {
		for i := range uint64(200) {
			c.Items = append(c.Items, put(1000*revision+i))
		}
	}
	return c
}

// journalItems is what a journal has after that many changes.
func journalItems(head uint64) map[string]string {
	items := make(map[string]string)
	for revision := range head {
		for _, it := range journalChange(revision + 1).Items {
			if items[it.Name] = string(it.Value); it.Gone {
				delete(items, it.Name)
			}
		}
	}
	return items
}

// readJournal returns what a journal has, and its head.
func readJournal(ctx context.Context, j journal.Journal) (items map[string]string, head uint64, err error) {
	items = make(map[string]string)
	for c, err := range j.Changes(ctx, 0) {
		if err != nil {
			return nil, 0, err
		}
		for _, it := range c.Items {
			if items[it.Name] = string(it.Value); it.Gone {
				delete(items, it.Name)
			}
		}
		head = c.Revision
	}
	return items, head, nil
}

// change appends to a journal again and again. After an error the head is what the file says.
func (c *child) change(s *boltstore.Store) {
	j := s.Journal(topic, retain)
	for {
		_, head, err := readJournal(context.Background(), j)
		for err == nil {
			if head, err = j.Append(context.Background(), head, journalChange(head+1)); err == nil {
				tell(report{appended, 0, int64(head)})
			}
		}
		if errors.Is(err, journal.ErrBehind) || errors.Is(err, boltstore.ErrFormat) {
			fmt.Println(err) // nobody else appends
			os.Exit(10)
		}
		time.Sleep(time.Millisecond)
	}
}

// checkJournal: all that was acknowledged is there, and nothing that no change has made. A change that a kill has left
// in memory counts when a process has acknowledged one after it: until then a power cut may lose it.
func (r *rig) checkJournal(s *boltstore.Store) {
	j := s.Journal(topic, retain)
	items, head, err := readJournal(r.t.Context(), j)
	require.NoError(r.t, err)
	require.GreaterOrEqual(r.t, head, r.head, "acknowledged and lost")
	require.Equal(r.t, journalItems(head), items, "after change %d", head)
	for item, value := range items {
		requireHistory(r.t, j, item, value, head)
	}
}

// requireHistory: the records that are kept of an item tell the changes that it had, newest first.
func requireHistory(t *testing.T, j journal.Journal, item, value string, head uint64) {
	for c, err := range j.History(t.Context(), item) {
		require.NoError(t, err)
		require.LessOrEqual(t, c.Revision, head)
		require.Equal(t, fmt.Sprint("change ", c.Revision), c.Operation)
		if value != "" {
			require.Contains(t, []string{fmt.Sprint(c.Revision), fmt.Sprint("by ", c.Revision)}, value, item)
		}
		value = "" // older ones are not kept
	}
}

// TestJournalStepsChild appends changes between units that it takes, and closes what it has opened.
func TestJournalStepsChild(t *testing.T) {
	dir := os.Getenv(earlyEnv)
	if dir == "" {
		t.Skip("run by TestPowerCut")
	}
	s, err := openStepper(dir, true)
	failed(err)
	ref, err := s.Ref(key(stepKey))
	failed(err)
	j := s.store.Journal(topic, time.Millisecond)
	_, head, err := readJournal(t.Context(), j)
	failed(err)
	for i := range steps {
		if i%2 == 0 {
			_, err = ref.TakeAt(t.Context(), stepTime(1, 0), stepQuota, 1)
		} else {
			head, err = j.Append(t.Context(), head, journalChange(head+1))
		}
		failed(err)
		said(earlyAck)
	}
	failed(s.close())
	said(earlyDone)
	select {}
}

// testJournalSteps: whatever the disk has after a life that ended before one of its changes, all that was acknowledged
// is there, and in addition at most the one step that was under way.
func testJournalSteps(t *testing.T) {
	for _, kill := range []bool{false, true} {
		e := &early{
			t: t, test: "TestJournalStepsChild", kill: kill, skip: 30,
			disk: func() *disk { return newDisk(1, faults{}) },
			look: func(dir string, l lives) { lookAtJournal(t, dir, l) },
		}
		if os.Getenv("TALLYGATE_HEAVY") != "" {
			e.skip = 8
		}
		e.run()
		t.Logf("ended before %d changes: %d states of the disk", e.changes, e.states)
		require.Greater(t, e.states, e.changes)
	}
}

func lookAtJournal(t *testing.T, dir string, l lives) {
	s, err := openStepper(dir, true)
	require.NoError(t, err)
	require.NoError(t, s.store.Check(t.Context()))
	items, head, err := readJournal(t.Context(), s.store.Journal(topic, time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, journalItems(head), items)
	made, sure := int(head), 0
	for d, err := range s.Usage(t.Context(), key(stepKey), stepQuota, stepTime(1, 0), stepTime(1, 1)) {
		require.NoError(t, err)
		made += int(d.Used)
	}
	for _, acked := range l.acked {
		sure += acked
	}
	require.GreaterOrEqual(t, made, sure, "acknowledged and lost")
	require.LessOrEqual(t, made, sure+len(l.acked), "more than was under way")
	require.NoError(t, s.close())
}
