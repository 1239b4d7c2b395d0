package ledger

// kind is what an operation does. The numbers are stored with adjustments: they never change.
type kind uint8

// The kinds. A "current" one belongs to the newest period of its key: on an older one it is stale.
const (
	read         kind = iota // tells the totals, changes nothing; current
	charge                   // counts want, at least min, never past the limit; current
	trueUp                   // counts want more, or what is left, for a request admitted earlier, on any account
	refund                   // gives back want, or what is used, of a request admitted earlier, on any account
	reserve                  // holds want, at least min, past a threshold only need, for a lease; reports spent; current
	giveBack                 // reports spent, gives back want of the rest and ends the lease; what is then left is lost
	extend                   // adds want, which may be negative, to the limit of the period; current
	correct                  // adds want, which may be negative, to what counts as used; current
	setRemaining             // adds to the limit of the period so much that want remains; current
	tell                     // records that the crossing of want percent has been told
	grow                     // counts want more for a request admitted earlier, all or nothing, on any account
)

// current reports whether k belongs to the newest account.
func (k kind) current() bool {
	return k == read || k == charge || k == reserve || k.adjusts()
}

// adjusts reports whether k is an adjustment. Those are recognised by their own ids.
func (k kind) adjusts() bool { return k == extend || k == correct || k == setRemaining }

// sequenced reports whether k is recognised by the number of its batch. The other kinds may be repeated as they are.
func (k kind) sequenced() bool {
	return k == charge || k == trueUp || k == grow || k == refund || k == reserve || k == giveBack
}

// op is one conditional change of one account.
type op struct {
	kind    kind
	account Account

	// day is the first second of the usage day, Unix time; of a lease, the day it was opened on. time is when the
	// ledger made the operation, Unix seconds. limit is the quota's, without adjustments.
	day, time, limit int64

	// want is the amount, see the kinds. min is the least that is of use: if less can be granted, nothing is. need is
	// what a request waits for: a reservation goes past a threshold for that, and for min, but not for more.
	want, min, need int64

	// inForce says that limit is the limit that is in force now (true-ups and growth only). Without it, they are decided
	// by the limit that the account knows: their request may have been admitted long ago.
	inForce bool

	// force counts want even past the limit (true-ups only).
	force bool

	// lease names the lease of a reserve or giveBack. It is unique over all lives of all ledgers of the engine. spent
	// is what was spent of it less what came back into it; it can be negative. held is what the ledger knows that the
	// lease was granted so far: if the row knows less, the engine has lost data. reported is the last spent that the
	// engine has answered; it is for events alone.
	lease                 uint64
	spent, held, reported int64

	// id names an adjustment; reason and actor say why and who.
	id, reason, actor string

	// trace is what the ledger knows of the key's row; nil if it knows nothing.
	trace *trace

	// thresholds are the percentages whose crossing is to be recorded. The slice is not kept.
	thresholds []int
}

// knowsLimit reports whether limit is that of the present quota.
func (o *op) knowsLimit() bool {
	return o.kind.current() || o.inForce && (o.kind == trueUp || o.kind == grow)
}

// batch is what one commit of one ledger life makes.
type batch struct {
	ops []op

	// number rises in the order in which batches are sent. A batch is sent again, after an error, only if no other has
	// been sent since: with repeat set, under the same number, and with the same sequenced operations in the same
	// order. Operations of other kinds may be left out of it.
	number uint64
	repeat bool
}

// outcome is what became of one op.
type outcome struct {
	// granted is what was counted, given back or added. A repeated operation tells what the first time granted. Of a
	// lease that is gone it is what the row knows to have been granted.
	granted int64

	// refused: the condition did not hold. Nothing was changed, except that a charge, a reservation, or a true-up or growth
	// by the limit in force, under a changed limit, records the thresholds which that limit makes usage have reached.
	refused bool

	// replayed: it had been made before, by this batch or under this id. Nothing was changed.
	replayed bool

	// stale: the key has a newer account, or its newest account has a newer day. Nothing was changed. The totals are
	// those of the newest account.
	stale bool

	// gone: the row does not know the lease, or knows of fewer units than op.held. Nothing was changed.
	gone bool

	// forgotten: a repeated operation of which nobody knows any more whether it has been made. It has not been made
	// now.
	forgotten bool

	// early: the account would begin in the future, by the engine's [Clock]. Nothing was changed.
	early bool

	// lost: the row shows that the engine has lost a write that the ledger knew of. Of the batch's operations on the
	// key, one has it set. It says nothing about whether that operation was made.
	lost bool

	// totals are those of the account after the operation; only start and limit are set if there is none.
	totals totals
}

// version tells a row that has lost changes from one that has not: its counter went back, or it was born again.
type version struct {
	epoch   uint64 // random at the row's birth
	counter uint64 // rises with each write
}

// totals sum up an account.
type totals struct {
	// start is the account's, Unix seconds. day is the first second of its newest usage day, 0 if nothing has been
	// counted.
	start, day int64

	// limit is the quota's at the last change, adjustments the sum of the extensions.
	limit, adjustments int64

	// used counts against the limit: what was charged and what leases hold. held is the part of it that has not been
	// reported as spent: open leases, and what leases lost.
	used, held int64

	// crossed are the thresholds that usage has reached, told those whose crossing has been told.
	crossed, told percents

	// leases is how many are open.
	leases int
}

// dayTotals are the part of an account's totals that belongs to one usage day.
type dayTotals struct {
	// day is the day's first second, Unix time. limit is the quota's at the last change of that day.
	day, limit int64

	// adjustments, used and held are as in totals, of this day alone.
	adjustments, used, held int64
}

// accountDays are an account and its days, ascending.
type accountDays struct {
	totals
	days []dayTotals
}

// reaches reports whether a was used within [from, to], or both before and after.
func (a *accountDays) reaches(from, to int64) bool {
	return len(a.days) > 0 && a.days[0].day <= to && a.days[len(a.days)-1].day >= from
}

// untoldCrossing is an account of which crossed and told differ.
type untoldCrossing struct {
	account Account
	totals  totals
}
