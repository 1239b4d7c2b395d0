package ledger

import (
	"context"
	"iter"
)

// Kind is what an operation does. The numbers are stored: they never change.
type Kind uint8

// The kinds. "Current" ones belong to the newest period of a key: an engine refuses them as stale on an older account.
const (
	KindRead    Kind = 0  // tells the totals, changes nothing (an entry of this kind records crossings of a changed limit); current
	KindCharge  Kind = 1  // counts Want, at least Min, never past the limit; current
	KindTrueUp  Kind = 2  // counts Want more, or what the limit leaves, for a request admitted earlier, on any account
	KindRefund  Kind = 3  // gives back Want, or what is used, of a request admitted earlier, on any account
	KindReserve Kind = 4  // counts Want, at least Min, past a threshold only Min, as held by a lease, and reports Spent; current
	KindReport  Kind = 5  // tells that of all a lease was granted, Spent was spent; for engines, a Ledger does so with 4 and 6
	KindReturn  Kind = 6  // reports Spent, gives back Want of the rest and ends the lease; what is then left is lost
	KindExtend  Kind = 7  // adds Want, which may be negative, to the limit of the period; current
	KindCorrect Kind = 8  // adds Want, which may be negative, to what counts as used; current
	KindTell    Kind = 9  // records that the crossing of Want percent has been told
	lastKind    Kind = 10 // first invalid one
)

var kindText = [...]string{"read", "charge", "true-up", "refund", "reserve", "report", "return", "extend", "correct", "tell"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k >= lastKind {
		return "invalid"
	}
	return kindText[k]
}

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return k < lastKind }

// Effect returns what an entry of this kind adds to Used and Adjustments of its account.
func (k Kind) Effect(granted int64) (used, adjustments int64) {
	switch k {
	case KindCharge, KindTrueUp, KindReserve, KindCorrect:
		return granted, 0
	case KindRefund, KindReturn:
		return -granted, 0
	case KindExtend:
		return 0, granted
	}
	return 0, 0
}

// Adjusts reports whether k is an extension or a correction, whose IDs their account remembers.
func (k Kind) Adjusts() bool { return k == KindExtend || k == KindCorrect }

func (k Kind) current() bool {
	return k == KindRead || k == KindCharge || k == KindReserve || k.Adjusts()
}

// Op is one conditional change of one account.
type Op struct {
	// ID names the operation; under one ID it is made at most once. Without one it is made each time it is sent.
	ID      string
	Kind    Kind
	Account Account

	// Day is the first second of the usage day, Unix time; of a lease, the day it was opened on.
	Day int64

	// Time is when the ledger made the operation, Unix seconds; for the record.
	Time int64

	// Limit is the quota's limit, without adjustments.
	Limit int64

	// Want is the amount, see the kinds. Min is the least that is of use: if less can be granted, nothing is.
	Want, Min int64

	// InForce says that Limit is the limit that is in force now (true-ups only). A true-up without it is decided by the
	// limit that the account knows: its request may have been admitted long ago.
	InForce bool

	// Force counts Want even past the limit (true-ups only).
	Force bool

	// Lease names the lease of a reserve, report or return; unique over all lives of all ledgers of the store.
	Lease uint64

	// Spent is the sum of what was spent of the lease less what came back into it; it can be negative.
	Spent int64

	// Thresholds are the percentages whose crossing is to be recorded. The engine does not keep the slice.
	Thresholds []int

	// Reason and Actor say why and who, for the record.
	Reason, Actor string
}

// knowsLimit reports whether Limit is that of the present quota.
func (op *Op) knowsLimit() bool { return op.Kind.current() || op.InForce && op.Kind == KindTrueUp }

// Outcome is what became of one [Op].
type Outcome struct {
	// Granted is what was counted, given back or added. Under a repeated ID it is what the first time granted.
	Granted int64

	// Refused: the condition did not hold; nothing was changed, except that a charge, a reservation or a true-up by the
	// limit in force, under a changed limit, records the thresholds which that limit makes usage have reached.
	Refused bool

	// Replayed: the ID had been applied before; nothing was changed.
	Replayed bool

	// Stale: the key has a newer account, or its newest account has a newer day; nothing was changed. Totals are those of
	// the newest account.
	Stale bool

	// Totals are those of the account after the operation.
	Totals Totals

	order uint64 // of the answers that a ledger got
}

