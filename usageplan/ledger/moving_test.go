package ledger

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFourHundredPeriods: an account for each day, and late settlements on any of them.
func TestFourHundredPeriods(t *testing.T) {
	e, m := NewMemory(), model{}
	l := newLife(e, 1)
	rng := rand.New(rand.NewPCG(5, 6))
	at := func(k kind, day int) op {
		return with(k, func(o *op) {
			o.want, o.thresholds = rng.Int64N(60), []int{50, 100}
			o.account.Start += int64(day) * dayLong
			o.day = o.account.Start
		})
	}
	for day := range 400 {
		ops := []op{at(charge, day), at(charge, day), at(trueUp, rng.IntN(day+1)), at(refund, rng.IntN(day+1))}
		for i, out := range l.send(t, ops...) {
			want := m.apply(&ops[i])
			require.Equal(t, want, out, "day %d: %+v", day, ops[i])
		}
	}
	requireModel(t, l.rows, m, someKey)
	rows := 0
	for _, err := range e.Keys(t.Context(), "h") {
		require.NoError(t, err)
		rows++
	}
	require.InDelta(t, 400/32, rows, 2)
}

// TestOldHistoryGoes: what is older than the ledger keeps it, with its pages, and not much sooner.
func TestOldHistoryGoes(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	l.keep = 100 * dayLong
	first := exactCharge(someKey).account.Start
	for day := range 500 {
		today := func(o *op) {
			o.account.Start += int64(day) * dayLong
			o.day, o.time = o.account.Start, o.account.Start
		}
		ops := []op{with(charge, today)}
		for i := range 4 {
			ops = append(ops, with(extend, func(o *op) {
				today(o)
				o.id = fmt.Sprint(day, "-", i)
			}))
		}
		l.send(t, ops...)
		if other := newLife(e, 2); day%7 == 0 { // who knows nothing yet
			other.keep = l.keep
			other.send(t, with(charge, today))
		}
	}
	var days, changes int
	for a, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		require.Greater(t, a.start, first+(499-100-2*32)*dayLong)
		days++
	}
	require.GreaterOrEqual(t, days, 100)
	for _, err := range l.adjustments(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		changes++
	}
	require.Equal(t, 4*days, changes)
	rows := map[byte]int{}
	for key, err := range e.Keys(t.Context(), "") {
		require.NoError(t, err)
		rows[key[0]]++
	}
	require.LessOrEqual(t, rows[historyRow], 7)
	require.LessOrEqual(t, rows[pageRow], days)
}

// TestLastChangesAreRecognised: 256 of an account at least, and of older ones not even the pages are kept.
func TestLastChangesAreRecognised(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	change := func(i int) op {
		return with(extend, func(o *op) { o.id, o.want, o.reason, o.actor = fmt.Sprint(i), int64(i+1), "why", "who" })
	}
	const n = 1000
	for i := range n {
		require.False(t, l.send(t, change(i))[0].replayed)
	}
	for i := n - rememberedChanges; i < n; i++ {
		out := l.send(t, change(i))[0]
		require.True(t, out.replayed, i)
		require.EqualValues(t, i+1, out.granted)
		require.True(t, l.send(t, with(correct, func(o *op) { o.id, o.want = fmt.Sprint(i), 1 }))[0].refused)
	}
	pages := 0
	for _, err := range e.Keys(t.Context(), "a") {
		require.NoError(t, err)
		pages++
	}
	require.LessOrEqual(t, pages, rememberedChanges/pageSize+1)
	var ids []string
	for c, err := range l.adjustments(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		ids = append(ids, c.ID)
	}
	require.GreaterOrEqual(t, len(ids), rememberedChanges)
	for i, id := range ids {
		require.Equal(t, fmt.Sprint(n-len(ids)+i), id)
	}
}

func extension(id string) op {
	return with(extend, func(o *op) { o.id, o.want = id, 1 })
}

