package ledger

import (
	"slices"
)

// model is what rows must do: the rules of deciding over accounts that never move, in plain Go, without rows, sessions
// or lost answers.
type model map[Key]*modelKey

type modelKey struct {
	accounts []*modelAccount // ascending
}

type modelAccount struct {
	totals
	days    []dayTotals
	open    map[uint64]*leased
	changes []modelChange
}

type modelChange struct {
	kind                       kind
	id, reason, actor          string
	time, asked, delta, before int64
}

func (k *modelKey) find(start int64) *modelAccount {
	for _, a := range k.accounts {
		if a.start == start {
			return a
		}
	}
	return nil
}

func (a *modelAccount) sum() totals {
	t := a.totals
	t.leases = len(a.open)
	return t
}

func (m model) totals(o *op) totals {
	if k := m[o.account.Key]; k != nil {
		if a := k.find(o.account.Start); a != nil {
			return a.sum()
		}
	}
	return totals{start: o.account.Start, limit: o.limit}
}

func (m model) apply(o *op) (out outcome) {
	defer func() {
		if !out.stale {
			out.totals = m.totals(o)
		}
	}()
	k := m[o.account.Key]
	if k == nil {
		k = new(modelKey)
	}
	if recent := k.accounts[max(0, len(k.accounts)-2):]; o.kind.adjusts() && len(recent) > 0 && o.account.Start >= recent[0].start {
		for _, a := range recent {
			for _, c := range a.changes {
				if c.id == o.id {
					if c.kind == o.kind && c.asked == o.want {
						return outcome{granted: c.delta, replayed: true}
					}
					return outcome{refused: true}
				}
			}
		}
	}
	var newest *modelAccount
	if n := len(k.accounts); n > 0 {
		newest = k.accounts[n-1]
	}
	current := slices.Contains([]kind{read, charge, reserve, extend, correct, setRemaining}, o.kind)
	if newest != nil && current && (newest.start > o.account.Start || newest.day > o.day) {
		return outcome{stale: true, totals: newest.sum()}
	}
	a := k.find(o.account.Start)
	if a == nil {
		a = &modelAccount{totals: totals{start: o.account.Start, limit: o.limit}, open: map[uint64]*leased{}}
		if o.kind == read {
			return outcome{}
		}
		if o.held > 0 {
			return outcome{gone: true}
		}
		if newest != nil && newest.start > o.account.Start || slices.Contains([]kind{refund, giveBack, tell}, o.kind) {
			return outcome{refused: true}
		}
	}
	if l := a.open[o.lease]; o.held > 0 && l == nil {
		return outcome{gone: true}
	} else if o.held > 0 && l.granted < o.held {
		return outcome{gone: true, granted: l.granted}
	}
	granted, ok := a.decide(o)
	if o.kind == read {
		return outcome{}
	}
	if !ok {
		a.meetsLimit(o)
		return outcome{refused: true}
	}
	c := modelChange{o.kind, o.id, o.reason, o.actor, o.time, o.want, granted, a.adjustments}
	if o.kind == correct {
		c.before = a.used - a.held
	}
	a.effect(o, granted)
	a.cross(o)
	if o.kind.adjusts() {
		a.changes = append(a.changes, c)
	}
	if k.find(a.start) == nil {
		k.accounts = append(k.accounts, a)
	}
	m[o.account.Key] = k
	return outcome{granted: granted}
}

