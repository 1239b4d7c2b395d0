package ledger

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var someKey = Key{"gold", "customer-1"}

// with returns an operation on someKey, changed.
func with(k kind, change func(*op)) op {
	o := exactCharge(someKey)
	o.kind, o.limit = k, 100
	change(&o)
	return o
}

func want(k kind, n int64) op { return with(k, func(o *op) { o.want, o.min = n, n }) }

// onDay returns an operation on the account of a later day.
func onDay(k kind, day int) op {
	return with(k, func(o *op) {
		o.account.Start += int64(day) * dayLong
		o.day = o.account.Start
	})
}

func TestAnswersComeBackAsTheyWere(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		var as answers
		for range rng.IntN(50) {
			out := []outcome{
				{granted: rng.Int64N(3)},
				{granted: MaxUnits},
				{refused: true},
				{stale: true},
				{gone: true},
				{early: true},
			}[rng.IntN(6)]
			a := answerOf(&out)
			out.replayed = true
			require.Equal(t, out, a.outcome())
			as = as.put(len(as)+rng.IntN(2), a)
		}
		got, err := answers{math.MaxUint64}.decode(as.encode(nil))
		require.NoError(t, err)
		require.Equal(t, append(answers{}, as...), append(answers{}, got...))
	}
}

// TestRepeatedBatchIsMadeOnce, each of its operations, and tells what it told.
func TestRepeatedBatchIsMadeOnce(t *testing.T) {
	l := newLife(NewMemory(), 1)
	first := l.send(t, want(charge, 60), want(charge, 50), want(charge, 40), want(refund, 10))
	for range 3 {
		again := l.again(t)
		for i := range first {
			require.True(t, again[i].replayed)
			require.Equal(t, first[i].granted, again[i].granted)
			require.Equal(t, first[i].refused, again[i].refused)
			require.EqualValues(t, 90, again[i].totals.used)
		}
	}
}

// TestRepeatedRefusalIsFinal: a copy of the batch that arrives later, when there is room, must not be granted.
func TestRepeatedRefusalIsFinal(t *testing.T) {
	e := NewMemory()
	other, l := newLife(e, 1), newLife(e, 1)
	other.send(t, want(charge, 100))
	require.True(t, l.send(t, want(charge, 1))[0].refused)
	require.True(t, l.again(t)[0].refused)
	other.send(t, want(refund, 50))
	out := l.again(t)[0]
	require.True(t, out.refused && out.replayed)
	require.EqualValues(t, 50, out.totals.used)
}

// TestEarlierBatchIsForgotten: a batch that arrives when its life has gone on is not made.
func TestEarlierBatchIsForgotten(t *testing.T) {
	l := newLife(NewMemory(), 1)
	l.send(t, want(charge, 1))
	old := *l.last
	l.send(t, want(charge, 1))
	outs, _, err := l.apply(t.Context(), &old)
	require.NoError(t, err)
	require.True(t, outs[0].forgotten)
	require.EqualValues(t, 2, outs[0].totals.used)
}

// TestSixteenLivesAreRemembered: of the seventeenth, nobody knows any more whether its batch has been made, so it is
// not made.
func TestSixteenLivesAreRemembered(t *testing.T) {
	e := NewMemory()
	var lives []*life
	for range 17 {
		l := newLife(e, 1)
		l.send(t, want(charge, 1))
		lives = append(lives, l)
	}
	for i, l := range lives {
		out := l.again(t)[0]
		require.Equal(t, i == 0, out.forgotten)
		require.Equal(t, i > 0, out.replayed)
		require.EqualValues(t, 17, out.totals.used)
	}
	out := lives[0].send(t, want(charge, 1))[0]
	require.EqualValues(t, 18, out.totals.used, "another batch is made")
}

// TestLateOperationsAreMadeOnce, on an account that has left the head in the meantime, by the sessions that went with
// it.
func TestLateOperationsAreMadeOnce(t *testing.T) {
	e := NewMemory()
	l, other := newLife(e, 1), newLife(e, 1)
	next := func(i int) op { return onDay(charge, i) }
	other.send(t, next(0))
	l.send(t, want(trueUp, 5))
	for i := range 5 {
		other.send(t, next(i+1))
	}
	out := l.again(t)[0]
	require.True(t, out.replayed)
	require.EqualValues(t, 6, out.totals.used, "the account is in a row of history by now")
	for range 17 {
		newLife(e, 1).send(t, next(5))
	}
	out = l.again(t)[0]
	require.True(t, out.replayed)
	require.EqualValues(t, 6, out.totals.used, "the head has forgotten the session by now")

	require.EqualValues(t, 4, l.send(t, want(refund, 2))[0].totals.used)
	out = l.again(t)[0]
	require.True(t, out.replayed)
	require.EqualValues(t, 4, out.totals.used)
	nowhere := with(trueUp, func(o *op) { o.account.Start -= dayLong })
	require.True(t, l.send(t, nowhere)[0].refused)
}

// TestLateOperationsOfForgottenLivesAreNotMade: the row of history knows that the head had dropped sessions before.
func TestLateOperationsOfForgottenLivesAreNotMade(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	l.send(t, want(charge, 1), want(trueUp, 5))
	for range 17 {
		newLife(e, 1).send(t, want(charge, 1))
	}
	other := newLife(e, 1)
	for i := range 5 {
		other.send(t, onDay(charge, i+1))
	}
	for _, out := range l.again(t) {
		require.True(t, out.forgotten || out.stale)
	}
	require.EqualValues(t, 23, other.send(t, want(refund, 0))[0].totals.used)
}

