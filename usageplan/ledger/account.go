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
		return fmt.Errorf("%w: plan of %d bytes, subject of %d: each needs 1 to %d", errKey, len(k.Plan), len(k.Subject), maxText)
	}
	return nil
}

// Account is one period of a key: what a quota limits. Accounts of one key that begin at the same second are the same
// account, whatever their quotas: a quota that is changed within a period goes on with what has been used.
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
