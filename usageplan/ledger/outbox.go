package ledger

// outbox are operations to be sent when the engine is back: what they change has happened. Settlements of one day of
// one account are added up, so that an outage costs memory by accounts, not by requests. (A lease is returned once.)
// Only the leader of the [committer] uses it.
//
// Example: during an outage, 10 000 requests of one account each give back 1 unit. The outbox keeps one refund of
// 10 000 units.
type outbox struct {
	returns     []op
	settlements []op // and tells
	at          map[debt]int
}

// debt is what operations have in common that can be added up: all by which the engine decides on them, but for the
// amount. A true-up under a limit of 100 and one under 200 are not added up, as the engine may forgive a part of the
// first and nothing of the second.
type debt struct {
	account    Account
	day, limit int64
	kind       kind
	inForce    bool
	force      bool
}

func (o *outbox) len() int { return len(o.returns) + len(o.settlements) }

// add keeps an operation that was not made, if it is to be made nevertheless. Charges, growth, reservations, reads and
// adjustments are not kept. Their callers got an error and have granted nothing. A sum stays within what one operation
// may change.
func (o *outbox) add(p *op) {
	switch p.kind {
	case giveBack:
		o.returns = append(o.returns, *p)
	case tell:
		o.settlements = append(o.settlements, *p)
	case trueUp, refund:
		d := debt{p.account, p.day, p.limit, p.kind, p.inForce, p.force}
		if i, ok := o.at[d]; ok && o.settlements[i].want+p.want <= MaxUnits {
			o.settlements[i].want += p.want
			return
		}
		if o.at == nil {
			o.at = make(map[debt]int)
		}
		o.at[d] = len(o.settlements)
		o.settlements = append(o.settlements, *p)
	}
}

// take removes up to n operations. Returns come first: a refund cannot give back what no lease has reported as spent.
func (o *outbox) take(n int) (ops []op) {
	if i := min(n, len(o.returns)); i > 0 {
		ops, o.returns = o.returns[:i:i], o.returns[i:]
		return ops
	}
	n = min(n, len(o.settlements))
	ops, o.settlements = o.settlements[:n:n], o.settlements[n:]
	o.at = nil // what is added from now on is another sum
	return ops
}
