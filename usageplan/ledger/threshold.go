package ledger

import (
	"context"
	"fmt"
	"time"
)

// observe takes in what an answer tells beyond its own operation: that the engine knows the day, and the crossings that
// are not told yet.
func (c *counter) observe(d *usageDay, a reply) {
	if !d.confirmed.Load() && a.totals.start >= d.start && a.totals.day >= d.day {
		d.confirmed.Store(true)
	}
	if a.totals.crossed == a.totals.told || c.ledger.config.OnThreshold == nil {
		return
	}
	if fresh := c.toTell(a.totals); fresh != (percents{}) {
		totals := a.totals // so that a does not escape, in all the calls that have nothing to tell
		c.ledger.background(func() { c.tellNow(fresh, totals) })
	}
}

// tellNow calls OnThreshold and has the engine remember that it did.
func (c *counter) tellNow(fresh percents, t totals) {
	for p := range fresh.all() {
		o := op{
			kind: tell, account: Account{c.key, t.start}, day: t.day, time: time.Now().Unix(), want: int64(p),
			trace: &c.trace,
		}
		c.ledger.config.OnThreshold(Crossing{
			ID:      fmt.Sprintf("%q %q %d %d%%", c.key.Plan, c.key.Subject, t.start, p),
			Account: o.account, Percent: p, Used: t.used, Held: t.held, Limit: t.limit + t.adjustments,
		})
		// If this fails, it is tried again. If the process ends before, the next ledger tells the crossing again.
		_, _ = c.ledger.committer.one(context.Background(), o)
	}
}

// toTell returns the crossings that t shows as not told and that are not being told already. Each is returned once, so
// that requests which see the same untold crossing at once do not all tell it.
func (c *counter) toTell(t totals) percents {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tellingOf != t.start {
		c.tellingOf, c.telling = t.start, percents{}
	}
	fresh := t.crossed.without(t.told).without(c.telling)
	c.telling = c.telling.union(fresh)
	return fresh
}

// Crossing tells that what counts against an account's limit has reached a threshold. With several leased ledgers over
// one engine, it may be told as much before usage gets there as the others hold.
type Crossing struct {
	// ID is the same each time this crossing is told: it names account and threshold.
	ID      string
	Account Account
	// Percent is the threshold, in percent of limit and adjustments.
	Percent int
	// Used, Held and Limit (with adjustments) are those of the engine's answer that showed the crossing: usually at
	// once, after a crash or without OnThreshold later. Used is what counts against the limit; Held is the part of it
	// that ledgers have reserved and not reported as spent, or lost: the request that crossed, and blocks of other
	// ledgers, so at least Used - Held has been used.
	Used, Held, Limit int64
}
