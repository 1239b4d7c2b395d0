package examples_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
)

// A world is the control state of keys and plans, in the simplest form.
type world struct {
	names   map[string]string // of keys, by id
	values  map[string]string // id by value
	stages  map[string]string // of plans, by id; "" if the plan opens none
	members map[[2]string]bool
}

func (w *world) clone() *world {
	return &world{maps.Clone(w.names), maps.Clone(w.values), maps.Clone(w.stages), maps.Clone(w.members)}
}

// leave removes the key from all its plans.
func (w *world) leave(key string) {
	maps.DeleteFunc(w.members, func(m [2]string, _ bool) bool { return m[1] == key })
}

// give makes value the only value of the key.
func (w *world) give(key, value string) {
	maps.DeleteFunc(w.values, func(_, id string) bool { return id == key })
	if value != "" {
		w.values[value] = key
	}
}

// twice reports whether a key is in two plans for the same stage.
func (w *world) twice() bool {
	opened := map[[2]string]bool{}
	for m := range w.members {
		at := [2]string{w.stages[m[0]], m[1]}
		if at[0] != "" && opened[at] {
			return true
		}
		opened[at] = true
	}
	return false
}

// A step is one change: what it does to a node, and what it does to the world, or why it is refused.
type step struct {
	name   string
	make   func(context.Context, *server) error
	effect func(*world) error
}

// A server is one node of a service: keys and plans over journals that others share.
type server struct {
	keys  *apikey.Verifier
	plans *usageplan.Meter
}

// fleet is two nodes over the journals of keys and plans, the world as it should be, and all values there ever were.
type fleet struct {
	t           *testing.T
	r           *rand.Rand
	keys, plans journal.Journal
	nodes       [2]*server
	world       *world
	values      []string
}

var opened = []usageplan.Route{
	{API: "demo", Stage: "prod", Resource: "/", Method: "GET"}, {API: "demo", Stage: "dev", Resource: "/", Method: "GET"},
}

// open returns a node that reaches the journals by a bad network.
func (f *fleet) open() *server {
	for {
		keys, err := apikey.New(apikey.Config{
			Pepper: "a pepper of this fleet of thirty-two bytes", Journal: journaltest.Lossy(f.keys, f.r.Uint64()),
		})
		plans, failed := usageplan.New(usageplan.Config{Journal: journaltest.Lossy(f.plans, f.r.Uint64())})
		if err := errors.Join(err, failed); err == nil {
			return &server{keys, plans}
		}
		require.ErrorIs(f.t, errors.Join(err, failed), journal.ErrUnavailable)
	}
}

// refresh reads on until both journals have answered.
func (f *fleet) refresh(s *server) {
	for _, refresh := range []func(context.Context) error{s.keys.Refresh, s.plans.Refresh} {
		for err := refresh(f.t.Context()); err != nil; err = refresh(f.t.Context()) {
			require.ErrorIs(f.t, err, journal.ErrUnavailable)
		}
	}
}

// shown is the world as a node shows it. What requests get has to fit.
func (f *fleet) shown(s *server) *world {
	w := &world{map[string]string{}, map[string]string{}, map[string]string{}, map[[2]string]bool{}}
	for k := range s.keys.Keys() {
		w.names[k.ID] = k.Name
	}
	for p := range s.plans.Plans() {
		w.stages[p.ID] = ""
		for _, st := range p.Stages {
			w.stages[p.ID] = st.Name
		}
		page, _ := s.plans.Members(p.ID, 0, 100)
		for _, m := range page {
			w.members[[2]string{m.Plan, m.Client}] = true
		}
	}
	for _, value := range f.values {
		client, err := s.keys.VerifyKey(f.t.Context(), value)
		if err != nil {
			continue
		}
		w.values[value] = client.Key().ID
		for _, route := range opened {
			admitted := slices.ContainsFunc(s.plans.Memberships(client.Key().ID), func(m usageplan.Member) bool {
				return w.stages[m.Plan] == route.Stage
			})
			_, err := s.plans.Take(f.t.Context(), usageplan.Request{Client: client.Key().ID, Route: route})
			require.Equal(f.t, admitted, err == nil, "%v", err)
		}
	}
	return w
}

