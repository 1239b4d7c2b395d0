package ledger

import (
	"context"
	"slices"
)

// trace is what a ledger knows of a key's row, to notice that the engine has lost writes of it. Only the leader of the
// [committer] uses it, so answers change it in the order in which the engine gave them.
type trace struct {
	version version // the newest; zero before the first answer and for a key without a row
	batch   uint64  // the last of this ledger that the row knows, 0 for none
}

// isAhead reports whether t knows of a write that r does not have, so that the engine has lost it. r is the row as it
// was before the batch wrote it. After the write, it might have as many writes again as t knows. The nil trace knows
// nothing.
//
// Example: a charge was the 41st write of the row, in batch 7. A replica takes over that has 40 writes and batch 6. The
// ledger knows of 41 writes, so it sees the loss. If another ledger is the first to write to the replica, the row has
// 41 writes again. It still does not have batch 7, so the ledger whose charge was lost sees the loss by that.
//
// A row also drops old sessions, which is no loss. So if a row has dropped any, it proves nothing that the session of
// this ledger is missing.
func (t *trace) isAhead(r *record, session uint64) bool {
	switch {
	case t == nil || t.version.epoch == 0:
		return false
	case t.version.epoch != r.epoch || t.version.counter > r.counter:
		return true
	}
	last, known := r.lastBatch(session)
	return t.batch > last && (known || !r.pruned)
}

// follow makes t what the ledger knows after an answer.
func (t *trace) follow(v version, batch uint64) {
	if t != nil {
		*t = trace{v, batch}
	}
}

// notice tells OnLoss and Observe that an answer shows a loss: the engine has lost a write of the key's row, or does
// not know a lease. A loss is told once, although both may show it. The callbacks run in the background: OnLoss may use
// the ledger, which would wait for the caller, because that leads the committer.
//
// Example: the engine is restored from a backup. The ledger knows of 40 writes of the row, and the row has 35. That is
// told, and the open lease is noted in lossToldOf. When this lease is returned, the row does not know it. That is the
// same loss, so it is not told again. The same holds for leases that ended during an outage and are returned after it.
func (c *counter) notice(o *op, a *reply) {
	c.mu.Lock()
	lost := a.lost || a.gone && !slices.Contains(c.lossToldOf, o.lease)
	c.mu.Unlock()
	if !lost {
		return
	}
	told := append(c.ledger.committer.unreturned(c), o.lease)
	if s := c.lease.Load(); s != nil {
		told = append(told, s.id)
	}
	c.mu.Lock()
	c.lossToldOf = told
	c.mu.Unlock()
	c.tellLoss(Account{c.key, o.account.Start})
}

// tellLoss calls Observe and OnLoss, in the background. If Close finds the loss, when it returns the leases, nothing
// runs in the background any more. The calls are then made at the end of Close.
func (c *counter) tellLoss(a Account) {
	onLoss, observe := c.ledger.config.OnLoss, c.ledger.config.Observe
	if onLoss == nil && observe == nil {
		return
	}
	tell := func() {
		if observe != nil {
			observe(context.Background(), Event{Operation: "loss", Account: a})
		}
		if onLoss != nil {
			onLoss(a)
		}
	}
	if !c.ledger.background(tell) {
		c.ledger.atEnd(tell)
	}
}

// atEnd keeps f for the end of Close.
func (l *Ledger) atEnd(f func()) {
	l.closing.Lock()
	defer l.closing.Unlock()
	l.late = append(l.late, f)
}

// callLate calls what atEnd has kept. The caller holds no turn.
func (l *Ledger) callLate() {
	l.closing.Lock()
	late := l.late
	l.late = nil
	l.closing.Unlock()
	for _, f := range late {
		f()
	}
}
