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

type unreadableRow string

func (r unreadableRow) Error() string { return fmt.Sprintf("%q cannot be read", string(r)) }
func (r unreadableRow) Row() string   { return string(r) }

// Update calls f for the rows before the one that it cannot read, and makes nothing, as an engine may that reads one by one.
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
		return fmt.Errorf("engine: %w", unreadableRow(key))
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
			require.ErrorAs(t, errs[i], new(unreadableRow), name)
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
	require.ErrorAs(t, errs[1], new(unreadableRow))
	require.Equal(t, []error{nil, nil}, []error{errs[0], errs[2]})
	require.EqualValues(t, 3, outs[2].totals.used)
}
