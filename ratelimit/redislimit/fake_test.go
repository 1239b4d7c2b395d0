package redislimit_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
)

// fake is a server in memory that answers what the script answers. It is for tests in which time has to be exact.
type fake struct {
	mu    sync.Mutex
	takes time.Duration // how long a call takes
	err   error         // what each call fails with
	hangs bool          // no call returns before its context ends
	state map[any]*[3]float64
	calls []time.Time
}

func (f *fake) call(ctx context.Context, keys []any, input []byte) (string, error) {
	f.mu.Lock()
	f.calls = append(f.calls, time.Now())
	takes, err, hangs := f.takes, f.err, f.hangs
	f.mu.Unlock()
	time.Sleep(takes)
	if hangs {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.script(keys, input), nil
}

// script is the script of the package in Go.
func (f *fake) script(keys []any, input []byte) string {
	number := func() float64 {
		n := math.Float64frombits(binary.LittleEndian.Uint64(input))
		input = input[8:]
		return n
	}
	if f.state == nil {
		f.state = make(map[any]*[3]float64)
	}
	now := float64(time.Now().UnixMicro())
	asks, out := int(number()), []float64{now}
	free := make([]float64, len(keys))
	buckets := make([]*[3]float64, len(keys))
	for i, key := range keys {
		rate, burst, back, since := number(), number(), number(), number()
		b := f.state[key]
		if b == nil {
			b = &[3]float64{now, 0, rate}
			f.state[key] = b
		}
		flowed := b[2] * (now - b[0])
		if comes := back - rate*(now-since); back > 0 && comes > 0 {
			b[1] -= comes
		}
		if b[1] <= flowed || b[2] != rate {
			*b, flowed = [3]float64{now, max(b[1]-flowed, 0), rate}, 0
		}
		free[i], buckets[i] = burst+flowed-b[1], b
	}
	for range asks {
		granted := number()
		mine := make([]int, int(number()))
		for k := range mine {
			mine[k] = int(number())
			granted = min(granted, max(math.Floor(free[mine[k]]), 0))
		}
		for _, i := range mine {
			free[i] -= granted
			buckets[i][1] += granted
		}
		out = append(out, granted)
	}
	var answer []byte
	for _, n := range append(out, free...) {
		answer = binary.LittleEndian.AppendUint64(answer, math.Float64bits(n))
	}
	return string(answer)
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// over returns a limiter over the fake.
func (f *fake) over(t *testing.T, c redislimit.Config) *redislimit.Limiter {
	c.Namespace, c.Nodes = "fake", max(c.Nodes, 1)
	l := redislimit.NewOver(c, f.call, false)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func one(l *redislimit.Limiter, limit ratelimit.Limit) (ratelimit.Decision, error) {
	d := make([]ratelimit.Decision, 1)
	_, err := l.Take(context.Background(), "g", []string{""}, []ratelimit.Limit{limit}, d)
	return d[0], err
}

// TestDenialCostsNoCall: a refusal is answered from memory until the instant at which a token comes.
func TestDenialCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		l := f.over(t, redislimit.Config{})
		limit := ratelimit.Limit{Rate: 0.5, Burst: 2}
		for d, _ := one(l, limit); d.OK; d, _ = one(l, limit) {
			require.Zero(t, d.RetryAfter)
		}
		calls := len(f.calls)
		d, err := one(l, limit)
		require.NoError(t, err)
		for range 100 {
			time.Sleep(d.RetryAfter / 101)
			refused, err := one(l, limit)
			require.NoError(t, err)
			require.False(t, refused.OK)
		}
		require.Len(t, f.calls, calls)
		d, _ = one(l, limit)
		time.Sleep(d.RetryAfter)
		d, _ = one(l, limit)
		require.True(t, d.OK, "at the instant that RetryAfter names")
	})
}

// TestDenialBesideAStockCostsNoCall: a request for a leased and for a strict bucket asks the server for both. So a stock
// is no help, and a refusal is known, although the node holds a token that was given back.
func TestDenialBesideAStockCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		l := f.over(t, redislimit.Config{})
		names := []string{"leased", "strict"}
		limits := []ratelimit.Limit{{Rate: 1000, Burst: 1000}, {Rate: 700, Burst: 100_000}}
		d := make([]ratelimit.Decision, 2)
		take := func() int {
			refused, err := l.Take(context.Background(), "g", names, limits, d)
			require.NoError(t, err)
			return refused
		}
		require.Equal(t, -1, take())
		l.GiveBack("g", names, limits)
		for take() < 0 {
		}
		calls := len(f.calls)
		for range 100 {
			require.Zero(t, take())
			require.False(t, d[0].OK)
			require.Positive(t, d[0].RetryAfter)
		}
		require.Len(t, f.calls, calls)
	})
}

