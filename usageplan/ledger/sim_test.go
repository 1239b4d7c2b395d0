package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The simulator runs several ledgers over one engine, behind a network that delays, drops and duplicates what is sent,
// and crashes ledgers, in fake time. A seed is a subtest's name.

var errNetwork = errors.New("simulated network")

// network is one ledger's way to the shared engine. It is an engine itself, which replaces a row if nobody has changed
// it since it was read.
type network struct {
	ledger.Engine
	mu    sync.Mutex
	rand  *rand.Rand
	fault float64 // probability of each kind
	dead  bool    // the ledger has crashed: nothing comes back to it
	late  sync.WaitGroup
}

func (n *network) faulty() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.Float64() < n.fault || n.dead && n.rand.Float64() < 0.3
}

func (n *network) delay() {
	n.mu.Lock()
	d := time.Duration(n.rand.Int64N(int64(3 * time.Millisecond)))
	n.mu.Unlock()
	time.Sleep(d)
}

func (n *network) gone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

func (n *network) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	for i, key := range keys {
		for done := false; !done; {
			was, err := n.Load(ctx, key)
			if err != nil {
				return err
			}
			is, err := f(i, was)
			if err != nil {
				return err
			}
			if done, err = n.replace(key, was, is); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace sends a write and reports whether it was made. After an error it may have been made, or may yet be.
func (n *network) replace(key string, was, is []byte) (done bool, err error) {
	n.delay()
	if n.faulty() {
		return false, errNetwork // the request is lost
	}
	late := n.faulty()
	if late { // it comes late, and perhaps a second time, while others go on
		n.late.Go(func() {
			n.delay()
			n.delay()
			_ = compareAndSwap(n.Engine, key, was, is)
		})
		if n.faulty() {
			return false, errNetwork
		}
	}
	done = compareAndSwap(n.Engine, key, was, is)
	n.delay()
	if n.faulty() || n.gone() || late && !done {
		return false, errNetwork // the answer is lost
	}
	return done, nil
}

// compareAndSwap replaces a row if it is as it was. No row is ever again what it once was.
func compareAndSwap(e ledger.Engine, key string, was, is []byte) (done bool) {
	_ = e.Update(context.Background(), []string{key}, func(_ int, row []byte) ([]byte, error) {
		if done = bytes.Equal(row, was); !done {
			return nil, nil
		}
		return is, nil
	})
	return done
}

func TestSimulator(t *testing.T) {
	seeds := 40
	if heavy() {
		seeds = 500
	}
	for range seeds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

// simulation counts what happened.
type simulation struct {
	t     *testing.T
	quota ledger.Quota
	block int64
	store ledger.Engine

	mu      sync.Mutex
	counted map[int64]int64 // by account: granted and not settled to nothing
	unknown map[int64]int64 // units of crashed ledgers' last answers, and of settlements that did not come through
	crashes int64
}

func simulate(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	sim := &simulation{
		t: t, block: 1 + r.Int64N(64), store: ledger.NewMemory(),
		quota:   ledger.Quota{Limit: 100 + r.Int64N(1000), Period: ledger.Daily},
		counted: make(map[int64]int64), unknown: make(map[int64]int64),
	}
	time.Sleep(24*time.Hour - 200*time.Millisecond) // a roll-over happens while they run
	fault := []float64{0, 0.02, 0.15}[r.IntN(3)]
	crash := r.IntN(2) == 0
	var nodes sync.WaitGroup
	for node := range 1 + r.IntN(4) {
		seed := r.Uint64()
		nodes.Go(func() { sim.node(rand.New(rand.NewPCG(seed, uint64(node))), fault, crash, seed%2 == 1) })
	}
	nodes.Wait()
	sim.check()
}

// node runs one ledger after the other, each but the last until it crashes.
func (sim *simulation) node(r *rand.Rand, fault float64, crash bool, exact bool) {
	lives := 1
	if crash {
		lives += r.IntN(3)
	}
	for life := range lives {
		n := &network{Engine: sim.store, rand: rand.New(rand.NewPCG(r.Uint64(), 0)), fault: fault}
		within := []time.Duration{0, 10 * time.Millisecond}[r.IntN(2)]
		l, err := ledger.New(ledger.Config{Engine: n, Exact: exact, Block: sim.block, SettleWithin: within})
		require.NoError(sim.t, err)
		last := life == lives-1
		var workers sync.WaitGroup
		for range 1 + r.IntN(4) {
			seed := r.Uint64()
			workers.Go(func() { sim.work(l, n, rand.New(rand.NewPCG(seed, 0))) })
		}
		if !last {
			time.Sleep(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
			n.mu.Lock()
			n.dead = true
			n.mu.Unlock()
			sim.mu.Lock()
			sim.crashes++
			sim.mu.Unlock()
		}
		workers.Wait()
		n.late.Wait()
		if last {
			n.mu.Lock()
			n.fault = 0
			n.mu.Unlock()
			require.NoError(sim.t, l.Close())
		}
	}
}

func (sim *simulation) work(l *ledger.Ledger, n *network, r *rand.Rand) {
	ctx := context.Background()
	for range 150 {
		if n.gone() {
			return
		}
		time.Sleep(time.Duration(r.Int64N(int64(4 * time.Millisecond))))
		cost := 1 + r.Int64N(3)
		c, err := l.TakeUpTo(ctx, key, sim.quota, 1+r.Int64N(cost), cost)
		if n.gone() {
			return // nobody got this answer
		}
		if err != nil {
			if !errors.Is(err, ledger.ErrExhausted) && !errors.Is(err, ledger.ErrUnavailable) {
				sim.t.Error(err)
			}
			continue
		}
		at := c.Balance().Start.Unix()
		sim.add(sim.counted, at, c.Units())
		for range r.IntN(3) {
			if !sim.grow(c, at, r.Int64N(5)-1, n, r) {
				return
			}
		}
		if r.IntN(6) > 0 {
			continue
		}
		sim.giveBack(at, c.Units(), n, func() error { return c.Settle(ctx, 0) })
	}
}

// grow has a charge grow by more, or gives back a part of it, and reports whether its ledger has not crashed meanwhile.
func (sim *simulation) grow(c ledger.Charge, at, more int64, n *network, r *rand.Rand) bool {
	time.Sleep(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
	ctx := context.Background()
	if back := min(-more, c.Units()); back > 0 {
		sim.giveBack(at, back, n, func() error { return c.More(ctx, -back) })
		return !n.gone()
	}
	err := c.More(ctx, max(0, more))
	if n.gone() {
		return false
	}
	if err == nil {
		sim.add(sim.counted, at, max(0, more))
	} else if !errors.Is(err, ledger.ErrExhausted) && !errors.Is(err, ledger.ErrUnavailable) && !errors.Is(err, ledger.ErrTooLate) {
		sim.t.Error(err)
	}
	return true
}

// giveBack counts units that a call of f gives back. While it is under way, and after an error, they may be counted.
func (sim *simulation) giveBack(at, units int64, n *network, f func() error) {
	sim.add(sim.unknown, at, units)
	switch err := f(); {
	case errors.Is(err, ledger.ErrTooLate): // the units stand
		sim.add(sim.unknown, at, -units)
	case err == nil && !n.gone():
		sim.add(sim.counted, at, -units)
		sim.add(sim.unknown, at, -units)
	}
}

func (sim *simulation) add(m map[int64]int64, at, n int64) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	m[at] += n
}

// check holds the store against what the requests saw: admitted is within the limit; it is counted; and what is counted
// beyond it is bounded by what crashed ledgers held.
func (sim *simulation) check() {
	for s, err := range ledger.Accounts(context.Background(), sim.store, key) {
		require.NoError(sim.t, err)
		counted, unknown := sim.counted[s.Start], sim.unknown[s.Start]
		require.LessOrEqual(sim.t, s.Used, sim.quota.Limit, "used over the limit")
		require.GreaterOrEqual(sim.t, s.Used, counted-unknown, "admitted and not counted")
		// What a crashed ledger had reserved: a block, perhaps another without an answer, what had come back into its
		// lease (in unknown), and its requests in flight: four workers, three units.
		lost := sim.crashes*(2*sim.block+2*4*3) + unknown
		require.LessOrEqual(sim.t, s.Used, counted+lost, "counted and neither admitted nor lost in a crash")
		if sim.crashes == 0 { // then all is cleared up: refused charges are given back, failed settlements made good
			require.Zero(sim.t, s.Leases, "leases left open")
			require.Zero(sim.t, s.Held, "units lost without a crash")
			require.Equal(sim.t, counted-unknown, s.Used)
		}
	}
}

// TestSimulatorLosesData: an engine that loses what it had confirmed, before half of the limit is used, does not make
// several ledgers admit more than the limit: each counts again what it had admitted from a lease that is lost. What had
// been admitted from leases that have ended is lost with the data, and a ledger that cannot reach the engine for a
// while counts what its lease held too late: so the bound is wider where answers are lost as well.
func TestSimulatorLosesData(t *testing.T) {
	seeds := 20
	if heavy() {
		seeds = 300
	}
	for _, nodes := range []int{2, 4} {
		for range seeds {
			seed := rand.Uint64()
			t.Run(fmt.Sprint(nodes, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { loseData(t, nodes, rand.New(rand.NewPCG(seed, 0))) })
			})
		}
	}
}

func loseData(t *testing.T, nodes int, r *rand.Rand) {
	const largest = 128 // block
	quota := daily(2000 + r.Int64N(4000))
	engine, told := ledger.NewMemory(), new(losses)
	fault := []float64{0, 0.05}[r.IntN(2)]
	var mu sync.Mutex
	admitted := int64(0)
	var running sync.WaitGroup
	ledgers := make([]*ledger.Ledger, nodes)
	for i := range ledgers {
		n := &network{Engine: engine, rand: rand.New(rand.NewPCG(r.Uint64(), 0)), fault: fault}
		ledgers[i] = newLedger(t, ledger.Config{Engine: n, Block: 1 + r.Int64N(largest), OnLoss: told.tell, Thresholds: []int{}})
		seed := r.Uint64()
		running.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			for refused := 0; refused < 50; {
				time.Sleep(time.Duration(r.Int64N(int64(time.Millisecond))))
				cost := 1 + r.Int64N(5)
				_, err := ledgers[i].Take(context.Background(), key, quota, cost)
				if errors.Is(err, ledger.ErrExhausted) {
					refused++
				}
				if err == nil {
					mu.Lock()
					admitted += cost
					mu.Unlock()
				}
			}
			n.mu.Lock()
			n.fault = 0
			n.mu.Unlock()
		})
	}
	lost := make(map[string][]byte) // all, or what comes after a while
	if r.IntN(2) == 0 {
		time.Sleep(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
		lost = snapshot(t, engine)
	}
	time.Sleep(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
	mu.Lock()
	before := admitted
	mu.Unlock()
	if before > quota.Limit/2 {
		before = 0
	} else {
		restore(t, engine, lost)
	}
	running.Wait()
	for _, l := range ledgers {
		require.NoError(t, l.Close())
	}
	if fault == 0 {
		require.LessOrEqual(t, admitted, quota.Limit)
		require.GreaterOrEqual(t, account(t, engine, key).Used, admitted, "admitted and not counted")
	}
	require.LessOrEqual(t, admitted, quota.Limit+before+int64(nodes)*3*largest, "fault %v", fault)
}