// TestPagesAreReadAgain if the head has moved changes since they were read, by a pin or by the merge of one.
func TestPagesAreReadAgain(t *testing.T) {
	e := NewMemory()
	other := newLife(e, 1)
	for i := range 10 {
		other.send(t, extension(fmt.Sprint(i)))
	}
	moving := &interposed{Engine: e, letter: pageRow, after: func() {
		for _, id := range []string{"x", "y", "z", "u", "v", "w"} {
			require.False(t, other.send(t, extension(id))[0].replayed)
		}
	}}
	require.True(t, newLife(moving, 1).send(t, extension("x"))[0].replayed)
	require.Nil(t, moving.after)

	e = NewMemory()
	failing := &dying{e, math.MaxInt, 0}
	l := newLife(failing, 1)
	l.send(t, extension("a"))
	l.send(t, extension("b"))
	failing.calls = 2 // the head, but not the page
	l.send(t, extension("c"))
	other = newLife(e, 1)
	merging := &interposed{Engine: e, letter: pageRow, after: func() {
		other.send(t, want(charge, 1))
		other.send(t, want(charge, 1))
	}}
	outs := newLife(merging, 1).send(t, extension("d"), extension("a"))
	require.Nil(t, merging.after)
	require.Equal(t, []bool{false, true}, []bool{outs[0].replayed, outs[1].replayed})
}

// TestManyChangesInOneBatch are all made, in their order, though the head has room for a few at a time; and so are many
// new periods.
func TestManyChangesInOneBatch(t *testing.T) {
	l := newLife(NewMemory(), 1)
	var ops []op
	for i := range 200 {
		ops = append(ops, with(extend, func(o *op) { o.id, o.want = fmt.Sprint(i), 1 }), want(charge, 1))
	}
	for i := range 50 {
		ops = append(ops, with(charge, func(o *op) {
			o.account.Start += int64(i+1) * dayLong
			o.day = o.account.Start
		}), want(trueUp, 1))
	}
	outs := l.send(t, ops...)
	for i, out := range outs {
		require.EqualValues(t, 1, out.granted, "op %d", i)
	}
	for i, out := range l.again(t) {
		require.True(t, out.replayed || out.stale && ops[i].kind == extend, "op %d: %+v", i, out)
	}
	var used int64
	for a, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		used += a.used
	}
	require.EqualValues(t, 300, used)
}

// dying is an engine of a process that dies at one of its calls: before the call does anything, after it, or in the
// middle.
type dying struct {
	Engine
	calls int
	how   int
}

func (d *dying) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	d.calls--
	switch {
	case d.calls < 0 || d.calls == 0 && d.how == 0:
		return errInjected
	case d.calls > 0:
		return d.Engine.Update(ctx, keys, f)
	case d.how == 1:
		keys = keys[:len(keys)/2]
	}
	if err := d.Engine.Update(ctx, keys, f); err != nil {
		return err
	}
	return errInjected
}

func (d *dying) Load(ctx context.Context, key string) ([]byte, error) {
	if d.calls--; d.calls <= 0 {
		return nil, errInjected
	}
	return d.Engine.Load(ctx, key)
}

// TestDeathAtEachCall: a life dies at any call to the engine while days, changes and accounts move. What it was told
// has been counted, and of its last batch whole operations or nothing; the next life goes on from there.
func TestDeathAtEachCall(t *testing.T) {
	script := func(day int) []op {
		at := func(k kind, n int64, day int) op {
			return with(k, func(o *op) {
				o.want, o.account.Start, o.day = n, o.account.Start+int64(day/9*9)*dayLong, o.day+int64(day)*dayLong
				o.id, o.thresholds = fmt.Sprint(day, k), []int{50}
			})
		}
		return []op{at(charge, 3, day), at(extend, 1, day), at(correct, 2, day), at(trueUp, 1, max(0, day-20)), at(charge, 60, day)}
	}
	for how := range 3 {
		for calls := 1; ; calls++ {
			e := &dying{NewMemory(), calls, how}
			l := newLife(e, 1)
			var told, pending int64
			count := func(ops []op, outs []outcome) (n int64) {
				for i := range outs {
					if ops[i].kind != extend && !outs[i].replayed {
						n += outs[i].granted
					}
				}
				return n
			}
			dead := false
			for day := range 40 {
				ops := script(day)
				l.number++
				outs, errs, err := l.apply(t.Context(), &batch{ops: ops, number: l.number})
				require.Nil(t, errs)
				if err != nil {
					require.ErrorIs(t, err, errInjected)
					dead = true
					e.calls = math.MaxInt
					l = newLife(e, 2)
					for _, o := range ops {
						pending += o.want
					}
					continue
				}
				told += count(ops, outs)
			}
			dead = dead || e.calls < 0 // in the middle of a move, which is no error
			e.calls = math.MaxInt
			var used int64
			for a, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
				require.NoError(t, err)
				var days int64
				for _, d := range a.days {
					days += d.used
				}
				require.Equal(t, a.used, days)
				used += a.used
			}
			require.GreaterOrEqual(t, used, told)
			require.LessOrEqual(t, used, told+pending)
			if !dead {
				break
			}
		}
	}
}

