package ledger

import "sync/atomic"

// Stats are figures of a ledger, for gauges and counters.
type Stats struct {
	// Keys is how many keys the ledger has seen since New: it keeps about 700 bytes for each.
	Keys int64

	// Leases is how many leases are open. Reserved is how many units the engine knows them to hold: what was granted and
	// not reported as spent or returned. What has been spent since the last report is still in it.
	Leases, Reserved int64

	// Open is how many charges may still be settled, if [Config].SettleWithin is set; else 0. Those that are too old, but
	// of which no call has told yet, are among them.
	Open int64

	// Queue is how many callers wait for the next commit. Owed is how many operations an engine that fails still has to
	// be sent: those of the commit that has no answer, and since then settlements and the ends of leases.
	// They are sent with the next call. So Owed stays above zero after the engine has recovered, until there is one.
	Queue, Owed int64

	// Granted, Spent, Returned and Forgiven are the sums of all events since New: see [Event]. They are kept without
	// Config.Observe as well.
	Granted, Spent, Returned, Forgiven int64
}

// Stats returns the figures of l; of the nil and the zero Ledger they are zero. Each is of some instant within the
// call, so two of them need not fit each other exactly. It takes no lock and looks at no key, so it may be called at
// any time:
//
//	expvar.Publish("ledger", expvar.Func(func() any { return l.Stats() }))
//
// That is why Reserved is as the engine knows it. To see what each lease has spent since, Stats would have to visit all
// leases: with a million of them that takes far more than a metric is worth.
func (l *Ledger) Stats() Stats {
	if l == nil || l.committer == nil {
		return Stats{}
	}
	c := l.committer
	return Stats{
		Keys: l.counters.made.Load(), Leases: l.leases.open.Load(), Reserved: l.leases.reserved.Load(),
		Open:  l.unsettled.open.Load(),
		Queue: c.queued.Load(), Owed: c.owed.Load(),
		Granted: c.sums.granted.Load(), Spent: c.sums.spent.Load(),
		Returned: c.sums.returned.Load(), Forgiven: c.sums.forgiven.Load(),
	}
}

// openLeases sum up the leases of a ledger. They change when a lease has an answer of the engine and when it ends, with
// the turn of its counter in hand.
type openLeases struct{ open, reserved atomic.Int64 }

// opened adds a lease that the engine may know from now on.
func (o *openLeases) opened(s *lease) {
	if !s.reserved {
		s.reserved = true
		o.open.Add(1)
	}
}

// ended removes a lease.
func (o *openLeases) ended(s *lease) {
	o.open.Add(-1)
	o.reserved.Add(-s.unreported())
}

// unitSums add up what all operations of a committer have changed. Only the leader adds.
type unitSums struct{ granted, spent, returned, forgiven atomic.Int64 }

func (s *unitSums) add(u units) {
	s.granted.Add(u.granted)
	s.spent.Add(u.spent)
	s.returned.Add(u.returned)
	s.forgiven.Add(u.forgiven)
}
