package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// decide is what Update calls for each key.
type decide = func(i int, row []byte) ([]byte, error)

// engine is an engine of which some methods are replaced. They get the engine below, which is right.
type engine struct {
	ledger.Engine
	update func(next ledger.Engine, ctx context.Context, keys []string, f decide) error
	load   func(next ledger.Engine, ctx context.Context, key string) ([]byte, error)
	keys   func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error]
	close  func(next ledger.Engine) error
}

func (e *engine) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if e.update == nil {
		return e.Engine.Update(ctx, keys, f)
	}
	return e.update(e.Engine, ctx, keys, f)
}

func (e *engine) Load(ctx context.Context, key string) ([]byte, error) {
	if e.load == nil {
		return e.Engine.Load(ctx, key)
	}
	return e.load(e.Engine, ctx, key)
}

func (e *engine) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if e.keys == nil {
		return e.Engine.Keys(ctx, prefix)
	}
	return e.keys(e.Engine, ctx, prefix)
}

func (e *engine) Close() error {
	if e.close == nil {
		return e.Engine.Close()
	}
	return e.close(e.Engine)
}

// optimistic is an engine that locks nothing while f runs. It writes a row if same says that it is still the one f saw.
func optimistic(same func(saw, now []byte) bool) *engine {
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		for i, key := range keys {
			if err := compareAndSwap(next, ctx, i, key, f, same); err != nil {
				return err
			}
		}
		return ctx.Err()
	}}
}

func compareAndSwap(next ledger.Engine, ctx context.Context, i int, key string, f decide, same func(saw, now []byte) bool) error {
	for {
		saw, err := next.Load(ctx, key)
		if err != nil {
			return err
		}
		out, err := f(i, bytes.Clone(saw))
		if err != nil || out == nil {
			return err
		}
		if done, err := swap(next, ctx, key, out, func(now []byte) bool { return same(saw, now) }); done || err != nil {
			return err
		}
	}
}

// swap writes a row if the present one is as it should be.
func swap(next ledger.Engine, ctx context.Context, key string, row []byte, ok func(now []byte) bool) (done bool, err error) {
	err = next.Update(ctx, []string{key}, func(_ int, now []byte) ([]byte, error) {
		if done = ok(now); !done {
			return nil, nil
		}
		return row, nil
	})
	return done, err
}

// odd is an engine that does all that the contract does not forbid: it calls f in another order, and twice; it spoils a
// row after the call; it yields keys in another order, and not those that come meanwhile.
func odd() *engine {
	e := &engine{Engine: ledger.NewMemory()}
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		back := slices.Clone(keys)
		slices.Reverse(back)
		return next.Update(ctx, back, func(i int, row []byte) ([]byte, error) {
			var out []byte
			for range 2 {
				lent, err := bytes.Clone(row), error(nil)
				if out, err = f(len(keys)-1-i, lent); err != nil {
					return nil, err
				}
				clear(lent)
			}
			return out, nil
		})
	}
	e.keys = func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			var keys []string
			for key, err := range next.Keys(ctx, prefix) {
				if err != nil {
					yield("", err)
					return
				}
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for _, key := range slices.Backward(keys) {
				if ctx.Err() != nil {
					yield("", ctx.Err())
					return
				}
				if !yield(key, nil) {
					return
				}
			}
		}
	}
	return e
}

// disks are what outlives an engine, by place.
type disks struct {
	mu    sync.Mutex
	rows  map[string]ledger.Engine
	lives uint32
}

func (d *disks) at(place string) ledger.Engine {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil {
		d.rows = make(map[string]ledger.Engine)
	}
	if d.rows[place] == nil {
		d.rows[place] = ledger.NewMemory()
	}
	d.lives++
	return d.rows[place]
}

// owner is a handle that says that nobody else has one.
type owner struct{ *handle }

func (o owner) Owner() uint32 { return o.life }

// handle is an opening of a disk: Close ends the handle and leaves the rows.
type handle struct {
	disk ledger.Engine
	life uint32

	mu     sync.RWMutex // held to read while a method runs
	closed bool
}

func (d *disks) open(place string) *handle {
	disk := d.at(place)
	return &handle{disk: disk, life: d.lives}
}

var errClosed = errors.New("handle is closed")

func (h *handle) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return errClosed
	}
	return h.disk.Update(ctx, keys, f)
}

func (h *handle) Load(ctx context.Context, key string) ([]byte, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return nil, errClosed
	}
	return h.disk.Load(ctx, key)
}

func (h *handle) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return func(yield func(string, error) bool) { yield("", errClosed) }
	}
	return h.disk.Keys(ctx, prefix)
}

func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}