// TestHungServerHoldsOneRequest: of many requests, those that ride on the first call wait for a budget, and all others
// for nothing. Probes come at growing intervals, and the first one that succeeds ends the outage.
func TestHungServerHoldsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{hangs: true}
		var outages told
		l := f.over(t, redislimit.Config{OnOutage: outages.add})
		limit := ratelimit.Limit{Rate: 1, Burst: 1000}
		begin := time.Now()
		_, err := one(l, limit)
		require.ErrorIs(t, err, ratelimit.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Millisecond, time.Since(begin))
		for range 10_000 {
			before := time.Now()
			_, err := one(l, limit)
			require.ErrorIs(t, err, ratelimit.ErrUnavailable)
			require.Equal(t, before, time.Now(), "no request waits")
			time.Sleep(time.Millisecond)
		}
		probes := f.calls[1:]
		for i, pause := range []time.Duration{15, 25, 45, 85, 165, 255, 255, 255} {
			require.InDelta(t, pause*time.Millisecond, probes[i+1].Sub(probes[i]), float64(2*time.Millisecond))
		}
		f.set(func(f *fake) { f.hangs = false })
		time.Sleep(time.Second)
		_, _ = one(l, limit) // starts the probe
		synctest.Wait()
		d, err := one(l, limit)
		require.NoError(t, err)
		require.True(t, d.OK)
		require.Equal(t, []string{"began", "ended"}, outages.phases())
		require.EqualValues(t, 1, l.Stats().Failures)
	})
}

// TestShareOfATinyLimit: a share that would take longer than a bucket can count is one token, and no error.
func TestShareOfATinyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: errors.New("gone")}
		l := f.over(t, redislimit.Config{Nodes: 8, Away: redislimit.LocalShare})
		tiny := ratelimit.Limit{Rate: 1e-9, Burst: 1} // a token in 31.7 years
		for _, admitted := range []bool{true, false} {
			d, err := one(l, tiny)
			require.NoError(t, err)
			require.Equal(t, admitted, d.OK)
		}
	})
}

// TestLateAnswerIsNone: an answer that comes after the budget admits nobody, as the bound counts on it.
func TestLateAnswerIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: 6 * time.Millisecond}
		l := f.over(t, redislimit.Config{})
		_, err := one(l, ratelimit.Limit{Rate: 1, Burst: 1000})
		require.ErrorIs(t, err, ratelimit.ErrUnavailable)
	})
}

// TestLeaseAsksAhead: a node that takes 2500 tokens a second of a leased bucket asks the server some 100 times a second
// at most, and waits for it only at the beginning.
func TestLeaseAsksAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Millisecond}
		l := f.over(t, redislimit.Config{Nodes: 8})
		limit := ratelimit.Limit{Rate: 10_000, Burst: 100_000}
		waits := 0
		for range 25_000 { // ten seconds
			begin := time.Now()
			d, err := one(l, limit)
			require.NoError(t, err)
			require.True(t, d.OK)
			if time.Since(begin) > 0 {
				waits++
			}
			time.Sleep(400 * time.Microsecond)
		}
		require.Less(t, waits, 20)
		require.Less(t, len(f.calls), 1100)
		t.Logf("%d calls, %d of 25 000 requests waited", len(f.calls), waits)
	})
}

// TestStrangeAnswers: an answer that is not of this package's form refuses.
func TestStrangeAnswers(t *testing.T) {
	nan := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	for name, answer := range map[string]string{"empty": "", "short": "12345678", "nan": string(nan) + string(nan) + string(nan)} {
		l := redislimit.NewOver(redislimit.Config{Namespace: "fake", Nodes: 1},
			func(context.Context, []any, []byte) (string, error) { return answer, nil }, false)
		_, err := one(l, ratelimit.Limit{Rate: 1, Burst: 5})
		require.ErrorIs(t, err, ratelimit.ErrUnavailable, name)
		require.NoError(t, l.Close())
	}
}

// TestPanicOfTheClientAdmitsNobody: the goroutine that makes the call panics, and those that ride with it are refused.
func TestPanicOfTheClientAdmitsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: time.Millisecond}
		l := redislimit.NewOver(redislimit.Config{Namespace: "fake", Nodes: 1},
			func(ctx context.Context, keys []any, input []byte) (string, error) {
				if _, err := f.call(ctx, keys, input); err != nil {
					return "", err
				}
				panic(errors.New("a fault of the client"))
			}, false)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				defer func() { _ = recover() }()
				d, err := one(l, ratelimit.Limit{Rate: 1, Burst: 500})
				require.ErrorIs(t, err, ratelimit.ErrUnavailable)
				require.False(t, d.OK)
			})
		}
		wg.Wait()
	})
}

// TestProbeBeforeTheVerdict: the outage that a call begins may be over before its own requests are told. They get its
// error nevertheless. Another goroutine asks for the probe, because a request that comes after the probe waits for the
// call that OnOutage holds up.
func TestProbeBeforeTheVerdict(t *testing.T) {
	f := &fake{err: errors.New("a moment of weakness")}
	limits := []ratelimit.Limit{{Rate: 1, Burst: 5}}
	var l *redislimit.Limiter
	var wg sync.WaitGroup
	l = f.over(t, redislimit.Config{OnOutage: func(o redislimit.Outage) {
		if o.Phase != "began" {
			return
		}
		f.set(func(f *fake) { f.err = nil })
		wg.Go(func() {
			for l.Stats().Away {
				_, _ = l.Take(context.Background(), "other", []string{""}, limits, make([]ratelimit.Decision, 1))
			}
		})
		for l.Stats().Away {
			runtime.Gosched()
		}
	}})
	_, err := one(l, limits[0])
	require.ErrorContains(t, err, "a moment of weakness")
	wg.Wait()
}
