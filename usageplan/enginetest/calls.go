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

// settle is how long a case waits for what an engine might still do after it has returned. A right engine does nothing
// then, so a longer wait would only make the suite slow. A write that comes even later is not found.
const settle = 50 * time.Millisecond

// testErrorOfF lets f fail at its first, third and last call.
//
// Contract: "An error of f stops the whole Update, which returns that error, or wraps it, and calls f no more." And:
// "after an error, each row is as it was before or as f returned it".
//
// Finds: an engine that swallows the error or returns another one; that goes on with the next keys; that writes or
// deletes a row for a key whose f has failed, or was never called; that keeps a lock after the error, and hangs at the
// next call.
func testErrorOfF(t *testing.T, e ledger.Engine) {
	for round, failing := range []int{1, 3, 20} { // the first, a middle and the last call
		keys, rows := make([]string, 20), make([]string, 20)
		for i := range keys {
			keys[i], rows[i] = fmt.Sprint("key ", i), fmt.Sprint("before ", i, round)
		}
		writeEach(t, e, keys, rows)
		// returned stays "" for a key that f was not called for, or failed for. Such a key has one right row: the one
		// before.
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

// testOneCallAtATime makes Updates of 20 keys, three at once, with an f that takes a while.
//
// Contract: "One goroutine at a time calls f, for the keys in any order."
//
// Finds: an engine that decides several keys of one Update in parallel, or calls f once more after Update has returned.
// Calls of f that belong to different Updates may overlap. So [checked] counts for each Update by itself.
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
					// Long enough for a second goroutine of the same Update to enter.
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

// testSlices changes its slice of keys as soon as Update has returned, like a caller that uses one slice for many
// calls.
//
// Contract: "The engine neither changes nor keeps the slice."
//
// Finds: an engine that sorts the caller's slice, even if it sorts it back before it returns; that passes f the index
// of a sorted copy; that keeps the slice and writes later, which then goes to the key "used again".
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

// testLateCopies looks at two rows for a while after the last of three Updates, in pauses of 1 to 32 ms.
//
// Contract: "When Update returns nil, each key has the row that the last call of f for it returned". So once Update has
// returned, it writes nothing more.
//
// Finds: an engine that sends a request twice, for a timeout or for speed, and whose first copy arrives after a later
// Update. The copy may be a row or a deletion. So the three Updates leave a row after a deletion, and then a deletion
// after rows. Nobody knows how late a copy is, so the pauses double.
func testLateCopies(t *testing.T, e ledger.Engine) {
	keys := []string{"one", "two"}
	for pause := time.Millisecond; pause <= settle; pause *= 2 {
		for _, rows := range [][]string{{"1", "", "last " + pause.String()}, {"1", "2", ""}} {
			for _, row := range rows {
				if err := e.Update(t.Context(), keys, write(row)); err != nil {
					t.Fatal(err)
				}
			}
			// It looks all the time, as the copy might be overwritten again. The last look is after the pause: on a busy
			// machine it may be the only one after the copy has come.
			for end, over := time.Now().Add(pause), false; !over; runtime.Gosched() {
				over = !time.Now().Before(end)
				expect(t, e, keys[0], rows[2])
				expect(t, e, keys[1], rows[2])
			}
		}
	}
}

// testLoad loads a row, changes what it got, and loads again.
//
// Contract: "Load returns a copy of the key's row, or nil if there is none". And: "It sees every Update that has
// returned."
//
// Finds: an engine whose Load returns memory that it still uses, or one buffer for all calls; that remembers a row, or
// that there is none, and does not notice an Update; that reads from a place that lags behind, such as a replica.
func testLoad(t *testing.T, e ledger.Engine) {
	for _, row := range []string{"", "row", "longer row", "", "end"} { // what is not there may not be remembered either
		put(t, e, "key", row)
		first, err := e.Load(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		// If first is the engine's own memory, the row is now zeros.
		clear(first)
		expect(t, e, "key", row)
	}
	kept, err := e.Load(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	// It has the length of the old row, so an engine that overwrites in place changes kept.
	put(t, e, "key", "END")
	if put(t, e, "key", "new"); string(kept) != "end" {
		t.Fatalf("a loaded row changes with the engine's: got %q", kept)
	}
	loadWhileWriting(t, e, e)
}

// loadWhileWriting writes rising numbers to the one engine and loads them from the other. The number n is a row of n
// bytes.
//
// A reader notes which number has been written before it loads. Worked example: it notes 7 and loads a row of 8 bytes.
// That is right, as 8 may have been written in between. A row of 6 bytes would be wrong: the Update that wrote 7 had
// returned before Load began.
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

// testOwnerAndClock asks for what an engine may offer in addition. An engine that is neither passes.
//
// Contract of [ledger.Owner]: "Owner returns a number that stands for this opening of the store." Of [ledger.Clock]:
// "Now returns the time of the store."
//
// Finds: an owner that changes while the engine is open, so that a ledger may take its leases for those of a process
// that is gone; a clock that stands at zero or goes back. A clock that goes back by up to a second passes, as servers
// correct theirs.
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

// now returns the time of the store. It fails if that is zero, or more than a second before the time that was told
// earlier.
func now(t *testing.T, c ledger.Clock, before time.Time) time.Time {
	t.Helper()
	got, err := c.Now(t.Context())
	if err != nil || got.IsZero() || got.Before(before.Add(-time.Second)) {
		t.Fatalf("Now: got %v, %v, after %v", got, err, before)
	}
	return got
}