// Store keeps accounts. Its contract, most of which package ledgertest executes:
//
//   - Apply makes the operations in order, each wholly or not at all, as [History.Apply] does, and atomically with
//     respect to all other calls, of other processes too. When it returns nil, all is durable.
//   - When it returns an error, each outcome is unknown: any prefix of the operations may have been made, or may yet be.
//     The caller repeats them under the same IDs. The engine never reports nil for what it may lose.
//   - The IDs of extensions and corrections are remembered with their account, at least the last 256, and looked for in the
//     newest two accounts of the key; under such an ID another kind or amount is refused. Other IDs are remembered
//     over at least the last 65 536 operations that carry one and changed something. A refused one is not, so an engine
//     whose transport may deliver a call twice has to recognise copies of refused operations itself: a late copy could be
//     granted when nobody waits for it.
//   - An operation of a current kind is answered Stale if its Account.Start is older than the newest account of the key,
//     or if its Day is older than the newest day of that account, also where Account.Start is newer. So a clock that steps
//     back reopens no period and no day.
//   - Accounts yields the accounts of a key that have a day within [from, to] (Unix seconds, compared with Day), oldest
//     first. A yielded State is the caller's own. An error ends the sequence. The caller may use the store while it iterates.
//   - The engine keeps neither ops nor what it returns.
//   - All methods are safe for concurrent use. Under a context that has ended, Apply makes nothing and returns an error.
//     After Close, Apply and Accounts return errors; another Close returns nil.
//
// An engine may further be a [Recoverer], a [Noter] or an [Auditor].
type Store interface {
	Apply(ctx context.Context, ops []Op) ([]Outcome, error)
	Accounts(ctx context.Context, key Key, from, to int64) iter.Seq2[State, error]
	Close() error
}

// Recoverer is a [Store] that knows what earlier lives of its ledgers left open. New ends those leases and tells those
// crossings.
type Recoverer interface {
	// Leases yields the leases whose ledger is gone for certain.
	Leases(ctx context.Context) iter.Seq2[OldOpenLease, error]

	// Crossings yields the accounts that have crossings not yet told.
	Crossings(ctx context.Context) iter.Seq2[UntoldCrossings, error]
}

// OldOpenLease is a lease that its ledger did not end.
type OldOpenLease struct {
	Account Account
	Lease   Lease

	// Known says that Lease.Spent is exact, not just a lower bound. Then the rest is returned; otherwise it counts against
	// the limit of its period, but not as used.
	Known bool
}

// UntoldCrossings are an account's totals, of which Crossed and Told differ, and its last usage day (first second, Unix
// time).
type UntoldCrossings struct {
	Account Account
	Day     int64
	Totals  Totals
}

// Noter is a [Store] with a place for spends that outlives the process: a crash then wastes nothing of an open lease.
type Noter interface {
	// Slot opens a place for a lease, with nothing spent, before the lease is reserved. It is called concurrently.
	Slot(lease uint64) (OldSlot, error)
}

// Slot keeps one number for one lease. Its methods are not called concurrently.
type OldSlot interface {
	// Note replaces the number. When it returns, the process may be killed and [Recoverer].Leases yields this number.
	Note(spent int64) error

	// Free gives the place back, after the lease has ended.
	Free()
}

// Auditor is a [Store] that can show its entries.
type Auditor interface {
	// Entries yields the entries with a sequence number above after, in order, as far as they have not been compacted.
	Entries(ctx context.Context, after uint64) iter.Seq2[Entry, error]
}

// Entry is a change that was made: the operation (without Thresholds) and what it granted.
type Entry struct {
	// Seq orders the entries; it never repeats.
	Seq uint64
	Op
	// Granted is what the operation counted, gave back or added.
	Granted int64
	// Before is what an extension has changed the adjustments from, or a correction what counts as used; it is now
	// Before + Granted. 0 for other kinds.
	Before int64
	// Crossed are the thresholds that this entry crossed.
	Crossed Percents
}
