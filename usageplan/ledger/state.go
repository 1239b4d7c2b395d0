package ledger

import (
	"iter"
	"math/bits"
	"slices"
)

// Percents is a set of percentages, 1 to 127.
type Percents [2]uint64

// Has reports whether p is in the set.
func (s Percents) Has(p int) bool { return p > 0 && p < 128 && s[p>>6]&(1<<(p&63)) != 0 }

// With returns the set with p, which must be 1 to 127, else the set itself.
func (s Percents) With(p int) Percents {
	if p > 0 && p < 128 {
		s[p>>6] |= 1 << (p & 63)
	}
	return s
}

// Without returns the members of s that are not in t.
func (s Percents) Without(t Percents) Percents { return Percents{s[0] &^ t[0], s[1] &^ t[1]} }

// union returns the members of either.
func (s Percents) union(t Percents) Percents { return Percents{s[0] | t[0], s[1] | t[1]} }

// All yields the members in ascending order.
func (s Percents) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i<<6 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// Totals sum up an account.
type Totals struct {
	// Start is the account's, Unix seconds. Day is the first second of its newest usage day, 0 if nothing has been counted.
	Start, Day int64

	// Limit is the quota's at the last change, Adjustments the sum of the extensions.
	Limit, Adjustments int64

	// Used counts against the limit: what was charged and what leases hold. Held is the part of it that has not been
	// reported as spent: open leases, and what leases lost.
	Used, Held int64

	// Crossed are the thresholds that usage has reached, Told those whose crossing has been told.
	Crossed, Told Percents
}

// DayTotal is the part of an account's totals that belongs to one usage day.
type DayTotal struct {
	// Day is the day's first second, Unix time. Limit is the quota's at the last change of that day.
	Day, Limit int64

	// Adjustments, Used and Held are as in [Totals], of this day alone.
	Adjustments, Used, Held int64
}

// Lease is a part of Used that one ledger may spend.
type Lease struct {
	ID uint64

	// Day is the first second, Unix time, of the usage day on which all of it counts.
	Day int64

	// Granted is the sum of its reservations, Spent what was last reported of it.
	Granted, Spent int64
}

// Applied remembers an extension or correction.
type Applied struct {
	ID      string
	Granted int64
	Kind    Kind // 0 if not known
}

// rememberApplied is how many extensions and corrections an account remembers.
const rememberApplied = 256

// State is an account as the fold of its entries.
type State struct {
	Totals
	Days    []DayTotal // ascending
	Leases  []Lease    // open ones
	Applied []Applied  // oldest first
}

// newState returns a state that nothing has changed, with the memory for its first day beside it: who reads the one
// reads the other.
func newState(start, limit int64) *State {
	s := new(struct {
		State
		day [1]DayTotal
	})
	s.State = State{Totals: Totals{Start: start, Limit: limit}, Days: s.day[:0]}
	return &s.State
}

// Clone returns a deep copy.
func (s *State) Clone() State {
	c := *s
	c.Days, c.Leases, c.Applied = slices.Clone(s.Days), slices.Clone(s.Leases), slices.Clone(s.Applied)
	return c
}

// day returns the totals of a day, which it makes if need be. The pointer holds until the next call.
func (s *State) day(day int64) *DayTotal {
	for i := len(s.Days); i > 0; i-- { // nearly always the last
		if s.Days[i-1].Day == day {
			return &s.Days[i-1]
		}
		if s.Days[i-1].Day < day {
			s.Days = slices.Insert(s.Days, i, DayTotal{Day: day})
			return &s.Days[i]
		}
	}
	s.Days = slices.Insert(s.Days, 0, DayTotal{Day: day})
	return &s.Days[0]
}

func (s *State) lease(id uint64) *Lease {
	for i := range s.Leases {
		if s.Leases[i].ID == id {
			return &s.Leases[i]
		}
	}
	return nil
}

// adjusted is what an extension or a correction changes.
func (s *State) adjusted(k Kind) int64 {
	switch k {
	case KindExtend:
		return s.Adjustments
	case KindCorrect:
		return s.Used - s.Held
	}
	return 0
}

// decide returns what op may have of s.
func (s *State) decide(op *Op) (granted int64, ok bool) {
	switch op.Kind {
	case KindCharge, KindTrueUp:
		return s.grant(op, op.Want)
	case KindReserve:
		return s.grant(op, max(op.Min, min(op.Want, s.toThreshold(op))))
	case KindRefund: // what a correction has already taken off cannot be given back
		return max(0, min(op.Want, s.Used-s.Held)), true
	case KindExtend:
		total := s.Adjustments + op.Want
		return op.Want, -MaxUnits <= total && total <= MaxUnits
	case KindCorrect:
		return op.Want, s.Used-s.Held+op.Want >= 0 && s.Used+op.Want <= MaxUnits
	case KindReport:
		l := s.lease(op.Lease)
		return 0, l != nil && l.Spent != op.Spent
	case KindReturn:
		l := s.lease(op.Lease)
		if l == nil {
			return 0, false
		}
		return max(0, min(op.Want, l.Granted-op.Spent)), true
	case KindTell:
		return op.Want, s.Crossed.Has(int(op.Want)) && !s.Told.Has(int(op.Want))
	}
	return 0, false
}

