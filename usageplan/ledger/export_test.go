package ledger

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"time"
)

// GatherInChurn has a leader gather for a cohort that never comes, after a commit that took so long, while somebody
// else comes and goes all the time.
func GatherInChurn(took time.Duration, cohort int64) {
	g := newCommitter(nil, nil)
	g.took, g.cohort = took, cohort
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				p := new(pending)
				g.mu.Lock()
				g.setQueue(append(g.queue, p))
				g.mu.Unlock()
				runtime.Gosched()
				g.withdraw(p)
			}
		}
	}()
	g.gather()
	close(stop)
	<-stopped
}

// Patience is how long a leader waits for a cohort of which some have come.
func Patience(took time.Duration, came, whole int64) time.Duration {
	return (&committer{took: took}).patience(came, whole)
}

// TakeAt is Take with a clock that says t.
func (l *Ledger) TakeAt(ctx context.Context, t time.Time, key Key, q Quota, cost int64) (Charge, error) {
	return l.takeAt(ctx, t.Unix(), key, q, cost)
}

// TakeUpToAt is TakeUpTo with a clock that says t.
func (l *Ledger) TakeUpToAt(ctx context.Context, t time.Time, key Key, q Quota, least, most int64) (Charge, error) {
	return l.takeUpToAt(ctx, t.Unix(), key, q, least, most)
}

// MoreAt is More with a clock that says t.
func (ch Charge) MoreAt(ctx context.Context, t time.Time, n int64) error {
	return ch.moreAt(ctx, t.Unix(), nil, n)
}

// BalanceAt is Balance with a clock that says t.
func (l *Ledger) BalanceAt(ctx context.Context, t time.Time, key Key, q Quota) (Balance, error) {
	return l.balanceAt(ctx, t.Unix(), key, q)
}

// ExtendAt is Extend with a clock that says t.
func (l *Ledger) ExtendAt(ctx context.Context, t time.Time, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, t.Unix(), key, q, extend, a.Delta, a)
}

// CorrectAt is Correct with a clock that says t.
func (l *Ledger) CorrectAt(ctx context.Context, t time.Time, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, t.Unix(), key, q, correct, a.Delta, a)
}

// What is invalid, and why a ledger is unavailable.
var (
	ErrConfig, ErrQuota, ErrKey, ErrCost = errConfig, errQuota, errKey, errCost
	ErrClosed                            = errClosed
)

// SetRemainingAt is SetRemaining with a clock that says t.
func (l *Ledger) SetRemainingAt(ctx context.Context, t time.Time, key Key, q Quota, n int64, a Adjustment) (Balance, error) {
	return l.setRemainingAt(ctx, t.Unix(), key, q, n, a)
}

// State is what an engine keeps of an account.
type State struct {
	Start, Limit, Adjustments, Used, Held int64
	Leases                                int
	Days                                  []DayState
}

// DayState is what an engine keeps of a day of an account.
type DayState struct{ Day, Limit, Adjustments, Used, Held int64 }

// Accounts yields what an engine keeps of a key, oldest account first.
func Accounts(ctx context.Context, e Engine, key Key) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		for a, err := range newRows(e, 0, 1).usage(ctx, key, -1<<40, 1<<40) {
			s := State{Start: a.start, Limit: a.limit, Adjustments: a.adjustments, Used: a.used, Held: a.held, Leases: a.leases}
			for _, d := range a.days {
				s.Days = append(s.Days, DayState{d.day, d.limit, d.adjustments, d.used, d.held})
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// OnReserve has f told what each reservation of l is granted, and what then remains in the engine.
func OnReserve(l *Ledger, f func(granted, remaining int64)) {
	l.committer.rows = reserveSpy{l.committer.rows, f}
}

type reserveSpy struct {
	applier
	f func(granted, remaining int64)
}

func (s reserveSpy) apply(ctx context.Context, b *batch) ([]outcome, []error, error) {
	outs, errs, err := s.applier.apply(ctx, b)
	for i, out := range outs {
		if b.ops[i].kind == reserve {
			s.f(out.granted, b.ops[i].limit-out.totals.used)
		}
	}
	return outs, errs, err
}

// OnBatch has f told how many operations each batch of l has.
func OnBatch(l *Ledger, f func(ops int)) { l.committer.rows = batchSpy{l.committer.rows, f} }

type batchSpy struct {
	applier
	f func(ops int)
}

func (s batchSpy) apply(ctx context.Context, b *batch) ([]outcome, []error, error) {
	s.f(len(b.ops))
	return s.applier.apply(ctx, b)
}

// Counters is how many counters a ledger has made.
func Counters(l *Ledger) int { return len(slices.Collect(l.counters.all())) }
