package window

// A ring is what is known of a key: how many it was granted in each of the last 16 slices of time, 40 bytes in all.
//
// Here N and W are the plan's Limit and Window. A window of length W that ends now touches the slice under way and the
// 15 before it; the oldest it may only touch in part. All of them are counted in full. So what was granted at an
// instant a is held against the key while now-a ≤ W, and for at most one slice longer. So the sum is never less than
// what the window holds. A take that would make the sum more than N is refused, so no window holds more than N.
//
// For example, let W be 15 s, so that a slice is 1 s. What was granted at 2.0 s and at 2.9 s is in slice 2. At 17.5 s,
// in slice 17, the oldest slice that counts is 2, and both are held: the first one for half a second too long, the
// second one because it is less than 15 s old. At 18 s slice 3 is the oldest, and both are free.
//
// Counters count in units of the plan. What is short of a unit is the rest. It always belongs to the latest slice: what
// counts later than it was counts for longer.
//
// If time steps back, the latest slice stays the latest and counts what is granted.
type ring struct {
	head   uint64 // the latest slice's number << 16 | the rest
	counts [counters]uint16
}

func newRing(slice int64) ring { return ring{head: uint64(slice) << 16} }

func (r *ring) latest() int64 { return int64(r.head >> 16) }
func (r *ring) rest() int64   { return int64(r.head & maxStep) }

func (r *ring) setRest(rest int64) { r.head = r.head&^maxStep | uint64(rest) }

// counter is that of a slice among the latest 16.
func (r *ring) counter(slice int64) *uint16 { return &r.counts[slice&(counters-1)] }

// idle reports whether nothing in the ring counts any more.
func (r *ring) idle(slice int64) bool { return slice-r.latest() > perWindow }

// advance makes slice the latest, unless a later one is.
func (r *ring) advance(slice int64) {
	last := r.latest()
	switch {
	case slice <= last:
	case slice-last > perWindow:
		*r = newRing(slice)
	default:
		for s := last + 1; s <= slice; s++ {
			*r.counter(s) = 0
		}
		r.head += uint64(slice-last) << 16
	}
}

// count is how many are held against the key.
func (r *ring) count(p *plan) int64 {
	var steps int64
	for _, c := range r.counts {
		steps += int64(c)
	}
	return steps*p.unit + r.rest()
}

// add counts n in the latest slice. A counter that is full stays so: it stands for N or more.
func (r *ring) add(p *plan, n int64) {
	if p.unit > 1 {
		n += r.rest()
		r.setRest(n % p.unit)
		n /= p.unit
	}
	c := r.counter(r.latest())
	*c = uint16(min(int64(*c)+n, maxStep))
}

// take counts n and reports true if the limit admits them, n ≥ 1. If it does not, it counts them if countRefused is
// set.
func (r *ring) take(p *plan, now, n int64, countRefused bool) (ok bool) {
	r.advance(p.at(now))
	ok = n <= p.limit.Limit-r.count(p)
	if ok || countRefused {
		r.add(p, n)
	}
	return ok
}

// whole is the instant from which nothing is held against the key, if nothing is granted until then.
func (r *ring) whole(p *plan) int64 {
	s, oldest := r.latest(), r.latest()-perWindow
	if r.rest() > 0 {
		return p.expiry(s)
	}
	for ; s >= oldest; s-- {
		if *r.counter(s) > 0 {
			return p.expiry(s)
		}
	}
	return 0
}

// room is the instant from which n are admitted, if nothing else is until then, or 0 if there is none.
func (r *ring) room(p *plan, n int64) int64 {
	if n < 0 || n > p.limit.Limit {
		return 0
	}
	count := r.count(p)
	for s := r.latest() - perWindow; s < r.latest(); s++ {
		count -= int64(*r.counter(s)) * p.unit
		if n <= p.limit.Limit-count {
			return p.expiry(s)
		}
	}
	return p.expiry(r.latest()) // when the rest goes with the latest slice
}

// merge adds what is in another ring; both have been advanced to the same slice.
func (r *ring) merge(p *plan, other *ring) {
	for i, c := range other.counts {
		r.counts[i] = uint16(min(int(r.counts[i])+int(c), maxStep))
	}
	r.add(p, other.rest())
}

// convert carries the counts over to another plan. Each goes to the slice that holds the last instant it may stand for,
// and what is short of a unit there goes on to the next.
func (r *ring) convert(from, to *plan, now int64) {
	next := newRing(to.at(r.last(from, r.latest(), now)))
	var carry int64
	for s := max(r.latest()-perWindow, 0); s <= r.latest(); s++ {
		carry += int64(*r.counter(s)) * from.unit
		if s == r.latest() {
			carry += r.rest()
		}
		at := to.at(r.last(from, s, now))
		if next.latest()-at > perWindow {
			carry = 0 // older than the new window
			continue
		}
		c := next.counter(at)
		*c = uint16(min(int64(*c)+carry/to.unit, maxStep))
		carry %= to.unit
	}
	next.setRest(carry)
	*r = next
}

// last is the last instant at which something in a slice may have been counted.
func (r *ring) last(p *plan, slice, now int64) int64 {
	return max(min((slice+1)*p.slice-1, now), slice*p.slice)
}
