package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func untold(t *testing.T, r *rows) (all []untoldCrossing) {
	t.Helper()
	for c, err := range r.crossings(t.Context()) {
		require.NoError(t, err)
		all = append(all, c)
	}
	return all
}

// TestCrossingsAreFoundUntilTheyAreTold, by a ledger that starts later, and none that is not there.
func TestCrossingsAreFoundUntilTheyAreTold(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	watched := func(o *op) { o.thresholds, o.want, o.min = []int{50, 80}, 49, 49 }
	l.send(t, exactCharge(Key{"gold", "customer-2"}), with(charge, watched))
	require.Empty(t, untold(t, newLife(e, 1).rows))

	crossed := l.send(t, with(charge, watched))[0].totals.crossed
	require.Equal(t, percents{}.with(50).with(80), crossed)
	found := untold(t, newLife(e, 2).rows)
	require.Len(t, found, 1)
	require.Equal(t, exactCharge(someKey).account, found[0].account)
	require.EqualValues(t, 98, found[0].totals.used)

	require.False(t, l.send(t, want(tell, 50))[0].refused)
	require.True(t, l.send(t, want(tell, 50))[0].refused)
	require.Len(t, untold(t, l.rows), 1)
	require.Equal(t, crossed, l.send(t, want(tell, 80))[0].totals.told)
	require.Empty(t, untold(t, l.rows))
	index, err := e.Load(t.Context(), rowOf(indexRow, someKey))
	require.NoError(t, err)
	require.Nil(t, index)
}

// interposed is an engine where, once, others act before or after a call on a row whose key begins with a letter.
type interposed struct {
	Engine
	letter        byte
	before, after func()
}

func (i *interposed) at(key string, act *func()) {
	if f := *act; f != nil && key[0] == i.letter {
		*act = nil
		f()
	}
}

func (i *interposed) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	i.at(keys[0], &i.before)
	defer i.at(keys[0], &i.after)
	return i.Engine.Update(ctx, keys, f)
}

func (i *interposed) Load(ctx context.Context, key string) ([]byte, error) {
	i.at(key, &i.before)
	defer i.at(key, &i.after)
	return i.Engine.Load(ctx, key)
}

// TestIndexOutlivesOthers: a tell by another ledger, between the index row and the head that it is written for, deletes
// the index row; so it has to be written again. And an index row that is written while a tell is made is not deleted by
// it.
func TestIndexOutlivesOthers(t *testing.T) {
	crossing := func(p int, n int64) op {
		return with(charge, func(o *op) { o.thresholds, o.want, o.min = []int{p}, n, n })
	}
	e := NewMemory()
	other := newLife(e, 1)
	other.send(t, want(charge, 40))
	late := &interposed{Engine: e, letter: indexRow, after: func() {
		other.send(t, crossing(50, 20))
		other.send(t, want(tell, 50))
		require.Empty(t, untold(t, other.rows))
	}}
	newLife(late, 1).send(t, crossing(80, 40))
	require.Nil(t, late.after)
	require.Len(t, untold(t, other.rows), 1)

	teller := &interposed{Engine: e, letter: headRow, after: func() {
		other.send(t, with(refund, func(o *op) { o.thresholds, o.want = []int{10}, 1 }))
	}}
	newLife(teller, 1).send(t, want(tell, 80))
	require.Nil(t, teller.after)
	found := untold(t, other.rows)
	require.Len(t, found, 1)
	require.Equal(t, percents{}.with(10), found[0].totals.crossed.without(found[0].totals.told))
}

// TestHeadsAreThoseOfThePlan: every key that has an account, and no row of another plan or of history.
func TestHeadsAreThoseOfThePlan(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	want := map[string][]Key{"a": {{"a", "b"}, {"a", "bc"}, {"a", "ab"}, {"a", "\x00"}}, "ab": {{"ab", "c"}}, "": nil, "b": nil}
	for _, ks := range want {
		for _, k := range ks {
			for i := range 10 {
				o := exactCharge(k)
				o.account.Start += int64(i) * dayLong
				o.day, o.thresholds, o.limit = o.account.Start, []int{1}, 50
				l.send(t, o)
			}
		}
	}
	for plan, keys := range want {
		var got []Key
		for k, err := range l.keys(t.Context(), plan) {
			require.NoError(t, err)
			got = append(got, k)
		}
		require.ElementsMatch(t, keys, got, plan)
	}
}

// clocked is an engine with a clock.
type clocked struct {
	Engine
	now   int64
	asked int
}

func (c *clocked) Now(context.Context) (time.Time, error) {
	c.asked++
	return time.Unix(c.now, 0), nil
}

// TestNoAccountBeginsInTheFuture by the engine's clock, which is asked once a batch, and only if an account would
// begin.
func TestNoAccountBeginsInTheFuture(t *testing.T) {
	now := exactCharge(someKey).account.Start
	e := &clocked{Engine: NewMemory(), now: now}
	l := newLife(e, 1)
	tomorrow := with(charge, func(o *op) {
		o.account.Start += dayLong
		o.day = o.account.Start
	})
	l.send(t, want(charge, 1), exactCharge(Key{"gold", "customer-2"}), exactCharge(Key{"gold", "customer-3"}))
	require.Equal(t, 1, e.asked)
	l.send(t, want(charge, 1), want(trueUp, 1), want(read, 0))
	require.Equal(t, 1, e.asked)
	outs := l.send(t, tomorrow, want(charge, 1))
	require.True(t, outs[0].early)
	require.EqualValues(t, 4, outs[1].totals.used, "the running period goes on")
	require.True(t, l.again(t)[0].early)

	e.now += dayLong
	require.True(t, l.again(t)[0].early, "a copy that comes later")
	require.EqualValues(t, 1, l.send(t, tomorrow)[0].granted)
	require.Equal(t, 3, e.asked)
}

// owned is an engine that one process has alone.
type owned struct {
	Engine
	number uint32
}

func (o owned) Owner() uint32 { return o.number }

// TestLeasesOfEarlierOpeningsEnd once those of which something is known have been ended. Their units stay counted.
func TestLeasesOfEarlierOpeningsEnd(t *testing.T) {
	e := NewMemory()
	lease := func(l *life, k kind) op {
		return with(k, func(o *op) { o.lease, o.want, o.min = l.session>>32<<32|5, 10, 1 })
	}
	old := newLife(owned{e, 1}, 1)
	old.send(t, lease(old, reserve))
	l := newLife(owned{e, 2}, 1)
	require.EqualValues(t, 2, l.session>>32)
	out := l.send(t, lease(l, reserve))[0]
	require.Equal(t, 2, out.totals.leases)

	l.ended.Store(true)
	out = l.send(t, want(charge, 1))[0]
	require.Equal(t, 1, out.totals.leases)
	require.Equal(t, [2]int64{21, 20}, [2]int64{out.totals.used, out.totals.held})
	require.EqualValues(t, 10, l.send(t, lease(l, giveBack))[0].granted)
	var r record
	require.NoError(t, l.load(t.Context(), someKey, rowOf(headRow, someKey), &r))
	require.Len(t, r.sessions, 1)
	require.False(t, r.pruned)
}
