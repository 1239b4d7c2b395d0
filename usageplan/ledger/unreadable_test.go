package ledger

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// unreadable is an engine that cannot read some rows and says which, one in each Update.
type unreadable struct {
	Engine
	rows []string
}

type badRow string

func (r badRow) Error() string { return fmt.Sprintf("%q cannot be read", string(r)) }
func (r badRow) Row() string   { return string(r) }

func (u *unreadable) Load(ctx context.Context, key string) ([]byte, error) {
	if slices.Contains(u.rows, key) {
		return nil, fmt.Errorf("engine: %w", badRow(key))
	}
	return u.Engine.Load(ctx, key)
}

// Update calls f for the rows before the one that it cannot read, and makes nothing, as an engine may that reads one by
// one.
func (u *unreadable) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	for i, key := range keys {
		if !slices.Contains(u.rows, key) {
			continue
		}
		for j := range i {
			row, err := u.Load(ctx, keys[j])
			if err != nil {
				return err
			}
			if _, err := f(j, row); err != nil {
				return err
			}
		}
		return fmt.Errorf("engine: %w", badRow(key))
	}
	return u.Engine.Update(ctx, keys, f)
}

func TestRowThatTheEngineCannotReadConcernsItsKeyAlone(t *testing.T) {
	e := &unreadable{Engine: NewMemory()}
	l := newLife(e, 1)
	ops := make([]op, 6)
	for i := range ops {
		ops[i] = exactCharge(Key{"gold", fmt.Sprint(i / 2)})
	}
	for name, bad := range map[string][]int{"first": {0}, "middle": {1}, "last": {2}, "two": {2, 0}, "all": {1, 0, 2}} {
		e.rows = nil
		for _, i := range bad {
			e.rows = append(e.rows, rowOf(headRow, ops[2*i].account.Key))
		}
		l.number++
		outs, errs, err := l.apply(t.Context(), &batch{ops: ops, number: l.number})
		require.NoError(t, err, name)
		for i := range ops {
			if !slices.Contains(bad, i/2) {
				require.NoError(t, errs[i], name)
				require.EqualValues(t, 1, outs[i].granted, name)
				continue
			}
			require.ErrorAs(t, errs[i], new(badRow), name)
			require.ErrorContains(t, errs[i], fmt.Sprintf(`subject "%d"`, i/2), name)
			require.Zero(t, outs[i], name)
		}
	}
	e.rows = nil
	for i, o := range l.send(t, ops...) { // each key counted where its row could be read: 3 of 5 times, or 2
		require.EqualValues(t, []int{2, 3, 2}[i/2]*2+i%2+1, o.totals.used)
	}
}

func TestHistoryThatTheEngineCannotReadConcernsLateOperationsAlone(t *testing.T) {
	e := &unreadable{Engine: NewMemory()}
	l := newLife(e, 1)
	at := func(i int) op {
		return with(charge, func(o *op) {
			o.account.Start += int64(i) * 40 * dayLong
			o.day = o.account.Start
		})
	}
	for i := range 5 {
		l.send(t, at(i))
	}
	e.rows = []string{historyAt(at(0).account.Start).row(someKey)}
	l.number++
	outs, errs, err := l.apply(t.Context(), &batch{ops: []op{at(4), want(trueUp, 1), at(4)}, number: l.number})
	require.NoError(t, err)
	require.ErrorAs(t, errs[1], new(badRow))
	require.Equal(t, []error{nil, nil}, []error{errs[0], errs[2]})
	require.EqualValues(t, 3, outs[2].totals.used)
}

// TestIndexThatTheEngineCannotReadConcernsItsKeyAlone: a crossing of the key cannot be recorded, and is not lost once
// it has been.
func TestIndexThatTheEngineCannotReadConcernsItsKeyAlone(t *testing.T) {
	e := &unreadable{Engine: NewMemory(), rows: []string{rowOf(indexRow, someKey)}}
	l := newLife(e, 1)
	crosses := with(charge, func(o *op) { o.limit, o.thresholds = 1, []int{100} })
	other := crosses
	other.account.Key = Key{"gold", "customer-2"}
	told := crosses
	told.kind, told.want = tell, 100
	for _, b := range []batch{{ops: []op{crosses, other}}, {ops: []op{told, exactCharge(Key{"gold", "customer-3"})}}} {
		l.number++
		b.number = l.number
		_, errs, err := l.apply(t.Context(), &b)
		require.NoError(t, err)
		if b.ops[0].kind == charge {
			require.ErrorAs(t, errs[0], new(badRow))
			require.ErrorContains(t, errs[0], `subject "customer-1"`)
			require.NoError(t, errs[1])
			e.rows = nil
			require.EqualValues(t, 1, l.send(t, crosses)[0].granted)
			e.rows = []string{rowOf(indexRow, someKey)}
		} else {
			require.Nil(t, errs)
		}
	}
	e.rows = nil
	index, err := e.Load(t.Context(), rowOf(indexRow, someKey))
	require.NoError(t, err)
	require.NotNil(t, index, "one that cannot be read stays")
}

// TestPageThatTheEngineCannotReadConcernsItsKeyAlone: of its key, adjustments whose id may be on the page are not made.
func TestPageThatTheEngineCannotReadConcernsItsKeyAlone(t *testing.T) {
	e := &unreadable{Engine: NewMemory()}
	l := newLife(e, 1)
	extended := func(i int) op {
		return with(extend, func(o *op) { o.id, o.want = fmt.Sprint(i), 1 })
	}
	for i := range 20 {
		l.send(t, extended(i))
	}
	e.rows = []string{pageOf(exactCharge(someKey).account.Start, 0).row(someKey)}
	l.number++
	ops := []op{extended(20), exactCharge(Key{"gold", "customer-2"})}
	outs, errs, err := l.apply(t.Context(), &batch{ops: ops, number: l.number})
	require.NoError(t, err)
	require.ErrorAs(t, errs[0], new(badRow))
	require.NoError(t, errs[1])
	require.EqualValues(t, 1, outs[1].granted)
	require.EqualValues(t, 1, l.send(t, exactCharge(someKey))[0].granted)
}

// TestLedgerBeginsWithHeadsThatCannotBeRead: they keep no others from being told of their crossings.
func TestLedgerBeginsWithHeadsThatCannotBeRead(t *testing.T) {
	damaged, whole := Key{"gold", "customer-1"}, Key{"gold", "customer-2"}
	for name, unread := range map[string]bool{"by the ledger": false, "by the engine": true} {
		t.Run(name, func(t *testing.T) {
			e := &unreadable{Engine: NewMemory()}
			l, err := New(Config{Engine: e})
			require.NoError(t, err)
			for _, k := range []Key{damaged, whole} {
				_, err := l.Take(t.Context(), k, Quota{Limit: 1, Period: Daily}, 1)
				require.NoError(t, err)
			}
			require.NoError(t, l.Close())
			if unread {
				e.rows = []string{rowOf(headRow, damaged)}
			} else {
				spoil(t, e, rowOf(headRow, damaged), 1)
			}
			told := make(chan Crossing, 6)
			l, err = New(Config{Engine: e, OnThreshold: func(c Crossing) { told <- c }})
			require.NoError(t, err)
			require.NoError(t, l.Close())
			close(told)
			n := 0
			for c := range told {
				require.Equal(t, whole, c.Account.Key)
				n++
			}
			require.Equal(t, 3, n)
		})
	}
}
