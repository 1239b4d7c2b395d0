package ratelimit

import "time"

// A Ref names one bucket: a [Bucket], or the bucket of one key of a [Limiter]. It is a small value, made without
// allocation, and may be used for any number of calls, by any goroutine. The zero Ref refuses.
//
// Its methods are told the time, which is usually time.Now. An instant is measured from the making of the bucket or
// limiter, on the monotonic clock if it carries a reading of it. Instants may come in any order: an earlier one never
// gains a token, and one from before the making finds the bucket as it was made. A simulation may thus run through any
// instants from then on.
type Ref struct {
	bucket      *Bucket // nil if keyed is not
	keyed       *keyed
	fingerprint fingerprint // of the key
}

// Ref names b, for [TakeAll], for takes that may be undone, and for a given time.
func (b *Bucket) Ref() Ref { return Ref{bucket: b} }

// Ref names the key's bucket, for [TakeAll], for takes that may be undone, and for a given time.
func (l *Limiter[K]) Ref(key K) Ref {
	if !l.configured() {
		return Ref{}
	}
	return Ref{keyed: l.keyed, fingerprint: l.fingerprint(key)}
}

// Take is [Bucket.Take] or [Limiter.Take] at the instant t. It returns a receipt, by which the take can be undone. Do
// not undo a take of a simulation: [Receipt.Undo] reads the clock.
func (r Ref) Take(t time.Time, n int64) Receipt {
	return Receipt{r, taken{r.take(r.since(t), n), n}}
}

// Peek is [Bucket.Peek] or [Limiter.Peek] at the instant t.
func (r Ref) Peek(t time.Time) Decision { return r.peek(r.since(t)) }

func (r Ref) peek(now int64) (d Decision) {
	o := r.look(now, 1)
	if o.verdict == retry {
		o = r.keyed.lookSlow(now, r.fingerprint, 1)
	}
	o.fill(1, &d)
	return d
}

// epoch is the making of the bucket or limiter, from which instants are counted. The zero Ref has none, and refuses at
// any instant.
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

func (r Ref) now() int64 { return int64(time.Since(r.epoch())) }

func (r *Ref) since(t time.Time) int64 { return int64(t.Sub(r.epoch())) }

func (r *Ref) take(now, n int64) outcome {
	if r.keyed != nil {
		return r.keyed.take(now, r.fingerprint, n)
	}
	return r.bucket.take(now, n)
}

// look has the verdict retry if it cannot answer without a mutex, which happens only for a key of a Limiter.
func (r *Ref) look(now, n int64) outcome {
	if r.keyed != nil {
		return r.keyed.look(now, r.fingerprint, n)
	}
	return r.bucket.look(now, n)
}
