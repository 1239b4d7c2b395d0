package ledger

import (
	"context"
	"fmt"
)

// tell calls OnThreshold for the crossings that t shows as not told and that are not being told already, and has the
// store remember that it did.
func (c *cell) tell(s *lease, t Totals) {
	fresh := c.toTell(t)
	if fresh == (Percents{}) {
		return
	}
	c.ledger.background(func() {
		for p := range fresh.All() {
			op := c.op(KindTell, s)
			op.Want, op.Limit = int64(p), t.Limit
			c.ledger.config.OnThreshold(Crossing{
				ID:      fmt.Sprintf("%q %q %d %d%%", c.key.Plan, c.key.Subject, t.Start, p),
				Account: op.Account, Percent: p, Used: t.Used, Limit: t.Limit + t.Adjustments,
			})
			// Should this fail, the next ledger tells the crossing again.
			_, _ = c.ledger.commit(context.Background(), []Op{op})
		}
	})
}

func (c *cell) toTell(t Totals) Percents {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tellingOf != t.Start {
		c.tellingOf, c.telling = t.Start, Percents{}
	}
	fresh := t.Crossed.Without(t.Told).Without(c.telling)
	c.telling = Percents{c.telling[0] | fresh[0], c.telling[1] | fresh[1]}
	return fresh
}
