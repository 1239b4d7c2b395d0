package usageplan

import (
	"context"
	"errors"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TakeUpTo decides about q as [Meter.Take] does, but takes what is left of the quotas: at most q.Cost, at least least.
// From each of several quotas it takes the same amount, which is the least that one of them has left. If one of them
// has less than least, the request is refused and takes nothing. [Charge.Units] tells how much was taken.
//
// It is for requests whose cost shows only while they are answered, such as streams: reserve with TakeUpTo, take more
// with [Charge.More] if that was too little, and call [Charge.Settle] at the end, and [Charge.Release] as after Take.
//
// A least below 1 or above q.Cost refuses the request with [ErrNotConfigured]. Both may be 0.
func (m *Meter) TakeUpTo(ctx context.Context, q Request, least int64) (c Charge, err error) {
	q.least = least
	err = m.tell(ctx, &q, &c, m.decide(ctx, &q, &c))
	return c, err
}

// More takes n more units for the same request: from all quotas of the plan, or from none. It takes no token of a
// throttle, and asks no other limit again. The units count in the period in which the charge was taken. A present limit
// that is not that of the charge decides as in [Charge.Settle]. If the plan has no quota, More adds to the usage that is
// counted. Several goroutines may call it at once.
//
// If a quota does not have n units left, the error is an [*Error] that wraps [ErrQuotaExceeded]. Its answer and fields
// are those of a refused request, so that a handler which has not answered yet can answer with it. A handler in the
// middle of a stream cuts the stream. What was taken before stays taken.
//
// An n below 0 gives units back before the settlement. Above what was taken it is refused with [ledger.ErrInvalid].
// After [ledger.ErrUnavailable] the ledger gives them back later, as after Settle. An n of 0 does nothing.
//
// Other causes: [ledger.ErrUnavailable], of an [*Error], if the ledger cannot count. As they come from the ledger:
// [ledger.ErrSettled] after Settle, [ledger.ErrTooLate] after [ledger.Config].SettleWithin, and [ledger.ErrInvalid].
// Each quota has a SettleWithin of its own. So a call in the moment at which it ends may find one quota too late and the
// other not: it returns ErrTooLate, and the quotas may have taken different amounts then. Config.Observe is not told,
// because the request was decided before.
func (c Charge) More(ctx context.Context, n int64) error {
	if c.state == nil || c.meter.config.Ledger == nil {
		return nil // nothing is counted
	}
	if n < 0 {
		return c.giveBack(ctx, len(c.state.counted), n)
	}
	for i := range c.state.counted {
		if err := c.grow(ctx, i, n); err != nil {
			return c.notGrown(ctx, i, n, alsoKept(err, c.giveBack(ctx, i, -n)))
		}
	}
	return nil
}

// Units returns how many units the request has taken from each quota so far. Once the charge is settled, it is what it
// was settled with. It is 0 if nothing is counted.
//
// While More waits for a second quota, the first one has taken already. So the last one tells what all of them have
// taken.
func (c Charge) Units() int64 {
	if n := len(c.counted()); n > 0 {
		return c.charge(n - 1).Units()
	}
	return 0
}

// grow takes n more units from quota i of those that were counted, under the limit that is in force now.
func (c Charge) grow(ctx context.Context, i int, n int64) error {
	if q, found := c.inForce(i); found {
		return c.charge(i).MoreUnder(ctx, q, n)
	}
	return c.charge(i).More(ctx, n)
}

// giveBack adds n, which is below 0, to the first so many quotas. It begins with the last of them, while More begins
// with the first. So no quota has ever taken less than one behind it, and what the last one can give back, all can.
//
// Example: both quotas have taken 5. A goroutine takes 3 more, and has 8 and 5 at the moment. Another gives back 6. The
// second quota refuses that, as it should. Had the first one been asked first, it would have given back 6 of its 8.
//
// A charge that is settled meanwhile has nothing to give back any more. What the ledger cannot give back now, it keeps
// and gives back later. So the other quotas give back all the same.
func (c Charge) giveBack(ctx context.Context, quotas int, n int64) (err error) {
	ctx = context.WithoutCancel(ctx) // the request may be over
	for i := quotas - 1; i >= 0; i-- {
		failed := c.charge(i).More(ctx, n)
		if failed != nil && i == len(c.counted())-1 && !errors.Is(failed, ledger.ErrUnavailable) {
			return failed
		}
		if !errors.Is(failed, ledger.ErrSettled) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// notGrown returns the error of More for n units of quota i, because of the ledger's error err.
func (c Charge) notGrown(ctx context.Context, i int, n int64, err error) error {
	if errors.Is(err, ledger.ErrSettled) || errors.Is(err, ledger.ErrTooLate) || errors.Is(err, ledger.ErrInvalid) {
		return err
	}
	m := c.meter
	q := &Request{Client: c.Client, Cost: c.Units() + n, least: n}
	e := m.uncountedBy(ctx, q, c.state, i, err)
	for j := i + 1; j < len(c.quotas()); j++ {
		if quota, found := c.inForce(j); found {
			m.prolong(ctx, e, c.state.key(j, c.Client), quota, n)
		}
	}
	return e
}

// inForce returns the present form of quota i of those that were counted. It reports false if the plan has no quota of
// its period any more, or the client has left the plan.
func (c Charge) inForce(i int) (ledger.Quota, bool) {
	m := c.meter
	return m.table.quotaInForce(c.Plan, c.Client, m.config.Default, c.state.counted[i].Period)
}

// level gives back what a quota has taken beyond the amount that all could take.
func (c Charge) level(ctx context.Context) (err error) {
	for i := range c.counted() {
		if over := c.charge(i).Units() - c.cost; over > 0 {
			err = errors.Join(err, c.charge(i).More(context.WithoutCancel(ctx), -over))
		}
	}
	return err
}
