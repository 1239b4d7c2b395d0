package ledger

import "time"

// A key that is exhausted is refused from memory until something can have changed. What this ledger changes comes with
// an answer of the engine, which replaces the one that refused. What others change counts once that is older than
// Config.Stale. A clock that reaches the next day or period, and another quota, have another usageDay.

// isFresh reports whether b may refuse: it is young, and the engine owes no answer that would replace it.
func (l *Ledger) isFresh(b *baseline) bool {
	return time.Since(l.began)-b.asked <= l.config.Stale && b.order > l.committer.unanswered.Load()
}

// refusal returns an error if memory tells that d has no room for cost. It is for exact mode.
func (c *counter) refusal(d *usageDay, cost int64) error {
	b := d.answer.Load()
	if b == nil || b.room >= cost || b.limit != d.quota.Limit || !c.ledger.isFresh(b) {
		return nil
	}
	return &Error{Err: ErrExhausted, Balance: d.balanceOf(b, 0)}
}

// refusal returns an error if memory tells that neither s nor the engine has enough left for cost. For example, with 3
// units left in the lease and 4 in the engine, a cost of 8 is refused, and one of 7 is not.
func (s *lease) refusal(cost int64) error {
	b, left := s.base.Load(), s.left.Load()
	if b == nil || left < 0 || b.room+left >= cost || s.base.Load() != b || !s.counter.ledger.isFresh(b) {
		return nil
	}
	return &Error{Err: ErrExhausted, Balance: s.balanceOf(b, left)}
}

// tooEarly is the error of a caller whose period the engine has refused to begin.
func tooEarly() error { return &Error{Err: ErrUnavailable, Cause: errEarly} }
