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

// changes are what an Update may do to a row; "" is no row, and own tells one from another.
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

// testConflict: of two Updates of one key, one sees what the other has made.
func testConflict(t *testing.T, e ledger.Engine) { conflicts(t, e, e) }

// conflicts makes a change by one engine while f of the other one runs, for each pair of changes.
//
// Worked example: the row is "x", one appends "a" and the other "b". An engine that locks rows lets the second wait,
// and the row becomes "xab". One that compares and swaps finds that "x" has changed, and calls f again with "xb": it
// becomes "xba". One that does not compare writes "xa" over "xb".
func conflicts(t *testing.T, one, other ledger.Engine) {
	for i, mine := range changes {
		for j, theirs := range changes {
			for _, before := range []string{"", "x"} {
				key := fmt.Sprint("key ", i, j, before)
				put(t, one, key, before)
				conflict(t, one, other, key, mine.make, theirs.make)
				got, err := other.Load(t.Context(), key)
				first := theirs.make(mine.make(before, "a"), "b")
				second := mine.make(theirs.make(before, "b"), "a")
				if err != nil || string(got) != first && string(got) != second {
					t.Errorf("%s while another does %s to %q: got %s, %v; want %q or %q",
						mine.name, theirs.name, before, show(got), err, first, second)
				}
				expect(t, one, key+" too", "once")
			}
		}
	}
}

// conflict runs mine, and theirs at the time of the first call of f. It waits a while for theirs, no longer: if the
// engine locks rows, theirs waits for mine.
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
		saw := string(row)
		begin()
		return returned(saw, mine(saw, "a")), nil
	})
	begin() // if f was never called
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
}

// testContention: of Updates of many goroutines, over overlapping sets of keys in any order, none is lost, made twice
// or stuck.
func testContention(t *testing.T, e ledger.Engine) { contend(t, []ledger.Engine{e, e, e, e, e, e}) }

// contend runs a writer for each engine. They append tokens to the same keys. In the end each key has each token once,
// and those of one writer in order.
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

const contended = 6 // keys

// writer appends tokens to rows. A token is its number and how many it has made; no other one is the same.
type writer struct {
	e             ledger.Engine
	number, n     uint32
	wrote, unsure map[string][]string // by key: what is in the row, what may be
}

func newWriter(e ledger.Engine, i int) *writer {
	return &writer{e: e, number: uint32(i + 1), wrote: make(map[string][]string), unsure: make(map[string][]string)}
}

// append makes one Update of one to four keys. An Update that fails leaves the writer unsure.
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

func tokens(row []byte) (list []string) {
	for token := range slices.Chunk(row, 8) {
		list = append(list, string(token))
	}
	return list
}

// verify compares the tokens in a row with what the writers know of it.
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

// testWholeRows: nobody sees a row that is written in part. Each row is of one letter, and the letter tells the length.
func testWholeRows(t *testing.T, e ledger.Engine) {
	rows := []string{"a", strings.Repeat("b", 100), strings.Repeat("c", 5000), strings.Repeat("d", maxRow)}
	keys := []string{"one", "two"}
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
