package redislimit_test

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// An admission is a token that a node took between two instants, in nanoseconds.
type admission struct{ from, to int64 }

// excess returns by how much the admissions exceed burst + rate × Δ in the worst window, or a number of 0 or less. Only
// those count that lie in the window as a whole, since the node may have decided at any instant of them.
//
// The worst window begins with one admission and ends with another. They are added by their ends to the leaves of a
// tree, which are sorted by their begins. Each node knows how many of its leaves have been added, and the greatest sum
// that one of them has: of those that begin with it or later, and of what flowed in before it.
func excess(all []admission, l ratelimit.Limit) (worst float64) {
	slices.SortFunc(all, func(a, b admission) int { return cmp.Compare(a.from, b.from) })
	flowed := func(until int64) float64 { return l.Rate * float64(until-all[0].from) / 1e9 }
	byEnd := make([]int, len(all))
	for i := range byEnd {
		byEnd[i] = i
	}
	slices.SortFunc(byEnd, func(a, b int) int { return cmp.Compare(all[a].to, all[b].to) })
	leaves := 1 << bits.Len(uint(len(all))) // a power of two keeps them in order
	count, sum := make([]float64, 2*leaves), slices.Repeat([]float64{math.Inf(-1)}, 2*leaves)
	worst = math.Inf(-1)
	for _, i := range byEnd {
		at := leaves + i
		count[at], sum[at] = 1, 1+flowed(all[i].from)
		for at /= 2; at > 0; at /= 2 {
			left, right := 2*at, 2*at+1
			count[at], sum[at] = count[left]+count[right], max(sum[left]+count[right], sum[right])
		}
		worst = max(worst, sum[1]-float64(l.Burst)-flowed(all[i].to))
	}
	return worst
}

// TestExcess: the check finds one token too many, none in what a bucket may admit, and the same as a search through all
// windows.
func TestExcess(t *testing.T) {
	l := ratelimit.Limit{Rate: 10, Burst: 2}
	second := int64(time.Second)
	good := []admission{{0, 0}, {0, 0}, {second / 10, second / 10}}
	require.InDelta(t, 0, excess(good, l), 1e-9)
	require.InDelta(t, 0.5, excess(append(good, admission{second / 10, second * 15 / 100}), l), 1e-9)
	for range 100 {
		var all []admission
		for range 1 + rand.IntN(60) {
			from := rand.Int64N(3 * second)
			all = append(all, admission{from, from + rand.Int64N(second/5)})
		}
		want := math.Inf(-1)
		for _, begin := range all {
			for _, end := range all {
				inside := 0
				for _, a := range all {
					if a.from >= begin.from && a.to <= end.to {
						inside++
					}
				}
				if inside > 0 {
					want = max(want, float64(inside)-2-10*float64(end.to-begin.from)/1e9)
				}
			}
		}
		require.InDelta(t, want, excess(all, l), 1e-6)
	}
}

// workload is what the nodes of a test do.
type workload struct {
	limit      ratelimit.Limit
	nodes      int
	goroutines int
	budget     time.Duration
	refused    func() // is told of each refusal; nil is legal
}

// drive takes from one bucket with many goroutines until the end, and returns what was admitted.
func (w workload) drive(l *redislimit.Limiter, ended func() bool) []admission {
	var mu sync.Mutex
	var all []admission
	var wg sync.WaitGroup
	for range w.goroutines {
		wg.Go(func() {
			var mine []admission
			d := make([]ratelimit.Decision, 1)
			for !ended() {
				from := time.Now()
				refused, err := l.Take(context.Background(), "hot", []string{""}, []ratelimit.Limit{w.limit}, d)
				switch {
				case err == nil && refused < 0:
					mine = append(mine, admission{from.UnixNano(), time.Now().UnixNano()})
				case err != nil:
					time.Sleep(time.Millisecond)
				default:
					if w.refused != nil {
						w.refused()
					}
					time.Sleep(min(d[0].RetryAfter, 5*time.Millisecond))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	return all
}

// check fails if the bound is exceeded by more than a number of tokens, and returns by how many it was.
func (w workload) check(t *testing.T, all []admission, most int64) (worst float64) {
	t.Helper()
	require.NotEmpty(t, all)
	worst = excess(all, w.limit)
	span := spanOf(all)
	t.Logf("%d admitted in %v, %.4f of the bound; the worst window exceeds it by %.2f tokens, where %d may be",
		len(all), span, float64(len(all))/(float64(w.limit.Burst)+w.limit.Rate*span.Seconds()), worst, most)
	require.LessOrEqual(t, worst, float64(most)+1e-6)
	return worst
}

// spanOf returns the time from the first admission to the last.
func spanOf(all []admission) time.Duration {
	first, last := all[0].from, all[0].to
	for _, a := range all {
		first, last = min(first, a.from), max(last, a.to)
	}
	return time.Duration(last - first)
}

// TestBoundOfEightNodes: eight limiters with clients of their own together keep the bound in every window, strict and
// leased, on a single server and on a Cluster.
func TestBoundOfEightNodes(t *testing.T) {
	for name, w := range map[string]workload{
		"strict": {limit: ratelimit.Limit{Rate: 10, Burst: 20}},
		"leased": {limit: ratelimit.Limit{Rate: 1000, Burst: 16_000}},
	} {
		w.nodes, w.goroutines, w.budget = 8, 4, 500*time.Millisecond
		run := func(t *testing.T, connect func() redis.UniversalClient) {
			var mu sync.Mutex
			var all []admission
			var wg sync.WaitGroup
			end := time.Now().Add(2 * time.Second)
			for range w.nodes {
				l := limiter(t, redislimit.Config{Client: connect(), Nodes: w.nodes, Budget: w.budget})
				wg.Go(func() {
					mine := w.drive(l, func() bool { return time.Now().After(end) })
					mu.Lock()
					defer mu.Unlock()
					all = append(all, mine...)
				})
			}
			wg.Wait()
			w.check(t, all, 0)
		}
		t.Run(name+"/single", func(t *testing.T) {
			s := start(t)
			run(t, func() redis.UniversalClient { return client(t, s.addr) })
		})
		t.Run(name+"/cluster", func(t *testing.T) {
			servers := startCluster(t)
			run(t, func() redis.UniversalClient { return clusterClient(t, servers) })
		})
	}
}

// TestBoundAfterAPause: eight nodes stop while they have tokens in stock, and go on when the server's bucket is full
// again. In the window that begins then, they use their stocks and the burst of the server, and this is the most that
// any window can have.
func TestBoundAfterAPause(t *testing.T) {
	s := start(t)
	w := workload{limit: ratelimit.Limit{Rate: 4000, Burst: 8000}, nodes: 8, goroutines: 2, budget: 100 * time.Millisecond}
	limiters := make([]*redislimit.Limiter, w.nodes)
	for i := range limiters {
		limiters[i] = limiter(t, redislimit.Config{Client: client(t, s.addr), Nodes: w.nodes, Budget: w.budget})
	}
	var mu sync.Mutex
	var all []admission
	work := func(ended func() bool) {
		var wg sync.WaitGroup
		for _, l := range limiters {
			wg.Go(func() {
				mine := w.drive(l, ended)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, mine...)
			})
		}
		wg.Wait()
	}
	var asked atomic.Int64
	work(func() bool { return asked.Add(1) > w.limit.Burst/2 })
	time.Sleep(1500 * time.Millisecond) // what was taken, about 4000 tokens, flows back within 1.1 s
	end := time.Now().Add(time.Second)
	work(func() bool { return time.Now().After(end) })
	w.check(t, all, 0)
}
