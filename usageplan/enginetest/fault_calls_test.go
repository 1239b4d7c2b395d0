package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// callFaults are of how f is called, and of who owns what.
var callFaults = []fault{
	{"swallows the error of f", "error of f", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		_ = next.Update(ctx, keys, f)
		return nil
	})},
	{"returns another error", "error of f", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if next.Update(ctx, keys, f) != nil {
			return errors.New("update failed")
		}
		return nil
	})},
	{"goes on after the error", "error of f", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		var failure error
		err := next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			if err != nil {
				failure = err
			}
			return out, nil
		})
		return errors.Join(err, failure)
	})},
	{"writes what f was not asked for", "error of f", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		err := next.Update(ctx, keys, f)
		if err != nil {
			_ = next.Update(ctx, keys, func(int, []byte) ([]byte, error) { return []byte("failed"), nil })
		}
		return err
	})},
	{"deletes where f fails", "error of f", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		var failure error
		err := next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			if failure != nil {
				return nil, nil
			}
			out, err := f(i, row)
			if err != nil {
				failure = err
				return []byte{}, nil
			}
			return out, nil
		})
		return errors.Join(err, failure)
	})},
	{"calls f at once", "one call at a time", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		rows, err := decideAtOnce(next, ctx, keys, f)
		if err != nil {
			return err
		}
		return next.Update(ctx, keys, func(i int, _ []byte) ([]byte, error) { return rows[i], nil })
	})},
	{"calls f after the end", "one call at a time", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		err := next.Update(ctx, keys, f)
		go func() { _, _ = f(0, nil) }()
		return err
	})},
	{"leaves a key out", "many keys", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys[:max(1, len(keys)-1)], f)
	})},
	{"sorts the keys", "slices", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		slices.Sort(keys)
		return next.Update(ctx, keys, f)
	})},
	{"takes sorted for given", "slices", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, slices.Sorted(slices.Values(keys)), f)
	})},
	{"keeps the slice", "slices", over(func() ledger.Engine { return writesLater() })},
	{"changes the slice at the end", "slices", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		err := next.Update(ctx, keys, f)
		clear(keys)
		return err
	})},
	{"a late copy", "late copies", over(func() ledger.Engine { return lateCopy(func([]byte) bool { return true }) })},
	{"a late deletion", "late copies", over(func() ledger.Engine { return lateCopy(func(row []byte) bool { return len(row) == 0 }) })},
	{"a late row", "late copies", over(func() ledger.Engine { return lateCopy(func(row []byte) bool { return len(row) == 1 }) })},
	{"Load shares the row", "load", over(func() ledger.Engine { return sharing() })},
	{"Load shares a buffer", "load", over(func() ledger.Engine { return oneBuffer() })},
	{"Load remembers", "load", over(func() ledger.Engine { return remembering(func([]byte) bool { return true }) })},
	{"Load remembers what is missing", "load", over(func() ledger.Engine { return remembering(func(row []byte) bool { return row == nil }) })},
	{"Load is behind", "load", over(func() ledger.Engine { return behind() })},
	{"no row loads as empty", "rows", over(func() ledger.Engine {
		return &engine{Engine: ledger.NewMemory(), load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
			row, err := next.Load(ctx, key)
			return append([]byte{}, row...), err
		}}
	})},
	{"an error for no row", "rows", over(func() ledger.Engine {
		return &engine{Engine: ledger.NewMemory(), load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
			row, err := next.Load(ctx, key)
			if row == nil && err == nil {
				err = errors.New("no such key")
			}
			return row, err
		}}
	})},
}

func decideAtOnce(next ledger.Engine, ctx context.Context, keys []string, f decide) ([][]byte, error) {
	rows, errs := make([][]byte, len(keys)), make([]error, len(keys))
	var wg sync.WaitGroup
	for i, key := range keys {
		row, err := next.Load(ctx, key)
		if err != nil {
			return nil, err
		}
		wg.Go(func() { rows[i], errs[i] = f(i, row) })
	}
	wg.Wait()
	return rows, errors.Join(errs...)
}

// writesLater decides at once, and writes when it has time, under the keys that are in the slice by then.
func writesLater() *engine {
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		rows := make([][]byte, len(keys))
		err := next.Update(ctx, keys, func(i int, row []byte) (_ []byte, err error) {
			rows[i], err = f(i, row)
			return nil, err
		})
		go func() {
			for i := range keys {
				_ = next.Update(ctx, keys[i:i+1], func(int, []byte) ([]byte, error) { return rows[i], nil })
			}
		}()
		return err
	}}
}

// lateCopy writes a row again, a while after it was written.
func lateCopy(which func(row []byte) bool) *engine {
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		last, row := "", []byte(nil)
		err := next.Update(ctx, keys, func(i int, before []byte) ([]byte, error) {
			out, err := f(i, before)
			if out != nil && which(out) {
				last, row = keys[i], append([]byte{}, out...)
			}
			return out, err
		})
		if row != nil {
			time.AfterFunc(10*time.Millisecond, func() {
				_ = next.Update(context.WithoutCancel(ctx), []string{last}, func(int, []byte) ([]byte, error) { return row, nil })
			})
		}
		return err
	}}
}

// sharing gives out the row that the engine has got from f.
func sharing() *engine {
	rows := make(map[string][]byte)
	return &engine{
		Engine: ledger.NewMemory(),
		update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				if out != nil {
					rows[keys[i]] = out
				}
				return out, err
			})
		},
		load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
			row, err := next.Load(ctx, key)
			if shared := rows[key]; bytes.Equal(shared, row) && len(row) > 0 {
				return shared, err
			}
			return row, err
		},
	}
}

func oneBuffer() *engine {
	var buffer []byte
	return &engine{Engine: ledger.NewMemory(), load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
		row, err := next.Load(ctx, key)
		if buffer = append(buffer[:0], row...); row == nil {
			return nil, err
		}
		return buffer, err
	}, update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			buffer = append(buffer[:0], out...)
			return out, err
		})
	}}
}

// remembering has a cache of what it has loaded once.
func remembering(which func(row []byte) bool) *engine {
	var cache sync.Map
	return &engine{Engine: ledger.NewMemory(), load: func(next ledger.Engine, ctx context.Context, key string) ([]byte, error) {
		if row, ok := cache.Load(key); ok {
			return bytes.Clone(row.([]byte)), ctx.Err()
		}
		row, err := next.Load(ctx, key)
		if err == nil && which(row) {
			cache.Store(key, bytes.Clone(row))
		}
		return row, err
	}}
}

// behind answers an Update before Load sees it, like a replica.
func behind() *engine {
	replica := ledger.NewMemory()
	return &engine{
		Engine: ledger.NewMemory(),
		update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				copied := bytes.Clone(out)
				time.AfterFunc(time.Millisecond, func() {
					_ = replica.Update(ctx, keys[i:i+1], func(int, []byte) ([]byte, error) { return copied, nil })
				})
				return out, err
			})
		},
		load: func(_ ledger.Engine, ctx context.Context, key string) ([]byte, error) { return replica.Load(ctx, key) },
	}
}
