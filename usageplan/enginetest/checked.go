package enginetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// checked is an engine under test. Its Update checks what the contract says of every call, whatever the case is about.
type checked struct {
	ledger.Engine
	t *testing.T
}

func (c checked) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	u := &update{t: c.t, f: f, calls: make([]atomic.Int32, len(keys))}
	before := slices.Clone(keys)
	err := c.Engine.Update(ctx, keys, u.call)
	u.over.Store(true)
	if !slices.Equal(keys, before) {
		c.t.Error("Update has changed the slice of keys")
	}
	if failure, _ := u.failure.Load().(error); failure != nil && !errors.Is(err, failure) {
		c.t.Errorf("Update returns %v; f returned %v", err, failure)
	}
	for i := range u.calls {
		if err == nil && u.calls[i].Load() == 0 {
			c.t.Errorf("Update returns nil, but f was not called for key %d of %d", i, len(keys))
		}
	}
	return err
}

// update is one call of Update. It is atomic, so that a fault is told by the suite and not only by the race detector.
type update struct {
	t       *testing.T
	f       func(int, []byte) ([]byte, error)
	calls   []atomic.Int32 // by key
	inside  atomic.Int32
	over    atomic.Bool
	failure atomic.Value // the error of f
}

func (u *update) call(i int, row []byte) ([]byte, error) {
	defer u.inside.Add(-1)
	switch {
	case u.inside.Add(1) > 1:
		u.t.Error("two goroutines call f at once")
	case u.over.Load():
		u.t.Error("f is called after Update has returned")
	case u.failure.Load() != nil:
		u.t.Error("f is called again after it has returned an error")
	case i < 0 || i >= len(u.calls):
		u.t.Errorf("f is called for key %d of %d", i, len(u.calls))
		return nil, errors.New("no such key")
	case row != nil && len(row) == 0:
		u.t.Error("f is called with an empty row; no row is nil")
	}
	u.calls[i].Add(1)
	out, err := u.f(i, row)
	if err != nil {
		u.failure.CompareAndSwap(nil, err)
	}
	return out, err
}
