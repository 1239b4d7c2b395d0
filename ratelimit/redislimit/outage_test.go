package redislimit_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// told are the outages that a limiter has told of.
type told struct {
	mu  sync.Mutex
	all []redislimit.Outage
}

func (o *told) add(outage redislimit.Outage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, outage)
}

func (o *told) phases() (p []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, outage := range o.all {
		if outage.Phase != "probe" {
			p = append(p, outage.Phase)
		}
	}
	return p
}

// faults make a server unreachable and available again.
var faults = map[string]struct{ begin, end func(s *server) }{
	"hangs": {
		func(s *server) { _ = s.cmd.Process.Signal(syscall.SIGSTOP) },
		func(s *server) { _ = s.cmd.Process.Signal(syscall.SIGCONT) },
	},
	"killed": {(*server).kill, (*server).run},
}

// TestOutage: while the server hangs or is gone, each policy answers at once, and all is as before when it is back.
func TestOutage(t *testing.T) {
	for fault, f := range faults {
		for _, policy := range []redislimit.Policy{redislimit.Refuse, redislimit.Allow, redislimit.LocalShare} {
			t.Run(fault+", "+policy.String(), func(t *testing.T) {
				s := start(t)
				var outages told
				l := limiter(t, redislimit.Config{
					Client: client(t, s.addr), Nodes: 4, Budget: time.Second, Away: policy, OnOutage: outages.add,
				})
				limit := ratelimit.Limit{Rate: 1e-6, Burst: 40}
				ask := func() (admitted bool, err error) {
					d := make([]ratelimit.Decision, 1)
					refused, err := l.Take(t.Context(), "g", []string{""}, []ratelimit.Limit{limit}, d)
					return refused < 0 && err == nil, err
				}
				require.Eventually(t, func() bool { _, err := ask(); return err == nil && !l.Stats().Away }, time.Minute, time.Millisecond)
				before := l.Stats().Failures // of a busy machine
				f.begin(s)
				begin, admitted := time.Now(), 0
				for i := range 1000 {
					ok, err := ask()
					if i == 0 {
						t.Logf("the first answer came after %v", time.Since(begin))
					}
					if ok {
						admitted++
					}
					if policy == redislimit.Refuse {
						require.ErrorIs(t, err, ratelimit.ErrUnavailable)
					} else {
						require.NoError(t, err)
					}
				}
				took := time.Since(begin)
				t.Logf("1000 answers took %v", took)
				require.Less(t, took, 20*time.Second, "one budget for the first, and nothing for the others")
				require.True(t, l.Stats().Away)
				require.EqualValues(t, before+1, l.Stats().Failures)
				require.Equal(t, map[redislimit.Policy]int{
					redislimit.Refuse: 0, redislimit.Allow: 1000, redislimit.LocalShare: 10,
				}[policy], admitted)
				f.end(s)
				require.Eventually(t, func() bool {
					_, _ = ask()
					p := outages.phases()
					return !l.Stats().Away && len(p) > 0 && p[len(p)-1] == "ended"
				}, time.Minute, 5*time.Millisecond)
				outages.mu.Lock()
				defer outages.mu.Unlock()
				require.Equal(t, policy, outages.all[0].Policy)
				require.Error(t, outages.all[0].Err)
			})
		}
	}
}

// TestOutageOfOneMaster: on a Cluster, groups of other masters go on.
func TestOutageOfOneMaster(t *testing.T) {
	servers := startCluster(t)
	l := limiter(t, redislimit.Config{Client: clusterClient(t, servers)})
	ask := func(group string) error {
		_, err := l.Take(t.Context(), group, []string{""}, []ratelimit.Limit{{Rate: 1e-6, Burst: 1000}}, make([]ratelimit.Decision, 1))
		return err
	}
	groups := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, g := range groups {
		require.NoError(t, ask(g))
	}
	_ = servers[1].cmd.Process.Signal(syscall.SIGSTOP)
	failed := 0
	for range 3 {
		for _, g := range groups {
			if ask(g) != nil {
				failed++
			}
		}
	}
	require.Positive(t, failed)
	require.Less(t, failed, 3*len(groups))
	_ = servers[1].cmd.Process.Signal(syscall.SIGCONT)
	for _, g := range groups {
		require.Eventually(t, func() bool { return ask(g) == nil }, time.Minute, 5*time.Millisecond)
	}
	require.Eventually(t, func() bool { _ = ask("a"); return !l.Stats().Away }, time.Minute, 5*time.Millisecond)
}

// TestStartsDuringAnOutage: a limiter can be made while the server is gone, and refuses with 503 and Retry-After.
func TestStartsDuringAnOutage(t *testing.T) {
	l := limiter(t, redislimit.Config{
		Client: client(t, freeAddr(t)), Limit: ratelimit.Limit{Rate: 1, Burst: 1},
		Key: func(*http.Request) (string, bool) { return "k", true },
	})
	w := httptest.NewRecorder()
	l.Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 503, w.Code)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, `{"message":"Service Unavailable"}`, w.Body.String())
}

// TestClose: a closed limiter refuses, with or without an outage, and can be closed again.
func TestClose(t *testing.T) {
	for _, c := range []redislimit.Config{{Client: client(t, start(t).addr)}, {Client: client(t, freeAddr(t))}} {
		l := limiter(t, c)
		ask := func() error {
			_, err := l.Take(t.Context(), "g", []string{""}, []ratelimit.Limit{{Rate: 1e6, Burst: 1e6}}, make([]ratelimit.Decision, 1))
			return err
		}
		_ = ask()
		require.NoError(t, l.Close())
		require.ErrorIs(t, ask(), redislimit.ErrClosed)
		require.ErrorIs(t, ask(), ratelimit.ErrUnavailable)
		require.NoError(t, l.Close())
	}
}

// TestFlushAdmitsOneBurst: a server that loses its data lets each bucket be full once more, and not more.
func TestFlushAdmitsOneBurst(t *testing.T) {
	c := client(t, start(t).addr)
	l := limiter(t, redislimit.Config{Client: c})
	limits := map[string]ratelimit.Limit{"": {Rate: 0, Burst: 100}}
	count := func(group string) (n int) {
		for range 300 {
			if refused, _ := take(t, l, group, limits, ""); refused < 0 {
				n++
			}
		}
		return n
	}
	require.Equal(t, 100, count("g"))
	require.NoError(t, c.FlushAll(t.Context()).Err())
	require.NoError(t, c.ScriptFlush(t.Context()).Err())
	require.Equal(t, 100, count("h"), "the script is sent again")
	require.Equal(t, 0, count("g"), "the refusal is remembered")
	other := l
	l = limiter(t, redislimit.Config{Client: c})
	require.Equal(t, 100, count("g"))
	require.NoError(t, other.Close())
}
