package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// A TAT is at most horizon + 1 + maxDebt = 2^62 + 1 + 2^61 < 2^63.
const (
	horizon = 1 << 62 // where a segment's clock ends, in units
	maxDebt = 1 << 61 // the most debt that is carried from one segment to another; 4.5 years at 16 units a nanosecond
)

// A segment is a limit in force from one instant on, and the virtual clock that all buckets under it share.
//
// The clock does not count nanoseconds but units, parts of a token: it advances by exactly what a bucket gains, and a
// bucket's TAT is the reading at which the bucket will be full. Only the clock is ever rounded, and always from its
// start, so nothing drifts, however often a bucket is asked:
//
//	units(now) = 1 + floor((now-start) × 2^shift × mul / 2^64),  2^63 ≤ mul < 2^64
//
// It begins at 1, so that the TAT of a slot never used, 0, is behind it from the first.
//
// Exact rates. If the rate is a/b tokens per nanosecond with whole a ≤ 16, a token is b units and the clock advances a
// units per nanosecond: mul/2^64 × 2^shift = a, and nothing is rounded.
//
// Other rates. A token is the power of two of units that makes the clock advance by 0.5 to 1 unit per nanosecond (one
// unit at 1e9 tokens per second and above). mul holds the rate rounded down to 64 bits. The clock lags the true one by
// less than one unit for the floor and, as now-start < 2^62, less than 1/4 for mul.
//
// A segment is immutable once published, except for start and next, which its owner sets under a mutex.
type segment struct {
	limit   Limit
	start   int64  // nanoseconds since the owner's epoch
	span    uint64 // nanoseconds from start to the horizon
	mul     uint64
	shift   uint8
	scale   int64    // units per token
	inverse uint64   // floor(2^64/scale), to divide by scale without a division
	burst   int64    // limit.Burst in units
	most    uint64   // what one call may take; 0 if the rate is infinite, which sends each call the long way
	next    *segment // the segment in force after this one; guarded by the owner's mutex
}

// newSegment expects a valid limit.
func newSegment(l Limit, start int64) *segment {
	s := &segment{limit: l, start: start, most: uint64(l.Burst), scale: 1}
	switch a, b, ok := exactRate(l); {
	case math.IsInf(l.Rate, 1):
		s.limit.Burst, s.most = math.MaxInt64, 0
	case l.Rate == 0: // mul = 0: the clock stands still
	case ok:
		s.scale, s.shift = b, uint8(bits.Len64(a))
		s.mul = a << (64 - s.shift)
	default:
		s.setRate(l.Rate)
	}
	s.span = horizon >> s.shift // the clock advances by less than 2^shift units per nanosecond
	s.inverse = math.MaxUint64
	if s.scale > 1 {
		s.inverse, _ = bits.Div64(1, 0, uint64(s.scale))
	}
	if !s.unlimited() {
		s.burst = l.Burst * s.scale
	}
	return s
}

// exactRate finds whole numbers a ≤ 16 and b, the smallest a first, such that a/b tokens per nanosecond is the rate and
// a full bucket stays within maxBurst units.
func exactRate(l Limit) (a uint64, b int64, ok bool) {
	for a := 1.0; a <= 16; a++ {
		b := math.Round(a * 1e9 / l.Rate)
		if b >= 1 && b <= maxBurst/float64(l.Burst) && a*1e9/b == l.Rate {
			return uint64(a), int64(b), true
		}
	}
	return 0, 0, false
}

// setRate sets mul, shift and scale for any rate in (0, 2^40].
func (s *segment) setRate(rate float64) {
	const second = 1_000_000_000 << 34       // 1e9 × 2^34, in [2^63, 2^64)
	frac, exp := math.Frexp(rate)            // rate = frac × 2^exp, frac in [1/2, 1)
	m := uint64(frac * (1 << 53))            // all of the mantissa
	hi, lo, e := m<<11, uint64(0), exp-64+34 // rate/1e9 = (hi/second) × 2^e
	if hi >= second {
		hi, lo, e = hi>>1, hi<<63, e+1
	}
	s.mul, _ = bits.Div64(hi, lo, second) // rate/1e9 = mul/2^64 × 2^e, rounded down
	if e > 0 {
		s.shift = uint8(e)
	} else {
		s.scale = 1 << -e
	}
}

