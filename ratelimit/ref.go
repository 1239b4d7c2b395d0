package ratelimit

import "time"

// A Ref names one bucket: a [Bucket], or the bucket of one key of a [Limiter]. It is a small value, made without
// allocation, and may be used for any number of calls, by any goroutine. The zero Ref refuses.
type Ref struct {
	bucket      *Bucket // nil if keyed is not
	keyed       *keyed
	fingerprint fingerprint // of the key
}

// Ref names b, for [TakeAll] and for takes that may be undone.
func (b *Bucket) Ref() Ref { return Ref{bucket: b} }

// Ref names the key's bucket, for [TakeAll] and for takes that may be undone.
func (l *Limiter[K]) Ref(key K) Ref {
	if !l.configured() {
		return Ref{}
	}
	return Ref{keyed: l.keyed, fingerprint: l.fingerprint(key)}
}

// Take is [Bucket.Take] or [Limiter.Take]. It returns a receipt, by which the take can be undone.
func (r Ref) Take(n int64) Receipt { return Receipt{r, taken{r.take(r.now(), n), n}} }

// Peek is [Bucket.Peek] or [Limiter.Peek].
func (r Ref) Peek() (d Decision) {
	now := r.now()
	o := r.look(now, 1)
	if o.verdict == retry {
		o = r.keyed.lookSlow(now, r.fingerprint, 1)
	}
	o.fill(1, &d)
	return d
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

func (r Ref) now() int64 { return int64(time.Since(r.epoch())) }

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
