package window_test

import (
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/window"
)

var seed = maphash.MakeSeed()

// name is a key's, as the limiter would make it.
func name(key uint64) uint64 { return max(maphash.Comparable(seed, key), 1) }

// Ten million addresses send one request each within one window, and there is room for a million (a tenth of both in a
// light run). Among them there are offenders, the first from the beginning and the last from the middle on: none of
// them may get a request more than the limit. And there are visitors, likewise, that send a tenth of the limit: no more
// than one in a hundred of them may be refused anything.
func TestFloodBlocksOffendersOnly(t *testing.T) {
	limit := window.AtMost{Limit: 2000, Window: 300 * time.Second}
	addresses, room := uint64(count(10_000_000)), count(1_000_000)
	e := window.NewEngine(limit, room, true)
	const offenders, visitors = 100, 1000
	offender := func(i uint64) uint64 { return name(1<<40 | i) }
	visitor := func(i uint64) uint64 { return name(1<<41 | i) }
	var admitted [offenders]int64
	var refused [visitors]int
	for i := range addresses {
		now := time.Duration(i) * limit.Window / time.Duration(addresses)
		e.TakeAt(now, name(i), 1)
		begun := float64(2*i) / float64(addresses)
		if every := addresses / (offenders * 5000); i%every == 0 {
			o := i / every % offenders
			if float64(o)/offenders <= begun && e.TakeAt(now, offender(o), 1).OK {
				admitted[o]++
			}
		}
		if every := addresses / (visitors * 200); i%every == 0 {
			v := i / every % visitors
			if float64(v)/visitors <= begun && !e.TakeAt(now, visitor(v), 1).OK {
				refused[v]++
			}
		}
	}
	unlucky := 0
	for _, n := range refused {
		unlucky += min(n, 1)
	}
	require.LessOrEqual(t, unlucky, visitors/100, "visitors who share both cells with an offender")
	for o, n := range admitted {
		require.LessOrEqual(t, n, limit.Limit, "offender %d", o)
		require.False(t, e.LookAt(limit.Window, offender(uint64(o)), 1).OK, "offender %d", o)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d addresses, room for %d: heap %d MB, %d of %d visitors refused", addresses, room, m.HeapAlloc>>20, unlucky, visitors)
	require.Less(t, m.HeapAlloc, uint64(room)*64+32<<20)
	require.True(t, e.TakeAt(3*limit.Window, name(1<<42), limit.Limit).OK, "nothing is left of it")
}

// With room for 64 keys, most of 300 share cells: each still gets N at most, and at least as much as if all were one.
func TestSharedCellsNeverAdmitMore(t *testing.T) {
	limit := window.AtMost{Limit: 50, Window: 15 * time.Second}
	for seed := range uint64(count(100)) {
		r := rand.New(rand.NewPCG(seed, 5))
		e := window.NewEngine(limit, 64, seed%2 == 0)
		admitted := map[uint64][]admission{}
		var now time.Duration
		var all []admission
		for range 20_000 {
			now += time.Duration(r.Int64N(int64(5 * time.Millisecond)))
			if r.IntN(1000) == 0 {
				now += time.Duration(r.Int64N(int64(2 * limit.Window)))
			}
			key := name(uint64(300 * r.Float64() * r.Float64() * r.Float64()))
			if r.IntN(500) == 0 { // a change carries shared cells over, too
				e.SetLimit(window.AtMost{Limit: limit.Limit, Window: limit.Window})
			}
			if e.TakeAt(now, key, 1).OK {
				admitted[key] = append(admitted[key], admission{now, 1})
				all = append(all, admission{now, 1})
			}
		}
		for _, a := range admitted {
			require.LessOrEqual(t, most(a, limit.Window), limit.Limit, "seed %d", seed)
		}
		require.GreaterOrEqual(t, most(all, limit.Window), limit.Limit)
		require.NotZero(t, e.Shared())
	}
}

// A key in whose cells others have counted next to nothing gets N in all, or a few less.
func TestBothCellsCount(t *testing.T) {
	limit := window.AtMost{Limit: 10_000, Window: time.Hour}
	e := window.NewEngine(limit, 64, false)
	for i := range uint64(200) { // more than there are slots for
		e.TakeAt(0, name(i), 1)
	}
	last := name(1 << 40)
	var granted int64
	for e.TakeAt(time.Minute, last, 1).OK {
		granted++
	}
	require.LessOrEqual(t, granted, limit.Limit)
	require.GreaterOrEqual(t, granted, limit.Limit-200)
}

// Tables that grow lose nothing: every key is known exactly, up to the number there is room for.
func TestGrowingLosesNoCounts(t *testing.T) {
	const keys = 20_000
	e := window.NewEngine(window.AtMost{Limit: 100, Window: time.Hour}, keys*5/4, false)
	for i := range uint64(keys) {
		require.True(t, e.TakeAt(0, name(i), int64(i%100)+1).OK)
	}
	for i := range uint64(keys) {
		require.Equal(t, 99-int64(i%100), e.LookAt(time.Hour, name(i), 1).Remaining)
	}
	require.Zero(t, e.Shared())
	for i := range uint64(keys) { // all at rest: their slots are taken over
		require.Equal(t, int64(99), e.TakeAt(2*time.Hour, name(1<<40|i), 1).Remaining)
	}
	require.Zero(t, e.Shared())
}

// Goroutines at once, in real time: never more than N in W, by any clock reading around the calls.
func TestConcurrentCallsStayWithinTheLimit(t *testing.T) {
	limit := window.AtMost{Limit: 500, Window: 50 * time.Millisecond}
	l, err := window.New(window.Config[int]{AtMost: limit})
	require.NoError(t, err)
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var done atomic.Bool
	var early, late []time.Duration // of each admission: a reading before it and one after
	for range 8 {
		wg.Go(func() {
			for !done.Load() {
				before := time.Since(start)
				if l.Allow(1) {
					after := time.Since(start)
					mu.Lock()
					early, late = append(early, before), append(late, after)
					done.Store(len(early) >= 4*int(limit.Limit)) // four windows, however long they take here
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for i := range early { // what surely happened within W from late[i] on
		var sum int64
		for j := range early {
			if early[j] >= late[i] && late[j] <= late[i]+limit.Window {
				sum++
			}
		}
		require.LessOrEqual(t, sum, limit.Limit)
	}
}

type call struct {
	key uint64
	n   int64
}

// Linearizability: concurrent calls come out as some order of them would on plain models, in which time stands still.
func TestHistoriesAreLinearizable(t *testing.T) {
	limit := window.AtMost{Limit: 20, Window: time.Hour}
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, 3)
			for _, op := range history {
				k := op.Input.(call).key
				parts[k] = append(parts[k], op)
			}
			return parts
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			used, in, left := state.(int64), input.(call), output.(int64)
			if used+in.n > limit.Limit {
				return left == -1, used
			}
			return left == limit.Limit-used-in.n, used + in.n
		},
	}
	for seed := range uint64(count(300)) {
		l, err := window.New(window.Config[uint64]{AtMost: limit})
		require.NoError(t, err)
		start := time.Now()
		var mu sync.Mutex
		var wg sync.WaitGroup
		var history []porcupine.Operation
		for client := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(client)))
				for range 20 {
					in := call{r.Uint64N(3), 1 + r.Int64N(3)}
					from := time.Since(start)
					d := l.Take(in.key, in.n)
					to := time.Since(start)
					left := int64(-1)
					if d.OK {
						left = d.Remaining
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: int64(from), Output: left, Return: int64(to)})
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		require.True(t, porcupine.CheckOperations(model, history), "seed %d", seed)
	}
}
