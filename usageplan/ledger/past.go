package ledger

import "context"

// hasLeft reports whether o is for an account that is older than those in the head, so that only a row of history may
// have it. Operations of current kinds are stale on such an account, which the head tells.
func (r *record) hasLeft(o *op) bool {
	return r.moves > 0 && !o.kind.current() && len(r.states) > 0 && o.account.Start < r.states[0].start
}

// lateOps are operations on one row of history: settlements and returns that come late. They are grouped by row, since
// one Update names a row once.
type lateOps struct {
	t    *turn
	at   place
	refs []ref
	err  error
}

// past makes the operations of this round that are for rows of history.
//
// Example: a request of March is settled in June. The head has only May and June, so the settlement is for the row of
// history that has March. If March is still on its way there, as the head's move, it has been merged before (see
// waits).
func (p *pass) past(ctx context.Context) error {
	var ops []*lateOps
	var rows []string
	for _, t := range p.open {
		if t.mergeErr != nil {
			p.fail(t.late, t.mergeErr)
			continue
		}
		mine := len(ops)
		for _, ref := range t.late {
			at := historyAt(p.b.ops[ref.op].account.Start)
			i := mine
			for i < len(ops) && ops[i].at != at {
				i++
			}
			if i == len(ops) {
				ops, rows = append(ops, &lateOps{t: t, at: at}), append(rows, at.row(t.key))
			}
			ops[i].refs = append(ops[i].refs, ref)
		}
	}
	if len(ops) == 0 {
		return nil
	}
	settle := func(i int, row []byte) []byte { return p.settle(ops[i], row) }
	err := p.update(ctx, rows, settle, func(i int, err error) { ops[i].err = err })
	for _, l := range ops {
		if l.err != nil {
			p.fail(l.refs, l.t.named(l.err))
		}
	}
	return err
}

// settle decides operations on a row of history and returns what it is to be, nil if it stays. An account that nobody
// knows, or of which there is no more than days, is not made again. An engine may call it again for the same row: it
// begins from the row each time.
//
// The row remembers the answers of batches as a head does, so a settlement that is sent again after an error is made
// once here as well.
func (p *pass) settle(l *lateOps, row []byte) (out []byte) {
	r := &p.rec
	if l.err = r.decode(row); l.err == nil {
		p.answers, p.forgotten, l.err = r.recall(p.b, p.session, p.answers)
	}
	if l.err != nil {
		return nil
	}
	p.dropDead(l.t, r)
	p.noted = false
	changed := false
	for _, ref := range l.refs {
		changed = p.settleOne(r, ref) || changed
	}
	if !changed && !(p.noted && p.b.repeat) {
		return nil
	}
	r.note(p.b, p.session, p.answers)
	out, l.err = r.encode(p.format)
	return out
}

// settleOne makes one operation on a row of history, unless the row says that it has been made. In such a row, an
// account is not whole while only closed days of it have left the head. Here the head does not have it either: the
// engine has lost that head, and with it the sums that a settlement could change.
func (p *pass) settleOne(r *record, ref ref) (changed bool) {
	o, out := &p.b.ops[ref.op], &p.outs[ref.op]
	*out = outcome{}
	if p.recalled(r, o, ref, out) {
		return false
	}
	s := r.find(o.account.Start)
	if s == nil || !s.whole {
		*out = outcome{refused: o.held == 0, gone: o.held > 0, totals: totals{start: o.account.Start, limit: o.limit}}
		return false
	}
	*out, changed = s.apply(o)
	p.note(o, ref, out)
	return changed
}
