package ledger

import "slices"

// History is the accounts of one key, ascending by Start; it may leave out any but the newest two and the one an
// operation is for. Engines that decide in Go share its Apply; those that decide in the database follow it.
// It is not safe for concurrent use.
type History []*State

// Apply makes op as the contract of [Store] says, except that the IDs it knows are those of extensions and corrections.
// If it changed a state, it returns that and the entry to keep (without Seq); else the state is nil. A refused operation
// changes one only to record a crossing, and its ID is not to be remembered.
func (h *History) Apply(op *Op) (Outcome, *State, Entry) {
	if applied, ok := h.applied(op); ok {
		if applied.Granted != op.Want || applied.Kind != op.Kind && applied.Kind != 0 {
			return Outcome{Refused: true, Totals: h.Totals(op)}, nil, Entry{} // another adjustment under a used id
		}
		return Outcome{Granted: applied.Granted, Replayed: true, Totals: h.Totals(op)}, nil, Entry{}
	}
	if newest := h.newest(); newest != nil && op.Kind.current() && newest.isAfter(op) {
		return Outcome{Stale: true, Totals: newest.Totals}, nil, Entry{}
	}
	s := h.find(op.Account.Start)
	if s == nil {
		s = newState(op.Account.Start, op.Limit)
	}
	before := s.adjusted(op.Kind)
	out, crossed, changed := s.apply(op)
	if out.Refused {
		seen, crossed := s.meetsLimit(op)
		if crossed == (Percents{}) {
			return out, nil, Entry{}
		}
		out.Totals = s.Totals
		return out, s, Entry{Op: seen, Crossed: crossed}
	}
	if !changed {
		return out, nil, Entry{}
	}
	h.insert(s)
	e := Entry{Op: *op, Granted: out.Granted, Before: before, Crossed: crossed}
	e.Thresholds = nil
	return out, s, e
}

// isAfter reports whether s is of a newer period than op, or has a newer day. The day counts also if op would begin an
// account: a quota whose period became shorter begins one within the period of s.
func (s *State) isAfter(op *Op) bool {
	return s.Start > op.Account.Start || len(s.Days) > 0 && s.Day > op.Day
}

// Replay makes an entry's change again, on a state that has all earlier ones and none later, and returns the state; nil if
// the entry is of a lease that is not open, which no sound log has.
func (h *History) Replay(e *Entry) *State {
	s := h.find(e.Account.Start)
	if s == nil {
		s = newState(e.Account.Start, e.Limit)
		h.insert(s)
	}
	if needsLease := e.Kind == KindReport || e.Kind == KindReturn; needsLease && s.lease(e.Lease) == nil {
		return nil
	}
	s.effect(&e.Op, e.Granted)
	s.Crossed = s.Crossed.union(e.Crossed)
	return s
}

// Totals are those of op's account, zero but for Start and Limit if there is none.
func (h *History) Totals(op *Op) Totals {
	if s := h.find(op.Account.Start); s != nil {
		return s.Totals
	}
	return Totals{Start: op.Account.Start, Limit: op.Limit}
}

func (h *History) newest() *State {
	if len(*h) == 0 {
		return nil
	}
	return (*h)[len(*h)-1]
}

func (h *History) find(start int64) *State {
	for i := len(*h) - 1; i >= 0 && (*h)[i].Start >= start; i-- {
		if (*h)[i].Start == start {
			return (*h)[i]
		}
	}
	return nil
}

func (h *History) insert(s *State) {
	i, ok := slices.BinarySearchFunc(*h, s.Start, func(s *State, start int64) int { return int(min(max(s.Start-start, -1), 1)) })
	if !ok {
		*h = slices.Insert(*h, i, s)
	}
}

// applied finds an extension or correction by its ID in the newest two accounts.
func (h *History) applied(op *Op) (Applied, bool) {
	if op.ID == "" || !op.Kind.Adjusts() {
		return Applied{}, false
	}
	for i := len(*h) - 1; i >= max(0, len(*h)-2); i-- {
		for _, a := range (*h)[i].Applied {
			if a.ID == op.ID {
				return a, true
			}
		}
	}
	return Applied{}, false
}

// RecentIDs is how many operation ids an engine remembers at least, by the contract of [Store].
const RecentIDs = 1 << 16

// Recent remembers what the operations of at least the last 65 536 ids granted. The zero Recent is empty. It is not safe
// for concurrent use.
type Recent struct{ newer, older map[string]int64 }

// Get returns what the operation called id granted.
func (r *Recent) Get(id string) (granted int64, ok bool) {
	if id == "" {
		return 0, false
	}
	if granted, ok = r.newer[id]; !ok {
		granted, ok = r.older[id]
	}
	return granted, ok
}

// Put remembers an operation that changed something. An empty id is not remembered.
func (r *Recent) Put(id string, granted int64) {
	if id == "" {
		return
	}
	if r.newer == nil || len(r.newer) >= RecentIDs {
		r.newer, r.older = make(map[string]int64), r.newer
	}
	r.newer[id] = granted
}
