package apikey_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

func sealingKey(n byte) apikey.Secret { return apikey.Secret(bytes.Repeat([]byte{n}, 32)) }

func newSealer(t *testing.T, keys ...apikey.Secret) *apikey.Sealer {
	t.Helper()
	s, err := apikey.NewSealer(keys...)
	require.NoError(t, err)
	return s
}

// requireValue requires the value of a key; "" stands for one that is not kept.
func requireValue(t *testing.T, v *apikey.Verifier, id, want string) {
	t.Helper()
	got, err := v.Reveal(t.Context(), id)
	require.NoError(t, err)
	if want == "" {
		require.Empty(t, got)
		return
	}
	require.Equal(t, map[string]apikey.Secret{id: apikey.Secret(want)}, got)
}

// The value is sealed by every verb that sets it, in the change of the key, and the next process and other nodes show
// it.
func TestValuesAreSealed(t *testing.T) {
	log := journal.Memory(0)
	cfg := apikey.Config{Pepper: pepper, Journal: log, Sealer: newSealer(t, sealingKey(1)), Keys: []apikey.Entry{julian, entry("declared00", nil)}}
	v, node := newVerifier(t, cfg), newVerifier(t, cfg)
	ctx := t.Context()
	_, err := v.Update(ctx, "fr92a5qpbj", edit(true))
	require.NoError(t, err)
	_, err = v.Rotate(ctx, "declared00", valueA, time.Hour)
	require.NoError(t, err)
	_, err = v.Create(ctx, apikey.Key{ID: "created000"}, other)
	require.NoError(t, err)
	got, err := importFile(ctx, v, strings.NewReader("Name,Key\nnew,"+valueB+"\nearlier,"+valueOf("declared00")+"\n"), apikey.ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, node.Refresh(ctx))
	cfg.Keys = nil
	changes := changesOf(t, log)
	require.Len(t, changes, 4, "one change for the key and its value")
	for _, c := range changes {
		for _, it := range c.Items {
			require.NotContains(t, string(it.Value), value)
		}
	}
	for _, v := range []*apikey.Verifier{v, node, newVerifier(t, cfg)} {
		requireValue(t, v, "fr92a5qpbj", value)
		requireValue(t, v, "created000", other)
		requireValue(t, v, got.Keys[0].ID, valueB)
		requireValue(t, v, "declared00", valueA)
		requireValue(t, v, "unknown000", "")
	}
}

func TestWithoutSealerNothingIsKept(t *testing.T) {
	cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
	v := newVerifier(t, cfg)
	ctx := t.Context()
	_, err := v.Create(ctx, apikey.Key{ID: "created000"}, other)
	require.NoError(t, err)
	requireValue(t, v, "created000", "")
	sealing := cfg
	sealing.Sealer = newSealer(t, sealingKey(1))
	requireValue(t, newVerifier(t, sealing), "created000", "")

	_, err = newVerifier(t, sealing).Rotate(ctx, "created000", value, 0)
	require.NoError(t, err)
	requireValue(t, newVerifier(t, cfg), "created000", "")
	_, err = newVerifier(t, cfg).Update(ctx, "created000", edit(true))
	require.NoError(t, err)
	requireValue(t, newVerifier(t, sealing), "created000", value)
	_, err = newVerifier(t, cfg).Rotate(ctx, "created000", valueA, 0)
	require.NoError(t, err)
	requireValue(t, newVerifier(t, sealing), "created000", "")
	_, err = importFile(ctx, newVerifier(t, sealing), strings.NewReader("Name,Key\nagain,"+valueA+"\n"), apikey.ImportOptions{})
	require.NoError(t, err)
	requireValue(t, newVerifier(t, sealing), "created000", valueA)
}

// The first sealing key seals, and all open. A value without its key is an error of the configuration.
func TestSealingKeysAreReplaced(t *testing.T) {
	log := journal.Memory(0)
	open := func(keys ...apikey.Secret) *apikey.Verifier {
		return newVerifier(t, apikey.Config{Pepper: pepper, Journal: log, Sealer: newSealer(t, keys...)})
	}
	one, two := sealingKey(1), sealingKey(2)
	_, err := open(one).Create(t.Context(), apikey.Key{ID: "first00000"}, value)
	require.NoError(t, err)
	_, err = open(two, one).Create(t.Context(), apikey.Key{ID: "second0000"}, other)
	require.NoError(t, err)
	for _, v := range []*apikey.Verifier{open(two, one), open(one, two)} {
		requireValue(t, v, "first00000", value)
		requireValue(t, v, "second0000", other)
	}
	requireValue(t, open(two), "second0000", other)
	before := len(changesOf(t, log))
	got, err := open(two).Reveal(t.Context(), "second0000", "first00000")
	require.Nil(t, got, "all or none")
	require.Len(t, changesOf(t, log), before, "nothing was shown")
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
	require.EqualError(t, err, "apikey: verifier is not configured: Config.Sealer has no key that opens the value (key first00000)")
	require.Equal(t, 500, err.(*apikey.Error).StatusCode())

	for range 2 { // the first time, the value cannot be opened and stays as it is
		_, err = open(two).Update(t.Context(), "first00000", edit(true))
		require.NoError(t, err)
		requireValue(t, open(two, one), "first00000", value)
		_, err = open(two, one).Update(t.Context(), "first00000", edit(true))
		require.NoError(t, err)
		requireValue(t, open(two), "first00000", value)
	}
}

