package ledger

import (
	"context"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// contents returns all rows of an engine.
func contents(t *testing.T, e Engine) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	for key, err := range e.Keys(t.Context(), "") {
		require.NoError(t, err)
		row, err := e.Load(t.Context(), key)
		require.NoError(t, err)
		rows[key] = string(row)
	}
	return rows
}

// put writes a row. One without bytes deletes it.
func put(t *testing.T, e Engine, key, row string) {
	t.Helper()
	require.NoError(t, e.Update(t.Context(), []string{key}, func(int, []byte) ([]byte, error) { return []byte(row), nil }))
}

// numbered is an engine that no other process has.
type numbered struct {
	Engine
	number uint32
}

func (n numbered) Owner() uint32 { return n.number }

// TestCopyIsAsTheModel: random operations in both formats go on over a copy of the rows. They are decided as by the
// model, which knows of no copy, but for the leases, which have ended.
func TestCopyIsAsTheModel(t *testing.T) {
	for seed := range seeds(40) {
		s, m, source, target := newScene(seed), model{}, NewMemory(), NewMemory()
		run := func(e Engine) {
			lives := []*life{newLife(e, 1), newLife(e, 2)}
			for range 150 {
				s.now += s.Int64N(s.length)
				o := s.op()
				outs := lives[s.IntN(2)].send(t, o)
				want := m.apply(&o)
				require.Equal(t, want, outs[0], "seed %d: %+v", seed, o)
				s.learn(&o, &outs[0])
			}
			for _, k := range s.keys {
				requireModel(t, lives[0].rows, m, k)
			}
		}
		run(source)
		require.NoError(t, Copy(t.Context(), target, source))
		s.open = nil
		for _, k := range m {
			for _, a := range k.accounts {
				clear(a.open)
			}
		}
		for key, row := range contents(t, target) {
			if key[0] != indexRow {
				before, err := source.Load(t.Context(), key)
				require.NoError(t, err)
				require.Equal(t, before[0], row[0], "the format")
			}
		}
		run(target)
	}
}

// TestCopyThereAndBackIsTheSame: without leases and sessions, a copy has the bytes of its source.
func TestCopyThereAndBackIsTheSame(t *testing.T) {
	source, first, second, back := NewMemory(), NewMemory(), NewMemory(), NewMemory()
	l, s := newLife(source, 1), newScene(7)
	for range 300 {
		s.now += s.Int64N(dayLong)
		l.send(t, s.op(), s.op())
	}
	require.NoError(t, Copy(t.Context(), first, source))
	require.NoError(t, Copy(t.Context(), second, first))
	require.NoError(t, Copy(t.Context(), back, second))
	require.Equal(t, contents(t, first), contents(t, back))
	require.Len(t, contents(t, back), len(contents(t, source)))
}

// TestKilledCopyGoesOn: a copy that is killed at any call of the source or the target, before it, in the middle or
// after it, goes on when it is called again.
func TestKilledCopyGoesOn(t *testing.T) {
	source := NewMemory()
	l := newLife(source, 2)
	for i := range copyKeys + 10 {
		l.send(t, with(charge, func(o *op) { o.account.Subject = fmt.Sprint(i) }))
	}
	whole := NewMemory()
	require.NoError(t, Copy(t.Context(), whole, source))
	for _, ofTarget := range []bool{true, false} {
		for how := range 3 {
			for calls := 1; ; calls++ {
				target := NewMemory()
				from, to := &dying{source, math.MaxInt, how}, &dying{target, math.MaxInt, how}
				if ofTarget {
					to.calls = calls
				} else {
					from.calls = calls
				}
				err := Copy(t.Context(), to, from)
				if err == nil {
					require.Greater(t, calls, 4)
					break
				}
				require.ErrorIs(t, err, errInjected)
				require.ErrorIs(t, err, ErrUnavailable)
				require.NoError(t, Copy(t.Context(), target, source))
				require.Equal(t, contents(t, whole), contents(t, target))
			}
		}
	}
}

// TestCopyReplacesNothing: a target with a row that the source has not, or has otherwise, is refused before anything is
// written.
func TestCopyReplacesNothing(t *testing.T) {
	source, other := NewMemory(), NewMemory()
	newLife(source, 1).send(t, with(charge, func(*op) {}))
	newLife(other, 1).send(t, with(charge, func(o *op) { o.account.Subject = "another" }))
	same := NewMemory()
	newLife(same, 1).send(t, with(charge, func(*op) {}))
	for _, target := range []Engine{other, same} {
		before := contents(t, target)
		require.ErrorIs(t, Copy(t.Context(), target, source), ErrDiffers)
		require.Equal(t, before, contents(t, target))
	}
}

// meddled is an engine that somebody changes before one of its calls of Keys.
type meddled struct {
	Engine
	keys   int
	meddle func()
}

func (m *meddled) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if m.keys--; m.keys == 0 {
		m.meddle()
	}
	return m.Engine.Keys(ctx, prefix)
}

