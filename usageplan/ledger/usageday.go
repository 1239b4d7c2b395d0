package ledger

import (
	"sync/atomic"
	"time"
)

// usageDay is one day of one account, under one quota. Requests of that day and quota share it.
type usageDay struct {
	// Unix seconds: the account is [start, end), the day [day, dayEnd). With quota, the first cache line: fits needs no
	// more.
	quota                   Quota
	start, end, day, dayEnd int64

	counter *counter

	// answer is the latest that the engine has answered about the account, as far as no lease knows it better: before
	// the first answer about a lease and after the lease's end, and always in exact mode. It may be nil.
	answer atomic.Pointer[baseline]

	// confirmed says that the engine knows this account and day, or newer ones of the key. It does not know one that it
	// has refused as too early, nor one that was only asked about. dayKnown says that it knows at least the day.
	confirmed atomic.Bool
	dayKnown  bool

	// limitChanges is how often this ledger had seen the limit of the key change when it made this value.
	limitChanges int
}

// baseline is what the engine has answered about an account. A balance is made of it and of what a lease has left:
// remaining = room + left, used = used - left.
type baseline struct {
	limit, room, used, adjustments int64

	leases int64         // that are open of the account, those of all ledgers
	order  uint64        // of the engine's answers
	asked  time.Duration // when the engine was asked, since the ledger began
}

// never is a time at which no engine was asked. A baseline that has it refuses nothing.
const never = time.Duration(-1 << 62)

// init sets the bounds for an instant. No account older than newest is opened: if the quota's period begins before, the
// newest account goes on to the end of that period. The same holds for days, where a quota got another location.
func (d *usageDay) init(c *counter, q Quota, now, newest, newestDay int64) {
	t := time.Unix(now, 0)
	start, end := q.Bounds(t)
	day, dayEnd := q.dayOf(t)
	d.counter, d.quota = c, q
	d.start, d.end = max(start.Unix(), newest), end.Unix()
	d.day, d.dayEnd = max(day.Unix(), newestDay), dayEnd.Unix()
	d.dayKnown = d.day == newestDay
	d.confirmed.Store(d.dayKnown && d.start == newest)
}

// fits reports whether d is for an instant under q. Instants before the day fit as well: the clock has stepped back.
func (d *usageDay) fits(now int64, q *Quota) bool { return now < d.dayEnd && d.quota == *q }

// serves is fits for a day that the engine may not know yet. If it has refused the day as too early, the clock may have
// been set right since: then instants before the day do not fit.
func (d *usageDay) serves(now int64, q *Quota) bool {
	return d.fits(now, q) && (now >= d.day || d.dayKnown || d.confirmed.Load())
}

// keep keeps an answer, unless a later one is there already.
func (d *usageDay) keep(b *baseline) {
	for {
		last := d.answer.Load()
		if last != nil && last.order > b.order || d.answer.CompareAndSwap(last, b) {
			return
		}
	}
}

// balanceOf is the balance by an answer of the engine, with left units in a lease. They are counted in the engine, but
// they may still be used: so they count as remaining, and not as used.
func (d *usageDay) balanceOf(b *baseline, left int64) Balance {
	return Balance{
		Limit: b.limit, Adjustments: b.adjustments, Used: b.used - left, Remaining: max(0, b.room+left),
		Start: d.quota.at(d.start), Reset: d.quota.at(d.end),
	}
}

// baseline is what an answer tells of the account under a limit.
func (a *reply) baseline(limit int64) *baseline {
	t := &a.totals
	return &baseline{
		limit: limit, room: limit + t.adjustments - t.used, used: t.used - t.held, adjustments: t.adjustments,
		leases: int64(t.leases), order: a.order, asked: a.asked,
	}
}

// with is the baseline where n units of a lease are left.
func (b *baseline) with(n int64) *baseline {
	moved := *b
	moved.room, moved.used = b.room+n, b.used-n
	return &moved
}