// fresh returns a value that no key has had.
func (f *fleet) fresh() string {
	f.values = append(f.values, fmt.Sprintf("value-%d-of-a-key-in-the-fleet", len(f.values)))
	return f.values[len(f.values)-1]
}

// try makes a change on a node. One that is acknowledged has its effect, one that is refused has none, and one whose
// outcome is unknown has all of its effect or none of it. It reports whether it is known to be made.
func (f *fleet) try(s *server, c step) (made bool) {
	exact := f.r.IntN(2) == 0
	if exact {
		f.refresh(s)
	}
	after := f.world.clone()
	refusal := c.effect(after)
	err := c.make(f.t.Context(), s)
	switch {
	case errors.Is(err, journal.ErrUnavailable):
		f.refresh(s)
		if got := f.shown(s); refusal != nil || !equal(got, after) {
			require.Equal(f.t, f.world, got, "%s: neither made nor not made", c.name)
			return false
		}
	case err == nil:
		require.NoError(f.t, refusal, c.name)
	case exact:
		require.NotNil(f.t, refusal, "%s: %v", c.name, err)
		require.ErrorIs(f.t, err, refusal, c.name)
		return false
	default: // refused, perhaps by what the node knew when the journal did not answer
		return false
	}
	f.world = after
	f.refresh(s)
	require.Equal(f.t, f.world, f.shown(s), c.name)
	return err == nil
}

func equal(a, b *world) bool {
	return maps.Equal(a.names, b.names) && maps.Equal(a.values, b.values) && maps.Equal(a.stages, b.stages) &&
		maps.Equal(a.members, b.members)
}

// keyStep draws a change of the key, other than its deletion.
func (f *fleet) keyStep(key string) step {
	value, name := f.fresh(), fmt.Sprint("n", f.r.IntN(1000))
	if f.r.IntN(4) == 0 {
		value = f.values[f.r.IntN(len(f.values))] // perhaps one that a key has, or had
	}
	switch f.r.IntN(4) {
	case 0:
		return step{"update", func(ctx context.Context, s *server) error {
			_, err := s.keys.Update(ctx, key, func(k *apikey.Key) error { k.Name = name; return nil })
			return err
		}, func(w *world) error {
			if _, found := w.names[key]; !found {
				return apikey.ErrNotFound
			}
			w.names[key] = name
			return nil
		}}
	case 1:
		return step{"rotate", func(ctx context.Context, s *server) error {
			_, err := s.keys.Rotate(ctx, key, apikey.Secret(value), 0)
			return err
		}, func(w *world) error {
			if _, found := w.names[key]; !found {
				return apikey.ErrNotFound
			}
			if _, taken := w.values[value]; taken {
				return apikey.ErrExists
			}
			w.give(key, value)
			return nil
		}}
	default:
		return step{"create", func(ctx context.Context, s *server) error {
			_, err := s.keys.Create(ctx, apikey.Key{ID: key, Name: name, Enabled: true}, apikey.Secret(value))
			return err
		}, func(w *world) error {
			_, found := w.names[key]
			if _, taken := w.values[value]; taken || found {
				return apikey.ErrExists
			}
			w.names[key] = name
			w.give(key, value)
			return nil
		}}
	}
}