func (s *segment) unlimited() bool { return s.most == 0 }

// ready reads the clock for a call that takes n tokens. It is false for all that is out of the common way: an n below 1
// or above the burst, an infinite rate, an instant before the segment's start or after its horizon.
func (s *segment) ready(now, n int64) (clock int64, ok bool) {
	d := uint64(now - s.start) // huge for an instant before start
	if d > s.span || uint64(n-1) >= s.most {
		return 0, false
	}
	return s.units(d), true
}

// over reports whether the clock has reached its horizon, and a new segment has to take up.
func (s *segment) over(now int64) bool {
	return now > s.start && uint64(now-s.start) > s.span && s.mul != 0
}

// units reads the clock d nanoseconds after start, d ≤ span.
func (s *segment) units(d uint64) int64 {
	hi, _ := bits.Mul64(d<<(s.shift&63), s.mul)
	return int64(hi) + 1
}

// at reads the clock at any instant. It stands still before start, so that a reading from before gains nothing. After
// the horizon it goes on only for the sake of carrying TATs over to the next segment.
func (s *segment) at(now int64) int64 {
	if now <= s.start {
		return 1
	}
	d := uint64(now - s.start)
	if d <= s.span {
		return s.units(d)
	}
	hi, lo := bits.Mul64(d, s.mul)
	if hi >= horizon>>s.shift*2 {
		return horizon*2 - 1
	}
	return int64(hi<<s.shift|lo>>(64-s.shift)) + 1
}

// wait is the time from now until the clock reads at least u.
func (s *segment) wait(now, u int64) time.Duration {
	if u <= s.at(now) {
		return 0
	}
	if s.mul == 0 {
		return Never
	}
	if s.mul == 1<<63 && s.shift == 1 { // a unit is a nanosecond, as at most rates that are written by hand
		return time.Duration(u - 1 - (now - s.start))
	}
	// The smallest d with d × 2^shift × mul ≥ (u-1) × 2^64. The quotient fits: u < 2^63 ≤ mul.
	u--
	d, r := bits.Div64(uint64(u)>>s.shift, uint64(u)<<(64-s.shift), s.mul)
	if r > 0 {
		d++
	}
	return time.Duration(int64(d) - (now - s.start))
}

// tokens is floor(u/scale) for u ≥ 0. The product with inverse is at most one too small: u × (1/scale - inverse/2^64) <
// u/2^64 < 1.
func (s *segment) tokens(u int64) int64 {
	q, _ := bits.Mul64(uint64(u), s.inverse)
	if uint64(u)-q*uint64(s.scale) >= uint64(s.scale) {
		q++
	}
	return int64(q)
}

// cost is n tokens in units, n ≥ 0, or the horizon where they are more.
func (s *segment) cost(n int64) int64 {
	if n > horizon/s.scale {
		return horizon
	}
	return n * s.scale
}

// convert carries a TAT from s to the segment that follows it: the debt at the change, in tokens, stays what it was.
func (s *segment) convert(u int64) int64 {
	return s.next.at(s.next.start) + s.rescale(u-s.at(s.next.start), s.next)
}

// rescale is a debt of s in units of another segment, rounded up.
func (s *segment) rescale(debt int64, to *segment) int64 {
	if debt <= 0 || to.unlimited() {
		return 0
	}
	hi, lo := bits.Mul64(uint64(debt), uint64(to.scale))
	if hi >= uint64(s.scale) {
		return maxDebt
	}
	q, r := bits.Div64(hi, lo, uint64(s.scale))
	if r > 0 {
		q++
	}
	return int64(min(q, maxDebt))
}
