package past

// Account is what an earlier format kept of one period of a key. No lease of it is open any more. Times are in Unix
// seconds.
type Account struct {
	Plan, Subject string
	Start         int64

	// Limit is the quota's at the last change.
	Limit int64

	// Crossed are the thresholds that usage has reached, Told those whose crossing has been told: bit n%64 of word n/64
	// stands for n percent.
	Crossed, Told [2]uint64

	// Days are ascending. The account's sums are theirs.
	Days []Day

	// Changes are the adjustments, oldest first.
	Changes []Change
}

// Day is the part of an account that was counted on one usage day.
type Day struct {
	// Day is its first second. Limit is the quota's at the last change of the day.
	Day, Limit int64

	// Adjustments is the sum of the extensions. Used counts against the limit; Held is the part of it of which nobody
	// knows whether it was spent.
	Adjustments, Used, Held int64
}

// Change is an adjustment.
type Change struct {
	ID, Reason, Actor string

	Time          int64
	Delta, Before int64

	// Correction says that it changed what counts as used. Otherwise it changed the adjustments of the limit.
	Correction bool
}

// Rows returns the rows of one key, by their keys in the engine. The accounts are all that the key has, in ascending
// order, and at least one. Package ledger sets Rows.
var Rows func(accounts []Account) (map[string][]byte, error)
