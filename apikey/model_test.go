package apikey_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// model is what a verifier is meant to be, without tables, hashes and packing.
type model struct {
	keys   map[string]*apikey.Key
	values map[string]held // :: value → whose it is
}

type held struct {
	id    string
	until time.Time // zero: as long as the key
}

// retired reports whether the grace of the value is over: then it is free, and may be forgotten at any time.
func (h held) retired(now time.Time) bool { return !h.until.IsZero() && !h.until.After(now) }

// cause returns what verifying value must say.
func (m *model) cause(value string, now time.Time) error {
	h, ok := m.values[value]
	if !ok {
		return apikey.ErrUnknown
	}
	k := m.keys[h.id]
	switch {
	case !k.Enabled:
		return apikey.ErrDisabled
	case !h.until.IsZero() && !now.Before(h.until), !k.Expires.IsZero() && !now.Before(k.Expires):
		return apikey.ErrExpired
	case now.Before(k.NotBefore):
		return apikey.ErrNotYetValid
	}
	return nil
}

func (m *model) rotate(id, value string, now time.Time, grace time.Duration) {
	until := now.Add(grace)
	for v, h := range m.values {
		if h.id != id {
			continue
		}
		if h.until.IsZero() || h.until.After(until) {
			h.until = until
		}
		m.values[v] = h
		if !h.until.After(now) {
			delete(m.values, v)
		}
	}
	m.values[value] = held{id: id}
}

// current returns the values of the keys by their ids, without those that were replaced.
func (m *model) current() map[string]apikey.Secret {
	values := make(map[string]apikey.Secret)
	for value, h := range m.values {
		if h.until.IsZero() {
			values[h.id] = apikey.Secret(value)
		}
	}
	return values
}

func (m *model) remove(id string) {
	delete(m.keys, id)
	for v, h := range m.values {
		if h.id == id {
			delete(m.values, v)
		}
	}
}

