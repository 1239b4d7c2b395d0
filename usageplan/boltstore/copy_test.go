package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// place is where a gateway keeps its state.
type place struct {
	engine      ledger.Engine
	keys, plans journal.Journal
}

func inFile(s *boltstore.Store, retain time.Duration) place {
	return place{s, s.Journal("keys", retain), s.Journal("plans", retain)}
}

func inMemory() place { return place{ledger.NewMemory(), journal.Memory(0), journal.Memory(0)} }

// copyAll copies a place, in the order of the example.
func copyAll(ctx context.Context, to, from place) error {
	for _, copy := range []func() error{
		func() error { return ledger.Copy(ctx, to.engine, from.engine) },
		func() error { return journal.Copy(ctx, to.keys, from.keys) },
		func() error { return journal.Copy(ctx, to.plans, from.plans) },
	} {
		if err := copy(); err != nil {
			return err
		}
	}
	return nil
}

// gateway is what works over a place.
type gateway struct {
	quotas *ledger.Ledger
	keys   *apikey.Verifier
	meter  *usageplan.Meter
}

func newGateway(t *testing.T, p place) gateway {
	t.Helper()
	var g gateway
	var err error
	g.quotas, err = ledger.New(ledger.Config{Engine: p.engine})
	require.NoError(t, err)
	g.keys, err = apikey.New(apikey.Config{Journal: p.keys, Pepper: "thirty-two bytes from a secret store"})
	require.NoError(t, err)
	g.meter, err = usageplan.New(usageplan.Config{Journal: p.plans, Ledger: g.quotas, Client: apikey.ID, API: "pets", Stage: "dev"})
	require.NoError(t, err)
	return g
}

// live gives a gateway a past: keys, plans and members that come, change and go, and requests that count.
func (g gateway) live(t *testing.T) (ids []string, values []apikey.Secret) {
	t.Helper()
	ctx := journal.NewContext(t.Context(), journal.Origin{Actor: "alice", Source: "192.0.2.7", Request: "r-1"})
	for i := range 4 {
		quotas := []ledger.Quota{{Limit: int64(100 * (i + 1)), Period: ledger.Monthly}}
		stages := []usageplan.Stage{{API: "pets", Name: "dev"}}
		_, err := g.meter.CreatePlan(ctx, usageplan.Plan{ID: fmt.Sprint("plan", i), Name: "Plan", Quotas: quotas, Stages: stages})
		require.NoError(t, err)
	}
	for i := range 6 {
		value := g.keys.Generate()
		key, err := g.keys.Create(ctx, apikey.Key{Name: fmt.Sprint("key ", i), Enabled: true}, value)
		require.NoError(t, err)
		require.NoError(t, g.meter.AddMembers(ctx, usageplan.Member{Plan: fmt.Sprint("plan", i%4), Client: key.ID}))
		ids, values = append(ids, key.ID), append(values, value)
	}
	for i, id := range ids {
		route := usageplan.Route{API: "pets", Stage: "dev"}
		_, err := g.meter.Take(ctx, usageplan.Request{Client: id, Route: route, Cost: int64(10 + i)})
		require.NoError(t, err)
		_, err = g.meter.Extend(ctx, usageplan.QuotaKey{Plan: fmt.Sprint("plan", i%4), Client: id}, ledger.Adjustment{Delta: 5, Reason: "launch"})
		require.NoError(t, err)
	}
	require.NoError(t, g.keys.Delete(ctx, ids[5]))
	require.NoError(t, g.meter.RemoveMembers(ctx, ids[5], "plan1"))
	_, err := g.meter.UpdatePlan(ctx, "plan2", func(p *usageplan.Plan) error { p.Stages = nil; return nil })
	require.NoError(t, err)
	require.NoError(t, g.meter.DeletePlan(ctx, "plan2"))
	_, err = g.keys.Update(ctx, ids[1], func(k *apikey.Key) error { k.Name = "another"; return nil })
	require.NoError(t, err)
	_, err = g.keys.Rotate(ctx, ids[2], g.keys.Generate(), time.Hour)
	require.NoError(t, err)
	_, err = g.meter.UpdatePlan(ctx, "plan0", func(p *usageplan.Plan) error { p.Name = "Another"; return nil })
	require.NoError(t, err)
	require.NoError(t, g.quotas.Close())
	return ids, values
}

// answers is all that a gateway tells.
type answers struct {
	Keys     []apikey.Key
	Plans    []usageplan.Plan
	Members  map[string][]usageplan.Member
	Clients  map[string][]string
	History  map[string][]journal.Change
	Usage    map[string][]ledger.Day
	Balances map[string]ledger.Balance
	Changes  map[string][]ledger.Change
	Verified []string
	Revision uint64 // of the keys
}