// planStep draws a change of the plan.
func (f *fleet) planStep(plan string) step {
	stage := []string{"", "prod", "dev"}[f.r.IntN(3)]
	var stages []usageplan.Stage
	if stage != "" {
		stages = []usageplan.Stage{{API: "demo", Name: stage}}
	}
	switch f.r.IntN(3) {
	case 0:
		return step{"create plan", func(ctx context.Context, s *server) error {
			_, err := s.plans.CreatePlan(ctx, usageplan.Plan{ID: plan, Name: plan, Stages: stages})
			return err
		}, func(w *world) error {
			if _, found := w.stages[plan]; found {
				return usageplan.ErrExists
			}
			w.stages[plan] = stage
			return nil
		}}
	case 1:
		return step{"update plan", func(ctx context.Context, s *server) error {
			_, err := s.plans.UpdatePlan(ctx, plan, func(p *usageplan.Plan) error { p.Stages = stages; return nil })
			return err
		}, func(w *world) error {
			if _, found := w.stages[plan]; !found {
				return usageplan.ErrNoPlan
			}
			if w.stages[plan] = stage; w.twice() {
				return usageplan.ErrConflict
			}
			return nil
		}}
	default:
		return step{"delete plan", func(ctx context.Context, s *server) error {
			return s.plans.DeletePlan(ctx, plan)
		}, func(w *world) error {
			if stage, found := w.stages[plan]; !found {
				return usageplan.ErrNoPlan
			} else if stage != "" {
				return usageplan.ErrConflict
			}
			delete(w.stages, plan)
			maps.DeleteFunc(w.members, func(m [2]string, _ bool) bool { return m[0] == plan })
			return nil
		}}
	}
}

// memberStep draws a change of the key's memberships.
func (f *fleet) memberStep(plan, to, key string) step {
	enter := func(w *world, plan string) error {
		_, found := w.stages[plan]
		switch {
		case w.members[[2]string{plan, key}]:
			return usageplan.ErrExists
		case !found:
			return usageplan.ErrNoPlan
		}
		if w.members[[2]string{plan, key}] = true; w.twice() {
			return usageplan.ErrConflict
		}
		return nil
	}
	switch f.r.IntN(3) {
	case 0:
		return step{"add", func(ctx context.Context, s *server) error {
			return s.plans.AddMembers(ctx, usageplan.Member{Plan: plan, Client: key})
		}, func(w *world) error { return enter(w, plan) }}
	case 1:
		return step{"move", func(ctx context.Context, s *server) error {
			_, err := s.plans.UpdateMember(ctx, plan, key, func(m *usageplan.Member) error { m.Plan = to; return nil })
			return err
		}, func(w *world) error {
			if !w.members[[2]string{plan, key}] {
				return usageplan.ErrNotMember
			}
			if to != plan {
				delete(w.members, [2]string{plan, key})
				return enter(w, to)
			}
			return nil
		}}
	default:
		return step{"remove", func(ctx context.Context, s *server) error {
			return s.plans.RemoveMembers(ctx, key, plan)
		}, func(w *world) error {
			if !w.members[[2]string{plan, key}] {
				return usageplan.ErrNotMember
			}
			delete(w.members, [2]string{plan, key})
			return nil
		}}
	}
}

// remove deletes the key: its memberships first, so that a failure in between leaves a key without plans. Each half is
// repeated, on either node, until its outcome is known.
func (f *fleet) remove(key string) {
	leave := step{
		"leave", func(ctx context.Context, s *server) error { return s.plans.RemoveMembers(ctx, key) },
		func(w *world) error { w.leave(key); return nil },
	}
	for !f.try(f.nodes[f.r.IntN(2)], leave) {
	}
	f.try(f.nodes[f.r.IntN(2)], step{"delete", func(ctx context.Context, s *server) error {
		return s.keys.Delete(ctx, key)
	}, func(w *world) error {
		if _, found := w.names[key]; !found {
			return apikey.ErrNotFound
		}
		delete(w.names, key)
		w.give(key, "")
		return nil
	}})
}

