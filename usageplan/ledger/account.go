package ledger

import (
	"fmt"
	"time"
)

// maxText bounds each text that an entry keeps, in bytes.
const maxText = 512

// Key names who is counted: a subject (an API key, a customer) under a plan. Neither part may be empty or longer than
// 512 bytes.
type Key struct{ Plan, Subject string }

func (k Key) validate() error {
	if k.Plan == "" || k.Subject == "" || len(k.Plan) > maxText || len(k.Subject) > maxText {
		return fmt.Errorf("%w: plan of %d bytes, subject of %d: each needs 1 to %d", ErrKey, len(k.Plan), len(k.Subject), maxText)
	}
	return nil
}

// Account is one period of a key: what a quota limits.
type Account struct {
	Key

	// Start is the first second of the period, Unix time.
	Start int64
}

// Balance is the state of an account at one instant.
type Balance struct {
	// Limit is the quota's, Adjustments the sum of the extensions of this period.
	Limit, Adjustments int64

	// Used is what requests and corrections have counted.
	Used int64

	// Remaining is what may still be used, never below zero. It is Limit + Adjustments - Used, less what other ledgers
	// hold in leases and what leases lost in a power failure.
	Remaining int64

	// Start and Reset bound the period, half open: at Reset the next one starts.
	Start, Reset time.Time
}

// Adjustment changes an account by hand.
type Adjustment struct {
	// ID names the operation: applied again under the same ID, within the same or the next period, it changes nothing;
	// another adjustment (Extend for Correct, or another Delta) under it is refused with [ErrAdjustment].
	// "" takes a fresh one. Give one if you mean to retry. At most 512 bytes.
	ID string

	// Delta is added, up to [MaxUnits] either way.
	Delta int64

	// Reason and Actor are kept with the entry: why, and who. At most 512 bytes each.
	Reason, Actor string
}

func (a Adjustment) validate() error {
	if a.Delta < -MaxUnits || a.Delta > MaxUnits {
		return fmt.Errorf("%w: a delta of %d is not within -2^53 and 2^53", ErrAdjustment, a.Delta)
	}
	if len(a.ID) > maxText || len(a.Reason) > maxText || len(a.Actor) > maxText {
		return fmt.Errorf("%w: id, reason and actor may have %d bytes each", ErrAdjustment, maxText)
	}
	return nil
}

// Day is the usage of one calendar day, the pair of API Gateway's GetUsage.
type Day struct {
	// Start is the first instant of the day in the quota's location.
	Start time.Time

	// Used is what was counted that day; a correction or a late refund can make it negative.
	Used int64

	// Remaining is what was left of the period at the end of that day (now, if it has not ended), never below zero.
	Remaining int64
}

// Crossing tells that what counts against an account's limit has reached a threshold. With several leased ledgers over one
// store, it may be told as much before usage gets there as the others hold.
type Crossing struct {
	// ID is the same each time this crossing is told: it names account and threshold.
	ID      string
	Account Account
	// Percent is the threshold, in percent of limit and adjustments.
	Percent int
	// Used and Limit (with adjustments) are those at the crossing. Used is what counts against the limit; Held is the part of
	// it that ledgers have reserved and not reported as spent: the request that crossed, and blocks of other ledgers, so at
	// least Used - Held has been used.
	Used, Held, Limit int64
}