// A sealed value that was changed, moved to another key or written by a newer version is not opened.
func TestSealedValueIsBoundToItsKey(t *testing.T) {
	log := journal.Memory(0)
	cfg := apikey.Config{Pepper: pepper, Journal: log, Sealer: newSealer(t, sealingKey(1))}
	_, err := newVerifier(t, cfg).Create(t.Context(), apikey.Key{ID: "first00000"}, value)
	require.NoError(t, err)
	item := changesOf(t, log)[0].Items[0]
	const lengthSealed = 1 + 12 + len(value) + 16
	sealed := len(item.Value) - lengthSealed
	require.Equal(t, byte(lengthSealed), item.Value[sealed-1])
	for name, tt := range map[string]struct {
		id   string
		edit func(sealed []byte)
	}{
		"moved":           {"another000", func([]byte) {}},
		"version":         {"first00000", func(b []byte) { b[0]++ }},
		"nonce":           {"first00000", func(b []byte) { b[1] ^= 1 }},
		"ciphertext":      {"first00000", func(b []byte) { b[20] ^= 1 }},
		"tag":             {"first00000", func(b []byte) { b[len(b)-1] ^= 1 }},
		"shorter than it": {"first00000", nil},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Clone(item.Value)
			copy(bad[2:], tt.id)
			if tt.edit != nil {
				tt.edit(bad[sealed:])
			} else {
				bad = append(bad[:sealed-1], 1, 1)
			}
			cfg := cfg
			cfg.Journal = journal.Memory(0)
			_, err := cfg.Journal.Append(t.Context(), 0, journal.Change{Items: []journal.Item{{Name: item.Name, Value: bad}}})
			require.NoError(t, err)
			got, err := newVerifier(t, cfg).Reveal(t.Context(), tt.id)
			require.Nil(t, got)
			require.ErrorIs(t, err, apikey.ErrNotConfigured)
		})
	}
}

func TestEachSealIsDifferent(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log, Sealer: newSealer(t, sealingKey(1))})
	seen := map[string]bool{}
	for range 2 {
		_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, value)
		require.NoError(t, err)
		for _, c := range changesOf(t, log) {
			for _, it := range c.Items {
				if len(it.Value) > 69 {
					seen[string(it.Value[len(it.Value)-69:])] = true
				}
			}
		}
		require.NoError(t, v.Delete(t.Context(), "first00000"))
	}
	require.Len(t, seen, 2)
}

func TestSealerNeedsKeys(t *testing.T) {
	for want, keys := range map[string][]apikey.Secret{
		"apikey: a sealer needs a key":                nil,
		"apikey: sealing key 1 has 31 bytes, want 32": {sealingKey(1), sealingKey(2)[:31]},
		"apikey: sealing key 0 has 33 bytes, want 32": {sealingKey(1) + "x"},
	} {
		_, err := apikey.NewSealer(keys...)
		require.EqualError(t, err, want)
	}
	_, err := apikey.New(apikey.Config{Sealer: new(apikey.Sealer)})
	require.EqualError(t, err, "apikey: Sealer has no keys; make it with NewSealer")
}

// A sealer that opens nothing of the journal keeps nobody out: verifying needs no sealed value. Reveal says what is
// wrong, and the values come back with their sealing key.
func TestSealerThatOpensNothingIsToldByReveal(t *testing.T) {
	cfg := sealing(t, journal.Memory(0))
	_, err := newVerifier(t, cfg).Create(t.Context(), apikey.Key{ID: "first00000", Enabled: true}, value)
	require.NoError(t, err)
	wrong := cfg
	wrong.Sealer = newSealer(t, sealingKey(2))
	v := newVerifier(t, wrong)
	requireValues(t, v, map[string]string{value: "first00000"})
	_, err = v.Reveal(t.Context(), "first00000")
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
	require.EqualError(t, err, "apikey: verifier is not configured: Config.Sealer has no key that opens the value (key first00000)")
	_, err = v.Create(t.Context(), apikey.Key{ID: "second0000"}, other)
	require.NoError(t, err)
	cfg.Sealer = newSealer(t, sealingKey(1), sealingKey(2))
	v = newVerifier(t, cfg)
	requireValue(t, v, "first00000", value)
	requireValue(t, v, "second0000", other)
}