// TestVerifierIsItsModel makes random changes over time and compares every verification with the model; now and then it
// goes on with a verifier that has read the journal.
func TestVerifierIsItsModel(t *testing.T) {
	runs := uint64(20)
	if heavy {
		runs *= 10
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runModel(t *testing.T, rng *rand.Rand) {
	cfg := sealing(t, journal.Memory(0))
	v := newVerifier(t, cfg)
	m := &model{keys: map[string]*apikey.Key{}, values: map[string]held{}}
	values := make([]string, 30)
	for i := range values {
		values[i] = string(v.Generate())
	}
	ids := []string{"key0000000", "key1111111", "key2222222", "key3333333"}
	bound := func() (t time.Time) {
		if rng.IntN(3) > 0 {
			t = time.Now().Add(time.Duration(rng.IntN(200)-100) * time.Minute).UTC()
		}
		return t
	}
	for range 300 {
		id, value := ids[rng.IntN(len(ids))], values[rng.IntN(len(values))]
		_, known := m.keys[id]
		h, taken := m.values[value]
		taken = taken && !h.retired(time.Now())
		ctx, now := t.Context(), time.Now().UTC()
		switch rng.IntN(9) {
		case 0, 1:
			k := apikey.Key{ID: id, Enabled: rng.IntN(4) > 0, Expires: bound()}
			_, err := v.Create(ctx, k, apikey.Secret(value))
			if known || taken {
				require.ErrorIs(t, err, apikey.ErrExists)
				break
			}
			require.NoError(t, err)
			k.Created, k.Updated = now, now
			m.keys[id], m.values[value] = &k, held{id: id}
		case 2, 3:
			k := apikey.Key{ID: id, Enabled: rng.IntN(4) > 0, NotBefore: bound(), Expires: bound(), Name: value, Description: value[:rng.IntN(2)]}
			_, err := v.Update(ctx, id, func(old *apikey.Key) error {
				k.Created, k.Updated = old.Created, now
				*old = k
				return nil
			})
			if !known {
				require.ErrorIs(t, err, apikey.ErrNotFound)
			} else if err != nil {
				require.ErrorIs(t, err, apikey.ErrInvalid)
				require.False(t, k.NotBefore.Before(k.Expires))
			} else {
				m.keys[id] = &k
			}
		case 4, 5:
			grace := time.Duration(rng.IntN(4)) * 30 * time.Minute
			_, err := v.Rotate(ctx, id, apikey.Secret(value), grace)
			switch {
			case !known:
				require.ErrorIs(t, err, apikey.ErrNotFound)
			case taken:
				require.ErrorIs(t, err, apikey.ErrExists)
			case err != nil:
				require.ErrorIs(t, err, apikey.ErrInvalid, "too many values")
			default:
				m.rotate(id, value, now, grace)
				m.keys[id].Updated = now
			}
		case 6:
			err := v.Delete(ctx, id)
			require.Equal(t, known, err == nil)
			m.remove(id)
		case 7:
			time.Sleep(time.Duration(rng.IntN(40)) * time.Minute)
			if rng.IntN(5) == 0 {
				v = newVerifier(t, cfg)
			}
		case 8:
			shown, err := v.Reveal(ctx, ids...)
			require.NoError(t, err)
			require.Equal(t, m.current(), shown)
		}
		for _, value := range values {
			c, err := v.VerifyKey(ctx, value)
			want := m.cause(value, time.Now())
			forgotten := m.values[value].retired(time.Now()) && errors.Is(err, apikey.ErrUnknown)
			require.Truef(t, forgotten || errors.Is(err, want), "got %v, want %v", err, want)
			if want == nil {
				require.Equal(t, m.values[value].id, c.ID())
			}
		}
		got := state(v)
		require.Len(t, got, len(m.keys))
		for id, k := range got {
			k.LastUsed = time.Time{}
			require.Equal(t, *m.keys[id], k)
		}
	}
}

// TestChangesActOnTheNextRequest has readers verify while keys are disabled, deleted and rotated: what begins after a
// change returned sees it, and what is not changed is never refused.
func TestChangesActOnTheNextRequest(t *testing.T) {
	const untouched = "untouched0"
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{entry(untouched, nil), entry("toggled000", nil)}})
	ctx := t.Context()
	rounds := 2000
	if heavy {
		rounds *= 10
	}
	// state is odd while the key is known to be disabled, even while it is known to be enabled; 0 begins.
	var state atomic.Int64
	var changing, done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				if _, err := v.VerifyKey(ctx, valueOf(untouched)); err != nil {
					t.Errorf("untouched: %v", err)
					return
				}
				before := state.Load()
				_, err := v.VerifyKey(ctx, valueOf("toggled000"))
				if changing.Load() || state.Load() != before {
					continue
				}
				if disabled := errors.Is(err, apikey.ErrDisabled); disabled != (before%2 == 1) {
					t.Errorf("state %d: %v", before, err)
					return
				}
			}
		})
	}
	for i := range rounds {
		changing.Store(true)
		_, err := v.Update(ctx, "toggled000", edit(i%2 == 1))
		require.NoError(t, err)
		state.Add(1)
		changing.Store(false)

		fresh := v.Generate()
		k, err := v.Create(ctx, apikey.Key{Enabled: true}, fresh)
		require.NoError(t, err)
		_, err = v.VerifyKey(ctx, string(fresh))
		require.NoError(t, err)
		next := v.Generate()
		_, err = v.Rotate(ctx, k.ID, next, 0)
		require.NoError(t, err)
		_, err = v.VerifyKey(ctx, string(fresh))
		require.ErrorIs(t, err, apikey.ErrUnknown)
		_, err = v.VerifyKey(ctx, string(next))
		require.NoError(t, err)
		require.NoError(t, v.Delete(ctx, k.ID))
		_, err = v.VerifyKey(ctx, string(next))
		require.ErrorIs(t, err, apikey.ErrUnknown)
	}
	done.Store(true)
	readers.Wait()
}

// TestConcurrentWritersShareNoValue creates from many goroutines, some of them the same value: each value has one key.
func TestConcurrentWritersShareNoValue(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	var created atomic.Int64
	var wg sync.WaitGroup
	values := make([]apikey.Secret, 200)
	for i := range values {
		values[i] = v.Generate()
	}
	for range 8 {
		wg.Go(func() {
			for _, value := range values {
				_, err := v.Create(t.Context(), apikey.Key{}, value)
				if err == nil {
					created.Add(1)
				} else if !errors.Is(err, apikey.ErrExists) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, len(values), created.Load())
	require.Len(t, state(v), len(values))
}
