package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// changes are what an Update may do to a row; "" is no row, and own tells one Update from another. Each decides from
// the row that it sees, or deliberately not. So an Update that saw an older row gives a result that no order of the two
// explains.
var changes = []struct {
	name string
	make func(row, own string) string
}{
	{"append", func(row, own string) string { return row + own }},
	{"delete", func(string, string) string { return "" }},
	{"leave", func(row, _ string) string { return row }},
	{"create", func(row, own string) string {
		if row == "" {
			return own
		}
		return row
	}},
	{"toggle", func(row, own string) string {
		if row == "" {
			return own
		}
		return ""
	}},
}

// returned is what f returns to make row of before.
func returned(before, row string) []byte {
	if row == before {
		return nil
	}
	return []byte(row)
}

// testConflict makes a change while f of another Update of that key runs, for each pair of changes and with and without
// a row before.
//
// Contract: "Each row is written in one step, and only if nobody has changed it since f saw it; otherwise f is called
// again for that key with the present row."
//
// Finds: an engine that does not compare, or only when it changes a row and not when it creates or deletes one; that
// gives up in silence or with an error; that writes what f returned for the older row; that gives nil to a second call
// of f.
func testConflict(t *testing.T, e ledger.Engine) { conflicts(t, e, e) }

// conflicts makes a change by one engine while f of the other one runs, for each pair of changes.
//
// Worked example: the row is "x", one appends "a" and the other "b". An engine that locks rows lets the second wait,
// and the row becomes "xab". One that compares and swaps finds that "x" has changed, and calls f again with "xb": it
// becomes "xba". One that does not compare writes "xa" over "xb".
// It makes 50 rounds: five changes by five, with and without a row.
func conflicts(t *testing.T, one, other ledger.Engine) {
	for i, mine := range changes {
		for j, theirs := range changes {
			for _, before := range []string{"", "x"} {
				key := fmt.Sprint("key ", i, j, before)
				put(t, one, key, before)
				conflict(t, one, other, key, mine.make, theirs.make)
				got, err := other.Load(t.Context(), key)
				// Either order is right. For some pairs both give the same row.
				first := theirs.make(mine.make(before, "a"), "b")
				second := mine.make(theirs.make(before, "b"), "a")
				if err != nil || string(got) != first && string(got) != second {
					t.Errorf("%s while another does %s to %q: got %s, %v; want %q or %q",
						mine.name, theirs.name, before, show(got), err, first, second)
				}
				// The conflict concerned one key. An engine that repeats the whole Update after it has written the
				// other key appends twice.
				expect(t, one, key+" too", "once")
			}
		}
	}
}

// conflict runs mine by the one engine, and theirs by the other at the time of the first call of f. It waits 2 ms for
// theirs and no longer: if the engine locks rows, theirs waits for mine. An engine that compares has long finished by
// then, and mine has its conflict. If it is slower, the two still overlap, and the result is checked all the same.
func conflict(t *testing.T, one, other ledger.Engine, key string, mine, theirs func(row, own string) string) {
	t.Helper()
	done := make(chan error, 1)
	begin := sync.OnceFunc(func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			done <- other.Update(t.Context(), []string{key}, func(_ int, row []byte) ([]byte, error) {
				return returned(string(row), theirs(string(row), "b")), nil
			})
		}()
		select {
		case <-ended:
		case <-time.After(2 * time.Millisecond):
		}
	})
	err := one.Update(t.Context(), []string{key + " too", key}, func(i int, row []byte) ([]byte, error) {
		if i == 0 {
			return append(slices.Clone(row), "once"...), nil
		}
		// The row is valid only during the call, and begin takes a while. So it is copied before.
		saw := string(row)
		begin()
		return returned(saw, mine(saw, "a")), nil
	})
	begin() // if f was never called
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

// testContention lets six goroutines append to one to four of six rows, 40 times each and in any order of keys.
//
// Contract: "All methods are safe for concurrent use." And the sentence of [testConflict], when conflicts happen all
// the time.
//
// Finds: an engine that loses a row or writes it twice, now and then; that compares only a part of the row, such as its
// length; that locks rows in the caller's order, so that two Updates wait for each other. The last one hangs.
func testContention(t *testing.T, e ledger.Engine) { contend(t, []ledger.Engine{e, e, e, e, e, e}) }

