package ledger

import (
	"context"
	"errors"
	"time"
)

// An Event is something that a ledger has done with its engine. A take that a lease grants makes none: what leases
// spend is told when they report it.
//
// Operation says what, and which of the other fields are set:
//
//	"update", "load",  a call of the engine: Size is the number of keys (that Keys has yielded); Duration. Of "keys",
//	"keys", "clock"    Duration is without the time that the caller of the iterator has used.
//	"commit"           a batch that was sent: Size is the number of its operations; Duration. It makes one "update" and
//	                   at times more. One that fails is sent again later, as a separate commit.
//	"charge"           a take in exact mode that the engine was asked for: Granted, Spent.
//	"reserve"          a block of units for a lease: Lease, Granted, Spent. The first one of a lease opens it.
//	"return"           the end of a lease: Lease, Spent, Returned.
//	"true_up"          a settlement that counts more: Granted, Spent, Forgiven.
//	"refund"           a settlement that gives back: Returned, and Spent below zero.
//	"more"             growth of a charge by an operation of its own, see Charge.More: Granted, Spent.
//	"loss"             the engine has lost data, as Config.OnLoss is told.
//	"unsettled"        a charge that was not settled within Config.SettleWithin: Units.
//
// The last eight have an Account. Their units add up: over all events of an account, Granted is Spent, Returned and what
// open leases hold. Where the engine has lost data or cannot read the key's row, or an earlier process has left leases,
// the sums are off by that.
// Settlements that a lease takes in are part of its next Spent. Balances and adjustments make no events of these kinds,
// but are operations of a commit.
type Event struct {
	// Operation is one of the words above, and Reason one of those below. Both sets are closed, so they can be labels
	// of a metric.
	Operation string

	// Reason is why the operation was not made as asked; "" if it was. Of calls of the engine and commits it is
	// "timeout" (the context's deadline, as [Config].Timeout sets), "canceled", "unreadable" (the row of one key) or
	// "failed". Of operations on an account it is also:
	//
	//	"exhausted"  not enough is left
	//	"forgiven"   the limit did not leave what a true-up needed: Forgiven says how much of it is not counted
	//	"stale"      the account has a newer day or period: the ledger asks again for that one
	//	"early"      the period has not begun by the engine's [Clock]
	//	"lost"       the engine does not know the lease, or not all of it: it has lost data
	//	"unknown"    the engine does not know the account or the lease any more, or not whether this was made before
	Reason string

	// Err is the error of the engine or of the one row; nil if there was none. It is for logs.
	Err error

	// Account is whose units they are; zero for calls of the engine and commits. It is for logs, not for labels: there
	// are as many as customers.
	Account Account

	// Lease names the lease; the same number in all of its events. It is for logs too.
	Lease uint64

	// Size is how many keys or operations a call had, and Duration how long it took.
	Size     int
	Duration time.Duration

	// Granted counts against the limit from now on. Spent has been used since the last report. Of a lease it is below
	// zero if settlements have given back more than was spent, so a metric of it must be able to fall. Returned does
	// not count any more. Forgiven was used and is not counted. Of a lease of an earlier process, Spent is 0: what that
	// process had told is not known.
	Granted, Spent, Returned, Forgiven int64

	// Units is what a charge has taken that was never settled. The other fields have it already, of other events.
	Units int64
}

// observer tells Config.Observe. The nil observer tells nobody.
//
// What happens in a commit is told after it, when the lead has passed on: else all who wait for the commit would wait
// for Observe, and a panic of it would leave the queue without a leader. Until then the events are kept in waiting,
// which belongs to the leader.
type observer struct {
	tell    func(context.Context, Event)
	waiting []Event
}

// inCommit marks the context of a commit, under which events wait.
type inCommit struct{}

// mark returns a context under which events wait.
func (o *observer) mark(ctx context.Context) context.Context {
	if o == nil {
		return ctx
	}
	return context.WithValue(ctx, inCommit{}, true)
}

// called tells of a call that has returned, at once or after the commit that it is part of.
func (o *observer) called(ctx context.Context, e Event, err error) {
	e.Reason, e.Err = reasonOf(err), err
	if ctx.Value(inCommit{}) != nil {
		o.waiting = append(o.waiting, e)
		return
	}
	o.tell(ctx, e)
}

// committed keeps what is to be told of a commit.
func (o *observer) committed(b *batch, took time.Duration, err error) {
	if o != nil {
		e := Event{Operation: "commit", Size: len(b.ops), Duration: took, Reason: reasonOf(err), Err: err}
		o.waiting = append(o.waiting, e)
	}
}

// answered keeps what is to be told of one operation of a commit.
func (o *observer) answered(op *op, a *reply, u units) {
	if o == nil || !op.kind.sequenced() {
		return
	}
	o.waiting = append(o.waiting, Event{
		Operation: op.kind.word(), Reason: a.reason(op.kind, u), Err: a.err, Account: op.account, Lease: op.lease,
		Granted: u.granted, Spent: u.spent, Returned: u.returned, Forgiven: u.forgiven,
	})
}

// take removes what waits. The next leader begins another slice while this one is being told.
func (o *observer) take() (waiting []Event) {
	if o != nil {
		waiting, o.waiting = o.waiting, nil
	}
	return waiting
}

// tellAll tells what a commit had to tell.
func (o *observer) tellAll(events []Event) {
	for _, e := range events {
		o.tell(context.Background(), e)
	}
}

// word is the name of a kind in events.
func (k kind) word() string {
	switch k {
	case charge:
		return "charge"
	case reserve:
		return "reserve"
	case giveBack:
		return "return"
	case trueUp:
		return "true_up"
	case grow:
		return "more"
	}
	return "refund"
}

// reason is why an operation of kind k was not made as asked, "" if it was.
func (a *reply) reason(k kind, u units) string {
	switch {
	case a.err != nil:
		return reasonOf(a.err)
	case a.gone:
		return "lost"
	case a.stale:
		return "stale"
	case a.early:
		return "early"
	case u.forgiven > 0:
		return "forgiven"
	case a.refused && (k.current() || k == grow):
		return "exhausted"
	case a.refused || a.forgotten:
		return "unknown"
	}
	return ""
}

// reasonOf is the reason of an error of the engine.
func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case isOfOneRow(err):
		return "unreadable"
	}
	return "failed"
}
