package apikey_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// names returns the names of all pages of the given limit, and how many keys each page had.
func names(t *testing.T, v *apikey.Verifier, prefix string, limit int) (names []string, sizes []int) {
	t.Helper()
	for next, more := uint64(0), true; more; more = next != 0 {
		var page []apikey.Key
		page, next = v.Page(prefix, next, limit)
		require.LessOrEqual(t, len(page), limit)
		sizes = append(sizes, len(page))
		for _, k := range page {
			names = append(names, k.Name)
		}
	}
	return names, sizes
}

// TestPagesAreKeysInOrder compares pages of every size with the keys, newest first; no page is empty unless there is
// nothing.
func TestPagesAreKeysInOrder(t *testing.T) {
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: journal.Memory(0), Keys: []apikey.Entry{julian}})
	want := []string{"julianwood"}
	for i := range 20 {
		name := fmt.Sprintf("%s-%d", []string{"a", "ab", "B"}[i%3], i)
		k, err := v.Create(t.Context(), apikey.Key{Name: name}, v.Generate())
		require.NoError(t, err)
		if i%5 == 4 {
			require.NoError(t, v.Delete(t.Context(), k.ID))
			continue
		}
		_, err = v.Update(t.Context(), k.ID, edit(true))
		require.NoError(t, err)
		want = append([]string{name}, want...)
	}
	for _, prefix := range []string{"", "a", "ab", "A", "B-", "julianwood", "none"} {
		want := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !strings.HasPrefix(s, prefix) })
		for limit := 1; limit < 20; limit++ {
			got, sizes := names(t, v, prefix, limit)
			require.ElementsMatch(t, want, got)
			require.Equal(t, len(want) > 0, slices.Equal(want, got) && len(got) > 0)
			require.Len(t, sizes, max(1, (len(want)+limit-1)/limit))
		}
	}
	for _, v := range []*apikey.Verifier{v, {}, nil} {
		keys, next := v.Page("", 0, 0)
		require.Empty(t, keys)
		require.Zero(t, next)
	}
}

// A page looks at a bounded number of keys: rare names are found over several pages.
func TestPageIsBounded(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	for i := range 40_000 {
		name := "common"
		if i%20_000 == 100 {
			name = "rare"
		}
		_, err := v.Create(t.Context(), apikey.Key{Name: name}, v.Generate())
		require.NoError(t, err)
	}
	got, sizes := names(t, v, "rare", 25)
	require.Equal(t, []string{"rare", "rare"}, got)
	require.Equal(t, []int{0, 1, 1}, sizes)
	got, sizes = names(t, v, "common", 1000)
	require.Len(t, got, 39_998)
	require.Len(t, sizes, 40)
	keys, next := v.Page("", 1, 25)
	require.Empty(t, keys)
	require.Zero(t, next)
}

// What stays while pages are read is in exactly one of them.
func TestPagesDuringChanges(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	var all []apikey.Key
	for i := range 100 {
		k, err := v.Create(t.Context(), apikey.Key{Name: fmt.Sprint(i)}, v.Generate())
		require.NoError(t, err)
		all = append(all, k)
	}
	var got []string
	for i, next, more := 0, uint64(0), true; more; i, more = i+1, next != 0 {
		var page []apikey.Key
		page, next = v.Page("", next, 7)
		for _, k := range page {
			got = append(got, k.Name)
		}
		_, err := v.Create(t.Context(), apikey.Key{Name: "late"}, v.Generate())
		require.NoError(t, err)
		require.NoError(t, v.Delete(t.Context(), page[0].ID), "one that was shown")
		if i%2 == 0 && i <= 10 {
			k := all[i]
			require.NoError(t, v.Delete(t.Context(), k.ID), "one that was not")
			all[i].Name = ""
		}
	}
	var want []string
	for _, k := range slices.Backward(all) {
		if k.Name != "" {
			want = append(want, k.Name)
		}
	}
	require.Equal(t, want, got)
}

// TestSearchFindsByNameCustomerAndID: whole pages of what a person looks for, in the order of pages.
func TestSearchFindsByNameCustomerAndID(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	for i := range 60 {
		k := apikey.Key{ID: fmt.Sprintf("key%07d", i), Name: fmt.Sprintf("name %d", i%20)}
		if i%2 == 0 {
			k.CustomerID = fmt.Sprintf("customer %d", i%3)
		}
		_, err := v.Create(t.Context(), k, v.Generate())
		require.NoError(t, err)
	}
	for text, want := range map[string]func(apikey.Key) bool{
		"":           func(apikey.Key) bool { return true },
		"name 1":     func(k apikey.Key) bool { return strings.HasPrefix(k.Name, "name 1") },
		"ame 1":      func(apikey.Key) bool { return false },
		"Name 1":     func(apikey.Key) bool { return false },
		"customer 1": func(k apikey.Key) bool { return k.CustomerID == "customer 1" },
		"customer":   func(apikey.Key) bool { return false },
		"key0000042": func(k apikey.Key) bool { return k.ID == "key0000042" },
		"key":        func(apikey.Key) bool { return false },
	} {
		all := slices.DeleteFunc(slices.Collect(v.Keys()), func(k apikey.Key) bool { return !want(k) })
		for limit := 1; limit < 9; limit += 3 {
			var got []apikey.Key
			for next, more := uint64(0), true; more; more = next != 0 {
				var page []apikey.Key
				page, next = v.Search(text, next, limit)
				require.LessOrEqual(t, len(page), limit)
				got = append(got, page...)
			}
			require.ElementsMatch(t, all, got, text)
			require.True(t, slices.EqualFunc(all, got, func(a, b apikey.Key) bool { return a.ID == b.ID }), text)
		}
	}
	for _, v := range []*apikey.Verifier{{}, nil} {
		keys, next := v.Search("a", 0, 1)
		require.Empty(t, keys)
		require.Zero(t, next)
	}
}
