package ledger

import "slices"

// record is a row, decoded. A key has one head row with its newest accounts; rows of history with older accounts and
// older days; and pages of older adjustments. All are records, so that one codec and one merge serve all.
//
// What a decoded record holds as bytes (texts, answers, a move) is part of the row that it was decoded from. Most
// operations do not need it, so it is not taken apart before somebody does.
type record struct {
	// version is that of a head. Another row has the epoch of the head from which it took moves, and no counter.
	version

	// moves is the number of the last move that a head has begun; in another row, of the last that it has merged.
	moves uint64

	// tells counts the tells that a head has recorded.
	tells uint64

	// oldest is the first chunk in which a head may have history. It means nothing while moves is 0.
	oldest int64

	states   []state   // ascending by start; in a head, the newest two when nothing waits to be moved
	sessions []session // the most recently used first
	pruned   bool      // sessions have been dropped

	moving move // what leaves a head

	extension []byte // fields of a later release

	// Memory that is used again: that of encode, and that of the answers which note adds.
	scratch, noted []byte
}

// state is what a row keeps of one account.
type state struct {
	totals

	// whole says that the sums are kept here. Otherwise there are only days or changes that have left an account whose
	// sums are kept elsewhere.
	whole bool

	days []dayTotals // ascending
	open []leased    // in the order in which they last reported

	// made is how many changes were ever made, kept how many of them stand in texts, encoded, the newest last.
	made, kept int
	texts      []byte
}

// leased are the units of an open lease.
type leased struct {
	id                  uint64
	day, granted, spent int64
}

// The bounds of a row. Each keeps rows far below the 65 536 bytes that an engine takes.
const (
	maxLeases   = 256 // of an account; the units of older ones stay counted
	maxSessions = 16
)

// newest returns the newest account, nil if there is none. The pointer holds as that of find does.
func (r *record) newest() *state {
	if len(r.states) == 0 {
		return nil
	}
	return &r.states[len(r.states)-1]
}

// find returns the state of an account, nil if there is none. The pointer holds until a state is added or removed.
func (r *record) find(start int64) *state {
	for i := len(r.states) - 1; i >= 0 && r.states[i].start >= start; i-- { // nearly always the last
		if r.states[i].start == start {
			return &r.states[i]
		}
	}
	return nil
}

// state returns the state of an account, which it makes if need be. The pointer holds as that of find does.
func (r *record) state(start int64) *state {
	if s := r.find(start); s != nil {
		return s
	}
	i := len(r.states)
	for i > 0 && r.states[i-1].start > start {
		i--
	}
	r.states = slices.Insert(r.states, i, state{totals: totals{start: start}})
	return &r.states[i]
}

// untold reports whether a crossing has not been told. A head that has such a crossing needs an index row.
func (r *record) untold() bool {
	for i := range r.states {
		if r.states[i].crossed != r.states[i].told {
			return true
		}
	}
	return false
}

// totals are those of o's account, zero but for start and limit if there is none.
func (r *record) totals(o *op) totals {
	if s := r.find(o.account.Start); s != nil {
		return s.sum()
	}
	return totals{start: o.account.Start, limit: o.limit}
}

// merge adds the states and sessions of another record, which has left the same key's head later than what r has. What
// is whole in items replaces the sums that r has: a part that left earlier had only days or changes.
func (r *record) merge(items *record) {
	for i := range items.states {
		r.state(items.states[i].start).absorb(&items.states[i])
	}
	r.pruned = r.pruned || items.pruned
	r.mergeSessions(items.sessions)
}

// absorb adds what stands of the same account in a later row. A day's sums are the total of all its parts. Its limit is
// that of the oldest part: a day leaves the head when it is over, and then its limit is final; a part that a late
// settlement makes afterwards knows only the limit of a later day.
func (s *state) absorb(m *state) {
	if m.whole {
		s.totals, s.whole = m.totals, true
		s.open = slices.Clone(m.open)
	}
	for _, part := range m.days {
		d := s.on(part.day)
		if d.limit == 0 {
			d.limit = part.limit
		}
		d.adjustments += part.adjustments
		d.used += part.used
		d.held += part.held
	}
	s.made = max(s.made, m.made)
	s.kept += m.kept
	s.texts = append(s.texts[:len(s.texts):len(s.texts)], m.texts...)
	s.settleDay()
}

// settleDay derives the newest day.
func (s *state) settleDay() {
	if n := len(s.days); n > 0 {
		s.day = s.days[n-1].day
	}
}

// on returns the totals of a day, which it makes if need be. The pointer holds until the next call.
func (s *state) on(day int64) *dayTotals {
	i := len(s.days)
	for ; i > 0 && s.days[i-1].day >= day; i-- { // nearly always the last
		if s.days[i-1].day == day {
			return &s.days[i-1]
		}
	}
	s.days = slices.Insert(s.days, i, dayTotals{day: day})
	return &s.days[i]
}

// lease returns an open lease, nil if s does not know it. The pointer holds until a lease is opened or ended.
func (s *state) lease(id uint64) *leased {
	for i := range s.open {
		if s.open[i].id == id {
			return &s.open[i]
		}
	}
	return nil
}

// sum returns the account's totals.
func (s *state) sum() totals {
	t := s.totals
	t.leases = len(s.open)
	return t
}
