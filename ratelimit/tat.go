package ratelimit

import (
	"math"
	"sync/atomic"
)

// All the state of a bucket is one number of 64 bits: the reading of its segment's clock at which the bucket will be
// full again. The generic cell rate algorithm (GCRA) calls it the theoretical arrival time, and so does this package:
// TAT.
//
//	debt  = max(TAT - clock, 0)       units missing from the bucket
//	level = (burst - debt) / scale    tokens in it
//
// Taking n tokens sets the TAT to max(TAT, clock) + n×scale. The take is refused if the debt would exceed the burst.
// For example, at 1 token a second, a burst of 3 and units of a second: a full bucket has a TAT of at most the clock.
// At 10 s a take of 2 sets the TAT to 12. At 11 s the debt is 1, so the level is 2.
//
// Three properties follow, and the package rests on them:
//
//   - A refusal writes nothing. So refusals on several processors do not slow one another down.
//   - A TAT ahead of the clock is always a debt, however far ahead it is. A caller may have read the clock long before
//     it reads the TAT, and then sees a TAT that others have written since. That must not be taken for the TAT of an
//     idle bucket.
//   - A TAT that is not ahead of the clock is a full bucket. It holds no information, so a table may forget it.

// frozen is the TAT of a bucket that is being moved or is gone. It is a debt beyond any burst, so only a refusal needs
// to look for it.
const frozen = math.MaxInt64

// spend takes cost units if the debt stays within the burst. It returns the TAT that it leaves behind or, if it is
// false, the TAT that made it refuse, which may be frozen.
func (s *segment) spend(tat *atomic.Int64, clock, cost int64) (u int64, ok bool) {
	line := clock + s.burst - cost // beyond it, the debt would exceed the burst
	for {
		u := tat.Load()
		if u > line {
			return u, false
		}
		if next := max(u, clock) + cost; tat.CompareAndSwap(u, next) {
			return next, true
		}
	}
}

// afford reports whether a take of n tokens would succeed at TAT u.
func (s *segment) afford(u, clock, n int64) bool {
	return n == 0 || n > 0 && max(u, clock) <= clock+s.burst-s.cost(n)
}

// An outcome is what a call came to. A [Decision] is computed from it, only where one is wanted. It has four machine
// words, so it travels in registers.
type outcome struct {
	seg     *segment
	now     int64 // when it was decided
	tat     int64 // after the call
	verdict verdict
}

// owing is how many units of a take can be given back, at TAT u and reading clock. It may be negative, for none.
//
// If nobody else has touched the bucket (alone), u is the TAT that the take left behind. Then what lies between the
// clock and u has not flowed back yet. Otherwise every later take may have found the bucket full and used what had
// flowed in until then, so only the cost less all that has flowed in since the take can be given back.
func (s *segment) owing(k taken, u, clock int64, alone bool) int64 {
	if alone {
		return min(s.cost(k.n), u-clock)
	}
	return s.cost(k.n) - max(clock-s.at(k.now), 0)
}

type verdict uint8

const (
	refused verdict = iota
	retry           // nothing was decided: the TAT is frozen or another's
	granted
	grantedShared // by an overflow bucket
)

func (o outcome) ok() bool { return o.verdict >= granted }

// limited reports whether a bucket was asked, and whether its limit is finite.
func (o outcome) limited() bool { return o.seg != nil && !o.seg.unlimited() }

func verdictOf(ok bool) verdict {
	if ok {
		return granted
	}
	return refused
}

// decision is the Decision about a call for n tokens.
func (o outcome) decision(n int64) (d Decision) {
	o.fill(n, &d)
	return d
}

// fill is decision for the calls that are made most. A Decision that is returned is copied in steps that each wait for
// it to be written, which takes as long as computing it; fill writes it where it is wanted.
func (o outcome) fill(n int64, d *Decision) {
	s := o.seg
	if s == nil {
		d.RetryAfter = Never
		return
	}
	d.OK, d.Limit, d.Remaining = o.ok(), s.limit.Burst, o.remaining()
	d.ResetAfter = s.wait(o.now, o.tat)
	switch {
	case d.OK:
	case n < 0 || n > s.limit.Burst:
		d.RetryAfter = Never
	default:
		d.RetryAfter = s.wait(o.now, o.tat+n*s.scale-s.burst)
	}
}

// remaining is the whole tokens left.
func (o outcome) remaining() int64 {
	if o.seg.unlimited() {
		return math.MaxInt64
	}
	return o.seg.tokens(max(o.seg.burst-max(o.tat-o.seg.at(o.now), 0), 0))
}