// TestRepeatedLateRefusalIsFinal as one in the head is.
func TestRepeatedLateRefusalIsFinal(t *testing.T) {
	e := NewMemory()
	l, other := newLife(e, 1), newLife(e, 1)
	for i := range 5 {
		other.send(t, with(charge, func(o *op) { *o = onDay(charge, i); o.want = 100 }))
	}
	require.True(t, l.send(t, want(trueUp, 5))[0].refused)
	require.True(t, l.again(t)[0].refused)
	require.EqualValues(t, 50, other.send(t, want(refund, 50))[0].totals.used)
	out := l.again(t)[0]
	require.True(t, out.refused && out.replayed)
	require.EqualValues(t, 50, out.totals.used)
}

// TestLostUnitsAreGone: an operation says how many units its lease was granted. If the row has recorded fewer, the
// engine has lost data. The outcome is gone then, and the row does not change.
func TestLostUnitsAreGone(t *testing.T) {
	l := newLife(NewMemory(), 1)
	lease := func(k kind, held int64) op {
		return with(k, func(o *op) { o.lease, o.want, o.held = 7, 10, held })
	}
	require.True(t, l.send(t, lease(reserve, 10))[0].gone, "there is no row")
	require.EqualValues(t, 10, l.send(t, lease(reserve, 0))[0].granted)
	require.EqualValues(t, 10, l.send(t, lease(reserve, 10))[0].granted)
	out := l.send(t, lease(reserve, 21))[0]
	require.True(t, out.gone)
	require.EqualValues(t, 20, out.totals.used)
	require.True(t, l.send(t, lease(giveBack, 21))[0].gone)
	require.EqualValues(t, 10, l.send(t, lease(giveBack, 20))[0].granted)
	require.True(t, l.send(t, lease(giveBack, 20))[0].gone)
	require.True(t, l.send(t, lease(giveBack, 0))[0].refused)
}

// TestOneLostWriteIsNoticed by the life that made it, whatever it was, and also if another life has written the row as
// often since. A life that had not seen the lost write notices nothing.
func TestOneLostWriteIsNoticed(t *testing.T) {
	lease := func(k kind, spent int64) op {
		return with(k, func(o *op) { o.lease, o.want, o.spent, o.held = 7, 10, spent, 10 })
	}
	for name, lost := range map[string]op{
		"charge": want(charge, 10), "true-up": want(trueUp, 3), "growth": want(grow, 3), "refund": want(refund, 3),
		"lease":  with(reserve, func(o *op) { o.lease, o.want = 8, 10 }),
		"block":  lease(reserve, 4),
		"return": lease(giveBack, 4),
	} {
		for _, others := range []int{0, 1, 2} {
			e := NewMemory()
			a, b := newLife(e, 1), newLife(e, 1)
			head := []string{rowOf(headRow, someKey)}
			a.send(t, want(charge, 5), with(reserve, func(o *op) { o.lease, o.want = 7, 10 }))
			b.send(t, want(charge, 1))
			before, err := e.Load(t.Context(), head[0])
			require.NoError(t, err)
			require.False(t, a.send(t, lost)[0].refused, name)
			require.NoError(t, e.Update(t.Context(), head, func(int, []byte) ([]byte, error) { return before, nil }))
			for range others {
				require.False(t, b.send(t, want(charge, 1))[0].lost)
			}
			outs := a.send(t, want(read, 0), want(charge, 1))
			require.Equal(t, [2]bool{true, false}, [2]bool{outs[0].lost, outs[1].lost}, "%s, %d writes of another", name, others)
			require.False(t, a.send(t, want(charge, 1))[0].lost, "it is noticed once")
		}
	}
}

// TestDroppedSessionIsNoLoss: a row remembers sixteen lives. One that has been silent for longer finds that the row has
// forgotten its batches, and this tells nothing.
func TestDroppedSessionIsNoLoss(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	l.send(t, want(charge, 1))
	for range maxSessions + 1 {
		newLife(e, 1).send(t, want(charge, 1))
	}
	require.False(t, l.send(t, want(charge, 1))[0].lost)
}

// TestRowBornAgainIsALoss: a row that was deleted, or made anew, has another epoch.
func TestRowBornAgainIsALoss(t *testing.T) {
	for _, others := range []int{0, 3} {
		e := NewMemory()
		l, other := newLife(e, 1), newLife(e, 1)
		require.False(t, l.send(t, want(read, 0))[0].lost)
		require.False(t, l.send(t, want(charge, 1))[0].lost)
		require.NoError(t, l.delete(t.Context(), []string{rowOf(headRow, someKey)}, func([]byte) bool { return true }))
		for range others {
			require.False(t, other.send(t, want(charge, 1))[0].lost)
		}
		require.True(t, l.send(t, want(read, 0))[0].lost)
		require.False(t, l.send(t, want(charge, 1))[0].lost)
	}
}

// TestSetRemainingLeavesWhatItSays, also if others do the same at once, and it counts open leases as used.
func TestSetRemainingLeavesWhatItSays(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	l.send(t, want(charge, 30), with(reserve, func(o *op) { o.lease, o.want = 7, 20 }))
	for i := range 16 {
		set := with(setRemaining, func(o *op) { o.want, o.id = 500, string(rune('a'+i)) })
		out := newLife(e, 1).send(t, set, set)
		require.True(t, out[1].replayed)
		require.Equal(t, out[0].granted, out[1].granted)
		for _, out := range out {
			require.EqualValues(t, 500, out.totals.limit+out.totals.adjustments-out.totals.used)
		}
	}
	other := with(setRemaining, func(o *op) { o.want, o.id = 400, "a" })
	require.True(t, l.send(t, other)[0].refused, "the id names another")
}
