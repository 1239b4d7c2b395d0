package enginetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// testPrefix asks for each key as a prefix, for the empty prefix, and for prefixes of no key.
//
// Contract: "Keys yields each key that begins with the prefix and existed throughout the iteration, once, in any
// order."
//
// Finds: an engine that reads a pattern in the prefix (%, _, *, ?, [); that folds case or repairs Unicode; that leaves
// out the key which equals the prefix; that cuts a long prefix. A store with ranges often has a wrong upper bound. For
// the prefix "a\xff" the next prefix is "b", and for "\xff\xff" there is none. So some keys and prefixes end in 0xff.
func testPrefix(t *testing.T, e ledger.Engine) {
	keys := append(lookalikeKeys(), "a", "ab", "abc", "a_c", "a%c", "a*c", "a?c", "a[b]c", "a\x00", "a\xff", "a\xff\xff",
		"a\xff\xffb", "b", ones(maxKey), ones(maxKey-1)+"\xfe", zeros(maxKey))
	slices.Sort(keys)
	keys = slices.Compact(keys)
	rows := make([]string, len(keys))
	for i := range rows {
		rows[i] = "row"
	}
	writeEach(t, e, keys, rows)
	prefixes := append(slices.Clone(keys), "", "absent", "a[", "xx", "a\xff\xffc", zeros(2), ones(3), ones(maxKey-1))
	for _, prefix := range prefixes {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if got := list(t, e, prefix); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Fatalf("Keys(%.40q): got %.300q, want %.300q", prefix, got, want)
		}
	}
}

// stable is how many keys exist throughout. It is more than a page of any store is likely to have, because most
// mistakes are made between two pages.
const stable = 1500

// testKeysDuringChanges iterates over 1 500 keys that stay, while rows of them change and other keys come and go.
//
// Contract: "Keys yields each key that [...] existed throughout the iteration, once". "Keys that come or go meanwhile
// it may yield or not." "The caller may use the engine while it iterates: Keys holds no lock during a yield."
//
// Finds: an engine that continues a page by its number, so that a key which is deleted before it makes it skip one;
// that repeats a page after a change; that yields a key again which was written, because it keeps the newest last. An
// engine that is locked during a yield hangs here, and so does one that has room for a single iteration.
func testKeysDuringChanges(t *testing.T, e ledger.Engine) {
	keys, rows := make([]string, stable), make([]string, stable)
	for i := range keys {
		keys[i], rows[i] = fmt.Sprintf("s%04d", i), "row"
	}
	writeEach(t, e, keys, rows)
	var over atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; !over.Load(); n++ {
			if err := disturb(t.Context(), e, n); err != nil {
				t.Error(err)
			}
		}
	})
	defer wg.Wait()
	defer over.Store(true)
	for range 2 {
		iterate(t, e, keys)
	}
}

// iterate lists the keys, and at every 50th it changes the engine from within the loop. It may do that since Keys holds
// no lock during a yield. It fails unless each of the given keys was yielded once. Other keys it does not count.
func iterate(t *testing.T, e ledger.Engine, keys []string) {
	seen, n := make(map[string]int), 0
	for key, err := range e.Keys(t.Context(), "s") {
		if err != nil {
			t.Fatal(err)
		}
		if seen[key]++; !strings.HasPrefix(key, "s") {
			t.Fatalf("Keys of s: got %q", key)
		}
		if n++; n%50 != 0 {
			continue
		}
		if err := disturb(t.Context(), e, n); err != nil {
			t.Fatal(err)
		}
		// The keys stay, but their rows change: one counted from the end, and one that has been yielded if keys come in
		// order. The second row grows, so a store may have to move it.
		put(t, e, keys[len(keys)-n%stable-1], fmt.Sprint("changed at ", n))
		put(t, e, keys[n/2%stable], strings.Repeat("longer", 200))
		expect(t, e, "absent", "")
		for _, err := range e.Keys(t.Context(), "s0") { // a second iteration within the first one
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	for _, key := range keys {
		if seen[key] != 1 {
			t.Fatalf("%q is yielded %d times", key, seen[key])
		}
	}
}

// disturb creates the keys of n that are not there, and deletes those that are. They sort before, between and after the
// keys that stay, and are never one of these. Several goroutines may call it at once.
func disturb(ctx context.Context, e ledger.Engine, n int) error {
	keys := []string{"r", fmt.Sprintf("s%04dx%d", n*7%stable, n%20), fmt.Sprint("s ", n%100), "t", fmt.Sprintf("sz%d", n%300)}
	return e.Update(ctx, keys, func(_ int, row []byte) ([]byte, error) {
		if row == nil {
			return []byte("for a while"), nil
		}
		return []byte{}, nil
	})
}

// testKeysStopped stops 200 iterations, each after one to ten keys.
//
// Contract: Keys is a sequence of package iter, so it may not yield again after the loop has stopped. "Keys holds no
// lock during a yield", so it has none after a stop either.
//
// Finds: an engine that ignores the answer of yield, at which the runtime panics; that leaves a cursor, a transaction
// or a connection behind, and hangs when there are no more; that yields an empty key where there is none.
func testKeysStopped(t *testing.T, e ledger.Engine) {
	for i := range 20 {
		put(t, e, fmt.Sprint("key ", i), "row")
	}
	for n := range 200 {
		yielded := 0
		for _, err := range e.Keys(t.Context(), "key") {
			if err != nil {
				t.Fatal(err)
			}
			if yielded++; yielded > n%10 {
				break
			}
		}
	}
	put(t, e, "key 1", "new")
	expect(t, e, "key 1", "new")
	if got := list(t, e, ""); len(got) != 20 {
		t.Fatalf("got %d keys", len(got))
	}
	for range e.Keys(t.Context(), "absent") {
		t.Fatal("a key is yielded that is not there")
	}
}
