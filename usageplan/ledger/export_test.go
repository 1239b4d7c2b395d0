package ledger

import (
	"context"
	"runtime"
	"time"
)

// GatherInChurn has a leader gather for a cohort that never comes, after a commit that took so long, while somebody else comes
// and goes all the time.
func GatherInChurn(took time.Duration, cohort int64) {
	g := newGroup(nil, 0)
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
	return (&group{took: took}).patience(came, whole)
}

// TakeAt is Take with a clock that says t.
func (l *Ledger) TakeAt(ctx context.Context, t time.Time, key Key, q Quota, cost int64) (Charge, error) {
	return l.takeAt(ctx, t.Unix(), key, q, cost)
}

// BalanceAt is Balance with a clock that says t.
func (l *Ledger) BalanceAt(ctx context.Context, t time.Time, key Key, q Quota) (Balance, error) {
	return l.balanceAt(ctx, t.Unix(), key, q)
}

// ExtendAt is Extend with a clock that says t.
func (l *Ledger) ExtendAt(ctx context.Context, t time.Time, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, t.Unix(), key, q, KindExtend, a)
}

// CorrectAt is Correct with a clock that says t.
func (l *Ledger) CorrectAt(ctx context.Context, t time.Time, key Key, q Quota, a Adjustment) (Balance, error) {
	return l.adjustAt(ctx, t.Unix(), key, q, KindCorrect, a)
}
