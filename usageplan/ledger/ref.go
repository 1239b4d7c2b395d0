package ledger

import (
	"context"
	"time"
)

// A Ref names one key of a [Ledger], for callers that take from it often: taking by it looks nothing up. It is a small
// value and serves as long as the ledger. The zero Ref refuses with [ErrNotConfigured].
type Ref struct{ counter *counter }

// Ref names a key. Causes: [ErrInvalid], [ErrUnavailable], [ErrNotConfigured].
func (l *Ledger) Ref(key Key) (Ref, error) {
	if err := l.open(); err != nil {
		return Ref{}, err
	}
	if err := key.validate(); err != nil {
		return Ref{}, &Error{Err: err}
	}
	return Ref{l.counters.make(l, key)}, nil
}

// TakeAt is [Ledger.Take] for the key, by a reading of the clock that the caller has made already. An instant in the
// past reopens neither a period nor a day. One in the future begins its period, and the key never goes back to the one
// before. Causes: those of Take.
func (r Ref) TakeAt(ctx context.Context, t time.Time, q Quota, cost int64) (ch Charge, err error) {
	if r.counter == nil {
		return Charge{}, &Error{Err: errNoRef}
	}
	err = r.counter.take(ctx, t.Unix(), &q, cost, &ch)
	return ch, err
}

// TakeUpToAt is [Ledger.TakeUpTo] for the key, by a reading of the clock, as TakeAt is Take.
func (r Ref) TakeUpToAt(ctx context.Context, t time.Time, q Quota, least, most int64) (ch Charge, err error) {
	if r.counter == nil {
		return Charge{}, &Error{Err: errNoRef}
	}
	err = r.counter.takeUpTo(ctx, t.Unix(), &q, least, most, &ch)
	return ch, err
}
