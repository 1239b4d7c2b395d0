package window

import (
	"errors"
	"fmt"
	"time"
)

// The domain of an [AtMost].
const (
	maxN = 1 << 31          // so that a count of N and more fits in what a ring holds, see plan
	minW = time.Millisecond // so that the number of a slice fits in 48 bits for centuries, see ring
	maxW = 1 << 60          // 36.5 years
)

// AtMost is a limit by count: never more than N within any window of length W, wherever the window begins.
//
// A place that was taken comes free between W and W × 16/15 later, so at a steady pace a key gets at least 15/16 of N in
// each W, and after a pause of W × 16/15 all of N at once. The zero AtMost is invalid.
type AtMost struct {
	// N is 1 to 2^31.
	N int64
	// W is 1 ms to 2^60 ns (36.5 years).
	W time.Duration
}

// Validate reports every mistake in a.
func (a AtMost) Validate() error {
	var errs []error
	if a.N < 1 || a.N > maxN {
		errs = append(errs, fmt.Errorf("window: N %d is not within 1 to 2^31", a.N))
	}
	if a.W < minW || a.W > maxW {
		errs = append(errs, fmt.Errorf("window: W %v is not within 1ms to 36.5 years", a.W))
	}
	return errors.Join(errs...)
}

// A plan is a limit in the terms of a [ring]: slices of a window, and counters of 16 bits.
type plan struct {
	limit AtMost
	// slice is the length of a slice in nanoseconds, rounded up: perWindow × slice ≥ W.
	slice int64
	// unit is how many one step of a counter stands for, 1 up to N = 65 535. A full counter stands for N or more:
	// 65 535 × unit ≥ N.
	unit int64
}

const (
	perWindow = 15            // slices
	counters  = perWindow + 1 // of a ring: for a window that ends within a slice
	maxStep   = 1<<16 - 1
)

// newPlan expects a valid limit.
func newPlan(a AtMost) *plan {
	return &plan{
		limit: a,
		slice: (int64(a.W) + perWindow - 1) / perWindow,
		unit:  (a.N + maxStep - 1) / maxStep,
	}
}

// at is the number of the slice that holds an instant.
func (p *plan) at(now int64) int64 { return now / p.slice }

// expiry is the instant from which a slice does not count any more: it is then more than W old, to its last nanosecond.
func (p *plan) expiry(slice int64) int64 { return (slice + counters) * p.slice }