func (s *State) grant(op *Op, want int64) (int64, bool) {
	limit := op.Limit
	if !op.knowsLimit() && len(s.Days) > 0 {
		limit = s.Limit // op knows only that of the time when its request was admitted
	}
	room := limit + s.Adjustments - s.Used
	switch {
	case want <= 0:
		return 0, false
	case op.Force && s.Used < maxUsed, want <= room:
		return want, true
	case room > 0 && op.Min <= room:
		return room, true
	}
	return 0, false
}

// toThreshold is how much may be reserved before the unit that crosses the next threshold: that one is only taken by
// who needs it, so that a crossing is recorded when it happens, not when a block is reserved.
func (s *State) toThreshold(op *Op) int64 {
	most := int64(MaxUnits)
	for _, p := range op.Thresholds {
		if at := thresholdAt(p, op.Limit+s.Adjustments); at > s.Used {
			most = min(most, at-1-s.Used)
		}
	}
	return most
}

// effect makes a change that has been decided. It is all that a replay of the entries needs.
func (s *State) effect(op *Op, granted int64) {
	d := s.day(op.Day)
	s.Day = s.Days[len(s.Days)-1].Day
	if op.knowsLimit() { // the others know only the limit of the time when their request was admitted
		s.Limit = op.Limit
	}
	if op.knowsLimit() && op.Day == s.Day || d.Limit == 0 { // a day that is over keeps its limit
		d.Limit = s.Limit
	}
	switch op.Kind {
	case KindCharge, KindTrueUp, KindCorrect:
		s.Used += granted
		d.Used += granted
	case KindRefund:
		s.Used -= granted
		d.Used -= granted
	case KindExtend:
		s.Adjustments += granted
		d.Adjustments += granted
	case KindReserve:
		l := s.lease(op.Lease)
		if l == nil {
			s.Leases = append(s.Leases, Lease{ID: op.Lease, Day: op.Day})
			l = &s.Leases[len(s.Leases)-1]
		}
		l.Granted += granted
		s.hold(d, granted)
		s.report(d, l, op.Spent)
	case KindReport:
		s.report(d, s.lease(op.Lease), op.Spent)
	case KindReturn:
		s.report(d, s.lease(op.Lease), op.Spent)
		s.hold(d, -granted)
		s.Leases = slices.DeleteFunc(s.Leases, func(l Lease) bool { return l.ID == op.Lease })
	case KindTell:
		s.Told = s.Told.With(int(granted))
	}
	if op.ID != "" && op.Kind.Adjusts() {
		if len(s.Applied) >= rememberApplied {
			s.Applied = slices.Delete(s.Applied, 0, 1)
		}
		s.Applied = append(s.Applied, Applied{op.ID, granted, op.Kind})
	}
}

func (s *State) hold(d *DayTotal, n int64) {
	s.Used += n
	s.Held += n
	d.Used += n
	d.Held += n
}

func (s *State) report(d *DayTotal, l *Lease, spent int64) {
	n := spent - l.Spent
	l.Spent = spent
	s.Held -= n
	d.Held -= n
}

// cross adds the thresholds that usage has reached to Crossed and returns the new ones.
func (s *State) cross(op *Op) (crossed Percents) {
	limit := s.Limit + s.Adjustments
	for _, p := range op.Thresholds {
		if at := thresholdAt(p, limit); at > 0 && s.Used >= at && !s.Crossed.Has(p) {
			crossed = crossed.With(p)
		}
	}
	s.Crossed = s.Crossed.union(crossed)
	return crossed
}

// apply decides on op and makes the change; changed is false if there is none.
func (s *State) apply(op *Op) (out Outcome, crossed Percents, changed bool) {
	out.Granted, changed = s.decide(op)
	out.Refused = !changed && op.Kind != KindRead && op.Kind != KindReport
	if changed {
		s.effect(op, out.Granted)
		crossed = s.cross(op)
	} else {
		out.Granted = 0
	}
	out.Totals = s.Totals
	return out, crossed, changed
}

// meetsLimit records the crossings that a lower limit makes of what has been used already, when an operation is refused
// for it. It returns the operation that stands for that, which sets the limit and changes nothing else.
func (s *State) meetsLimit(op *Op) (seen Op, crossed Percents) {
	counts := op.Kind == KindCharge || op.Kind == KindReserve || op.Kind == KindTrueUp && op.InForce
	if !counts || op.Limit == s.Limit || s.Used == 0 {
		return Op{}, Percents{}
	}
	seen = Op{Kind: KindRead, Account: op.Account, Day: op.Day, Time: op.Time, Limit: op.Limit}
	before := s.Limit
	s.Limit = op.Limit
	if crossed = s.cross(op); crossed == (Percents{}) {
		s.Limit = before
		return Op{}, crossed
	}
	s.effect(&seen, 0)
	return seen, crossed
}

// Within reports whether s has a day within [from, to], Unix seconds.
func (s *State) Within(from, to int64) bool {
	return slices.ContainsFunc(s.Days, func(d DayTotal) bool { return from <= d.Day && d.Day <= to })
}
