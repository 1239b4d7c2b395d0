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

// testPrefix: Keys yields what begins with the prefix, byte for byte, and nothing else.
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

// stable is how many keys exist throughout: more than a page of any store is likely to have.
const stable = 1500

// testKeysDuringChanges: a key that exists throughout is yielded once, whatever happens to its row and to other keys.
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

// iterate lists the keys and changes the engine meanwhile, also from within the loop.
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

// disturb creates and deletes keys before, between and after those that stay.
func disturb(ctx context.Context, e ledger.Engine, n int) error {
	keys := []string{"r", fmt.Sprintf("s%04dx%d", n*7%stable, n%20), fmt.Sprint("s ", n%100), "t", fmt.Sprintf("sz%d", n%300)}
	return e.Update(ctx, keys, func(_ int, row []byte) ([]byte, error) {
		if row == nil {
			return []byte("for a while"), nil
		}
		return []byte{}, nil
	})
}

// testKeysStopped: a caller may stop, and nothing of the iteration is left.
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
