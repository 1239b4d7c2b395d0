package apikey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// FuzzImport checks that any file is imported or refused as a whole with [apikey.ErrInvalid]; that every key which
// is imported can be read back; and that FailOnWarnings differs only where there are warnings.
func FuzzImport(f *testing.F) {
	f.Add("Name,key,description,Enabled,usageplanIds\nMyFirstApiKey," + valueA + ",An imported key,TRUE,c7y23b\n")
	f.Add("name, key, usageplanids, enabled\n\"a\"\"b\", " + valueA + ", 'x, y', tRuE\nb," + valueB + ",\"x,y\",no\n")
	f.Add("\xef\xbb\xbfKEY,NAME\r\n\r\n" + valueA + ",\"a\nb\"\r\n" + valueA + ",again")
	f.Add("Name,Key\na,\"" + valueA + "\nb," + valueB + "\nc,\"" + valueA)
	f.Add("Name;Key\na;" + valueA + "\n")
	f.Add("\"Name\" , \"Key\"\t\n\"a\"\" , b\" ,\"" + valueA + "\" \"\n ,\"\" \n")
	f.Add("N\x00a\x00")
	f.Add("Name,Key,UsagePlanIds\na," + valueA + ",'\nb," + valueB + ",'a','b'\n")
	f.Fuzz(func(t *testing.T, file string) {
		v := newVerifier(t, apikey.Config{})
		got, err := importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{})
		if err != nil {
			require.ErrorIs(t, err, apikey.ErrInvalid)
			require.Empty(t, state(v))
			return
		}
		require.Len(t, state(v), len(got.Keys))
		for _, k := range got.Keys {
			stored, ok := v.Key(k.ID)
			require.True(t, ok)
			require.Equal(t, k, stored)
			require.NotEmpty(t, strings.TrimSpace(k.Name))
			for _, id := range got.PlanIDs[k.ID] {
				require.Equal(t, strings.TrimSpace(id), id)
				require.NotContains(t, id, ",")
			}
		}
		w := newVerifier(t, apikey.Config{})
		strict, err := importFile(t.Context(), w, strings.NewReader(file), apikey.ImportOptions{FailOnWarnings: true})
		require.Equal(t, len(got.Warnings) > 0, err != nil)
		require.Equal(t, got.Warnings, strict.Warnings)
	})
}

// FuzzVerifyKey checks that nothing but the one registered value is accepted, and that nothing panics.
func FuzzVerifyKey(f *testing.F) {
	v, err := apikey.New(apikey.Config{Prefix: "ak", Keys: []apikey.Entry{julian}})
	require.NoError(f, err)
	for _, s := range []string{"", value, value + " ", value[:39], strings.Repeat("a", 129), "ak_" + value[3:], "ak_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := v.VerifyKey(t.Context(), s)
		if s == value {
			require.NoError(t, err)
			require.Equal(t, "fr92a5qpbj", c.ID())
			return
		}
		e, ok := errors.AsType[*apikey.Error](err)
		require.True(t, ok)
		require.Equal(t, 403, e.StatusCode())
		require.Empty(t, c.ID())
	})
}

