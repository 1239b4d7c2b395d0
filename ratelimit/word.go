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

// A place is a word and, in a table, what tells whose it is. A slot's word and owner cannot be read in one step. But a
// slot's word only rises when its owner changes and never falls back to where a former owner left it (see shard), so:
//
//	read the word; see that the owner is ours; then swap the word, or read it again unchanged
//
// and the owner was ours in between. The word is its own tag.
type place struct {
	word  *atomic.Int64
	tag   *atomic.Uint64 // nil in a [Bucket], whose word has one owner
	key   *atomic.Pointer[any]
	floor *atomic.Int64
	name  name
}

// owned reports whether the slot is still the one that was looked for.
func (p *place) owned() bool {
	return p.tag == nil || p.tag.Load() == p.name.print && (p.name.exact == nil || p.name.exact.same(p.key.Load()))
}

// outcome is what a call came to, and what a [Decision] is computed from.
type outcome struct {
	seg    *segment
	now    int64
	clock  int64 // the reading that decided
	word   int64 // after the call
	ok     bool
	moved  bool // nothing was decided: the word is frozen or another's
	shared bool // the tokens were taken from an overflow bucket
}

// take takes n tokens, where clock is the reading for which segment.ready vouches, or one not below it.
func (p *place) take(s *segment, now, clock, n int64) outcome {
	o := outcome{seg: s, now: now, clock: clock}
	cost := n * s.scale
	line := clock + s.burst - cost // beyond it, the debt would exceed the burst
	for {
		u := p.word.Load()
		switch {
		case !p.owned():
			o.moved = true
			return o
		case u > line:
			if u == frozen {
				o.moved = true
				return o
			}
			if p.tag == nil || p.word.Load() == u {
				o.word = u
				return o
			}
		default:
			o.word = max(u, clock) + cost
			if p.word.CompareAndSwap(u, o.word) {
				o.ok = true
				return o
			}
		}
	}
}

// takeOdd is take where segment.ready is false.
func (p *place) takeOdd(s *segment, now, clock, n int64) outcome {
	switch {
	case s.over(now):
		return outcome{moved: true}
	case s.unlimited():
		return outcome{seg: s, ok: n >= 0}
	case n < 1 || n > s.limit.Burst:
		return p.look(s, now, clock, n)
	default:
		return p.take(s, now, clock, n)
	}
}

// look decides on n tokens and takes none.
func (p *place) look(s *segment, now, clock, n int64) outcome {
	o := outcome{seg: s, now: now, clock: clock, ok: n >= 0}
	switch {
	case s.over(now):
		o.moved = true
		return o
	case s.unlimited():
		return o
	}
	for {
		u := p.word.Load()
		if u == frozen || !p.owned() {
			o.moved = true
			return o
		}
		if p.tag == nil || p.word.Load() == u {
			o.word = u
			o.ok = n == 0 || n > 0 && max(u, clock) <= clock+s.burst-s.cost(n)
			return o
		}
	}
}

// refund gives n tokens back, n ≥ 1, but never makes a bucket more than full, nor a slot's word lower than the shard's
// floor, which is never ahead of the true clock. It reports false if the word is frozen or another's.
func (p *place) refund(s *segment, clock, n int64) bool {
	for {
		u := p.word.Load()
		if u == frozen || !p.owned() {
			return false
		}
		full := clock
		if p.floor != nil {
			full = max(full, p.floor.Load())
		}
		if u <= full || p.word.CompareAndSwap(u, max(u-s.cost(n), full)) {
			return true
		}
	}
}

// decision tells the outcome of a call for n tokens.
func (o *outcome) decision(n int64) Decision {
	s := o.seg
	if s == nil {
		return Decision{RetryAfter: Never}
	}
	d := Decision{OK: o.ok, Limit: s.limit.Burst, Remaining: o.remaining(), ResetAfter: s.wait(o.now, o.word)}
	switch {
	case o.ok:
	case n < 0 || n > s.limit.Burst:
		d.RetryAfter = Never
	default:
		d.RetryAfter = s.wait(o.now, o.word+n*s.scale-s.burst)
	}
	return d
}

// remaining is the whole tokens left.
func (o *outcome) remaining() int64 {
	if o.seg.unlimited() {
		return math.MaxInt64
	}
	return o.seg.tokens(max(o.seg.burst-max(o.word-o.clock, 0), 0))
}
