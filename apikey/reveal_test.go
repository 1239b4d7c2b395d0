package apikey_test

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// sealing is a configuration of verifiers that keep values.
func sealing(t *testing.T, log journal.Journal) apikey.Config {
	t.Helper()
	return apikey.Config{Pepper: pepper, Journal: log, Sealer: newSealer(t, sealingKey(1))}
}

// fill creates n keys in one change and returns their values by id.
func fill(t *testing.T, v *apikey.Verifier, n int, description string) map[string]apikey.Secret {
	t.Helper()
	var file strings.Builder
	file.WriteString("Name,Key,Description\n")
	values := make([]apikey.Secret, n)
	for i := range n {
		values[i] = v.Generate()
		fmt.Fprintf(&file, "k%d,%s,%s\n", i, string(values[i]), description)
	}
	got, err := importFile(t.Context(), v, strings.NewReader(file.String()), apikey.ImportOptions{})
	require.NoError(t, err)
	require.Len(t, got.Keys, n)
	want := make(map[string]apikey.Secret, n)
	for i, k := range got.Keys {
		want[k.ID] = values[i]
	}
	return want
}

// history returns the operations of the changes of a key, newest first.
func history(t *testing.T, v *apikey.Verifier, id string) (operations []string) {
	t.Helper()
	for c, err := range v.History(t.Context(), id) {
		require.NoError(t, err)
		operations = append(operations, c.Operation)
	}
	return operations
}

// A page of the control plane is one append. It has each key that was shown, once, and nothing else, and it changes
// nothing about the keys.
func TestRevealIsOneChangeOfTheKeysThatWereShown(t *testing.T) {
	log := journal.Memory(0)
	cfg := sealing(t, log)
	unsealing := cfg
	unsealing.Sealer = nil
	_, err := newVerifier(t, unsealing).Create(t.Context(), apikey.Key{ID: "unsealed00"}, valueA)
	require.NoError(t, err)
	v := newVerifier(t, cfg)
	want := fill(t, v, 500, "")
	all := ids(v)
	_, err = v.VerifyKey(t.Context(), string(want[all[0]]))
	require.NoError(t, err)
	before, keys := len(changesOf(t, log)), state(v)

	origin := journal.Origin{Actor: "auditor", Source: "192.0.2.1", Request: "c6af9ac6"}
	got, err := v.Reveal(journal.NewContext(t.Context(), origin), append(all, "unknown000", "", all[0])...)
	require.NoError(t, err)
	require.Equal(t, want, got)
	changes := changesOf(t, log)
	require.Len(t, changes, before+1)
	shown := changes[before]
	require.Equal(t, "RevealApiKey", shown.Operation)
	require.Equal(t, origin, shown.Origin)
	require.Len(t, shown.Items, 500)
	require.Equal(t, []string{"RevealApiKey", "ImportApiKeys"}, history(t, v, all[0]))
	require.Equal(t, []string{"CreateApiKey"}, history(t, v, "unsealed00"))
	require.Equal(t, keys, state(v), "Updated and LastUsed stay")
	again := newVerifier(t, cfg)
	require.Equal(t, keys, state(again))
	require.Equal(t, all, ids(again))
}

func TestRevealOfNoValueAppendsNothing(t *testing.T) {
	log := journal.Memory(0)
	cfg := sealing(t, log)
	cfg.Sealer = nil
	_, err := newVerifier(t, cfg).Create(t.Context(), apikey.Key{ID: "unsealed00"}, valueA)
	require.NoError(t, err)
	for name, ids := range map[string][]string{"not sealed": {"unsealed00"}, "no such key": {"unknown000"}, "none": nil} {
		got, err := newVerifier(t, sealing(t, log)).Reveal(t.Context(), ids...)
		require.NoError(t, err, name)
		require.Empty(t, got, name)
		require.Len(t, changesOf(t, log), 1, name)
	}
	_, err = new(apikey.Verifier).Reveal(t.Context(), "unsealed00")
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
}

// A value that is not known to be in the audit is not shown, whichever message was lost.
func TestNothingIsShownWithoutTheJournal(t *testing.T) {
	for _, lost := range []string{"request", "answer"} {
		log := &faulty{Journal: journal.Memory(0)}
		v := newVerifier(t, sealing(t, log))
		_, err := v.Create(t.Context(), apikey.Key{ID: "first00000"}, value)
		require.NoError(t, err)
		log.request, log.answer = lost == "request", lost == "answer"
		got, err := v.Reveal(t.Context(), "first00000")
		require.ErrorIs(t, err, apikey.ErrUnavailable, lost)
		require.Nil(t, got, lost)

		log.request, log.answer = false, false
		requireValue(t, v, "first00000", value)
		require.Equal(t, "RevealApiKey", history(t, v, "first00000")[0])
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		got, err = v.Reveal(ended, "first00000")
		require.ErrorIs(t, err, apikey.ErrUnavailable)
		require.Nil(t, got)
	}
}

