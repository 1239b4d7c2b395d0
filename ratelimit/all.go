package ratelimit

import "time"

// A Ref names one bucket: a [Bucket], a [Striped], or that of one key of a [Limiter]. It is a small value, made without allocation
// (but for two objects where a Limiter has ExactKeys), and serves for as many calls as one likes. The zero Ref refuses.
type Ref struct {
	bucket  *Bucket
	striped *Striped // over bucket
	keyed   *keyed
	name    name
}

// Ref names b for [All].
func (b *Bucket) Ref() Ref { return Ref{bucket: b} }

// Ref names s for [All].
func (s *Striped) Ref() Ref {
	if s.load() == nil {
		return Ref{}
	}
	return Ref{bucket: &s.bucket, striped: s}
}

// Ref names the key's bucket for [All].
func (l *Limiter[K]) Ref(key K) Ref {
	if !l.configured() {
		return Ref{}
	}
	r := Ref{keyed: l.keyed, name: l.name(key)}
	if l.config.ExactKeys {
		r.name.exact = l.exactly(key)
	}
	return r
}

// Take is [Bucket.Take] or [Limiter.Take].
func (r Ref) Take(n int64) (d Decision) {
	if r.striped != nil {
		return r.striped.Take(n)
	}
	r.take(r.now(), n).tell(n, &d)
	return d
}

// Refund is [Bucket.Refund] or [Limiter.Refund].
func (r Ref) Refund(n int64) {
	if r.striped != nil {
		r.striped.Refund(n)
		return
	}
	r.refund(r.now(), n, false)
}

// Peek is [Bucket.Peek] or [Limiter.Peek].
func (r Ref) Peek() Decision {
	if r.striped != nil {
		return r.striped.Peek()
	}
	now := r.now()
	o := r.look(now, 1)
	if o.verdict == moved {
		o = r.keyed.lookSlow(now, r.name, 1)
	}
	return o.decision(1)
}

// All takes n tokens from each bucket, or none from any. It returns the decision of one bucket, and its index: on a
// refusal of the one whose RetryAfter is longest, else of the one with the fewest tokens left. Without buckets it refuses,
// and the index is -1.
//
// A refused call consumes nothing. While a call is under way it may hold tokens of the first buckets that it gives back
// when a later one refuses, and another call may meanwhile be refused for want of them. Nothing else is given up for not
// holding a lock. It helps to name first the bucket that refuses most.
func All(n int64, refs ...Ref) (d Decision, index int) {
	if len(refs) == 0 {
		return Decision{RetryAfter: Never}, -1
	}
	c := reading{epoch: refs[0].epoch()}
	c.now = int64(time.Since(c.epoch))
	o, index := c.take(n, refs)
	o.tell(n, &d)
	if !d.OK {
		return c.longest(n, refs, d, index)
	}
	return d, index
}

// AllowAt is [All] for who has read the clock already and needs no decision when it is granted. It reports the index of a
// bucket that refuses, or -1 and true. Without buckets it refuses. What the buckets say, [Ref.Peek] tells.
func AllowAt(t time.Time, n int64, refs ...Ref) (index int, ok bool) {
	if len(refs) == 0 {
		return -1, false
	}
	index = allowAt(t, n, refs)
	return index, index < 0
}

// allowAt takes from the first bucket and then from the others, and gives back to the first if they refuse.
func allowAt(t time.Time, n int64, refs []Ref) (index int) {
	r := &refs[0]
	now := int64(t.Sub(r.epoch()))
	o := r.take(now, n)
	if !o.ok() {
		return 0
	}
	if len(refs) == 1 {
		return -1
	}
	if index = allowAt(t, n, refs[1:]); index < 0 {
		return index
	}
	r.giveBack(now, n, o)
	return index + 1
}

// A reading is one reading of the clock for buckets of different epochs.
type reading struct {
	epoch time.Time
	now   int64
}

func (c *reading) at(r *Ref) int64 { return c.now + int64(c.epoch.Sub(r.epoch())) }

func (c *reading) look(n int64, r *Ref) outcome { return r.look(c.at(r), n) }

// longest is the decision of the bucket that refuses for longest, given one that refuses.
func (c *reading) longest(n int64, refs []Ref, d Decision, index int) (Decision, int) {
	for i := range refs {
		if o := c.look(n, &refs[i]); o.verdict == refused {
			if other := o.decision(n); other.RetryAfter > d.RetryAfter {
				d, index = other, i
			}
		}
	}
	return d, index
}

// take takes from the first bucket and then from the others, and gives back to the first if they refuse.
func (c *reading) take(n int64, refs []Ref) (outcome, int) {
	r := &refs[0]
	now := c.at(r)
	o := r.take(now, n)
	if !o.ok() || len(refs) == 1 {
		return o, 0
	}
	rest, i := c.take(n, refs[1:])
	if !rest.ok() {
		r.giveBack(now, n, o)
		return rest, i + 1
	}
	if o.remaining() <= rest.remaining() {
		return o, 0
	}
	return rest, i + 1
}

func (r *Ref) epoch() time.Time {
	switch {
	case r.keyed != nil:
		return r.keyed.epoch
	case r.bucket != nil:
		return r.bucket.epoch
	default:
		return time.Time{}
	}
}

func (r *Ref) now() int64 { return int64(time.Since(r.epoch())) }

func (r *Ref) take(now, n int64) outcome {
	switch {
	case r.keyed != nil:
		return r.keyed.take(now, r.name, n)
	case r.striped != nil:
		return r.striped.take(now, n)
	default:
		return r.bucket.take(now, n)
	}
}

// look has the verdict moved if it cannot tell without waiting for another call.
func (r *Ref) look(now, n int64) outcome {
	if r.keyed != nil {
		return r.keyed.look(now, r.name, n)
	}
	return r.bucket.look(now, n)
}

// giveBack undoes a take of this call's.
func (r *Ref) giveBack(now, n int64, o outcome) {
	if r.striped != nil {
		r.striped.refund(now, n)
		return
	}
	if r.keyed == nil && r.bucket.load().queued.Load() {
		r.bucket.undo(r.bucket.now, place{o.seg, o.word, n * o.seg.scale})
		return
	}
	r.refund(now, n, o.verdict == grantedShared)
}

func (r *Ref) refund(now, n int64, shared bool) {
	if r.keyed != nil {
		r.keyed.refund(now, r.name, n, shared)
	} else {
		r.bucket.refund(now, n)
	}
}