func (a *modelAccount) decide(o *op) (int64, bool) {
	switch o.kind {
	case charge, trueUp, grow:
		return a.grant(o, o.want)
	case reserve:
		most := int64(MaxUnits)
		for _, p := range o.thresholds {
			at := (int64(p)*max(o.limit+a.adjustments, 0) + 99) / 100
			if at > a.used {
				most = min(most, at-1-a.used)
			}
		}
		return a.grant(o, max(o.min, o.need, min(o.want, most)))
	case refund:
		return max(0, min(o.want, a.used-a.held)), true
	case giveBack:
		l := a.open[o.lease]
		if l == nil {
			return 0, false
		}
		return max(0, min(o.want, l.granted-o.spent)), true
	case extend, setRemaining:
		n := o.want
		if o.kind == setRemaining {
			n = o.want - (o.limit + a.adjustments - a.used)
		}
		return n, a.adjustments+n >= -MaxUnits && a.adjustments+n <= MaxUnits
	case correct:
		return o.want, a.used-a.held+o.want >= 0 && a.used+o.want <= MaxUnits
	case tell:
		return o.want, a.crossed.has(int(o.want)) && !a.told.has(int(o.want))
	}
	return 0, false
}

func (a *modelAccount) grant(o *op, want int64) (int64, bool) {
	limit := o.limit
	if (o.kind == trueUp || o.kind == grow) && !o.inForce && len(a.days) > 0 {
		limit = a.limit
	}
	room := limit + a.adjustments - a.used
	if want <= 0 {
		return 0, false
	}
	if o.force || want <= room {
		return want, true
	}
	if room > 0 && o.min <= room {
		return room, true
	}
	return 0, false
}

func (a *modelAccount) dayOf(day int64) *dayTotals {
	for i := range a.days {
		if a.days[i].day == day {
			return &a.days[i]
		}
	}
	a.days = append(a.days, dayTotals{day: day})
	slices.SortFunc(a.days, func(x, y dayTotals) int { return int(x.day - y.day) })
	return a.dayOf(day)
}

func (a *modelAccount) effect(o *op, granted int64) {
	late := o.kind == trueUp || o.kind == grow
	knows := !late && o.kind != refund && o.kind != giveBack && o.kind != tell || late && o.inForce
	d := a.dayOf(o.day)
	a.day = a.days[len(a.days)-1].day
	if knows {
		a.limit = o.limit
	}
	if knows && o.day == a.day || d.limit == 0 {
		d.limit = a.limit
	}
	used, held, adjustments := int64(0), int64(0), int64(0)
	switch o.kind {
	case charge, trueUp, grow, correct:
		used = granted
	case refund:
		used = -granted
	case extend, setRemaining:
		adjustments = granted
	case reserve:
		if a.open[o.lease] == nil {
			a.open[o.lease] = &leased{id: o.lease, day: o.day}
		}
		l := a.open[o.lease]
		l.granted += granted
		used, held = granted, granted-(o.spent-l.spent)
		l.spent = o.spent
	case giveBack:
		l := a.open[o.lease]
		used, held = -granted, -granted-(o.spent-l.spent)
		delete(a.open, o.lease)
	case tell:
		a.told = a.told.with(int(granted))
	}
	a.used, d.used = a.used+used, d.used+used
	a.held, d.held = a.held+held, d.held+held
	a.adjustments, d.adjustments = a.adjustments+adjustments, d.adjustments+adjustments
}

func (a *modelAccount) cross(o *op) {
	limit := a.limit + a.adjustments
	for _, p := range o.thresholds {
		if at := (int64(p)*max(limit, 0) + 99) / 100; at > 0 && a.used >= at {
			a.crossed = a.crossed.with(p)
		}
	}
}

func (a *modelAccount) meetsLimit(o *op) {
	late := o.kind == trueUp || o.kind == grow
	if o.kind != charge && o.kind != reserve && !(late && o.inForce) || o.limit == a.limit || a.used == 0 {
		return
	}
	limit, crossed := a.limit, a.crossed
	a.limit = o.limit
	a.cross(o)
	if a.crossed == crossed {
		a.limit = limit
		return
	}
	d := a.dayOf(o.day)
	a.day = a.days[len(a.days)-1].day
	if late && o.day != a.day { // an operation in between, of kind read
		d.limit = map[bool]int64{true: a.limit, false: d.limit}[d.limit == 0]
		return
	}
	d.limit = a.limit
}
