package window_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/window"
)

// count is the full number in a heavy run, and a tenth of it otherwise.
func count(full int) int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return full
	}
	return full / 10
}

// An admission is what was granted at an instant.
type admission struct {
	at time.Duration
	n  int64
}

// most is the largest sum of admissions within any closed window of length w. The admissions are in order of time.
func most(admitted []admission, w time.Duration) (largest int64) {
	var sum int64
	first := 0
	for _, a := range admitted {
		sum += a.n
		for a.at-admitted[first].at > w {
			sum -= admitted[first].n
			first++
		}
		largest = max(largest, sum)
	}
	return largest
}

// since is the sum of what was admitted after an instant.
func since(admitted []admission, at time.Duration) (sum int64) {
	for i := len(admitted) - 1; i >= 0 && admitted[i].at > at; i-- {
		sum += admitted[i].n
	}
	return sum
}

// A history draws calls to one key: bursts, pauses, and steps that reach the borders of windows.
type history struct {
	*rand.Rand
	limit window.AtMost
	now   time.Duration
}

func (h *history) next() (at time.Duration, n int64) {
	w := int64(h.limit.Window)
	switch h.IntN(8) {
	case 0: // at once
	case 1, 2:
		h.now += time.Duration(h.Int64N(w/int64(min(h.limit.Limit, 1000)) + 2))
	case 3:
		h.now += time.Duration(h.Int64N(w/15 + 1))
	case 4:
		h.now = (h.now/h.limit.Window+1)*h.limit.Window + time.Duration(h.IntN(3)-1)
	case 5:
		h.now += time.Duration(h.Int64N(w/4 + 1))
	case 6:
		if h.IntN(4) == 0 {
			h.now += time.Duration(h.Int64N(2 * w))
		}
	case 7:
		h.now += time.Duration(h.IntN(3))
	}
	n = 1
	if h.IntN(3) == 0 {
		n = 1 + h.Int64N(h.limit.Limit)
	}
	return h.now, n
}

var limits = []window.AtMost{
	{Limit: 1, Window: time.Millisecond},
	{Limit: 2, Window: time.Second},
	{Limit: 5, Window: time.Minute},
	{Limit: 100, Window: time.Hour + 1},
	{Limit: 65_535, Window: 300 * time.Second},
	{Limit: 65_536, Window: 300 * time.Second},
	{Limit: 1_000_003, Window: 10 * time.Second},
	{Limit: 2_000_000_000, Window: 600 * time.Second},
	{Limit: 1 << 31, Window: 1 << 50},
}

// No window of W holds more than N, whatever calls come. What is refused would have exceeded N within W × 16/15, to the
// precision of counters of 16 bits: one part in 65 535.
func TestNoWindowHoldsMore(t *testing.T) {
	for _, limit := range limits {
		for seed := range uint64(count(100)) {
			h := &history{Rand: rand.New(rand.NewPCG(seed, uint64(limit.Limit))), limit: limit, now: time.Duration(seed)}
			e := window.NewEngine(limit, 0, false)
			unit := (limit.Limit + 65_534) / 65_535
			longest := (limit.Window+14)/15*16 + 1
			var admitted []admission
			refused := 0
			for range 400 {
				at, n := h.next()
				if h.IntN(3) == 0 {
					n = max(e.LookAt(at, 7, 1).Remaining, 1) // exactly what is left
				}
				d := e.TakeAt(at, 7, n)
				if d.OK {
					admitted = append(admitted, admission{at, n})
					continue
				}
				refused++
				require.Greater(t, since(admitted, at-longest)+n+unit-1, limit.Limit, "%v: refused %d at %v", limit, n, at)
				require.True(t, e.LookAt(at+d.RetryAfter, 7, n).OK, "%v: RetryAfter %v does not suffice for %d at %v: %+v", limit, d.RetryAfter, n, at, e.LookAt(at+d.RetryAfter, 7, n))
				require.False(t, e.LookAt(at+d.RetryAfter-1, 7, n).OK, "a shorter wait suffices")
			}
			require.LessOrEqual(t, most(admitted, limit.Window), limit.Limit, "%v, seed %d", limit, seed)
			require.NotZero(t, refused)
		}
	}
}

// A fixed window and the weighted counter of two windows exceed N. The check must see it.
func TestOtherAlgorithmsExceedTheLimit(t *testing.T) {
	limit := window.AtMost{Limit: 100, Window: time.Second}
	for name, decide := range map[string]func(previous, current int64, part float64) bool{
		"fixed":    func(_, current int64, _ float64) bool { return current < limit.Limit },
		"weighted": func(p, c int64, part float64) bool { return float64(p)*(1-part)+float64(c) < float64(limit.Limit) },
	} {
		var admitted []admission
		var last, previous, current int64
		for at := 990 * time.Millisecond; at < 3*time.Second; at += 100 * time.Microsecond {
			if w := int64(at / limit.Window); w > last {
				previous, current, last = current, 0, w
			}
			if decide(previous, current, float64(at%limit.Window)/float64(limit.Window)) {
				current++
				admitted = append(admitted, admission{at, 1})
			}
		}
		require.Greater(t, most(admitted, limit.Window), limit.Limit, name)
	}
}