// contend runs a writer for each engine. They append tokens to the same keys. In the end each key has each token once,
// and those of one writer in order. The same engine may be given several times: then its goroutines contend too.
func contend(t *testing.T, engines []ledger.Engine) {
	writers := make([]*writer, len(engines))
	var wg sync.WaitGroup
	for i, e := range engines {
		writers[i] = newWriter(e, i)
		wg.Go(func() {
			for range 40 {
				if err := writers[i].append(t, t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for key := range contended {
		verify(t, engines[0], fmt.Sprint("key ", key), writers)
	}
}

// Few keys, so that most Updates meet another one.
const contended = 6 // keys

// writer appends tokens to rows, and remembers what must be in them. A token is its number and how many it has made; no
// other one is the same. Only one goroutine uses a writer. When that has ended, verify may read it.
type writer struct {
	e             ledger.Engine
	number, n     uint32
	wrote, unsure map[string][]string // by key: what is in the row, what may be
}

// newWriter returns a writer over an engine. Its number is not zero, so that zeros in a row are no token.
func newWriter(e ledger.Engine, i int) *writer {
	return &writer{e: e, number: uint32(i + 1), wrote: make(map[string][]string), unsure: make(map[string][]string)}
}

// append makes one Update of one to four keys, and returns its error. An Update that fails leaves the writer unsure,
// because the contract says that the caller does not know which rows were written.
//
// It also holds two rules that only show under contention: "It never calls f again with a row that this Update may have
// written itself", and "The row is valid only during the call", so until then nobody changes it.
func (w *writer) append(t *testing.T, ctx context.Context) error {
	w.n++
	token := string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w.number), w.n))
	var keys []string
	for _, k := range rand.Perm(contended)[:rand.IntN(4)+1] {
		keys = append(keys, fmt.Sprint("key ", k))
	}
	err := w.e.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
		if slices.Contains(tokens(row), token) {
			t.Errorf("f is called again for %q with what this Update itself has written", keys[i])
		}
		// Other goroutines run between the copy and the comparison. If one of them writes into this slice, that shows.
		before := string(row)
		runtime.Gosched()
		if string(row) != before {
			t.Error("a row changes while f has it")
		}
		return []byte(before + token), nil
	})
	to := w.wrote
	if err != nil {
		to = w.unsure
	}
	for _, key := range keys {
		to[key] = append(to[key], token)
	}
	return err
}

// tokens takes a row apart, in the order in which the tokens were appended. A row that was torn gives tokens of nobody.
func tokens(row []byte) (list []string) {
	for token := range slices.Chunk(row, 8) {
		list = append(list, string(token))
	}
	return list
}

// verify compares the tokens in a row with what the writers know of it. All of them must have stopped.
//
// Worked example: writer 1 knows that a1 and a2 were written, and is unsure of a3. The rows "a1 b1 a2" and "a1 a2 b1
// a3" are right. "a1 b1" lacks a2, which was acknowledged. "a2 a1" has another order. "a1 a2 a3 a3" has a failed Update
// twice.
func verify(t *testing.T, e ledger.Engine, key string, writers []*writer) {
	t.Helper()
	row, err := e.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	list, times := tokens(row), make(map[string]int)
	for _, token := range list {
		times[token]++
	}
	for _, w := range writers {
		var got []string
		for _, token := range list {
			if binary.BigEndian.Uint32([]byte(token)) == w.number && !slices.Contains(w.unsure[key], token) {
				got = append(got, token)
			}
		}
		if want := w.wrote[key]; !slices.Equal(got, want) {
			t.Errorf("%q has %d tokens of writer %d, which wrote %d; or in another order", key, len(got), w.number, len(want))
		}
		for _, token := range w.unsure[key] {
			if n := times[token]; n > 1 {
				t.Errorf("%q has %d times a token of an Update that failed", key, n)
			}
		}
	}
}

// testWholeRows reads rows by Load and by f, while three goroutines write rows of very different lengths. Each row is
// of one letter, and the letter tells the length. So a mixture of two rows is none of the four.
//
// Contract: "Each row is written in one step".
//
// Finds: an engine that writes a row in two parts: its halves, its pages, or the first byte before the others.
func testWholeRows(t *testing.T, e ledger.Engine) {
	rows := []string{"a", strings.Repeat("b", 100), strings.Repeat("c", 5000), strings.Repeat("d", maxRow)}
	keys := []string{"one", "two"}
	// No row is right as well: at first there is none.
	whole := func(row []byte) {
		if row != nil && !slices.Contains(rows, string(row)) {
			t.Errorf("a row in part: %s", show(row))
		}
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 40 {
				next := rows[rand.IntN(len(rows))]
				if err := e.Update(t.Context(), keys, func(_ int, row []byte) ([]byte, error) {
					whole(row)
					return []byte(next), nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for n := range 200 {
				row, err := e.Load(t.Context(), keys[n%2])
				if err != nil {
					t.Error(err)
				}
				whole(row)
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
}
