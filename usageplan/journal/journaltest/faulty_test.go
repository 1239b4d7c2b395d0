package journaltest_test

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// sequence is what Changes and History return.
type sequence = iter.Seq2[journal.Change, error]

// faulty is a journal in memory, some of whose methods are replaced. Each gets the right journal as its first argument.
type faulty struct {
	journal.Journal
	append  func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error)
	changes func(j journal.Journal, ctx context.Context, after uint64) sequence
	history func(j journal.Journal, ctx context.Context, item string) sequence
	wait    func(j journal.Journal, ctx context.Context, after uint64) error
}

func (f *faulty) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if f.append == nil {
		return f.Journal.Append(ctx, after, c)
	}
	return f.append(f.Journal, ctx, after, c)
}

func (f *faulty) Changes(ctx context.Context, after uint64) sequence {
	if f.changes == nil {
		return f.Journal.Changes(ctx, after)
	}
	return f.changes(f.Journal, ctx, after)
}

func (f *faulty) History(ctx context.Context, item string) sequence {
	if f.history == nil {
		return f.Journal.History(ctx, item)
	}
	return f.history(f.Journal, ctx, item)
}

func (f *faulty) Wait(ctx context.Context, after uint64) error {
	if f.wait == nil {
		return f.Journal.Wait(ctx, after)
	}
	return f.wait(f.Journal, ctx, after)
}

// with runs the suite over journals in memory with the methods of f.
func with(f faulty) fault {
	return fault{run: over(func(retain time.Duration) journal.Journal {
		own := f
		own.Journal = journal.Memory(retain)
		return &own
	})}
}

// as names a fault, and the case that finds it.
func (f fault) as(name, found string) fault { return fault{name, found, f.run} }

// appending replaces Append.
func appending(f func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error)) fault {
	return with(faulty{append: f})
}

// storing appends what f makes of each change.
func storing(f func(c *journal.Change)) fault {
	return appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		c.Items = slices.Clone(c.Items)
		f(&c)
		return j.Append(ctx, after, c)
	})
}

// naming stores each item under the name that f makes of its own.
func naming(f func(name string) string) fault {
	return storing(func(c *journal.Change) {
		for i := range c.Items {
			c.Items[i].Name = f(c.Items[i].Name)
		}
	})
}

// yielding yields what f makes of each change.
func yielding(f func(c journal.Change) []journal.Change) fault {
	return with(faulty{changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
		return each(j.Changes(ctx, after), f)
	}})
}

// snapshots yields what f makes of each snapshot.
func snapshots(f func(c journal.Change) []journal.Change) fault {
	return yielding(func(c journal.Change) []journal.Change {
		if c.Snapshot {
			return f(c)
		}
		return []journal.Change{c}
	})
}

// items yields each change with what f leaves of its items.
func items(f func(items []journal.Item) []journal.Item) fault {
	return yielding(func(c journal.Change) []journal.Change {
		c.Items = f(c.Items)
		return []journal.Change{c}
	})
}

// past yields what f makes of a whole history.
func past(f func(changes []journal.Change) []journal.Change) fault {
	return with(faulty{history: func(j journal.Journal, ctx context.Context, item string) sequence {
		changes, err := collect(j.History(ctx, item))
		return yields(f(changes), err)
	}})
}

func each(changes sequence, f func(c journal.Change) []journal.Change) sequence {
	return func(yield func(journal.Change, error) bool) {
		for c, err := range changes {
			if err != nil {
				yield(c, err)
				return
			}
			for _, c := range f(c) {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// yields is a sequence of changes, and of an error unless it is nil.
func yields(changes []journal.Change, err error) sequence {
	return func(yield func(journal.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(journal.Change{}, err)
		}
	}
}

func collect(changes sequence) (all []journal.Change, err error) {
	for c, err := range changes {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// head is the head of a journal.
func head(j journal.Journal) uint64 {
	all, _ := collect(j.Changes(context.Background(), 0))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Revision
}
