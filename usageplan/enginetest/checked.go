package enginetest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// checked is the engine that a case gets in place of the real one. Its Update checks what the contract says of every
// call, whatever the case is about. It has the methods of [ledger.Engine] and no others. A case that asks for a
// [ledger.Owner], a [ledger.Clock] or a [ledger.Durable] takes the engine out first.
type checked struct {
	ledger.Engine
	t *testing.T
}

// Update passes the call on and fails the test if the engine breaks one of these rules:
//
//   - "Update calls f for each key": a nil error without a call for a key means that the key was left out.
//   - "The engine neither changes nor keeps the slice": the keys after the call are those before it.
//   - "An error of f stops the whole Update, which returns that error, or wraps it": errors.Is finds it.
//
// It holds no lock, so it makes no concurrent calls wait for each other that would otherwise overlap.
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

// update is one call of Update. Its fields are atomic, since a faulty engine calls f concurrently or after the end. So
// the suite itself tells of the fault, also without the race detector. After Update has returned (over), or once f has
// failed (failure), each further call of f is a fault.
type update struct {
	t       *testing.T
	f       func(int, []byte) ([]byte, error)
	calls   []atomic.Int32 // by key
	inside  atomic.Int32
	over    atomic.Bool
	failure atomic.Value // the error of f
}

// call is the f that the engine gets. It checks these rules before it calls the f of the case:
//
//   - "One goroutine at a time calls f": inside counts the calls that are under way.
//   - f's error "stops the whole Update, which [...] calls f no more". Nor is f called after Update has returned.
//   - "f for each key with the key's row, or with nil if there is none": the index is that of a key, and a row that is
//     empty but not nil is no row.
//
// Only the index ends the call early: without a key there is nothing that the case could decide.
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
