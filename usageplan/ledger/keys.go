package ledger

import (
	"context"
	"iter"
)

// Keys yields every key of a plan that has been counted, in any order, also of subjects that have left the plan. After
// an error, with which it ends, the Key is zero. Causes: [ErrUnavailable], [ErrNotConfigured]. Keys that are first
// counted meanwhile may be yielded or not. The caller may use the ledger while it iterates.
func (l *Ledger) Keys(ctx context.Context, plan string) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		if err := l.open(); err != nil {
			yield(Key{}, err)
			return
		}
		l.tellUnsettled(ctx)
		for key, err := range l.rows.keys(ctx, plan) {
			if err != nil {
				yield(Key{}, &Error{Err: ErrUnavailable, Cause: err})
				return
			}
			if !yield(key, nil) {
				return
			}
		}
	}
}
