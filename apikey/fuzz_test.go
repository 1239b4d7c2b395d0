package apikey_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
)

// FuzzImport checks that any file is imported or refused as a whole with [apikey.ErrInvalid]; that every key which
// is imported can be read back; and that FailOnWarnings differs only where there are warnings.
func FuzzImport(f *testing.F) {
	f.Add("Name,key,description,Enabled,usageplanIds\nMyFirstApiKey," + valueA + ",An imported key,TRUE,c7y23b\n")
	f.Add("name, key, usageplanids, enabled\n\"a\"\"b\", " + valueA + ", 'x, y', tRuE\nb," + valueB + ",\"x,y\",no\n")
	f.Add("\xef\xbb\xbfKEY,NAME\r\n\r\n" + valueA + ",\"a\nb\"\r\n" + valueA + ",again")
	f.Add("Name,Key\na,\"" + valueA + "\nb," + valueB + "\nc,\"" + valueA)
	f.Add("Name;Key\na;" + valueA + "\n")
	f.Add("N\x00a\x00")
	f.Add("Name,Key,UsagePlanIds\na," + valueA + ",'\nb," + valueB + ",'a','b'\n")
	f.Fuzz(func(t *testing.T, file string) {
		v := newVerifier(t, apikey.Config{})
		got, err := v.Import(t.Context(), strings.NewReader(file), apikey.ImportOptions{})
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
		strict, err := w.Import(t.Context(), strings.NewReader(file), apikey.ImportOptions{FailOnWarnings: true})
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

// FuzzRestore checks that what a store may give back is restored or refused, and that what is restored can be changed
// and restored again to the same keys.
func FuzzRestore(f *testing.F) {
	var lines []string
	v, err := apikey.New(apikey.Config{Pepper: pepper, Keys: []apikey.Entry{julian}, Commit: record(&lines)})
	require.NoError(f, err)
	_, err = v.Rotate(f.Context(), "fr92a5qpbj", other, 1e12)
	require.NoError(f, err)
	require.NoError(f, v.Delete(f.Context(), "fr92a5qpbj"))
	for _, line := range lines {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var c apikey.Change
		if json.Unmarshal([]byte(line), &c) != nil {
			return
		}
		restore := func(yield func(apikey.Change, error) bool) { yield(c, nil) }
		var lines []string
		v, err := apikey.New(apikey.Config{Pepper: pepper, Restore: restore, Commit: record(&lines)})
		if err != nil {
			return
		}
		for id := range state(v) {
			_, err := v.Update(t.Context(), id, func(*apikey.Key) error { return nil })
			require.NoError(t, err)
		}
		w := newVerifier(t, apikey.Config{Pepper: pepper, Restore: func(yield func(apikey.Change, error) bool) {
			for _, line := range lines {
				var c apikey.Change
				if !yield(c, json.Unmarshal([]byte(line), &c)) {
					return
				}
			}
		}})
		require.Equal(t, state(v), state(w))
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
