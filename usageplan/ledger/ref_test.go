package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestRefSharesTheAccount(t *testing.T) {
	for _, exact := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Exact: exact})
			require.NoError(t, err)
			ann, err := l.Ref(customer)
			require.NoError(t, err)
			quota := ledger.Quota{Limit: 10, Period: ledger.Daily}

			_, err = l.Take(t.Context(), customer, quota, 3)
			require.NoError(t, err)
			charge, err := ann.TakeAt(t.Context(), time.Now(), quota, 4)
			require.NoError(t, err)
			require.EqualValues(t, 3, charge.Balance().Remaining)
			_, err = ann.TakeAt(t.Context(), time.Now(), quota, 4)
			require.ErrorIs(t, err, ledger.ErrExhausted)
			require.NoError(t, charge.Settle(t.Context(), 0))

			time.Sleep(24 * time.Hour)
			charge, err = ann.TakeAt(t.Context(), time.Now(), quota, 1)
			require.NoError(t, err)
			require.EqualValues(t, 9, charge.Balance().Remaining, "a new day")
			charge, err = ann.TakeAt(t.Context(), time.Now().Add(-24*time.Hour), quota, 1)
			require.NoError(t, err)
			require.EqualValues(t, 8, charge.Balance().Remaining, "an instant in the past reopens nothing")

			require.NoError(t, l.Close())
			_, err = ann.TakeAt(t.Context(), time.Now(), quota, 1)
			require.ErrorIs(t, err, ledger.ErrClosed)
		})
	}
}

func TestRefRefuses(t *testing.T) {
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
	require.NoError(t, err)
	defer l.Close()
	for _, key := range []ledger.Key{{}, {Plan: "p"}, {Subject: "s"}, {Plan: "p", Subject: strings.Repeat("s", 513)}} {
		_, err := l.Ref(key)
		require.ErrorIs(t, err, ledger.ErrKey)
	}
	_, err = (*ledger.Ledger)(nil).Ref(customer)
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
	_, err = ledger.Ref{}.TakeAt(t.Context(), time.Now(), monthly, 1)
	require.ErrorIs(t, err, ledger.ErrNotConfigured)

	ann, err := l.Ref(customer)
	require.NoError(t, err)
	for _, test := range []struct {
		quota ledger.Quota
		cost  int64
		want  error
	}{
		{monthly, -1, ledger.ErrCost},
		{monthly, ledger.MaxUnits + 1, ledger.ErrCost},
		{ledger.Quota{}, 1, ledger.ErrQuota},
	} {
		_, err := ann.TakeAt(t.Context(), time.Now(), test.quota, test.cost)
		require.ErrorIs(t, err, test.want)
		_, is := errors.AsType[*ledger.Error](err)
		require.True(t, is)
	}
}
