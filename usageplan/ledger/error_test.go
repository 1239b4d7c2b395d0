package ledger_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The text of a mistake says what is wrong and what is right, so that nobody has to read the source for it.
func TestTextsOfMistakes(t *testing.T) {
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	key, quota := ledger.Key{Plan: "jobs", Subject: "acme"}, ledger.Quota{Limit: 50, Period: ledger.Daily}
	charge, err := l.Take(t.Context(), key, quota, 50)
	require.NoError(t, err)
	other := ledger.Key{Plan: "jobs", Subject: "globex"}
	_, err = l.Take(t.Context(), other, quota, 38)
	require.NoError(t, err)
	var none *ledger.Ledger
	for name, tt := range map[string]struct {
		do   func(context.Context) error
		want string
	}{
		"a cost below 0": {
			func(ctx context.Context) error { _, err := l.Take(ctx, key, quota, -1); return err },
			"ledger: invalid cost: -1 is not within 0 and 2^53",
		},
		"at least nothing": {
			func(ctx context.Context) error { _, err := l.TakeUpTo(ctx, key, quota, 0, 10); return err },
			"ledger: invalid cost: least is 0 and most is 10: least must be 1 or more, and most from least to 2^53",
		},
		"more given back than taken": {
			func(ctx context.Context) error { return charge.More(ctx, -60) },
			"ledger: invalid cost: 50 units and -60 more are not within 0 and 2^53",
		},
		"growth beyond every limit": {
			func(ctx context.Context) error { return charge.More(ctx, ledger.MaxUnits) },
			"ledger: invalid cost: 50 units and 9007199254740992 more are not within 0 and 2^53",
		},
		"more than is left": {
			func(ctx context.Context) error { _, err := l.Take(ctx, other, quota, 20); return err },
			"ledger: quota exhausted: 12 left of 50",
		},
		"a settlement below 0": {
			func(ctx context.Context) error { return charge.Settle(ctx, -2) },
			"ledger: invalid cost: -2 is not within 0 and 2^53",
		},
		"no ledger": {
			func(ctx context.Context) error { _, err := none.Take(ctx, key, quota, 1); return err },
			"ledger: not configured: the ledger is nil or zero: make it with New",
		},
		"the zero ledger": {
			func(ctx context.Context) error {
				_, err := new(ledger.Ledger).TakeUpTo(ctx, key, quota, 1, 2)
				return err
			},
			"ledger: not configured: the ledger is nil or zero: make it with New",
		},
		"the zero ref": {
			func(ctx context.Context) error {
				_, err := ledger.Ref{}.TakeAt(ctx, time.Now(), quota, 1)
				return err
			},
			"ledger: not configured: the Ref is zero: get it from Ledger.Ref",
		},
		"growth of nothing": {
			func(ctx context.Context) error { return ledger.Charge{}.More(ctx, 1) },
			"ledger: not configured: the Charge is zero: only what was taken can grow",
		},
	} {
		require.EqualError(t, tt.do(t.Context()), tt.want, name)
	}
}
