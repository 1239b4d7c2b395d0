package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// placeFaults are of engines that are opened again, shared, or cut from their server.
var placeFaults = []fault{
	{"nothing outlives", "reopened rows", reopened(func(*disks, string) ledger.Engine { return ledger.NewMemory() })},
	{"large rows lost", "reopened rows", reopened(writing(func(row []byte) bool { return len(row) < 65_000 }))},
	{"deletions lost", "reopened lives", reopened(writing(func(row []byte) bool { return len(row) > 0 }))},
	{"the last Update lost", "reopened lives", reopened(lastLost)},
	{"places mixed up", "reopened lives", func(t *testing.T) {
		d := new(disks)
		n := 0
		enginetest.TestReopen(t, func(*testing.T, string) ledger.Engine { n++; return d.open([]string{"a", "b"}[n%2]) })
	}},
	{"Close drops what is at work", "closed at work", reopened(writeBehind)},
	{"the same owner", "owners", reopened(func(d *disks, place string) ledger.Engine { h := d.open(place); h.life = 7; return owner{h} })},
	{"an owner of two lives", "owners", reopened(func(d *disks, place string) ledger.Engine { h := d.open(place); h.life %= 8; return owner{h} })},
	{"each its own rows", "shared rows", shared(func(*disks, string) ledger.Engine { return ledger.NewMemory() })},
	{"Load remembers, shared", "shared rows", shared(cached)},
	{"decides on remembered rows", "shared conflict", shared(deciding(false))},
	{"locks only in its process", "shared contention", shared(deciding(true))},
	{"each its own rows, under ledgers", "shared ledgers", shared(func(*disks, string) ledger.Engine { return ledger.NewMemory() })},
	{"Close ends the others", "one closes", shared(func(d *disks, place string) ledger.Engine { return d.at(place) })},
	{"Close deletes the rows", "one closes", shared(func(d *disks, place string) ledger.Engine {
		h := d.open(place)
		return &engine{Engine: h, close: func(next ledger.Engine) error {
			err := h.disk.Update(context.Background(), []string{"key"}, func(int, []byte) ([]byte, error) { return []byte{}, nil })
			return errors.Join(err, next.Close())
		}}
	})},
	{"an owner that is shared", "no owner", shared(func(d *disks, place string) ledger.Engine { return owner{d.open(place)} })},
	{"a clock of the process", "one clock", shared(func(d *disks, place string) ledger.Engine {
		h := d.open(place)
		return ahead{h, time.Duration(h.life) * -time.Hour}
	})},
	{"tries again after a lost answer", "cuts", cut(func(bool) error { return errAgain })},
	{"no error for a lost request", "cuts", cut(func(bool) error { return nil })},
	{"fails for ever after a cut", "cuts", cutForEver},
}

func reopened(open func(d *disks, place string) ledger.Engine) func(*testing.T) {
	return func(t *testing.T) {
		d := new(disks)
		enginetest.TestReopen(t, func(_ *testing.T, place string) ledger.Engine { return open(d, place) })
	}
}

func shared(open func(d *disks, place string) ledger.Engine) func(*testing.T) {
	return func(t *testing.T) {
		d := new(disks)
		enginetest.TestShared(t, func(_ *testing.T, place string) ledger.Engine { return open(d, place) })
	}
}

// writing lives in memory, and writes some of the rows through to its disk.
func writing(which func(row []byte) bool) func(d *disks, place string) ledger.Engine {
	return func(d *disks, place string) ledger.Engine {
		disk, memory := d.at(place), ledger.NewMemory()
		for key, err := range disk.Keys(context.Background(), "") {
			row, e := disk.Load(context.Background(), key)
			e = errors.Join(err, e, memory.Update(context.Background(), []string{key}, func(int, []byte) ([]byte, error) { return row, nil }))
			if e != nil {
				panic(e)
			}
		}
		return &engine{Engine: memory, update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				if err != nil || out == nil || !which(out) {
					return out, err
				}
				copied := append([]byte{}, out...)
				return out, disk.Update(ctx, keys[i:i+1], func(int, []byte) ([]byte, error) { return copied, nil })
			})
		}}
	}
}

// lastLost writes an Update to its disk when the next one comes.
func lastLost(d *disks, place string) ledger.Engine {
	disk, pending := d.at(place), func() error { return nil }
	e := writing(func([]byte) bool { return false })(d, place).(*engine)
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if err := pending(); err != nil {
			return err
		}
		rows := make(map[string][]byte)
		err := next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			rows[keys[i]] = bytes.Clone(out)
			return out, err
		})
		changed := slices.Clone(keys)
		pending = func() error {
			return disk.Update(ctx, changed, func(i int, _ []byte) ([]byte, error) { return rows[changed[i]], nil })
		}
		return err
	}
	return e
}

// writeBehind answers, and writes a while later, unless it is closed. The while is far longer than the case waits, so a
// busy machine does not write everything before it closes.
func writeBehind(d *disks, place string) ledger.Engine {
	h := d.open(place)
	memory := ledger.NewMemory()
	return &engine{
		Engine: h,
		update: func(_ ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return memory.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				copied := bytes.Clone(out)
				time.AfterFunc(time.Minute, func() {
					_ = h.Update(ctx, keys[i:i+1], func(int, []byte) ([]byte, error) { return copied, nil })
				})
				return out, err
			})
		},
		close: func(next ledger.Engine) error { return errors.Join(memory.Close(), next.Close()) },
	}
}

func cached(d *disks, place string) ledger.Engine {
	e := remembering(func([]byte) bool { return true })
	e.Engine = d.open(place)
	return e
}

// deciding does not compare rows: it remembers them, or asks for them under a lock of its own process.
func deciding(fresh bool) func(d *disks, place string) ledger.Engine {
	return func(d *disks, place string) ledger.Engine {
		var mu sync.Mutex
		rows := make(map[string][]byte)
		return &engine{Engine: d.open(place), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			mu.Lock()
			defer mu.Unlock()
			for i, key := range keys {
				row, ok := rows[key]
				if fresh || !ok {
					var err error
					if row, err = next.Load(ctx, key); err != nil {
						return err
					}
				}
				out, err := f(i, row)
				if err != nil {
					return err
				}
				if rows[key] = row; out != nil {
					rows[key] = bytes.Clone(out)
				}
				if _, err := swap(next, ctx, key, out, func([]byte) bool { return true }); err != nil {
					return err
				}
			}
			return nil
		}}
	}
}

type ahead struct {
	*handle
	by time.Duration
}

func (a ahead) Now(context.Context) (time.Time, error) { return time.Now().Add(a.by), nil }

func cut(after func(made bool) error) func(*testing.T) {
	return func(t *testing.T) {
		enginetest.TestCuts(t, func(*testing.T) (ledger.Engine, func()) {
			n := &network{Engine: ledger.NewMemory(), after: after}
			return n, n.cut
		})
	}
}

func cutForEver(t *testing.T) {
	enginetest.TestCuts(t, func(*testing.T) (ledger.Engine, func()) {
		e := ledger.NewMemory()
		return e, func() { _ = e.Close() }
	})
}