// A value is shown by what the journal has, even if another node has changed the key and this one does not know it yet.
func TestRevealShowsTheValueOfItsRevision(t *testing.T) {
	cfg := sealing(t, journal.Memory(0))
	v, other := newVerifier(t, cfg), newVerifier(t, cfg)
	for _, id := range []string{"rotated000", "deleted000"} {
		_, err := v.Create(t.Context(), apikey.Key{ID: id}, v.Generate())
		require.NoError(t, err)
	}
	require.NoError(t, other.Refresh(t.Context()))
	_, err := other.Rotate(t.Context(), "rotated000", value, 0)
	require.NoError(t, err)
	require.NoError(t, other.Delete(t.Context(), "deleted000"))
	got, err := v.Reveal(t.Context(), "deleted000", "rotated000")
	require.NoError(t, err)
	require.Equal(t, map[string]apikey.Secret{"rotated000": value}, got)
	require.Equal(t, []string{"RevealApiKey", "RotateApiKey", "CreateApiKey"}, history(t, v, "rotated000"))
}

// Two nodes count up in a key while both reveal it: no count and no reveal is lost, and the value is always there.
func TestRevealBesideUpdatesLosesNothing(t *testing.T) {
	const times = 50
	cfg := sealing(t, journal.Memory(0))
	cfg.Keys = []apikey.Entry{julian}
	nodes := []*apikey.Verifier{newVerifier(t, cfg), newVerifier(t, cfg)}
	var running sync.WaitGroup
	for _, v := range nodes {
		running.Go(func() {
			for range times {
				if err := (&node{Verifier: v}).countUp(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		running.Go(func() {
			for range times {
				if got, err := v.Reveal(t.Context(), "fr92a5qpbj"); err != nil || got["fr92a5qpbj"] != value {
					t.Error(got, err)
				}
			}
		})
	}
	running.Wait()
	for _, v := range append(nodes, newVerifier(t, cfg)) {
		require.NoError(t, v.Refresh(t.Context()))
		k, _ := v.Key("fr92a5qpbj")
		require.Equal(t, strconv.Itoa(2*times), k.Description)
	}
	count := map[string]int{}
	for _, operation := range history(t, nodes[0], "fr92a5qpbj") {
		count[operation]++
	}
	require.Equal(t, map[string]int{"UpdateApiKey: description": 2 * times, "RevealApiKey": 2 * times}, count)
}

// What does not fit into one change is several, and a failure shows nothing of any.
func TestRevealOfManyKeysIsSeveralChanges(t *testing.T) {
	for name, tt := range map[string]struct {
		keys        int
		description string
		changes     int
	}{
		"1 000 keys":   {1000, "", 1},
		"1 001 keys":   {1001, "", 2},
		"above 32 MiB": {95, strings.Repeat("€", 125_000), 2}, // the longest description, of 375 kB
	} {
		t.Run(name, func(t *testing.T) {
			log := &faulty{Journal: journal.Memory(0)}
			v := newVerifier(t, sealing(t, log))
			want := map[string]apikey.Secret{}
			for len(want) < tt.keys { // an import is a change, too
				maps.Copy(want, fill(t, v, min(tt.keys-len(want), 999), tt.description))
			}
			before := len(changesOf(t, log))
			got, err := v.Reveal(t.Context(), ids(v)...)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, before+tt.changes, len(changesOf(t, log)))
			appended := 0
			log.before = func() { appended++; log.request = appended == tt.changes }
			got, err = v.Reveal(t.Context(), ids(v)...)
			require.ErrorIs(t, err, apikey.ErrUnavailable)
			require.Nil(t, got)
			require.Equal(t, tt.changes, appended)
		})
	}
}

// A declared key that was shown is stored, so what is declared for it later does not apply.
func TestRevealStoresADeclaredKey(t *testing.T) {
	cfg := sealing(t, journal.Memory(0))
	cfg.Keys = []apikey.Entry{julian, entry("untouched0", nil)}
	requireValue(t, newVerifier(t, cfg), "fr92a5qpbj", value)
	for i := range cfg.Keys {
		cfg.Keys[i].Value = apikey.Secret([]string{valueA, valueB}[i])
	}
	v := newVerifier(t, cfg)
	got, err := v.Reveal(t.Context(), "fr92a5qpbj", "untouched0")
	require.NoError(t, err)
	require.Equal(t, map[string]apikey.Secret{"fr92a5qpbj": value, "untouched0": valueB}, got)
}

func TestRevealWithoutJournal(t *testing.T) {
	v := newVerifier(t, apikey.Config{Sealer: newSealer(t, sealingKey(1)), Keys: []apikey.Entry{julian}})
	before := state(v)
	requireValue(t, v, "fr92a5qpbj", value)
	require.Equal(t, before, state(v))
	require.Empty(t, history(t, v, "fr92a5qpbj"))
}

// Without a sealer there is nothing to show, so the journal is not asked. An earlier value in its grace is not shown,
// and stays valid.
func TestRevealShowsTheCurrentValueAlone(t *testing.T) {
	log := &faulty{Journal: journal.Memory(0)}
	cfg := sealing(t, log)
	v := newVerifier(t, cfg)
	_, err := v.Create(t.Context(), apikey.Key{ID: "first00000", Enabled: true}, value)
	require.NoError(t, err)
	_, err = v.Rotate(t.Context(), "first00000", other, time.Hour)
	require.NoError(t, err)
	requireValue(t, v, "first00000", other)
	for _, accepted := range []string{value, other} {
		_, err = v.VerifyKey(t.Context(), accepted)
		require.NoError(t, err)
	}

	cfg.Sealer = nil
	v = newVerifier(t, cfg)
	log.request = true
	_, err = v.Update(t.Context(), "first00000", edit(true))
	require.ErrorIs(t, err, apikey.ErrUnavailable)
	requireValue(t, v, "first00000", "")
}
