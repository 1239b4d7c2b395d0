package ledger

import "slices"

// maxUsed bounds what forced true-ups add up to, so that sums stay far from overflow.
const maxUsed = 1 << 60

// thresholdAt is the smallest usage that is p percent of limit: p*limit/100, rounded up. The product is below 2^61. For
// example, 50 percent of 3 is 2: with 1 used, less than half is used.
func thresholdAt(p int, limit int64) int64 { return (int64(p)*max(limit, 0) + 99) / 100 }

// begins reports whether o would begin an account: the key has none that is as new.
func (r *record) begins(o *op) bool {
	newest := r.newest()
	return newest == nil || newest.start < o.account.Start
}

// apply decides on o and makes the change; changed is false if there is none. An adjustment whose id has been used is
// not for it. It looks at nothing but the record and o. So an engine may have it called again with the row as another
// process has left it.
func (r *record) apply(o *op) (out outcome, changed bool) {
	if newest := r.newest(); newest != nil && o.kind.current() && newest.isAfter(o) {
		return outcome{stale: true, totals: newest.sum()}, false
	}
	s := r.find(o.account.Start)
	if s == nil {
		return r.begin(o)
	}
	return s.apply(o)
}

// begin makes o where its account is not kept. An account begins with the first operation that counts or adjusts
// something in it, if it is newer than all others. An older one that nobody knows is not made again.
func (r *record) begin(o *op) (out outcome, changed bool) {
	s := state{totals: totals{start: o.account.Start, limit: o.limit}, whole: true}
	switch {
	case o.kind == read:
		return outcome{totals: s.totals}, false
	case o.held > 0 || o.kind == giveBack || o.kind == refund || o.kind == tell || !r.begins(o):
		return outcome{refused: o.held == 0, gone: o.held > 0, totals: s.totals}, false
	}
	out, changed = s.apply(o)
	if changed {
		r.states = append(r.states, s)
	}
	return out, changed
}

// isAfter reports whether s is of a newer period than o, or has a newer day. The day counts also if o would begin an
// account: a quota whose period became shorter begins one within the period of s.
//
// Example: a monthly quota is made a daily one on the 10th. The account of the 1st was used on the 10th. A ledger whose
// clock is a day behind would begin an account of the 9th. It is stale, because that day is over.
func (s *state) isAfter(o *op) bool {
	return s.start > o.account.Start || len(s.days) > 0 && s.day > o.day
}

// apply decides on o in its account and makes the change. First it looks whether the account still knows the lease,
// with all that the ledger was granted: otherwise the engine has lost data, and a decision would count from too little.
// A refused operation may change the account too, see meetsLimit.
func (s *state) apply(o *op) (out outcome, changed bool) {
	if o.held > 0 {
		switch l := s.lease(o.lease); {
		case l == nil:
			return outcome{gone: true, totals: s.sum()}, false
		case l.granted < o.held:
			return outcome{gone: true, granted: l.granted, totals: s.sum()}, false
		}
	}
	before := s.adjusted(o.kind)
	out.granted, changed = s.decide(o)
	switch {
	case changed:
		s.effect(o, out.granted)
		s.cross(o)
		if o.kind.adjusts() {
			s.remember(o, out.granted, before)
		}
	case o.kind != read:
		out = outcome{refused: true}
		changed = s.meetsLimit(o)
	}
	out.totals = s.sum()
	return out, changed
}

// adjusted is what an adjustment changes.
func (s *state) adjusted(k kind) int64 {
	switch k {
	case extend, setRemaining:
		return s.adjustments
	case correct:
		return s.used - s.held
	}
	return 0
}

// decide returns what o may have of s; ok is false if it is refused. It changes nothing. A refund, and the return of a
// lease that s knows, are granted as much as there is to give back, even if that is 0: what they say has happened.
func (s *state) decide(o *op) (granted int64, ok bool) {
	switch o.kind {
	case charge, trueUp, grow:
		return s.grant(o, o.want)
	case reserve:
		return s.grant(o, max(o.min, o.need, min(o.want, s.toThreshold(o))))
	case refund: // what a correction has already taken off cannot be given back
		return max(0, min(o.want, s.used-s.held)), true
	case giveBack:
		l := s.lease(o.lease)
		if l == nil {
			return 0, false
		}
		return max(0, min(o.want, l.granted-o.spent)), true
	case extend:
		return s.extension(o.want)
	case setRemaining: // open leases count as used
		return s.extension(o.want - (o.limit + s.adjustments - s.used))
	case correct:
		return o.want, s.used-s.held+o.want >= 0 && s.used+o.want <= MaxUnits
	case tell:
		return o.want, s.crossed.has(int(o.want)) && !s.told.has(int(o.want))
	}
	return 0, false
}

// extension returns n if the adjustments may become that much more.
//
// Example for setRemaining: of a limit of 100, with 30 used and 20 held by leases, 50 remain. To leave 10, the
// extension is 10 - 50 = -40. A second call that comes after it finds 10, and extends by 0. So each of many leaves 10.
func (s *state) extension(n int64) (int64, bool) {
	total := s.adjustments + n
	return n, -MaxUnits <= total && total <= MaxUnits
}

