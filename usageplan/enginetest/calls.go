package enginetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// settle is how long a case waits for what an engine might still do after it has returned.
const settle = 50 * time.Millisecond

// testErrorOfF: an error of f stops the Update. A key that f was not called for, or failed for, is as it was.
func testErrorOfF(t *testing.T, e ledger.Engine) {
	for round, failing := range []int{1, 3, 20} { // the first, a middle and the last call
		keys, rows := make([]string, 20), make([]string, 20)
		for i := range keys {
			keys[i], rows[i] = fmt.Sprint("key ", i), fmt.Sprint("before ", i, round)
		}
		writeEach(t, e, keys, rows)
		calls, returned := 0, make([]string, len(keys))
		failure := errors.New("no")
		err := e.Update(t.Context(), keys, func(i int, _ []byte) ([]byte, error) {
			if calls++; calls == failing {
				return nil, failure
			}
			returned[i] = fmt.Sprint("after ", i, round)
			return []byte(returned[i]), nil
		})
		if !errors.Is(err, failure) || calls != failing {
			t.Fatalf("f fails at call %d: got %v after %d calls", failing, err, calls)
		}
		time.Sleep(settle)
		for i, key := range keys {
			got, err := e.Load(t.Context(), key)
			if err != nil || string(got) != rows[i] && (returned[i] == "" || string(got) != returned[i]) {
				t.Errorf("%s: got %s, %v; want %q or what f returned, %q", key, show(got), err, rows[i], returned[i])
			}
		}
	}
}

// testOneCallAtATime: the calls of f that belong to one Update never overlap; see [checked].
func testOneCallAtATime(t *testing.T, e ledger.Engine) {
	var wg sync.WaitGroup
	for g := range 3 {
		keys := make([]string, 20)
		for i := range keys {
			keys[i] = fmt.Sprint("key ", (i+g)%len(keys))
		}
		wg.Go(func() {
			for range 2 {
				err := e.Update(t.Context(), keys, func(int, []byte) ([]byte, error) {
					time.Sleep(10 * time.Microsecond)
					return []byte("row"), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(settle)
}

// testSlices: the caller uses its slice of keys again after Update has returned. An engine that has kept it, to write
// or to index rows later, writes under other keys.
func testSlices(t *testing.T, e ledger.Engine) {
	keys, model := make([]string, 5), make(map[string]string)
	for round := range 20 {
		for i := range keys {
			keys[i] = fmt.Sprint("key ", round, 4-i) // not in order
		}
		before := slices.Clone(keys)
		err := e.Update(t.Context(), keys, func(i int, _ []byte) ([]byte, error) {
			if !slices.Equal(keys, before) {
				t.Error("Update has changed the slice of keys by the time it calls f")
			}
			model[before[i]] = "row of " + before[i]
			return []byte(model[before[i]]), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			keys[i] = "used again"
		}
		runtime.Gosched()
	}
	time.Sleep(settle)
	compare(t, e, model)
}

// testLateCopies: once Update has returned, it writes nothing more. An engine that repeats a request may not let the
// first copy arrive after a later Update. The pauses in which it would be seen double, as nobody knows how late it is.
func testLateCopies(t *testing.T, e ledger.Engine) {
	keys := []string{"one", "two"}
	for pause := time.Millisecond; pause <= settle; pause *= 2 {
		for _, rows := range [][]string{{"1", "", "last " + pause.String()}, {"1", "2", ""}} {
			for _, row := range rows {
				if err := e.Update(t.Context(), keys, write(row)); err != nil {
					t.Fatal(err)
				}
			}
			for end := time.Now().Add(pause); time.Now().Before(end); runtime.Gosched() {
				expect(t, e, keys[0], rows[2])
				expect(t, e, keys[1], rows[2])
			}
		}
	}
}

// testLoad: what Load returns is the caller's own, and never older than an Update that has returned.
func testLoad(t *testing.T, e ledger.Engine) {
	for _, row := range []string{"", "row", "longer row", "", "end"} { // what is not there may not be remembered either
		put(t, e, "key", row)
		first, err := e.Load(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		clear(first)
		expect(t, e, "key", row)
	}
	kept, err := e.Load(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, "key", "END")
	if put(t, e, "key", "new"); string(kept) != "end" {
		t.Fatalf("a loaded row changes with the engine's: got %q", kept)
	}
	loadWhileWriting(t, e, e)
}

// loadWhileWriting writes rising numbers to the one engine and loads them from the other.
func loadWhileWriting(t *testing.T, writer, reader ledger.Engine) {
	var written atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for now := int64(0); now < 200 && !t.Failed(); runtime.Gosched() {
				if now = written.Load(); now == 0 {
					continue
				}
				row, err := reader.Load(t.Context(), "number")
				if got := int64(len(row)); err != nil || got < now {
					t.Errorf("Load: got number %d, %v, after %d was written", got, err, now)
				}
			}
		})
	}
	defer wg.Wait() // the readers also end when the writer fails
	for n := range int64(200) {
		put(t, writer, "number", ones(int(n)+1))
		written.Store(n + 1)
	}
}

// testOwnerAndClock: what an engine may offer beside the contract.
func testOwnerAndClock(t *testing.T, e ledger.Engine) {
	e = e.(checked).Engine
	if o, ok := e.(ledger.Owner); ok {
		if first, again := o.Owner(), o.Owner(); first != again {
			t.Errorf("Owner: got %d, then %d in the same life", first, again)
		}
	}
	if c, ok := e.(ledger.Clock); ok {
		now(t, c, now(t, c, time.Time{}.Add(1)))
	}
}

// now returns the time of the store, which may not have gone back by more than a correction of a clock.
func now(t *testing.T, c ledger.Clock, before time.Time) time.Time {
	t.Helper()
	got, err := c.Now(t.Context())
	if err != nil || got.IsZero() || got.Before(before.Add(-time.Second)) {
		t.Fatalf("Now: got %v, %v, after %v", got, err, before)
	}
	return got
}
