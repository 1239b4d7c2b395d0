package ratelimit

import (
	"math"
	"sync/atomic"
)

// The word is all the state that a bucket has: the reading of its segment's clock at which it will be full again.
//
//	debt  = max(word - clock, 0)      units missing from the bucket
//	level = (burst - debt) / scale    tokens in it
//
// Taking n tokens makes it max(word, clock) + n×scale, refused if the debt would exceed the burst: a token bucket whose
// level is stored as an instant. (GCRA is the same, and calls the word theoretical arrival time.)
//
//   - A refusal writes nothing, so refusals scale with the processors.
//   - A word far ahead of the clock is a debt, always, and never taken for the word of a bucket so long idle that it
//     wrapped: to a caller with a stale clock reading, a word written since looks like that.
//   - A word not ahead of the clock is a full bucket and holds no information, so a table may forget it.

// frozen is the word of a bucket that is being moved or is gone. It is a debt beyond any burst, so only a refusal needs to
// look for it.
const frozen = math.MaxInt64

// spend takes cost units, if the debt stays within the burst, and returns the word after it. A refusal may be due to the
// word being frozen.
func (s *segment) spend(word *atomic.Int64, clock, cost int64) (u int64, ok bool) {
	line := clock + s.burst - cost // beyond it, the debt would exceed the burst
	for {
		u := word.Load()
		if u > line {
			return u, false
		}
		if next := max(u, clock) + cost; word.CompareAndSwap(u, next) {
			return next, true
		}
	}
}

// afford reports whether a take of n tokens would succeed at word u.
func (s *segment) afford(u, clock, n int64) bool {
	return n == 0 || n > 0 && max(u, clock) <= clock+s.burst-s.cost(n)
}

// An outcome is what a call came to, and what a [Decision] is computed from. At four words it travels in registers.
type outcome struct {
	seg     *segment
	now     int64 // when it was decided
	word    int64 // after the call
	verdict verdict
}

// owing is how much of a take has not flowed back by itself, at word u and reading clock. If nobody else has touched the
// bucket, that is what lies between the clock and the word. Otherwise it is at least the cost less what has flowed in since:
// each later take may have found the bucket full, and used what had flowed back until then.
func (s *segment) owing(k taken, u, clock int64) int64 {
	if u == k.word {
		return min(s.cost(k.n), u-clock)
	}
	return s.cost(k.n) - max(clock-s.at(k.now), 0)
}

type verdict uint8

const (
	refused verdict = iota
	retry           // nothing was decided: the word is frozen or another's
	granted
	grantedShared // by an overflow bucket
)

func (o outcome) ok() bool { return o.verdict >= granted }

// limited reports whether a bucket was asked that has a limit to tell of.
func (o outcome) limited() bool { return o.seg != nil && !o.seg.unlimited() }

func verdictOf(ok bool) verdict {
	if ok {
		return granted
	}
	return refused
}

// decision tells the outcome of a call for n tokens.
func (o outcome) decision(n int64) (d Decision) {
	o.tell(n, &d)
	return d
}

// tell is decision for the calls that are made most: a Decision is copied in steps that wait for it to be written, which
// takes as long as to compute it.
func (o outcome) tell(n int64, d *Decision) {
	s := o.seg
	if s == nil {
		d.RetryAfter = Never
		return
	}
	d.OK, d.Limit, d.Remaining = o.ok(), s.limit.Burst, o.remaining()
	d.ResetAfter = s.wait(o.now, o.word)
	switch {
	case d.OK:
	case n < 0 || n > s.limit.Burst:
		d.RetryAfter = Never
	default:
		d.RetryAfter = s.wait(o.now, o.word+n*s.scale-s.burst)
	}
}

// remaining is the whole tokens left.
func (o outcome) remaining() int64 {
	if o.seg.unlimited() {
		return math.MaxInt64
	}
	return o.seg.tokens(max(o.seg.burst-max(o.word-o.seg.at(o.now), 0), 0))
}
