package ledger

// units are what an operation has changed, see [Event].
type units struct{ granted, spent, returned, forgiven int64 }

// unitsOf returns what the answer to o says. Each operation has one answer, at once or after an error, so what is added
// up by it is complete. A reservation that is answered after an error (repeated) reports nothing: its lease did not
// learn that, and reports the same again when it ends.
//
// Example: a lease was granted 64 units, and then 64 more when it had spent 40. It ends when it has spent 100. The
// events tell granted 64 and spent 0, granted 64 and spent 40, and at the end spent 60 and returned 28.
func unitsOf(o *op, a *reply, repeated bool) (u units) {
	n, made := a.granted, a.err == nil && !a.refused && !a.stale && !a.gone && !a.early && !a.forgotten
	switch {
	case o.kind == trueUp && a.err == nil && !a.forgotten: // a refused one is forgiven
		u = units{granted: n, spent: n, forgiven: o.want - n}
	case !made:
	case o.kind == charge, o.kind == grow:
		u = units{granted: n, spent: n}
	case o.kind == refund:
		u = units{spent: -n, returned: n}
	case o.kind == giveBack:
		u = units{spent: o.spent - o.reported, returned: n}
	case o.kind == reserve && repeated:
		u = units{granted: n}
	case o.kind == reserve:
		u = units{granted: n, spent: o.spent - o.reported}
	}
	return u
}

// plus returns the sum of u and v.
func (u units) plus(v units) units {
	return units{u.granted + v.granted, u.spent + v.spent, u.returned + v.returned, u.forgiven + v.forgiven}
}