func ask(t *testing.T, p place, ids []string, values []apikey.Secret) answers {
	t.Helper()
	g := newGateway(t, p)
	a := answers{
		Keys: slices.Collect(g.keys.Keys()), Plans: slices.Collect(g.meter.Plans()),
		Members: map[string][]usageplan.Member{}, Clients: map[string][]string{}, History: map[string][]journal.Change{},
		Usage: map[string][]ledger.Day{}, Balances: map[string]ledger.Balance{}, Changes: map[string][]ledger.Change{},
		Revision: g.keys.Stats().Revision,
	}
	for i := range a.Keys {
		a.Keys[i].LastUsed = time.Time{} // in memory alone
	}
	for _, plan := range []string{"plan0", "plan1", "plan2", "plan3"} {
		a.Members[plan], _ = g.meter.Members(plan, 0, 100)
		a.Clients[plan] = slices.Sorted(noError(t, g.meter.Clients(t.Context(), plan)))
		a.History[plan] = slices.Collect(noError(t, g.meter.History(t.Context(), plan, "")))
		for _, id := range ids {
			a.History[plan+id] = slices.Collect(noError(t, g.meter.History(t.Context(), plan, id)))
			k := usageplan.QuotaKey{Plan: plan, Client: id}
			if _, is := g.meter.Member(plan, id); is {
				var err error
				a.Balances[plan+id], err = g.meter.Balance(t.Context(), k)
				require.NoError(t, err)
				a.Usage[plan+id] = slices.Collect(noError(t, g.meter.Usage(t.Context(), k, time.Now(), time.Now())))
				a.Changes[plan+id] = slices.Collect(noError(t, g.meter.Adjustments(t.Context(), k, time.Now().Add(-time.Hour), time.Now())))
			}
		}
	}
	for _, id := range ids {
		a.History[id] = slices.Collect(noError(t, g.keys.History(t.Context(), id)))
	}
	for _, value := range values {
		client, _ := g.keys.VerifyKey(t.Context(), string(value))
		a.Verified = append(a.Verified, client.ID())
	}
	require.NoError(t, g.quotas.Close())
	return a
}

// noError yields the values of a sequence that has no error.
func noError[V any](t *testing.T, seq iter.Seq2[V, error]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for v, err := range seq {
			require.NoError(t, err)
			if !yield(v) {
				return
			}
		}
	}
}

// TestCopiesAnswerAsTheirSource: a gateway goes from a file to memory and into another file. Keys, plans, members,
// usage, balances and histories are the same there, in the same order, also if the source has dropped its old records.
// What is created afterwards is the newest, and replaces nothing.
func TestCopiesAnswerAsTheirSource(t *testing.T) {
	for name, retain := range map[string]time.Duration{"all records": 0, "records dropped": time.Nanosecond} {
		t.Run(name, func(t *testing.T) {
			source := inFile(open(t, filepath.Join(t.TempDir(), "usage.db")), retain)
			ids, values := newGateway(t, source).live(t)
			want := ask(t, source, ids, values)
			require.Len(t, want.Keys, 5)
			require.Len(t, want.Balances, 4)
			require.Equal(t, ids[:5], want.Verified[:5])
			require.NotEmpty(t, want.History["plan0"])

			memory, file := inMemory(), inFile(open(t, filepath.Join(t.TempDir(), "usage.db")), 0)
			for _, step := range [][2]place{{memory, source}, {file, memory}} {
				require.NoError(t, copyAll(t.Context(), step[0], step[1]))
				require.Equal(t, want, ask(t, step[0], ids, values))
			}
			for _, p := range []place{memory, file} {
				g := newGateway(t, p)
				key, err := g.keys.Create(t.Context(), apikey.Key{Name: "new"}, g.keys.Generate())
				require.NoError(t, err)
				keys := slices.Collect(g.keys.Keys())
				require.Equal(t, key.ID, keys[0].ID)
				require.Len(t, keys, 1+len(want.Keys))
				plan, err := g.meter.CreatePlan(t.Context(), usageplan.Plan{ID: "new", Name: "New"})
				require.NoError(t, err)
				plans := slices.Collect(g.meter.Plans())
				require.Equal(t, plan.ID, plans[0].ID)
				require.Len(t, plans, 1+len(want.Plans))
				require.NoError(t, g.quotas.Close())
			}
		})
	}
}

// budget is how many calls that write a process makes before it is killed.
type budget struct{ left int }

var errKilled = errors.New("killed")

func (b *budget) spend() error {
	if b.left--; b.left < 0 {
		return errKilled
	}
	return nil
}

type dyingEngine struct {
	ledger.Engine
	*budget
}

func (d dyingEngine) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if err := d.spend(); err != nil {
		return err
	}
	return d.Engine.Update(ctx, keys, f)
}

type dyingJournal struct {
	journal.Journal
	*budget
}

func (d dyingJournal) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if err := d.spend(); err != nil {
		return 0, err
	}
	return d.Journal.Append(ctx, after, c)
}

// TestKilledCopyIntoAFileGoesOn: after a few calls, and each time after one more, the file is closed and opened again.
// The copy then goes on.
func TestKilledCopyIntoAFileGoesOn(t *testing.T) {
	source := inFile(open(t, filepath.Join(t.TempDir(), "usage.db")), time.Nanosecond)
	ids, values := newGateway(t, source).live(t)
	path, kills := filepath.Join(t.TempDir(), "usage.db"), 0
	for {
		store, err := boltstore.Open(path)
		require.NoError(t, err)
		b := &budget{2 + kills}
		to := inFile(store, 0)
		to = place{dyingEngine{to.engine, b}, dyingJournal{to.keys, b}, dyingJournal{to.plans, b}}
		err = copyAll(t.Context(), to, source)
		require.NoError(t, store.Close())
		if err == nil {
			break
		}
		require.ErrorIs(t, err, errKilled)
		kills++
	}
	require.Greater(t, kills, 3)
	require.Equal(t, ask(t, source, ids, values), ask(t, inFile(open(t, path), 0), ids, values))
}
