package ledger

import (
	"context"
	"time"
)

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
