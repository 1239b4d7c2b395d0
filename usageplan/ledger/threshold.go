package ledger

import (
	"context"
	"fmt"
	"time"
)

// tell calls OnThreshold, in the background, for the crossings that t shows as not told and that are not being told already.
func (c *cell) tell(day int64, t Totals) {
	if fresh := c.toTell(t); fresh != (Percents{}) {
		c.ledger.background(func() { c.tellNow(fresh, day, t) })
	}
}

// tellNow calls OnThreshold and has the store remember that it did.
func (c *cell) tellNow(fresh Percents, day int64, t Totals) {
	for p := range fresh.All() {
		op := Op{Kind: KindTell, Account: Account{c.key, t.Start}, Day: day, Time: time.Now().Unix(), Want: int64(p)}
		c.ledger.config.OnThreshold(Crossing{
			ID:      fmt.Sprintf("%q %q %d %d%%", c.key.Plan, c.key.Subject, t.Start, p),
			Account: op.Account, Percent: p, Used: t.Used, Held: t.Held, Limit: t.Limit + t.Adjustments,
		})
		// Should this fail, it is tried again; should the process end before, the next ledger tells the crossing again.
		_, _ = c.ledger.group.one(context.Background(), op)
	}
}

func (c *cell) toTell(t Totals) Percents {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tellingOf != t.Start {
		c.tellingOf, c.telling = t.Start, Percents{}
	}
	fresh := t.Crossed.Without(t.Told).Without(c.telling)
	c.telling = c.telling.union(fresh)
	return fresh
}

// Crossing tells that what counts against an account's limit has reached a threshold. With several leased ledgers over one
// store, it may be told as much before usage gets there as the others hold.
type Crossing struct {
	// ID is the same each time this crossing is told: it names account and threshold.
	ID      string
	Account Account
	// Percent is the threshold, in percent of limit and adjustments.
	Percent int
	// Used, Held and Limit (with adjustments) are those of the store's answer that showed the crossing: as a rule at once,
	// after a crash or without OnThreshold later. Used is what counts against the limit; Held is the part of it that
	// ledgers have reserved and not reported as spent, or lost: the request that crossed, and blocks of other ledgers, so
	// at least Used - Held has been used.
	Used, Held, Limit int64
}

// observe tells the crossings that a store's answer shows as not told.
func (c *cell) observe(s *lease, out Outcome) {
	if out.Totals.Crossed != out.Totals.Told && c.ledger.config.OnThreshold != nil {
		c.tell(s.day, out.Totals)
	}
}
