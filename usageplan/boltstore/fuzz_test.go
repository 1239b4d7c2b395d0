package boltstore_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func sampleState() *ledger.State {
	return &ledger.State{
		Totals:  ledger.Totals{Start: 1700006400, Day: 1700006400, Limit: 10, Adjustments: -2, Used: 7, Held: 3, Crossed: ledger.Percents{}.With(50), Told: ledger.Percents{}.With(100)},
		Days:    []ledger.DayTotal{{Day: 1700006400, Limit: 10, Adjustments: -2, Used: 7, Held: 3}},
		Leases:  []ledger.Lease{{ID: 1 << 63, Day: 1700006400, Granted: 5, Spent: -1}},
		Applied: []ledger.Applied{{ID: "ticket", Granted: -2, Kind: ledger.KindExtend}},
	}
}

func sampleEntries() []ledger.Entry {
	a := ledger.Account{Key: ledger.Key{Plan: "plan", Subject: "subject"}, Start: 1700006400}
	return []ledger.Entry{
		{Op: ledger.Op{ID: "x-1", Kind: ledger.KindReserve, Account: a, Day: a.Start, Time: a.Start + 9, Limit: 10, Want: 5, Min: 1, Lease: 7, Spent: -1}, Granted: 4},
		{Op: ledger.Op{ID: "t", Kind: ledger.KindExtend, Account: a, Day: a.Start, Time: a.Start - 9, Want: -2, Reason: "why", Actor: "who"}, Granted: -2, Crossed: ledger.Percents{}.With(80)},
		{Op: ledger.Op{Kind: ledger.KindTrueUp, Account: a, Day: a.Start, Want: 1, Force: true}, Granted: 1},
		{Op: ledger.Op{Kind: ledger.KindTrueUp, Account: a, Day: a.Start, Limit: 9, Want: 1, InForce: true, Force: true}, Granted: 1},
	}
}

func TestCode(t *testing.T) {
	got, err := boltstore.DecodeState(boltstore.EncodeState(sampleState()))
	require.NoError(t, err)
	require.Equal(t, sampleState(), got)
	old := boltstore.EncodeState(sampleState()) // as it was before kinds were kept
	got, err = boltstore.DecodeState(boltstore.Seal(old[:len(old)-5]))
	require.NoError(t, err)
	require.Equal(t, []ledger.Applied{{ID: "ticket", Granted: -2}}, got.Applied)
	unix, entries, err := boltstore.DecodeRecord(boltstore.EncodeRecord(1700006409, sampleEntries()))
	require.NoError(t, err)
	require.EqualValues(t, 1700006409, unix)
	require.Equal(t, sampleEntries(), entries)
}

// FuzzState: any bytes under a right checksum are a state or an error, and a state that is read is written as it was,
// but for the length of numbers.
func FuzzState(f *testing.F) {
	good := boltstore.EncodeState(sampleState())
	f.Add(good[:len(good)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := boltstore.DecodeState(boltstore.Seal(bytes.Clone(body)))
		if err != nil {
			require.ErrorIs(t, err, boltstore.ErrFormat)
			return
		}
		again, err := boltstore.DecodeState(boltstore.EncodeState(s))
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

func FuzzRecord(f *testing.F) {
	good := boltstore.EncodeRecord(1700006409, sampleEntries())
	f.Add(good[:len(good)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		unix, entries, err := boltstore.DecodeRecord(boltstore.Seal(bytes.Clone(body)))
		if err != nil {
			require.ErrorIs(t, err, boltstore.ErrFormat)
			return
		}
		unix2, again, err := boltstore.DecodeRecord(boltstore.EncodeRecord(unix, entries))
		require.NoError(t, err)
		require.Equal(t, unix, unix2)
		require.Equal(t, entries, again)
	})
}
