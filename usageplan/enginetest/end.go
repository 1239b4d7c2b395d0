package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// testEndedContext calls Update and Load with a context that was canceled, and with one whose deadline has passed.
//
// Contract: "Under a context that has ended, Update and Load change nothing and return an error."
//
// Finds: an engine that ignores its context, or looks at it only after it has written; that knows cancellation but no
// deadline; that returns an error at once and goes on in the background.
func testEndedContext(t *testing.T, e ledger.Engine) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	put(t, e, "key", "row")
	for name, ctx := range map[string]context.Context{"canceled": canceled, "late": late} {
		for _, row := range []string{"new", ""} {
			if err := e.Update(ctx, []string{"key", "absent"}, write(row)); err == nil {
				t.Errorf("Update under a context that is %s: no error", name)
			}
		}
		if row, err := e.Load(ctx, "key"); err == nil || row != nil {
			t.Errorf("Load under a context that is %s: got %s, %v", name, show(row), err)
		}
		time.Sleep(settle)
		expect(t, e, "key", "row")
		expect(t, e, "absent", "")
	}
}

// testContextEnds cancels the context during the first call of f, the second, and so on, and then during an iteration.
//
// Contract: "after an error, each row is as it was before or as f returned it". "When Update returns nil, each key has
// the row that the last call of f for it returned". For Keys: "An error ends the sequence".
//
// Finds: an engine that returns nil although it has stopped halfway; that undoes what it has written, and deletes rows
// by that; that keeps a lock, and hangs in the next round; whose Keys ends early without an error, so that the caller
// takes a part for all.
//
// Update may also return nil and have made everything: the contract does not say how soon an engine looks at its
// context.
func testContextEnds(t *testing.T, e ledger.Engine) {
	keys, before, after := make([]string, 12), make([]string, 12), make([]string, 12)
	for i := range keys {
		keys[i], before[i], after[i] = fmt.Sprint("key ", i), "before", fmt.Sprint("after ", i)
	}
	for calls := range len(keys) {
		writeEach(t, e, keys, before)
		ctx, cancel := context.WithCancel(t.Context())
		failure := e.Update(ctx, keys, func(i int, _ []byte) ([]byte, error) {
			// calls is a copy for each round, so counting it down here does not disturb the loop.
			if calls--; calls < 0 {
				cancel()
			}
			return []byte(after[i]), nil
		})
		cancel()
		time.Sleep(time.Millisecond)
		for i, key := range keys {
			got, err := e.Load(t.Context(), key)
			if err != nil || string(got) != after[i] && (failure == nil || string(got) != before[i]) {
				t.Fatalf("%s: got %s, %v, after Update returned %v", key, show(got), err, failure)
			}
		}
	}
	endWithin(t, e, len(keys))
}

// endWithin ends the context of an iteration after its first key. Keys may go on to the end, or yield one error and
// stop.
func endWithin(t *testing.T, e ledger.Engine, want int) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, failed := 0, false
	for _, err := range e.Keys(ctx, "key") {
		if failed {
			t.Fatal("Keys goes on after an error")
		}
		if failed = err != nil; !failed {
			got++
		}
		cancel()
	}
	if !failed && got != want {
		t.Fatalf("Keys under a context that ends: got %d of %d keys and no error", got, want)
	}
}

// testClosed uses an engine after Close.
//
// Contract: "Close ends the engine. Afterwards Update, Load and Keys return errors. Every further Close, also a
// concurrent one, returns nil."
//
// Finds: an engine whose second or third Close is an error; that still works, or calls f, after Close; whose Keys is
// just empty. The last one is dangerous: to the caller, no keys and no error is an empty store.
func testClosed(t *testing.T, e ledger.Engine) {
	put(t, e, "key", "row")
	for range 3 {
		if err := e.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	err := e.Update(t.Context(), []string{"key"}, func(int, []byte) ([]byte, error) {
		t.Error("Update after Close calls f")
		return nil, nil
	})
	if err == nil {
		t.Error("Update after Close: no error")
	}
	if row, err := e.Load(t.Context(), "key"); err == nil || row != nil {
		t.Errorf("Load after Close: got %s, %v", show(row), err)
	}
	n := 0
	for key, err := range e.Keys(t.Context(), "") {
		if n++; n > 1 || err == nil {
			t.Fatalf("Keys after Close: got %q, %v; want one error", key, err)
		}
	}
	if n == 0 {
		t.Error("Keys after Close: no error")
	}
}

// testClosedAtOnce closes the engine three times at once, while two goroutines each call Update, Load and Keys.
//
// Contract: "Every further Close, also a concurrent one, returns nil." And: "Afterwards Update, Load and Keys return
// errors."
//
// Finds: an engine whose Close waits for itself or for a call that waits for it; whose Close is an error if another one
// is under way; whose Close returns before the engine is closed. A call that overlaps Close may succeed or fail.
func testClosedAtOnce(t *testing.T, e ledger.Engine) {
	var closed atomic.Bool
	var started, wg sync.WaitGroup
	for g := range 6 {
		started.Add(1)
		wg.Go(func() {
			begun := sync.OnceFunc(started.Done)
			for {
				// Read before the call: only what begins after a Close has returned is sure to fail.
				after := closed.Load()
				err := use(t.Context(), e, g)
				if after && err == nil {
					t.Error("a call after Close: no error")
				}
				if begun(); after || t.Failed() {
					return
				}
			}
		})
	}
	// Each goroutine has made one call, so Close comes in the middle of work.
	started.Wait()
	for range 3 {
		wg.Go(func() {
			if err := e.Close(); err != nil {
				t.Errorf("Close at once with another: %v", err)
			}
			closed.Store(true)
		})
	}
	wg.Wait()
}

// use makes one call of Update, Load or Keys, and returns its error.
func use(ctx context.Context, e ledger.Engine, which int) (err error) {
	key := fmt.Sprint("key ", which)
	switch which % 3 {
	case 0:
		return e.Update(ctx, []string{key, "key"}, write("row"))
	case 1:
		_, err = e.Load(ctx, "key")
	case 2:
		for _, end := range e.Keys(ctx, "") {
			err = errors.Join(err, end)
		}
	}
	return err
}