// TestCopyNoticesWriters: a ledger that changes a row of the source or the target after it has been copied is found by
// the comparison at the end.
func TestCopyNoticesWriters(t *testing.T) {
	for name, change := range map[string]func(o *op){
		"the row": func(*op) {}, "another": func(o *op) { o.account.Subject = "new" },
	} {
		source, target := NewMemory(), NewMemory()
		l := newLife(source, 1)
		l.send(t, with(charge, func(*op) {}))
		from := &meddled{source, 2, func() { l.send(t, with(charge, change)) }}
		require.ErrorIs(t, Copy(t.Context(), target, from), ErrDiffers, name)
	}
	source, target := NewMemory(), NewMemory()
	newLife(source, 1).send(t, with(charge, func(*op) {}))
	to := &meddled{target, 2, func() { newLife(target, 1).send(t, with(charge, func(o *op) { o.account.Subject = "new" })) }}
	require.ErrorIs(t, Copy(t.Context(), to, source), ErrDiffers)

	// Here, a row comes into the target after its rows have been looked at, and before it gets that of the source.
	source, target = NewMemory(), NewMemory()
	newLife(source, 1).send(t, with(charge, func(*op) {}))
	from := &meddled{source, 1, func() { newLife(target, 1).send(t, with(charge, func(*op) {})) }}
	require.ErrorIs(t, Copy(t.Context(), target, from), ErrDiffers)
	require.NotEqual(t, contents(t, source), contents(t, target))
}

// TestCopyStopsAtARowThatItCannotRead: it cannot tell what leases such a row has. The error names the row.
func TestCopyStopsAtARowThatItCannotRead(t *testing.T) {
	whole := NewMemory()
	newLife(whole, 1).send(t, with(charge, func(*op) {}))
	head := rowOf(headRow, someKey)
	for row, want := range map[string]error{
		contents(t, whole)[head][:20]:         errDamaged,
		"\x03" + contents(t, whole)[head][1:]: errNewer,
	} {
		source, target := NewMemory(), NewMemory()
		put(t, source, head, row)
		err := Copy(t.Context(), target, source)
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, fmt.Sprintf("%q", head))
		require.Empty(t, contents(t, target))
	}
	source := NewMemory()
	put(t, source, "z", "a later release knows what this is")
	require.ErrorIs(t, Copy(t.Context(), NewMemory(), source), errNewer)
}

// TestCopyNeedsTwoEngines: a missing one is a mistake of the caller.
func TestCopyNeedsTwoEngines(t *testing.T) {
	require.ErrorIs(t, Copy(t.Context(), nil, NewMemory()), ErrInvalid)
	require.ErrorIs(t, Copy(t.Context(), NewMemory(), (*memory)(nil)), ErrInvalid)
}

// TestWhatMovesIsCopiedWithoutLeases: a head that is about to move an account with an open lease is copied without the
// lease, and so is the row to which an account has moved. Their units stay held.
func TestWhatMovesIsCopiedWithoutLeases(t *testing.T) {
	source, target := NewMemory(), NewMemory()
	dies := &dying{source, math.MaxInt, 0}
	l := newLife(dies, 1)
	for day := range 4 {
		if day == 3 {
			dies.calls = 2 // after the head, and before the row that takes what the head moves
		}
		l.send(t, with(reserve, func(o *op) {
			o.account.Start += int64(day) * dayLong
			o.day, o.want, o.lease = o.account.Start, 10, uint64(1+day)<<32
		}))
	}
	leases := func(e Engine) (moving, moved int) {
		var head, row, items record
		rows := contents(t, e)
		require.NoError(t, head.decode([]byte(rows[rowOf(headRow, someKey)])))
		require.NoError(t, items.readContents(head.moving.items))
		require.NoError(t, row.decode([]byte(rows[historyAt(exactCharge(someKey).account.Start).row(someKey)])))
		return len(items.states[0].open), len(row.states[0].open)
	}
	moving, moved := leases(source)
	require.Equal(t, [2]int{1, 1}, [2]int{moving, moved})
	for owner := range uint32(4) { // each lease may be that of a ledger which is open
		require.ErrorIs(t, Copy(t.Context(), NewMemory(), numbered{source, 1 + owner}), ErrLeased)
	}
	require.NoError(t, Copy(t.Context(), target, numbered{source, 5}))
	moving, moved = leases(target)
	require.Equal(t, [2]int{0, 0}, [2]int{moving, moved})
	var head record
	require.NoError(t, head.decode([]byte(contents(t, target)[rowOf(headRow, someKey)])))
	require.Empty(t, head.sessions)
	accounts := 0
	for a, err := range newLife(target, 1).usage(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		require.Equal(t, [3]int64{10, 10, 0}, [3]int64{a.used, a.held, int64(a.leases)})
		accounts++
	}
	require.Equal(t, 4, accounts)
}
