package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// control is what two meters over one journal should show: the plans, and the members of each with their limits.
type control struct {
	plans   map[string]string              // name by id
	members map[[2]string]*ratelimit.Limit // by plan and client
}

// step draws a change, and what it does to the control state if it is made.
func (c *control) step(r *rand.Rand) (change, func()) {
	plan, client := fmt.Sprint("p", r.IntN(4)), fmt.Sprint("c", r.IntN(6))
	key := [2]string{plan, client}
	switch r.IntN(7) {
	case 0:
		name := fmt.Sprint(r.Uint64())
		return func(ctx context.Context, m *usageplan.Meter) error {
			_, err := m.CreatePlan(ctx, usageplan.Plan{ID: plan, Name: name})
			return err
		}, func() { c.plans[plan] = name }
	case 1:
		name := fmt.Sprint(r.Uint64())
		return func(ctx context.Context, m *usageplan.Meter) error {
			_, err := m.UpdatePlan(ctx, plan, func(p *usageplan.Plan) error { p.Name = name; return nil })
			return err
		}, func() { c.plans[plan] = name }
	case 2:
		return func(ctx context.Context, m *usageplan.Meter) error { return m.DeletePlan(ctx, plan) }, func() {
			delete(c.plans, plan)
			for k := range c.members {
				if k[0] == plan {
					delete(c.members, k)
				}
			}
		}
	case 3, 4:
		limit := &ratelimit.Limit{Burst: int64(r.IntN(9))}
		return func(ctx context.Context, m *usageplan.Meter) error {
			return m.AddMembers(ctx, usageplan.Member{Plan: plan, Client: client, Throttle: limit})
		}, func() { c.members[key] = limit }
	case 5:
		to := fmt.Sprint("p", r.IntN(4))
		return moving(plan, usageplan.Member{Plan: to, Client: client}), func() {
			delete(c.members, key)
			c.members[[2]string{to, client}] = nil
		}
	default:
		return leaving(plan, client), func() { delete(c.members, key) }
	}
}

// shown is the control state as the meter shows it.
func shown(m *usageplan.Meter) *control {
	c := &control{map[string]string{}, map[[2]string]*ratelimit.Limit{}}
	for p := range m.Plans() {
		c.plans[p.ID] = p.Name
		for _, k := range members(m, p.ID) {
			c.members[[2]string{k.Plan, k.Client}] = k.Throttle
		}
	}
	return c
}

// Two meters over one journal whose requests and answers get lost. A change that was acknowledged is made, one that was
// refused is not, and one whose outcome is unknown is made or not. When both have read on, both show the same.
func TestTwoMetersAreTheirModel(t *testing.T) {
	for seed := range uint64(heavy(300)) {
		r := rand.New(rand.NewPCG(seed, 2))
		j := journal.Memory(0)
		var nodes []*usageplan.Meter
		for i := range uint64(2) {
			nodes = append(nodes, follower(t, journaltest.Lossy(j, 2*seed+i)))
		}
		want := shown(nodes[0])
		for range 80 {
			m := nodes[r.IntN(2)]
			change, effect := want.step(r)
			err := change(t.Context(), m)
			switch {
			case errors.Is(err, journal.ErrUnavailable):
				refresh(t, m)
				want = shown(m)
			case err == nil:
				effect()
			}
			if err == nil {
				require.Equal(t, want, shown(m), "seed %d", seed)
			}
		}
		refresh(t, nodes[0])
		refresh(t, nodes[1])
		require.Equal(t, want, shown(nodes[0]))
		require.Equal(t, everythingOf(nodes[0]), everythingOf(nodes[1]))
		require.Equal(t, everythingOf(nodes[0]), everythingOf(meter(t, usageplan.Config{Journal: j})))
	}
}

// Plans and members are in the file after it was closed and opened, beside the counts of their quotas.
func TestPlansAreInTheFile(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "usage.db")
	var want []any
	for life := range 3 {
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		quotas, err := ledger.New(ledger.Config{Engine: s})
		require.NoError(t, err)
		m := meter(t, usageplan.Config{Journal: s.Journal("plans", 0), Ledger: quotas})
		require.Equal(t, want, everythingOf(m))
		if life == 0 {
			require.NoError(t, m.Import(ctx, []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{{Limit: 2, Period: ledger.Monthly}}}}, []usageplan.Member{{Plan: "p", Client: "a"}}))
		}
		require.NoError(t, m.AddMembers(ctx, usageplan.Member{Plan: "p", Client: fmt.Sprint(life), Throttle: &ratelimit.Limit{Burst: 1}}))
		require.Equal(t, []string{noLayer, noLayer, planQuota}[life], layer(t, m, getCats("a")))
		want = everythingOf(m)
		require.NoError(t, quotas.Close())
		require.NoError(t, s.Close())
	}
}

// follower returns a meter over j, which may lose requests.
func follower(t *testing.T, j journal.Journal) *usageplan.Meter {
	t.Helper()
	for {
		m, err := usageplan.New(usageplan.Config{Journal: j})
		if err == nil {
			return m
		}
		require.ErrorIs(t, err, journal.ErrUnavailable)
	}
}

// refresh reads on until the journal has answered.
func refresh(t *testing.T, m *usageplan.Meter) {
	t.Helper()
	for {
		err := m.Refresh(t.Context())
		if err == nil {
			return
		}
		require.ErrorIs(t, err, journal.ErrUnavailable)
	}
}

// Many writers on several meters that lose requests and answers, at the same time: each change that was acknowledged is
// there in the end, and all meters are equal.
func TestConcurrentMetersLoseNothing(t *testing.T) {
	j := journal.Memory(0)
	setup := meter(t, usageplan.Config{Journal: j})
	putPlan(t, setup, usageplan.Plan{ID: "p", Name: "P", Stages: dev})
	var nodes []*usageplan.Meter
	for i := range uint64(4) {
		nodes = append(nodes, follower(t, journaltest.Lossy(j, 100+i)))
	}
	var mu sync.Mutex
	var acknowledged []usageplan.Member
	var all sync.WaitGroup
	for i, m := range nodes {
		for w := range 4 {
			all.Go(func() {
				for n := range heavy(250) {
					k := usageplan.Member{Plan: "p", Client: fmt.Sprint(i, ".", w, ".", n)}
					if err := m.AddMembers(t.Context(), k); err == nil {
						mu.Lock()
						acknowledged = append(acknowledged, k)
						mu.Unlock()
					} else if !errors.Is(err, journal.ErrUnavailable) {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	require.NotEmpty(t, acknowledged)
	for _, m := range nodes {
		refresh(t, m)
		require.Subset(t, members(m, "p"), acknowledged)
		require.Equal(t, everythingOf(nodes[0]), everythingOf(m))
	}
}
