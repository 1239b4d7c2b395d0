package ledger

// owed are operations to be sent when the store is back: what they change has happened. Settlements of one day of one
// account are added up, so that an outage costs memory by accounts, not by requests. (A lease is returned once.)
type owed struct {
	returns     []Op
	settlements []Op // and tells
	at          map[debt]int
}

// debt is what operations have in common that can be added up.
type debt struct {
	account    Account
	day, limit int64
	kind       Kind
	inForce    bool
	force      bool
}

func (o *owed) len() int { return len(o.returns) + len(o.settlements) }

// add keeps an operation that was never sent, if it is to be made nevertheless.
func (o *owed) add(op *Op) {
	switch op.Kind {
	case KindReturn:
		o.returns = append(o.returns, *op)
	case KindTell:
		o.settlements = append(o.settlements, *op)
	case KindTrueUp, KindRefund:
		d := debt{op.Account, op.Day, op.Limit, op.Kind, op.InForce, op.Force}
		if i, ok := o.at[d]; ok && o.settlements[i].Want+op.Want <= MaxUnits {
			o.settlements[i].Want += op.Want
			return
		}
		if o.at == nil {
			o.at = make(map[debt]int)
		}
		o.at[d] = len(o.settlements)
		o.settlements = append(o.settlements, *op)
	}
}

// take removes up to n operations. Returns come first: a refund cannot give back what no lease has reported as spent.
func (o *owed) take(n int) (ops []Op) {
	if i := min(n, len(o.returns)); i > 0 {
		ops, o.returns = o.returns[:i:i], o.returns[i:]
		return ops
	}
	n = min(n, len(o.settlements))
	ops, o.settlements = o.settlements[:n:n], o.settlements[n:]
	o.at = nil // what is added from now on is another sum
	return ops
}