// grant returns want if there is room for it, or what room there is if that is enough for o.
//
// Example: a reservation wants 64 and needs at least 3. With a room of 100 it gets 64; with 5 it gets 5; with 2 it is
// refused. A charge of [Ledger.Take] needs all it wants, so it never gets a part.
func (s *state) grant(o *op, want int64) (int64, bool) {
	limit := o.limit
	if !o.knowsLimit() && len(s.days) > 0 {
		limit = s.limit // o knows only that of the time when its request was admitted
	}
	room := limit + s.adjustments - s.used
	switch {
	case want <= 0:
		return 0, false
	case o.force && s.used < maxUsed, want <= room:
		return want, true
	case room > 0 && o.min <= room:
		return room, true
	}
	return 0, false
}

// toThreshold is how much may be reserved before the unit that crosses the next threshold: that one is only taken by
// who needs it, so that a crossing is recorded when it happens, not when a block is reserved.
//
// Example: of a limit of 100, 30 are used, and the next threshold is 50. A block has at most 19 units. The 50th is
// reserved by the request that needs it.
func (s *state) toThreshold(o *op) int64 {
	most := int64(MaxUnits)
	for _, p := range o.thresholds {
		if at := thresholdAt(p, o.limit+s.adjustments); at > s.used {
			most = min(most, at-1-s.used)
		}
	}
	return most
}

// effect makes a change that has been decided. What it counts in the account, it counts on the day of o as well, so the
// sums of the days are those of the account.
func (s *state) effect(o *op, granted int64) {
	d := s.on(o.day)
	s.settleDay()
	if o.knowsLimit() { // the others know only the limit of the time when their request was admitted
		s.limit = o.limit
	}
	if o.knowsLimit() && o.day == s.day || d.limit == 0 { // a day that is over keeps its limit
		d.limit = s.limit
	}
	switch o.kind {
	case charge, trueUp, grow, correct:
		s.used += granted
		d.used += granted
	case refund:
		s.used -= granted
		d.used -= granted
	case extend, setRemaining:
		s.adjustments += granted
		d.adjustments += granted
	case reserve:
		l := s.openLease(o)
		l.granted += granted
		s.hold(d, granted)
		s.report(d, l, o.spent)
	case giveBack:
		l, spent := s.lease(o.lease), o.spent
		if o.want == 0 { // only a lower bound, and what was reported is one too
			spent = max(spent, l.spent)
		}
		s.report(d, l, spent)
		s.hold(d, -granted)
		s.open = slices.DeleteFunc(s.open, func(l leased) bool { return l.id == o.lease })
	case tell:
		s.told = s.told.with(int(granted))
	}
}

// openLease returns the lease of o, which it opens if need be, and makes it the last. The first beyond maxLeases is
// forgotten: what it holds stays counted. That is the one that has reported nothing for the longest time. For example,
// a process that crashes and starts again 256 times leaves as many leases. Another process, which works all that time,
// keeps its own.
func (s *state) openLease(o *op) *leased {
	l := leased{id: o.lease, day: o.day}
	if i := slices.IndexFunc(s.open, func(l leased) bool { return l.id == o.lease }); i >= 0 {
		l = s.open[i]
		s.open = slices.Delete(s.open, i, i+1)
	}
	if len(s.open) >= maxLeases {
		s.open = slices.Delete(s.open, 0, len(s.open)-maxLeases+1)
	}
	s.open = append(s.open, l)
	return &s.open[len(s.open)-1]
}

// hold counts n units of a lease. They count as used, and as held until they are reported as spent.
func (s *state) hold(d *dayTotals, n int64) {
	s.used += n
	s.held += n
	d.used += n
	d.held += n
}

// report takes in what has been spent of a lease so far. Used stays as it is, since all of the lease is counted. For
// example, a lease of 64 units reports 40 and later 50: held goes down by 40 and then by 10. Where a settlement has put
// units back into the lease, it may report less than before, and held goes up.
func (s *state) report(d *dayTotals, l *leased, spent int64) {
	n := spent - l.spent
	l.spent = spent
	s.held -= n
	d.held -= n
}

// cross adds the thresholds that usage has reached to crossed, and reports whether there are new ones.
func (s *state) cross(o *op) bool {
	before, limit := s.crossed, s.limit+s.adjustments
	for _, p := range o.thresholds {
		if at := thresholdAt(p, limit); at > 0 && s.used >= at {
			s.crossed = s.crossed.with(p)
		}
	}
	return s.crossed != before
}

// meetsLimit records the crossings that a lower limit makes of what has been used already, when an operation is refused
// for it. It reports whether there are any; otherwise nothing changes, the limit included.
//
// Example: of a limit of 100, 60 are used, and 50 percent has been crossed. The quota becomes 70, and a charge of 20 is
// refused. The 60 are more than 80 percent of 70, so that crossing is recorded, and the limit is 70 from now on.
// Otherwise nobody would be told before a request is granted again, which may be in the next period.
func (s *state) meetsLimit(o *op) bool {
	counts := o.kind == charge || o.kind == reserve || (o.kind == trueUp || o.kind == grow) && o.inForce
	if !counts || o.limit == s.limit || s.used == 0 {
		return false
	}
	before := s.limit
	s.limit = o.limit
	if !s.cross(o) {
		s.limit = before
		return false
	}
	s.effect(&op{kind: read, account: o.account, day: o.day, limit: o.limit}, 0)
	return true
}
