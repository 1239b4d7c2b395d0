package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// conflictFaults are of two Updates at once.
var conflictFaults = []fault{
	{"nothing compared", "conflict", over(func() ledger.Engine {
		return optimistic(func(_, _ []byte) bool { return true })
	})},
	{"nothing compared, often", "contention", over(func() ledger.Engine {
		return optimistic(func(_, _ []byte) bool { runtime.Gosched(); return true })
	})},
	{"creation not compared", "conflict", over(func() ledger.Engine {
		return optimistic(func(saw, now []byte) bool { return saw == nil || bytes.Equal(saw, now) })
	})},
	{"deletion not compared", "conflict", over(func() ledger.Engine {
		return optimistic(func(saw, now []byte) bool { return now == nil || bytes.Equal(saw, now) })
	})},
	{"lengths compared", "contention", over(func() ledger.Engine {
		return optimistic(func(saw, now []byte) bool { return len(saw)/16 == len(now)/16 })
	})},
	{"gives up in silence", "conflict", over(func() ledger.Engine { return onConflict(nil) })},
	{"a conflict is an error", "conflict", over(func() ledger.Engine { return onConflict(errors.New("conflict")) })},
	{"decides once", "conflict", over(func() ledger.Engine { return decidesOnce() })},
	{"no row for a second call", "conflict", over(func() ledger.Engine { return secondCallWithoutRow() })},
	{"a row lost", "contention", over(func() ledger.Engine { return sometimes(nil) })},
	{"a row written twice", "contention", over(func() ledger.Engine {
		return sometimes(func(next ledger.Engine, ctx context.Context, i int, key string, f decide) error {
			return next.Update(ctx, []string{key}, func(_ int, row []byte) ([]byte, error) { return f(i, row) })
		})
	})},
	{"a row lost, under ledgers", "ledger", over(func() ledger.Engine { return sometimes(nil) })},
	{"a row in two steps", "whole rows", over(func() ledger.Engine { return inTwoSteps(func(row []byte) int { return len(row) / 2 }) })},
	{"a row in two steps of pages", "whole rows", over(func() ledger.Engine { return inTwoSteps(func([]byte) int { return 4096 }) })},
	{"deleted before it is written", "whole rows", over(func() ledger.Engine { return inTwoSteps(func([]byte) int { return 1 }) })},
}

// onConflict does not call f again.
func onConflict(failure error) *engine {
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		for i, key := range keys {
			saw, err := next.Load(ctx, key)
			if err != nil {
				return err
			}
			out, err := f(i, saw)
			if err != nil {
				return err
			}
			if out == nil {
				continue
			}
			done, err := swap(next, ctx, key, out, func(now []byte) bool { return bytes.Equal(now, saw) })
			if err != nil || !done && failure != nil {
				return errors.Join(err, failure)
			}
		}
		return ctx.Err()
	}}
}

// decidesOnce writes the first decision whatever the row has become.
func decidesOnce() *engine {
	e := optimistic(bytes.Equal)
	update := e.update
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		made := make(map[int][]byte)
		return update(next, ctx, keys, func(i int, row []byte) (_ []byte, err error) {
			if _, ok := made[i]; !ok {
				made[i], err = f(i, row)
			}
			return bytes.Clone(made[i]), err
		})
	}
	return e
}

func secondCallWithoutRow() *engine {
	e := optimistic(bytes.Equal)
	update := e.update
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		called := make(map[int]bool)
		return update(next, ctx, keys, func(i int, row []byte) ([]byte, error) {
			if called[i] {
				row = nil
			}
			called[i] = true
			return f(i, row)
		})
	}
	return e
}

// sometimes does something else, or nothing, with every tenth write.
func sometimes(instead func(next ledger.Engine, ctx context.Context, i int, key string, f decide) error) *engine {
	n := 0
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		last := 0
		err := next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			if n++; n%10 == 0 && instead == nil {
				return nil, err
			}
			if n%10 == 0 {
				last = i + 1
			}
			return out, err
		})
		if last > 0 && err == nil {
			return instead(next, ctx, last-1, keys[last-1], f)
		}
		return err
	}}
}

// inTwoSteps writes the beginning of a row, and then all of it.
func inTwoSteps(half func(row []byte) int) *engine {
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		rows := make([][]byte, len(keys))
		err := next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			rows[i] = out
			return bytes.Clone(out[:min(len(out), half(out))]), err
		})
		runtime.Gosched()
		return errors.Join(err, next.Update(ctx, keys, func(i int, _ []byte) ([]byte, error) { return rows[i], nil }))
	}}
}