// imports imports keys, and then their memberships, on either node and again from the beginning until both are made.
// Rows whose id or value another key has are left out.
func (f *fleet) imports(keys []string, plan string) {
	rows := make([]apikey.Row, len(keys))
	for i, key := range keys {
		value := f.fresh()
		for held, id := range f.world.values {
			if id == key && f.r.IntN(2) == 0 {
				value = held // the row replaces the name
			}
		}
		rows[i].Entry = apikey.Entry{Key: apikey.Key{ID: key, Name: value, Enabled: true}, Value: apikey.Secret(value)}
	}
	var got []apikey.Row
	add := step{"import keys", func(ctx context.Context, s *server) (err error) {
		got, err = s.keys.Import(ctx, rows, apikey.ImportOptions{})
		return err
	}, func(w *world) error {
		for _, row := range rows {
			holder, taken := w.values[string(row.Value)]
			if _, found := w.names[row.Key.ID]; holder == row.Key.ID || !taken && !found {
				w.names[row.Key.ID] = row.Key.Name
				w.values[string(row.Value)] = row.Key.ID
			}
		}
		return nil
	}}
	var members []usageplan.Member
	join := step{"import members", func(ctx context.Context, s *server) error {
		return s.plans.Import(ctx, nil, members)
	}, func(w *world) error {
		for _, m := range members {
			if _, found := w.stages[plan]; !found {
				return usageplan.ErrNoPlan
			}
			w.members[[2]string{plan, m.Client}] = true
		}
		if w.twice() {
			return usageplan.ErrConflict
		}
		return nil
	}}
	for range 5 {
		if !f.try(f.nodes[f.r.IntN(2)], add) {
			continue
		}
		members = members[:0]
		for _, row := range got {
			if row.Err == nil {
				members = append(members, usageplan.Member{Plan: plan, Client: row.Key.ID})
			}
		}
		if f.try(f.nodes[f.r.IntN(2)], join) {
			return
		}
	}
}

// step makes a random change on a random node.
func (f *fleet) step() {
	s := f.nodes[f.r.IntN(2)]
	key := func() string { return fmt.Sprintf("key%07d", f.r.IntN(8)) }
	plan := func() string { return fmt.Sprint("plan", f.r.IntN(4)) }
	switch f.r.IntN(12) {
	case 0:
		f.nodes[f.r.IntN(2)] = f.open()
	case 1:
		f.imports([]string{"key0000000", key()[:9] + "8", "key0000009"}, plan())
	case 2, 3:
		f.remove(key())
	case 4, 5, 6:
		f.try(s, f.keyStep(key()))
	case 7, 8:
		f.try(s, f.planStep(plan()))
	default:
		k := key()
		f.refresh(s)
		if _, found := s.keys.Key(k); found { // a caller looks the key up before it gives it a plan
			f.try(s, f.memberStep(plan(), plan(), k))
		}
	}
	for m := range f.world.members {
		require.Contains(f.t, f.world.names, m[1], "a membership without its key")
	}
}

// Keys and plans over two nodes that lose requests and answers, against a model: nothing acknowledged is lost, nothing
// refused is made, what is unknown is made as a whole or not at all, and in the end both nodes and a new one are equal.
func TestKeysAndPlansOfTwoNodesAreTheirModel(t *testing.T) {
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "state"))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for seed := range uint64(40) {
		f := &fleet{
			t: t, r: rand.New(rand.NewPCG(seed, 17)),
			world: &world{map[string]string{}, map[string]string{}, map[string]string{}, map[[2]string]bool{}},
		}
		retain := []time.Duration{0, time.Nanosecond}[seed%2] // the latter keeps no records, so nodes read snapshots
		f.keys, f.plans = journal.Memory(retain), journal.Memory(retain)
		if seed%10 > 7 {
			f.keys, f.plans = store.Journal(fmt.Sprint("keys", seed), retain), store.Journal(fmt.Sprint("plans", seed), retain)
		}
		f.nodes = [2]*server{f.open(), f.open()}
		for range 150 {
			f.step()
		}
		for _, s := range append(f.nodes[:], f.open()) {
			f.refresh(s)
			require.Equal(t, f.world, f.shown(s), "seed %d", seed)
			require.Equal(t, inOrder(f.nodes[0]), inOrder(s), "seed %d", seed)
		}
	}
}

// inOrder returns the keys, newest first, without their last use, which is not shared.
func inOrder(s *server) []apikey.Key {
	keys := slices.Collect(s.keys.Keys())
	for i := range keys {
		keys[i].LastUsed = time.Time{}
	}
	return keys
}
