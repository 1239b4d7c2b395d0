package journaltest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// outcomes counts what became of calls, by whether they reached the journal and whether their answer came back.
type outcomes struct{ answered, answerLost, requestLost int }

// about fails unless one in 20 requests was lost, and one in 20 answers. The bounds are far wider than chance needs.
func (o outcomes) about(t *testing.T, calls int) {
	t.Helper()
	require.Equal(t, calls, o.answered+o.answerLost+o.requestLost)
	require.InDelta(t, calls/20, o.requestLost, float64(calls)/50)
	require.InDelta(t, calls/20, o.answerLost, float64(calls)/50)
}

func TestLossyLosesRequestsAndAnswersOfAppend(t *testing.T) {
	const calls = 2000
	run := func(seed uint64) (o outcomes, lost []int) {
		j := journal.Memory(0)
		l := journaltest.Lossy(j, seed)
		for i, at := 0, uint64(0); i < calls; i++ {
			revision, err := l.Append(t.Context(), at, journal.Change{Items: []journal.Item{{Name: "x"}}})
			stored := j.Wait(ended(t), at) == nil
			switch {
			case err == nil:
				require.True(t, stored)
				require.Equal(t, at+1, revision)
				o.answered++
			case stored:
				o.answerLost++
				lost = append(lost, i)
			default:
				o.requestLost++
				lost = append(lost, i)
			}
			if stored {
				at++
			}
		}
		return o, lost
	}
	o, lost := run(1)
	o.about(t, calls)
	_, again := run(1)
	require.Equal(t, lost, again, "the seed says which ones")
	_, other := run(2)
	require.NotEqual(t, lost, other)
}

func TestLossyLosesRequestsAndAnswersOfWait(t *testing.T) {
	const calls = 2000
	var o outcomes
	arrived := false
	j := &faulty{Journal: journal.Memory(0), wait: func(journal.Journal, context.Context, uint64) error {
		arrived = true
		return nil
	}}
	l := journaltest.Lossy(j, 1)
	for range calls {
		arrived = false
		switch err := l.Wait(t.Context(), 0); {
		case err == nil:
			o.answered++
		case arrived:
			o.answerLost++
		default:
			o.requestLost++
		}
	}
	o.about(t, calls)
}

// A sequence that is lost has an error, which is its end; one that is not has all changes.
func TestLossyCutsSequences(t *testing.T) {
	const calls, all = 2000, 10
	j := journal.Memory(0)
	for i := range uint64(all) {
		_, err := j.Append(t.Context(), i, journal.Change{Time: time.Now(), Items: []journal.Item{{Name: "x"}}})
		require.NoError(t, err)
	}
	l := journaltest.Lossy(j, 1)
	for name, changes := range map[string]sequence{
		"Changes": l.Changes(t.Context(), 0),
		"History": l.History(t.Context(), "x"),
	} {
		lengths := make(map[int]int) // of those that were cut
		for range calls {
			n, failed := 0, false
			for _, err := range changes {
				require.False(t, failed, "%s goes on after an error", name)
				if failed = err != nil; !failed {
					n++
				}
			}
			if failed {
				lengths[n]++
			} else {
				require.Equal(t, all, n, name)
			}
		}
		require.Len(t, lengths, 4, "%s: 0 to 3 changes arrive", name)
		require.InDelta(t, calls/20+calls/80, lengths[0], calls/40, name)
	}
	for range calls {
		n := 0
		for _, err := range l.Changes(ended(t), 0) {
			require.Error(t, err)
			n++
		}
		require.Equal(t, 1, n, "the error of the journal is the end too")
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
