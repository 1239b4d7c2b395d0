package journal_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// A log collects events.
type log struct{ events []journal.Event }

func (l *log) tell(_ context.Context, e journal.Event) { l.events = append(l.events, e) }

// take returns the events since the last call.
func (l *log) take() []journal.Event {
	taken := l.events
	l.events = nil
	return taken
}

func discardEvent(context.Context, journal.Event) {}

func TestObservedJournalKeepsTheContract(t *testing.T) {
	journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal {
		return journal.Observe(journal.Memory(retain), discardEvent)
	})
}

func TestNothingToObserveStaysAsItIs(t *testing.T) {
	require.True(t, journal.Observe(nil, discardEvent) == nil, "no journal means memory only")
	require.Nil(t, journal.Observe(nil, nil))
	j := journal.Memory(0)
	require.Same(t, j, journal.Observe(j, nil))
}

// slow is a journal that takes a second for an append, and for each change that it yields and the end of them.
type slow struct{ journal.Journal }

func (s slow) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	time.Sleep(time.Second)
	return s.Journal.Append(ctx, after, c)
}

func (s slow) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return slowly(s.Journal.Changes(ctx, after))
}

func (s slow) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	return slowly(s.Journal.History(ctx, item))
}

func slowly(changes iter.Seq2[journal.Change, error]) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		for c, err := range changes {
			time.Sleep(time.Second)
			if !yield(c, err) {
				return
			}
		}
		time.Sleep(time.Second)
	}
}

// Three changes of one, two and three items, a minute apart; the reader spends an hour on each change.
func TestEachUseIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		j := journal.Observe(slow{journal.Memory(0)}, l.tell)
		ctx := t.Context()
		for after := range uint64(3) {
			_, err := j.Append(ctx, after, journal.Change{Time: time.Now(), Items: some(0, int(after)+1)})
			require.NoError(t, err)
			require.Equal(t, []journal.Event{{
				Operation: "append", After: after, Revision: after + 1, Items: int(after) + 1, Duration: time.Second,
			}}, l.take())
			time.Sleep(time.Minute - time.Second)
		}
		read := func(changes iter.Seq2[journal.Change, error], most int) {
			for _, err := range changes {
				require.NoError(t, err)
				require.Empty(t, l.events, "told before the end")
				time.Sleep(time.Hour)
				if most--; most == 0 {
					return
				}
			}
		}
		for _, tt := range []struct {
			name    string
			changes iter.Seq2[journal.Change, error]
			most    int
			want    journal.Event
		}{
			{
				"from the beginning", j.Changes(ctx, 0), -1,
				// Each change has only the items that no later one has.
				journal.Event{Operation: "changes", Revision: 3, Items: 3, Duration: 4 * time.Second},
			},
			{
				"current", j.Changes(ctx, 3), -1,
				journal.Event{Operation: "changes", After: 3, Revision: 3, Duration: time.Second},
			},
			{
				"history", j.History(ctx, "00000001"), -1,
				journal.Event{Operation: "history", Items: 2, Duration: 3 * time.Second},
			},
			{
				"history that is stopped", j.History(ctx, "00000001"), 1,
				journal.Event{Operation: "history", Items: 1, Duration: time.Second},
			},
			{
				"stopped", j.Changes(ctx, 0), 2,
				journal.Event{Operation: "changes", Revision: 2, Duration: 2 * time.Second},
			},
		} {
			read(tt.changes, tt.most)
			require.Equal(t, []journal.Event{tt.want}, l.take(), tt.name)
		}
	})
}

// A node that has followed one change and then nothing for an hour finds two more. The first of them is 40 minutes old.
func TestLagIsTheAgeOfTheOldestUnseenChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		store := journal.Memory(0)
		other := follow(t, store)
		require.NoError(t, other.put(t.Context(), "x", "1"))
		here := follow(t, journal.Observe(store, l.tell))
		require.Zero(t, l.take()[0].Lag, "it begins")
		time.Sleep(20 * time.Minute)
		require.NoError(t, other.put(t.Context(), "x", "2"))
		time.Sleep(40 * time.Minute)
		require.NoError(t, other.put(t.Context(), "y", "1"))
		require.NoError(t, here.Refresh(t.Context()))
		require.Equal(t, []journal.Event{
			{Operation: "changes", After: 1, Revision: 3, Items: 2, Lag: 40 * time.Minute},
		}, l.take())
	})
}

// The writer's clock is ahead by an hour, then the records are gone, and then a change has no time.
func TestLagOfAnUnknownAgeIsZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		store := journal.Memory(2 * time.Hour)
		j := journal.Observe(store, l.tell)
		ahead := journal.Change{Time: time.Now().Add(time.Hour), Items: some(0, 1)}
		for after := range uint64(2) {
			_, err := store.Append(t.Context(), after, ahead)
			require.NoError(t, err)
		}
		drain(j.Changes(t.Context(), 1))
		time.Sleep(4 * time.Hour)
		_, err := store.Append(t.Context(), 2, journal.Change{Time: time.Now(), Items: some(1, 1)})
		require.NoError(t, err)
		drain(j.Changes(t.Context(), 1))
		_, err = store.Append(t.Context(), 3, journal.Change{Items: some(2, 1)})
		require.NoError(t, err)
		drain(j.Changes(t.Context(), 3))
		require.Equal(t, []journal.Event{
			{Operation: "changes", After: 1, Revision: 2, Items: 1},
			{Operation: "changes", After: 1, Revision: 3, Items: 2},
			{Operation: "changes", After: 3, Revision: 4, Items: 1},
		}, l.take())
	})
}

func drain(changes iter.Seq2[journal.Change, error]) {
	for range changes {
	}
}

func TestFailedUseIsToldWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		j := journal.Observe(journal.Memory(0), l.tell)
		require.NoError(t, follow(t, j).put(t.Context(), "x", "1"))
		l.take()
		ended, end := context.WithCancel(t.Context())
		end()
		for _, tt := range []struct {
			name string
			use  func()
			want journal.Event
			err  error
		}{
			{
				"conflict", func() { _, _ = j.Append(t.Context(), 0, journal.Change{Items: some(0, 1)}) },
				journal.Event{Operation: "append"},
				journal.ErrBehind,
			},
			{
				"too large", func() { _, _ = j.Append(t.Context(), 1, journal.Change{}) },
				journal.Event{Operation: "append", After: 1, Revision: 1},
				journal.ErrTooLarge,
			},
			{
				"changes", func() { drain(j.Changes(ended, 1)) },
				journal.Event{Operation: "changes", After: 1, Revision: 1},
				context.Canceled,
			},
			{"history", func() { drain(j.History(ended, "x")) }, journal.Event{Operation: "history"}, context.Canceled},
		} {
			tt.use()
			events := l.take()
			require.Len(t, events, 1, tt.name)
			require.ErrorIs(t, events[0].Err, tt.err, tt.name)
			events[0].Err = nil
			require.Equal(t, tt.want, events[0], tt.name)
		}
	})
}

// Two writers of one journal: the second is behind, reads on, and decides again.
func TestConflictOfTwoWritersIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		store := journal.Memory(0)
		here, other := follow(t, journal.Observe(store, l.tell)), follow(t, store)
		require.NoError(t, other.put(t.Context(), "x", "1"))
		l.take()
		require.NoError(t, here.put(t.Context(), "x", "2"))
		var told []string
		for _, e := range l.take() {
			what := e.Operation
			if errors.Is(e.Err, journal.ErrBehind) {
				what = "conflict"
			}
			told = append(told, what)
		}
		require.Equal(t, []string{"conflict", "changes", "append"}, told)
	})
}
