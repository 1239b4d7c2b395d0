package ledger

// notice tells OnLoss if an answer shows that the engine has lost data of the key: the row was born again, it has fewer
// writes than before, or it does not know a lease. A loss is told once, though both its version and an open lease show
// it. The callback runs in the background, as it may use the ledger, and the caller may hold turn.
//
// Answers may arrive here in another order than the engine gave them. An older one tells nothing about the version,
// because the row had fewer writes then without any loss.
//
// Example: the engine is restored from a backup. The row had 40 writes, and the next answer tells 35. That is told, and
// the lease that is open is noted. When this lease is returned, the row does not know it. That is the same loss, so it
// is not told again.
func (c *counter) notice(start int64, a reply, lease uint64) {
	c.mu.Lock()
	lost := a.gone && c.lossToldOf != lease
	if a.order > c.seenIn {
		lost = lost || c.seen.epoch != 0 && (c.seen.epoch != a.version.epoch || c.seen.counter > a.version.counter)
		c.seen, c.seenIn = a.version, a.order
	}
	if s := c.lease.Load(); lost && s != nil {
		c.lossToldOf = s.id
	}
	c.mu.Unlock()
	if told := c.ledger.config.OnLoss; lost && told != nil {
		c.ledger.background(func() { told(Account{c.key, start}) })
	}
}
