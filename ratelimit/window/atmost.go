package window

import (
	"errors"
	"fmt"
	"time"
)

// The domain of an [AtMost].
const (
	maxLimit  = 1 << 31          // so that a count of Limit and more fits in what a ring holds, see plan
	minWindow = time.Millisecond // so that the number of a slice fits in 48 bits for centuries, see ring
	maxWindow = 1 << 60          // 36.5 years
)

// AtMost is a limit by count: never more than Limit within any span of Window, wherever the span begins. The zero
// AtMost is invalid.
//
// A place that was taken comes free between Window and Window × 16/15 later. So at a steady pace a key gets at least
// 15/16 of Limit in each Window, and after a pause of Window × 16/15 it gets all of Limit at once.
type AtMost struct {
	// Limit is how many a key gets within Window: 1 to 2^31.
	Limit int64
	// Window is 1 ms to 2^60 ns (36.5 years).
	Window time.Duration
}

// validate reports every mistake in a.
func (a AtMost) validate() error {
	var errs []error
	if a.Limit < 1 || a.Limit > maxLimit {
		errs = append(errs, fmt.Errorf("window: Limit %d is not within 1 to 2^31", a.Limit))
	}
	if a.Window < minWindow || a.Window > maxWindow {
		errs = append(errs, fmt.Errorf("window: Window %v is not within 1ms to 36.5 years", a.Window))
	}
	return errors.Join(errs...)
}

// A plan is a limit in the terms of a [ring]: slices of a window, and counters of 16 bits.
type plan struct {
	limit AtMost
	// slice is the length of a slice in nanoseconds, rounded up: perWindow × slice ≥ Window.
	slice int64
	// unit is how many one step of a counter stands for, 1 up to a limit of 65 535. A full counter stands
	// for the limit or more: 65 535 × unit ≥ Limit.
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
		slice: (int64(a.Window) + perWindow - 1) / perWindow,
		unit:  (a.Limit + maxStep - 1) / maxStep,
	}
}

// at is the number of the slice that holds an instant.
func (p *plan) at(now int64) int64 { return now / p.slice }

// expiry is the instant from which a slice does not count any more: even its last nanosecond is then more than Window
// old.
func (p *plan) expiry(slice int64) int64 { return (slice + counters) * p.slice }