// TestDamagedRowConcernsItsKeyAlone, and a row of a newer release as well. The error says which key it is.
func TestDamagedRowConcernsItsKeyAlone(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	other := Key{"gold", "customer-2"}
	both := []op{exactCharge(someKey), exactCharge(other), exactCharge(someKey)}
	l.send(t, both...)
	for want, damage := range map[error]byte{errDamaged: 1, errNewer: 9} {
		spoil(t, e, rowOf(headRow, someKey), damage)
		l.number++
		outs, errs, err := l.apply(t.Context(), &batch{ops: both, number: l.number})
		require.NoError(t, err)
		require.NoError(t, errs[1])
		require.EqualValues(t, 1, outs[1].granted)
		for _, i := range []int{0, 2} {
			require.ErrorIs(t, errs[i], want)
			require.ErrorContains(t, errs[i], `plan "gold", subject "customer-1"`)
			require.Zero(t, outs[i])
		}
		for _, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
			require.ErrorIs(t, err, want)
		}
	}
}

// TestDamagedHistoryConcernsLateOperationsAlone: the newest accounts go on.
func TestDamagedHistoryConcernsLateOperationsAlone(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	for i := range 5 {
		l.send(t, with(charge, func(o *op) {
			o.account.Start += int64(i) * 40 * dayLong
			o.day = o.account.Start
		}))
	}
	spoil(t, e, historyAt(exactCharge(someKey).account.Start).row(someKey), 1)
	now := with(charge, func(o *op) {
		o.account.Start += 4 * 40 * dayLong
		o.day = o.account.Start
	})
	l.number++
	outs, errs, err := l.apply(t.Context(), &batch{ops: []op{now, want(trueUp, 1), now}, number: l.number})
	require.NoError(t, err)
	require.ErrorIs(t, errs[1], errDamaged)
	require.Equal(t, []error{nil, nil}, []error{errs[0], errs[2]})
	require.EqualValues(t, 3, outs[2].totals.used)
}

// TestLostHead: a head that is gone, or as it was earlier, is no harm to what is read; and an account of which only
// days are left is not made again.
func TestLostHead(t *testing.T) {
	e := NewMemory()
	l := newLife(e, 1)
	head := rowOf(headRow, someKey)
	var early []byte
	for day := range 20 {
		l.send(t, with(charge, func(o *op) { o.day += int64(day) * dayLong }))
		if day == 10 {
			var err error
			early, err = e.Load(t.Context(), head)
			require.NoError(t, err)
		}
	}
	put := func(row []byte) {
		require.NoError(t, e.Update(t.Context(), []string{head}, func(int, []byte) ([]byte, error) { return row, nil }))
	}
	put(early)
	accounts := 0
	for a, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		require.EqualValues(t, 11, a.used)
		accounts++
	}
	require.Equal(t, 1, accounts)

	put([]byte{})
	for i := range 5 {
		require.EqualValues(t, 1, l.send(t, onDay(charge, 100+i))[0].granted)
	}
	require.True(t, l.send(t, with(trueUp, func(o *op) { o.force = true }))[0].refused)
}

// spoil changes the first byte of a row.
func spoil(t *testing.T, e Engine, key string, first byte) {
	t.Helper()
	require.NoError(t, e.Update(t.Context(), []string{key}, func(_ int, row []byte) ([]byte, error) {
		require.NotEmpty(t, row)
		row = append([]byte{first}, row[1:]...)
		row[5]++
		return row, nil
	}))
}
