package usageplan_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// An operation of a history: what it did, and its result.
type (
	input struct {
		extend   int64 // units granted, or, if 0, a take
		client   string
		cost     int64
		overlaps bool // another operation was under way at the same time
	}
	output struct{ refused string }
	// tally is the model's state: what is left for each of the two clients, and for all together. Throttles have the rate 0,
	// so that the model needs no clock.
	tally struct{ tokensA, tokensB, account, unitsA, unitsB int }
)

func (t *tally) of(client string) (tokens, units *int) {
	if client == "a" {
		return &t.tokensA, &t.unitsA
	}
	return &t.tokensB, &t.unitsB
}

// step is one decision by a plan's throttle, a quota and the account's throttle. A request that overlaps another one may be
// refused without a reason, because the other may hold tokens that it gives back later. Any other refusal must have a
// reason, and an admitted request must always fit.
func step(state, in, out any) (bool, any) {
	s, op, got := state.(tally), in.(input), out.(output)
	tokens, units := s.of(op.client)
	if op.extend != 0 {
		*units += int(op.extend)
		return got.refused == noLayer, s
	}
	fits := *tokens >= 1 && *units >= int(op.cost) && s.account >= 1
	switch {
	case got.refused == noLayer && fits:
		*tokens, *units, s.account = *tokens-1, *units-int(op.cost), s.account-1
		return true, s
	case got.refused == noLayer:
		return false, s
	default:
		return !fits || op.overlaps, s
	}
}

func TestDecisionsAreLinearizable(t *testing.T) {
	for seed := range uint64(heavy(1000)) {
		r := rand.New(rand.NewPCG(seed, 2))
		start := tally{tokensA: 1 + r.IntN(9), tokensB: 1 + r.IntN(9), account: 1 + r.IntN(12), unitsA: r.IntN(10), unitsB: r.IntN(10)}
		history := record(t, start, seed)
		model := porcupine.Model{Init: func() any { return start }, Step: step}
		require.True(t, porcupine.CheckOperations(model, history), "seed %d: %+v", seed, history)
	}
}

// The checker finds errors: it refuses a history that admits one request too many.
func TestLinearizabilityCheckFindsFaults(t *testing.T) {
	start := tally{tokensA: 1, account: 5, unitsA: 5}
	take := input{client: "a", cost: 1}
	history := []porcupine.Operation{
		{Input: take, Output: output{}, Call: 0, Return: 1},
		{Input: take, Output: output{}, Call: 2, Return: 3},
	}
	model := porcupine.Model{Init: func() any { return start }, Step: step}
	require.False(t, porcupine.CheckOperations(model, history))
	history[1].Output = output{planThrottle}
	require.True(t, porcupine.CheckOperations(model, history))
	history[1].Input, start.tokensA = input{client: "a", cost: 1}, 2
	require.False(t, porcupine.CheckOperations(model, history), "a refusal without a reason and without another request")
}

// record runs four goroutines against a meter of the given tally and notes what they did and when.
func record(t *testing.T, start tally, seed uint64) []porcupine.Operation {
	t.Helper()
	rateless := func(burst int) *ratelimit.Limit { return &ratelimit.Limit{Burst: int64(burst)} }
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: rateless(start.tokensA), Quotas: daily(int64(start.unitsA))}},
		Members: []usageplan.Member{
			{Plan: "p", Client: "a"},
			{Plan: "p", Client: "b", Throttle: rateless(start.tokensB), Limits: map[ledger.Period]int64{ledger.Daily: int64(start.unitsB)}},
		},
		AccountThrottle: rateless(start.account),
	})
	var mu sync.Mutex
	var history []porcupine.Operation
	var all sync.WaitGroup
	began := time.Now()
	for worker := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(worker)+10))
			for range 8 {
				op := input{client: []string{"a", "b"}[r.IntN(2)], cost: int64(r.IntN(3))}
				if r.IntN(8) == 0 {
					op.extend = int64(1 + r.IntN(3))
				}
				call := time.Since(began)
				got := output{perform(t, m, op)}
				returned := time.Since(began)
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: worker, Input: op, Output: got, Call: int64(call), Return: int64(returned)})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for i := range history {
		op := history[i].Input.(input)
		for j := range history {
			op.overlaps = op.overlaps || i != j && history[i].Call <= history[j].Return && history[j].Call <= history[i].Return
		}
		history[i].Input = op
	}
	return history
}

func perform(t *testing.T, m *usageplan.Meter, op input) string {
	if op.extend != 0 {
		_, err := m.Extend(t.Context(), usageplan.QuotaKey{Plan: "p", Client: op.client}, ledger.Adjustment{Delta: op.extend})
		if err != nil {
			t.Error(err)
		}
		return noLayer
	}
	q := getCats(op.client)
	q.Cost = op.cost
	_, err := m.Take(t.Context(), q)
	if err == nil {
		return noLayer
	}
	e, is := errors.AsType[*usageplan.Error](err)
	if !is || e.Layer == noLayer {
		t.Errorf("unexpected error %v", err)
		return noLayer
	}
	return e.Layer
}