// A naive is the engine's rule in its plainest form: it keeps every admission, with the slice of its instant.
type naive struct {
	limit    window.AtMost
	admitted []admission
	last     time.Duration
}

func (m *naive) take(now time.Duration, n int64) bool {
	m.last = max(m.last, now)
	slice := (m.limit.Window + 14) / 15
	var sum int64
	for _, a := range m.admitted {
		if m.last/slice-a.at/slice <= 15 {
			sum += a.n
		}
	}
	if sum+n > m.limit.Limit {
		return false
	}
	m.admitted = append(m.admitted, admission{m.last, n})
	return true
}

func TestEngineIsTheNaiveModel(t *testing.T) {
	for _, limit := range limits[:5] {
		for seed := range uint64(count(50)) {
			h := &history{Rand: rand.New(rand.NewPCG(seed, 3)), limit: limit}
			e := window.NewEngine(limit, 0, false)
			models := map[uint64]*naive{}
			for range 500 {
				at, n := h.next()
				if h.IntN(5) == 0 { // a clock that steps back
					at = max(at-time.Duration(h.Int64N(int64(limit.Window/10))), 0)
				}
				name := h.Uint64N(5)<<61 | 1
				if models[name] == nil {
					models[name] = &naive{limit: limit}
				}
				require.Equal(t, models[name].take(at, n), e.TakeAt(at, name, n).OK, "%v, seed %d at %v", limit, seed, at)
			}
		}
	}
}

func TestDecisionTellsPlacesAndWaits(t *testing.T) {
	limit := window.AtMost{Limit: 3, Window: 15 * time.Second}
	e := window.NewEngine(limit, 0, false)
	for _, test := range []struct {
		at        time.Duration
		n         int64
		ok        bool
		remaining int64
		retry     time.Duration
		reset     time.Duration
	}{
		{0, 1, true, 2, 0, 16 * time.Second},
		{2500 * time.Millisecond, 1, true, 1, 0, 15500 * time.Millisecond},
		{2500 * time.Millisecond, 2, false, 1, 13500 * time.Millisecond, 15500 * time.Millisecond},
		{3 * time.Second, 1, true, 0, 0, 16 * time.Second},
		{4 * time.Second, 2, false, 0, 14 * time.Second, 15 * time.Second},
		{16*time.Second - 1, 1, false, 0, 1, 3*time.Second + 1},
		{16 * time.Second, 1, true, 0, 0, 16 * time.Second},
		{17 * time.Second, 3, false, 0, 15 * time.Second, 15 * time.Second},
		{40 * time.Second, 3, true, 0, 0, 16 * time.Second},
	} {
		d := e.TakeAt(test.at, 1, test.n)
		require.Equal(t, test.ok, d.OK, "%v", test)
		require.Equal(t, limit.Limit, d.Limit)
		require.Equal(t, test.remaining, d.Remaining, "%v", test)
		require.Equal(t, test.retry, d.RetryAfter, "%v", test)
		require.Equal(t, test.reset, d.ResetAfter, "%v", test)
	}
	require.Equal(t, limit.Limit, e.LookAt(time.Hour, 1, 1).Remaining)
	require.Zero(t, e.LookAt(time.Hour, 1, 1).ResetAfter)
}

// Changes of the limit at any time: of what was admitted since the window last grew, no window that was in force holds
// more than the largest N that was in force while it lasted.
func TestChangesKeepTheCounts(t *testing.T) {
	for seed := range uint64(count(500)) {
		h := &history{Rand: rand.New(rand.NewPCG(seed, 4)), limit: window.AtMost{Limit: 500, Window: 60 * time.Second}}
		e := window.NewEngine(h.limit, 0, false)
		var admitted []admission
		largest := h.limit.Limit
		for range 300 {
			if h.IntN(20) == 0 {
				next := window.AtMost{Limit: 1 + h.Int64N(200_000), Window: time.Duration(1+h.IntN(600)) * time.Second}
				if h.IntN(2) == 0 {
					next.Limit = 1 + h.Int64N(1000)
				}
				if next.Window > h.limit.Window {
					admitted, largest = nil, 0 // what is older than the old window is not known
				}
				if next.Limit < h.limit.Limit && h.limit.Limit > 65_535 {
					admitted, largest = nil, 0 // nor is what full counters cannot tell
				}
				h.limit, largest = next, max(largest, next.Limit)
				e.SetLimit(next)
			}
			at, n := h.next()
			before := e.LookAt(at, 1, 1).Remaining
			if before > 0 && h.IntN(2) == 0 {
				n = before
			}
			if d := e.TakeAt(at, 1, n); d.OK {
				require.LessOrEqual(t, n, before)
				admitted = append(admitted, admission{at, n})
				require.LessOrEqual(t, since(admitted, at-h.limit.Window-1), h.limit.Limit, "seed %d at %v", seed, at)
			}
		}
		require.LessOrEqual(t, most(admitted, h.limit.Window), largest)
	}
}
