package journaltest_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

func TestMemory(t *testing.T) {
	journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal { return journal.Memory(retain) })
}

// A journal in memory does not outlive its process. Here it does, as the process goes on.
func TestMemoryReopened(t *testing.T) {
	journaltest.RunReopen(t, func(_ *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		j := journal.Memory(retain)
		return j, func() journal.Journal { return j }
	})
}

// What the contract allows passes, however unlike the journals are.
func TestRightJournalsPass(t *testing.T) {
	for name, f := range map[string]fault{
		"snapshot of two times, then changes": with(faulty{changes: snapshotOfTwoTimes(true)}),
		"snapshots always": with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
			return snapshotOf(j, ctx, after)
		}}),
		"an item at a time": snapshots(func(c journal.Change) (parts []journal.Change) {
			for _, it := range c.Items {
				part := c
				part.Items = []journal.Item{it}
				parts = append(parts, part)
			}
			if len(parts) == 0 {
				return []journal.Change{c}
			}
			return parts
		}),
		"milliseconds": storing(func(c *journal.Change) { c.Time = c.Time.Truncate(time.Millisecond) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.run(t)
		})
	}
}

// snapshotOf yields a snapshot to every reader.
func snapshotOf(j journal.Journal, ctx context.Context, after uint64) sequence {
	all, err := collect(j.Changes(ctx, 0))
	if err != nil || after > head(j) {
		return j.Changes(ctx, after)
	}
	items, revision := make(map[string]journal.Item), uint64(0)
	for _, c := range all {
		for revision = c.Revision; len(c.Items) > 0; c.Items = c.Items[1:] {
			items[c.Items[0].Name] = c.Items[0]
		}
	}
	snapshot := journal.Change{Revision: revision, Snapshot: true}
	for it := range maps.Values(items) {
		if !it.Gone {
			snapshot.Items = append(snapshot.Items, it)
		}
	}
	return yields([]journal.Change{snapshot}, nil)
}
