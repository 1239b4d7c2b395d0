package journaltest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// changesFaults are of what Changes yields, and of what compaction leaves.
var changesFaults = []fault{
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		return j.Changes(ctx, min(after, head(j)))
	}}).as("ahead of the head in silence", "empty"),
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		if head(j) == 0 {
			return yields(nil, errors.New("there is nothing"))
		}
		return j.Changes(ctx, after)
	}}).as("empty is an error", "empty"),
	yielding(func(c journal.Change) []journal.Change {
		if len(c.Items) == 0 {
			return nil
		}
		return []journal.Change{c}
	}).as("gaps", "superseded"),
	yielding(func(c journal.Change) []journal.Change {
		c.Revision *= 2
		return []journal.Change{c}
	}).as("every other revision", "items"),
	yielding(func(c journal.Change) []journal.Change { return []journal.Change{c, c} }).as("twice", "items"),
	yielding(func(c journal.Change) []journal.Change {
		c.Snapshot = true
		return []journal.Change{c}
	}).as("mark of the caller", "items"),
	yielding(func(c journal.Change) []journal.Change {
		c.Time = c.Time.In(time.FixedZone("", 3600))
		return []journal.Change{c}
	}).as("local time", "items"),
	items(func(items []journal.Item) []journal.Item {
		return slices.DeleteFunc(items, func(it journal.Item) bool { return it.Gone })
	}).as("removals left out", "items"),
	items(func(items []journal.Item) []journal.Item {
		for i := range items {
			items[i].Value = append([]byte{}, items[i].Value...)
		}
		return items
	}).as("gone with bytes", "items"),
	items(func(items []journal.Item) []journal.Item {
		for i := range items {
			items[i].Value = append([]byte(nil), items[i].Value...)
		}
		return items
	}).as("empty without bytes", "items"),
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		all, err := collect(j.Changes(ctx, after))
		return yields(all[:max(0, len(all)-1)], err)
	}}).as("ends before the head", "items"),
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		all, err := collect(j.Changes(ctx, after))
		slices.Reverse(all)
		return yields(all, err)
	}}).as("newest first", "items"),
	{"gives its own memory", "ownership", over(func(retain time.Duration) journal.Journal { return giver(retain) })},

	snapshots(func(c journal.Change) []journal.Change {
		c.Items = c.Items[:len(c.Items)-1]
		return []journal.Change{c}
	}).as("snapshot without an item", "compaction"),
	snapshots(func(c journal.Change) []journal.Change {
		c.Snapshot = false
		return []journal.Change{c}
	}).as("snapshot not told", "compaction"),
	snapshots(func(c journal.Change) []journal.Change {
		c.Items = append(c.Items, journal.Item{Name: "removed", Gone: true})
		return []journal.Change{c}
	}).as("snapshot with what is gone", "compaction"),
	snapshots(func(c journal.Change) []journal.Change {
		before, after := c, c
		before.Items, before.Revision = c.Items[:1], c.Revision-1
		after.Items = c.Items[1:]
		return []journal.Change{before, after}
	}).as("snapshot of two revisions", "compaction"),
	snapshots(func(c journal.Change) []journal.Change {
		if len(c.Items) == 0 {
			return nil
		}
		return []journal.Change{c}
	}).as("empty snapshot not told", "compaction"),
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		return each(j.Changes(ctx, after), func(c journal.Change) []journal.Change {
			c.Items = slices.DeleteFunc(c.Items, func(it journal.Item) bool {
				records, _ := collect(j.History(ctx, it.Name))
				return c.Snapshot && len(records) == 0
			})
			return []journal.Change{c}
		})
	}}).as("compaction drops live items", "compaction"),
	{"nothing is ever dropped", "compaction", over(func(time.Duration) journal.Journal { return journal.Memory(0) })},
	{"dropped before its time", "retention", over(func(retain time.Duration) journal.Journal {
		return journal.Memory(retain / 2)
	})},
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		return each(j.Changes(ctx, after), func(c journal.Change) []journal.Change {
			c.Items = slices.DeleteFunc(c.Items, func(it journal.Item) bool {
				records, _ := collect(j.History(ctx, it.Name))
				return c.Snapshot && slices.ContainsFunc(records, func(c journal.Change) bool { return c.Items[0].Gone })
			})
			return []journal.Change{c}
		})
	}}).as("snapshot without what has come back", "random"),

	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		if ctx.Err() != nil {
			return yields(nil, nil)
		}
		return j.Changes(ctx, after)
	}}).as("ends in silence", "ended context"),
	with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		all, err := collect(j.Changes(ctx, after))
		if err == nil {
			return yields(all, nil)
		}
		return func(yield func(journal.Change, error) bool) {
			for yield(journal.Change{}, err) && len(all) < 3 {
				all = append(all, journal.Change{})
			}
		}
	}}).as("goes on after an error", "ended context"),
	{"one journal for all", "topics", over(func(time.Duration) journal.Journal { return one })},
	with(faulty{changes: snapshotOfTwoTimes(false)}).as("snapshot of two times", "reading during appends"),
	with(faulty{changes: forgetful}).as("forgets what is changed meanwhile", "reading during appends"),
}

