package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Never is the RetryAfter of a refusal that no wait lifts, and the ResetAfter of a bucket that never fills again.
const Never time.Duration = math.MaxInt64

// The domain of a [Limit].
const (
	// maxBurst bounds what a full bucket holds, in the units of its segment. A token is one unit or more, so it also
	// bounds Burst. If a token is more than one unit and the rate is not exact, the bucket gains at most one unit in a
	// nanosecond, so a bucket that fills within 2^60 ns holds no more than 2^60 units.
	maxBurst = 1 << 60
	maxRate  = 1 << 40 // tokens per second, about 1.1e12
)

// Limit is a token bucket's rate and capacity: it admits, over any window of length Δ, at most Burst + Rate×Δ tokens.
//
// The zero Limit is invalid, so that a forgotten limit is a mistake and not an open door.
type Limit struct {
	// Rate is how many tokens flow back in one second. Fractions are legal: 0.1 is one token every ten seconds.
	// Zero refills nothing, so Burst tokens are all there ever is. math.Inf(1) limits nothing.
	//
	// Usual rates are counted exactly, among them 1 to 16, 20, 25, 50, 100 and 1000 a second, and 7.0/3600. In general,
	// a Rate is exact if it is the float64 nearest to a/b tokens per nanosecond for whole numbers a ≤ 16 and b, and if
	// Burst×b is at most 2^60. Any other Rate is rounded down, by less than one part in 2^63.
	Rate float64
	// Burst is the bucket's capacity in tokens, at least 1. It is not looked at if Rate is infinite.
	Burst int64
}

// Validate reports every mistake in l. A limit is refused if Rate is NaN, negative, or finite and above 2^40; if Burst
// is below 1 or above 2^60; or if an empty bucket would take longer than 2^60 ns (36.5 years) to fill.
func (l Limit) Validate() error {
	var errs []error
	if math.IsInf(l.Rate, 1) {
		return nil
	}
	if !(l.Rate >= 0 && l.Rate <= maxRate) { // NaN fails every comparison
		errs = append(errs, fmt.Errorf("ratelimit: rate %v is not within 0 to 2^40 tokens per second, nor infinite", l.Rate))
	}
	if l.Burst < 1 || l.Burst > maxBurst {
		errs = append(errs, fmt.Errorf("ratelimit: burst %d is not within 1 to 2^60 tokens", l.Burst))
	}
	if errs == nil && l.Rate > 0 && float64(l.Burst)/l.Rate*1e9 > maxBurst {
		errs = append(errs, fmt.Errorf("ratelimit: burst %d takes longer than 36.5 years to fill at %v tokens per second", l.Burst, l.Rate))
	}
	return errors.Join(errs...)
}

// Decision is a bucket's answer to one call, and what it held at that moment.
type Decision struct {
	// OK reports whether the tokens were taken.
	OK bool
	// Limit is the bucket's capacity, and Remaining the whole tokens in it after the call; both in tokens. They are
	// math.MaxInt64 if the rate is infinite.
	Limit, Remaining int64
	// RetryAfter is zero if OK; otherwise the shortest wait after which the same call can succeed, or [Never].
	RetryAfter time.Duration
	// ResetAfter is the time until the bucket is full, or [Never].
	ResetAfter time.Duration
}