// FuzzJournal checks that what a journal may give back is read or refused as a whole, and that what is read can be
// changed and read again to the same keys.
func FuzzJournal(f *testing.F) {
	sealer, err := apikey.NewSealer("a sealing key of 32 random bytes")
	require.NoError(f, err)
	log := journal.Memory(0)
	v, err := apikey.New(apikey.Config{Pepper: pepper, Sealer: sealer, Journal: log, Keys: []apikey.Entry{julian}})
	require.NoError(f, err)
	whole := apikey.Key{
		Name: "n", Description: "d", CustomerID: "c", Tags: map[string]string{"a": "b", "c": ""},
		NotBefore: time.Unix(1, 0), Expires: time.Unix(2, 0),
	}
	k, err := v.Create(f.Context(), whole, valueA)
	require.NoError(f, err)
	_, err = v.Rotate(f.Context(), k.ID, valueB, 1e18)
	require.NoError(f, err)
	_, err = v.VerifyKey(f.Context(), value)
	require.NoError(f, err)
	_, err = v.Update(f.Context(), "fr92a5qpbj", edit(false))
	require.NoError(f, err)
	for c, err := range log.Changes(f.Context(), 0) {
		require.NoError(f, err)
		for _, it := range c.Items {
			f.Add(it.Name, it.Value, false)
		}
	}
	f.Add("fr92a5qpbj", []byte{1, 2}, false)
	f.Add("fr92a5qpbj", []byte(nil), true)
	f.Add("fr92a5qpbj", []byte{2, 0}, false)
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x01", []byte{1, 2}, false)
	f.Add("pepper", make([]byte, 33), false)
	f.Add("pepper", append([]byte{1}, make([]byte, 32)...), false)
	f.Add("pepper", []byte{2}, false)
	f.Add("pepper", []byte(nil), true)
	f.Fuzz(func(t *testing.T, name string, item []byte, gone bool) {
		log := journal.Memory(0)
		cfg := apikey.Config{Pepper: pepper, Sealer: sealer, Journal: log, Keys: []apikey.Entry{julian}}
		follower := newVerifier(t, cfg)
		want := state(follower)
		_, err := log.Append(t.Context(), 0, journal.Change{Items: []journal.Item{{Name: name, Value: item, Gone: gone}}})
		if err != nil {
			return
		}
		refreshed := follower.Refresh(t.Context())
		v, err := apikey.New(cfg)
		if errors.Is(err, apikey.ErrExists) { // the item has the value of the declared key, which has lost it here
			require.NoError(t, refreshed)
			return
		}
		if err != nil {
			wrongPepper := errors.Is(err, apikey.ErrNotConfigured)
			require.Equal(t, wrongPepper, errors.Is(refreshed, apikey.ErrNotConfigured))
			require.Equal(t, !wrongPepper, errors.Is(refreshed, apikey.ErrUnavailable))
			require.Equal(t, want, state(follower), "nothing of a bad change is visible")
			return
		}
		require.NoError(t, refreshed)
		require.Equal(t, ids(v), ids(follower))
		for id := range state(v) {
			_, err := v.Update(t.Context(), id, func(*apikey.Key) error { return nil })
			require.NoError(t, err)
			_, _ = v.Reveal(t.Context(), id)
		}
		require.NoError(t, follower.Refresh(t.Context()))
		for _, reader := range []*apikey.Verifier{follower, newVerifier(t, cfg)} {
			for id, k := range state(reader) {
				want, _ := v.Key(id)
				require.Equal(t, want, k)
			}
			require.Equal(t, ids(v), ids(reader))
		}
	})
}

// FuzzPrefix checks that a verifier with a prefix accepts a new value that begins like one of the prefix only if the
// pattern matches it, and refuses it without a lookup otherwise.
func FuzzPrefix(f *testing.F) {
	made := newPrefixed(f, "ak").Generate()
	f.Add("ak", string(made))
	f.Add("ak", "ak_0000000000000000000000000000000000000")
	f.Add("abcdef", "abcdef_00000000000000000000000000000000")
	f.Fuzz(func(t *testing.T, prefix, s string) {
		v, err := apikey.New(apikey.Config{Prefix: prefix})
		if err != nil || prefix == "" || !strings.HasPrefix(s, prefix+"_") {
			return
		}
		_, unknown := v.VerifyKey(t.Context(), s)
		if _, err := v.Create(t.Context(), apikey.Key{}, apikey.Secret(s)); err == nil {
			require.Regexp(t, "^"+v.Pattern()+"$", s)
			require.NotErrorIs(t, unknown, apikey.ErrMalformed)
			return
		}
		require.ErrorIs(t, unknown, apikey.ErrMalformed)
	})
}

func newPrefixed(t testing.TB, prefix string) *apikey.Verifier {
	t.Helper()
	v, err := apikey.New(apikey.Config{Prefix: prefix})
	require.NoError(t, err)
	return v
}
