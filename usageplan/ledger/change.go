package ledger

import "time"

// Change is an adjustment that was made.
type Change struct {
	// Adjustment is what was asked for. Of SetRemaining, Delta is what it added.
	Adjustment

	// Account is the period that it changed, Time when, in whole seconds.
	Account Account
	Time    time.Time

	// Correction says that it changed what counts as used. Otherwise it changed the adjustments of the limit.
	Correction bool

	// Before is what it changed from. It is Before + Delta since.
	Before int64
}
