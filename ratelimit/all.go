package ratelimit

import "time"

// A Ref names one bucket: a [Bucket], or the bucket of one key of a [Limiter]. It is a small value, made without
// allocation, and may be used for any number of calls. The zero Ref refuses.
type Ref struct {
	bucket      *Bucket // nil if keyed is not
	keyed       *keyed
	fingerprint fingerprint // of the key
}

// Ref names b for [All].
func (b *Bucket) Ref() Ref { return Ref{bucket: b} }

// Ref names the key's bucket for [All].
func (l *Limiter[K]) Ref(key K) Ref {
	if !l.configured() {
		return Ref{}
	}
	return Ref{keyed: l.keyed, fingerprint: l.fingerprint(key)}
}

// Take is [Bucket.Take] or [Limiter.Take].
func (r Ref) Take(n int64) (d Decision) {
	r.take(r.now(), n).tell(n, &d)
	return d
}

// Refund is [Bucket.Refund] or [Limiter.Refund].
func (r Ref) Refund(n int64) {
	if r.keyed != nil {
		r.keyed.refund(r.now(), r.fingerprint, n)
	} else {
		r.bucket.Refund(n)
	}
}

// Peek is [Bucket.Peek] or [Limiter.Peek].
func (r Ref) Peek() (d Decision) {
	now := r.now()
	o := r.look(now, 1)
	if o.verdict == moved {
		o = r.keyed.lookSlow(now, r.fingerprint, 1)
	}
	o.tell(1, &d)
	return d
}

// All takes n tokens from each bucket, or none from any. It returns the decision of one bucket, and its index: on a
// refusal of the one whose RetryAfter is longest, else of the one with the fewest tokens left. Without buckets it refuses,
// and the index is -1.
//
// A refused call consumes nothing, but for what flows into a bucket during the call if others take from it meanwhile. While
// it is under way it may hold tokens of the first buckets that it gives back when a later one refuses, and another call may
// meanwhile be refused for want of them. Nothing else is given up for not holding a lock. It helps to name first the
// bucket that refuses most.
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

// A Taken is what [AllowAt] has taken from one bucket. The zero Taken is nothing.
type Taken struct {
	outcome
	n int64
}

// AllowAt is [All] for a caller that has read the clock already and needs no decision when it is granted. It reports
// the index of a bucket that refuses, or -1 and true. What the buckets say then, [Ref.Peek] tells. Without buckets it
// refuses.
//
// It notes what it takes from each bucket in taken, which is as long as refs, for [Ref.GiveBack].
func AllowAt(t time.Time, n int64, refs []Ref, taken []Taken) (index int, ok bool) {
	taken = taken[:len(refs)]
	for i := range refs {
		r := &refs[i]
		o := r.take(int64(t.Sub(r.epoch())), n)
		if !o.ok() {
			for j := range i {
				refs[j].GiveBack(taken[j])
			}
			return i, false
		}
		taken[i] = Taken{o, n}
	}
	return -1, len(refs) > 0
}

// GiveBack undoes a take that was not used after all. The bucket holds what it would hold had it not been, but for what has
// flowed in since the take if others have taken from it meanwhile: that may have been used. Nothing comes back if the
// limit has changed. A take is given back once.
func (r Ref) GiveBack(k Taken) { r.giveBack(r.now, k) }

// A reading is one reading of the clock for buckets of different epochs.
type reading struct {
	epoch time.Time
	now   int64
	clock func() int64 // read again; nil is the time since epoch
}

func (c *reading) at(r *Ref) int64 { return c.now + int64(c.epoch.Sub(r.epoch())) }

// again reads the clock for r once more.
func (c *reading) again(r *Ref) func() int64 {
	if c.clock == nil {
		return r.now
	}
	return func() int64 { return c.clock() + int64(c.epoch.Sub(r.epoch())) }
}

func (c *reading) look(n int64, r *Ref) outcome { return r.look(c.at(r), n) }

// longest is the decision of the bucket that refuses for longest, given one that refuses.
func (c *reading) longest(n int64, refs []Ref, d Decision, index int) (Decision, int) {
	for i := range refs {
		if o := c.look(n, &refs[i]); o.verdict == refused {
			var other Decision
			if o.tell(n, &other); other.RetryAfter > d.RetryAfter {
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
		r.giveBack(c.again(r), Taken{o, n})
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
	if r.keyed != nil {
		return r.keyed.take(now, r.fingerprint, n)
	}
	return r.bucket.take(now, n)
}

// look has the verdict moved if it cannot tell without waiting for another call.
func (r *Ref) look(now, n int64) outcome {
	if r.keyed != nil {
		return r.keyed.look(now, r.fingerprint, n)
	}
	return r.bucket.look(now, n)
}

// giveBack reads the clock after it has found the bucket's word.
func (r *Ref) giveBack(now func() int64, k Taken) {
	switch {
	case !k.ok() || k.n < 1 || k.seg.unlimited():
	case r.keyed != nil:
		r.keyed.giveBack(now, r.fingerprint, k)
	default:
		r.bucket.giveBack(now, k)
	}
}
