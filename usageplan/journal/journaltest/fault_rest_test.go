package journaltest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// historyFaults are of what History yields.
var historyFaults = []fault{
	past(func(changes []journal.Change) []journal.Change {
		slices.Reverse(changes)
		return changes
	}).as("oldest first", "history"),
	past(func(changes []journal.Change) []journal.Change {
		if len(changes) > 0 && changes[0].Items[0].Gone {
			return nil
		}
		return changes
	}).as("gone items forgotten", "history"),
	past(func(changes []journal.Change) []journal.Change {
		for i, c := range changes {
			if i > 0 && c.Items[0].Gone {
				return changes[:i]
			}
		}
		return changes
	}).as("history ends at a removal", "history"),
	past(func(changes []journal.Change) []journal.Change {
		for _, c := range changes {
			c.Items[0].Gone = false
		}
		return changes
	}).as("never gone", "history"),
	past(func(changes []journal.Change) []journal.Change {
		for _, c := range changes {
			c.Items[0].Value = []byte{}
		}
		return changes
	}).as("history with bytes", "history"),
	past(func(changes []journal.Change) []journal.Change {
		return changes[:min(len(changes), 1)]
	}).as("latest change alone", "history"),
	past(func(changes []journal.Change) []journal.Change {
		for i := range changes {
			changes[i].Origin = journal.Origin{}
		}
		return changes
	}).as("history without its origin", "history"),
	past(func(changes []journal.Change) []journal.Change {
		for i := range changes {
			changes[i].Items = append(changes[i].Items, journal.Item{Name: "beside"})
		}
		return changes
	}).as("history with other items", "history"),
	with(faulty{history: func(j journal.Journal, ctx context.Context, item string) sequence {
		return j.History(ctx, item+"x")
	}}).as("history of another item", "history"),
}

// waitFaults are of when Wait returns.
var waitFaults = []fault{
	waiting(func(_ journal.Journal, ctx context.Context, _ uint64) error {
		<-ctx.Done()
		return ctx.Err()
	}).as("never wakes", "wait"),
	waiting(func(journal.Journal, context.Context, uint64) error { return nil }).as("does not wait", "wait"),
	waiting(func(j journal.Journal, ctx context.Context, after uint64) error {
		return j.Wait(context.WithoutCancel(ctx), after)
	}).as("waits on after the context", "wait"),
	waiting(func(j journal.Journal, ctx context.Context, after uint64) error {
		if err := j.Wait(ctx, after); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	}).as("context ends without an error", "wait"),
	waiting(func(j journal.Journal, ctx context.Context, after uint64) error {
		return j.Wait(ctx, min(after, head(j)))
	}).as("woken by any change", "wait"),
	waiting(func(j journal.Journal, ctx context.Context, after uint64) error {
		return j.Wait(ctx, max(after, head(j)))
	}).as("waits for what is there", "wait"),
	{"wakes one of several", "wait", over(func(retain time.Duration) journal.Journal {
		var once sync.Once
		return &faulty{
			Journal: journal.Memory(retain),
			wait: func(j journal.Journal, ctx context.Context, after uint64) error {
				err := j.Wait(ctx, after)
				woken := false
				if once.Do(func() { woken = true }); !woken {
					<-ctx.Done()
				}
				return err
			},
		}
	})},
}

func waiting(f func(j journal.Journal, ctx context.Context, after uint64) error) fault {
	return with(faulty{wait: f})
}

// reopenFaults are of what a journal knows when it is opened again. It is made anew from the changes that were stored.
var reopenFaults = []fault{
	reopening(func(_ int, all []journal.Change) []journal.Change { return all[:max(0, len(all)-1)] }).
		as("the last change is lost", "reopen"),
	reopening(func(_ int, all []journal.Change) []journal.Change {
		for i := range all {
			all[i].Origin = journal.Origin{}
		}
		return all
	}).as("opened without origins", "reopen"),
	reopening(func(_ int, all []journal.Change) []journal.Change { return all }).
		as("what was dropped is back", "reopen compacted"),
	reopening(func(reopened int, all []journal.Change) []journal.Change {
		if reopened == 5 {
			return all[:len(all)-1]
		}
		return all
	}).as("lost at the fifth time", "reopen random"),
}

// reopening keeps all changes, and makes the journal anew from what f leaves of them.
func reopening(f func(reopened int, all []journal.Change) []journal.Change) fault {
	return fault{run: func(t *testing.T) {
		journaltest.RunReopen(t, func(t *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
			var all []journal.Change
			store := &faulty{
				Journal: journal.Memory(retain),
				append: func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
					kept := c
					kept.Items = nil
					for _, it := range c.Items {
						kept.Items = append(kept.Items, journal.Item{Name: it.Name, Value: slices.Clone(it.Value), Gone: it.Gone})
					}
					revision, err := j.Append(ctx, after, c)
					if err == nil {
						all = append(all, kept)
					}
					return revision, err
				},
			}
			reopened := 0
			return store, func() journal.Journal {
				reopened++
				store.Journal = journal.Memory(0)
				for i, c := range f(reopened, slices.Clone(all)) {
					if _, err := store.Journal.Append(t.Context(), uint64(i), c); err != nil {
						t.Fatal(err)
					}
				}
				return store
			}
		})
	}}
}