var one = journal.Memory(0)

// snapshotOfTwoTimes yields a snapshot in two parts, the second of which is read when the reader has the first. The
// changes in between have to follow.
func snapshotOfTwoTimes(follow bool) func(j journal.Journal, ctx context.Context, after uint64) sequence {
	return func(j journal.Journal, ctx context.Context, after uint64) sequence {
		return func(yield func(journal.Change, error) bool) {
			for c, err := range j.Changes(ctx, after) {
				if err != nil || !c.Snapshot {
					if !yield(c, err) {
						return
					}
					continue
				}
				first, second := c, c
				first.Items = slices.DeleteFunc(slices.Clone(c.Items), late)
				if !yield(first, nil) {
					return
				}
				now, err := collect(j.Changes(ctx, after))
				if err == nil {
					second.Items = slices.DeleteFunc(now[0].Items, func(it journal.Item) bool { return !late(it) })
				}
				if !yield(second, err) || err != nil || !follow {
					return
				}
				for c, err := range j.Changes(ctx, c.Revision) {
					if !yield(c, err) {
						return
					}
				}
				return
			}
		}
	}
}

// late reports whether an item is in the second part of a snapshot.
func late(it journal.Item) bool { return it.Name[len(it.Name)-1]%2 == 0 }

// forgetful reads the list of changes when the iteration begins, and the items of each change when its turn has come.
// It leaves out those that were changed meanwhile, but does not go on to the changes that have them.
func forgetful(j journal.Journal, ctx context.Context, after uint64) sequence {
	return func(yield func(journal.Change, error) bool) {
		all, err := collect(j.Changes(ctx, after))
		for _, c := range all {
			now, _ := collect(j.Changes(ctx, after))
			if i := slices.IndexFunc(now, func(n journal.Change) bool { return n.Revision == c.Revision }); i >= 0 {
				c = now[i]
			}
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(journal.Change{}, err)
		}
	}
}

// giver returns a journal that yields the same slices each time.
func giver(retain time.Duration) journal.Journal {
	given := make(map[string][]byte)
	return &faulty{
		Journal: journal.Memory(retain),
		changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
			return each(j.Changes(ctx, after), func(c journal.Change) []journal.Change {
				for i, it := range c.Items {
					if given[it.Name] == nil {
						given[it.Name] = it.Value
					}
					c.Items[i].Value = given[it.Name]
				}
				return []journal.Change{c}
			})
		},
	}
}

// hangFaults make a case hang.
var hangFaults = []fault{
	{"a reader that stops keeps its lock", "stop", over(func(retain time.Duration) journal.Journal {
		return locked(retain, false)
	})},
	{"a reader keeps its lock until the end", "use", over(func(retain time.Duration) journal.Journal {
		return locked(retain, true)
	})},
}

// locked returns a journal that holds a lock while it iterates. If the reader stops, it may keep it.
func locked(retain time.Duration, unlock bool) journal.Journal {
	var mu sync.Mutex
	return &faulty{
		Journal: journal.Memory(retain),
		append: func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return j.Append(ctx, after, c)
		},
		changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
			return func(yield func(journal.Change, error) bool) {
				mu.Lock()
				for c, err := range j.Changes(ctx, after) {
					if !yield(c, err) {
						if unlock {
							mu.Unlock()
						}
						return
					}
				}
				mu.Unlock()
			}
		},
	}
}
