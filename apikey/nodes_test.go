package apikey_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// A node makes changes over a bad network, and remembers what must be so after those whose outcome it knows.
type node struct {
	*apikey.Verifier
	random  *rand.Rand
	values  map[string]string // of its keys, by id; "" for a deleted one
	unknown map[string]bool   // the ids of keys of which a change may have been made
	counted int               // how often it has counted up, and knows
	maybe   int               // how often it has tried to, and does not know
	rotated map[string]int    // how often it has rotated a key
}

// TestNodesAgreeAfterLostAnswers has nodes change keys of their own, and one that they share, over a network that loses
// requests and answers. Afterwards, all nodes and a new one have the same keys, and nothing that was acknowledged is
// lost.
func TestNodesAgreeAfterLostAnswers(t *testing.T) {
	runs := uint64(3)
	if heavy {
		runs *= 10
	}
	for seed := range runs {
		runNodes(t, seed)
	}
}

func runNodes(t *testing.T, seed uint64) {
	log := journal.Memory([]time.Duration{0, time.Nanosecond}[seed%2]) // the latter keeps no records: snapshots
	cfg := sealing(t, log)
	cfg.Keys = []apikey.Entry{julian}
	var nodes []*node
	for n := range uint64(3) {
		nodes = append(nodes, &node{
			Verifier: openLossy(t, cfg, seed<<16+n<<8), random: rand.New(rand.NewPCG(seed, n)),
			values: map[string]string{}, unknown: map[string]bool{}, rotated: map[string]int{},
		})
	}
	var running sync.WaitGroup
	for _, n := range nodes {
		running.Go(func() {
			for range 200 {
				n.step(t)
			}
		})
	}
	running.Wait()

	counted, maybe := 0, 0
	for _, n := range nodes {
		for n.Refresh(t.Context()) != nil { // until no answer is lost
		}
		counted, maybe = counted+n.counted, maybe+n.maybe
	}
	fresh := newVerifier(t, cfg)
	k, _ := fresh.Key("fr92a5qpbj")
	count, err := strconv.Atoi("0" + k.Description)
	require.NoError(t, err)
	require.GreaterOrEqual(t, count, counted)
	require.LessOrEqual(t, count, counted+maybe)
	require.Positive(t, maybe)
	want := withoutUse(fresh)
	for _, n := range nodes {
		require.Equal(t, want, withoutUse(n.Verifier))
		require.Equal(t, ids(fresh), ids(n.Verifier))
	}
	for _, owner := range nodes {
		for id, value := range owner.values {
			for _, v := range []*apikey.Verifier{fresh, nodes[0].Verifier, nodes[1].Verifier, nodes[2].Verifier} {
				_, found := v.Key(id)
				require.True(t, owner.unknown[id] || found == (value != ""), id)
				if value != "" && !owner.unknown[id] {
					requireValues(t, v, map[string]string{value: id})
				}
			}
		}
	}
}

// openLossy returns a verifier that reaches the journal of cfg over a bad network.
func openLossy(t *testing.T, cfg apikey.Config, seed uint64) *apikey.Verifier {
	log := cfg.Journal
	for try := range uint64(100) {
		cfg.Journal = journaltest.Lossy(log, seed+try)
		if v, err := apikey.New(cfg); err == nil {
			return v
		}
	}
	t.Fatal("no network is as bad as that")
	return nil
}

// withoutUse returns the keys of v without the last use, which is not shared.
func withoutUse(v *apikey.Verifier) map[string]apikey.Key {
	keys := state(v)
	for id, k := range keys {
		k.LastUsed = time.Time{}
		keys[id] = k
	}
	return keys
}

// step makes a random change.
func (n *node) step(t *testing.T) {
	ctx := t.Context()
	id := n.own()
	switch what := n.random.IntN(7); {
	case what == 0:
		n.record(t, n.countUp(ctx), &n.counted, &n.maybe)
	case what == 1:
		if err := n.Refresh(ctx); err != nil && !errors.Is(err, apikey.ErrUnavailable) {
			t.Error(err)
		}
	case what == 6 && id != "":
		got, err := n.Reveal(ctx, id, "fr92a5qpbj")
		if err == nil && (string(got[id]) != n.values[id] || got["fr92a5qpbj"] != value) || err != nil && got != nil {
			t.Error(got, err)
		}
	case id == "" || what < 4:
		value := string(n.Generate())
		k := apikey.Key{ID: strconv.FormatUint(1e15+n.random.Uint64N(2e15), 36)[:10], Enabled: true}
		n.changed(t, k.ID, value, create(ctx, n, k, value))
	case what == 4:
		value := string(n.Generate())
		n.rotated[id]++
		grace := time.Hour
		if n.rotated[id]%8 == 0 { // which ends all earlier values, so that the key never has too many
			grace = 0
		}
		_, err := n.Rotate(ctx, id, apikey.Secret(value), grace)
		n.changed(t, id, value, err)
	default:
		n.changed(t, id, "", n.Delete(ctx, id))
	}
}

func create(ctx context.Context, n *node, k apikey.Key, value string) error {
	_, err := n.Create(ctx, k, apikey.Secret(value))
	return err
}

// own returns the id of a key of the node that exists, or "".
func (n *node) own() string {
	for id, value := range n.values {
		if value != "" && !n.unknown[id] {
			return id
		}
	}
	return ""
}

// changed notes the outcome of a change that gives the key of the given id the value, or deletes it.
func (n *node) changed(t *testing.T, id, value string, err error) {
	if err != nil && !errors.Is(err, apikey.ErrUnavailable) {
		t.Errorf("%s: %v", id, err)
	}
	n.values[id], n.unknown[id] = value, err != nil
}

// countUp increments the number in the description of the key that all nodes share.
func (n *node) countUp(ctx context.Context) error {
	_, err := n.Update(ctx, "fr92a5qpbj", func(k *apikey.Key) error {
		count, err := strconv.Atoi("0" + k.Description)
		k.Description = strconv.Itoa(count + 1)
		return err
	})
	return err
}

func (n *node) record(t *testing.T, err error, known, unknown *int) {
	switch {
	case err == nil:
		*known++
	case errors.Is(err, apikey.ErrUnavailable):
		*unknown++
	default:
		t.Error(err)
	}
}
