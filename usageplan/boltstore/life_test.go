package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var (
	key     = ledger.Key{Plan: "plan", Subject: "subject"}
	monthly = ledger.Quota{Limit: 1000, Period: ledger.Monthly}
)

// left takes ten from a lease and leaves store and ledger as a killed process does: nothing is returned, the files are
// let go.
func left(t *testing.T, path string) {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	l, err := ledger.New(ledger.Config{Store: s, Block: 16})
	require.NoError(t, err)
	for range 10 {
		_, err = l.Take(t.Context(), key, monthly, 1)
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
}

func balance(t *testing.T, path string) ledger.Balance {
	t.Helper()
	s := open(t, path)
	l, err := ledger.New(ledger.Config{Store: s})
	require.NoError(t, err)
	b, err := l.Balance(t.Context(), key, monthly)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, s.Close())
	return b
}

func slotFiles(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), ".spent.") {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestSameBoot(t *testing.T) {
	slotKinds(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "usage.db")
		boltstore.SetBootID(t, "boot 1")
		left(t, path)
		require.NotEmpty(t, slotFiles(t, path))
		b := balance(t, path)
		require.Equal(t, [2]int64{10, 990}, [2]int64{b.Used, b.Remaining}, "nothing lost, nothing wasted")
		b = balance(t, path)
		require.Equal(t, [2]int64{10, 990}, [2]int64{b.Used, b.Remaining}, "once")
		require.Empty(t, slotFiles(t, path), "files of earlier lives are removed")
	})
}

// TestOtherBoot: what the page cache held is gone with the machine, so a lease counts as spent; but not as used.
func TestOtherBoot(t *testing.T) {
	for _, ids := range [][2]string{{"boot 1", "boot 2"}, {"", ""}} {
		path := filepath.Join(t.TempDir(), "usage.db")
		boltstore.SetBootID(t, ids[0])
		left(t, path)
		boltstore.SetBootID(t, ids[1])
		b := balance(t, path)
		require.LessOrEqual(t, b.Used, int64(10), "never billed too much")
		require.LessOrEqual(t, b.Remaining, int64(990), "never admitted too much")
		require.GreaterOrEqual(t, b.Remaining, int64(990-16), "a block is lost at most")
	}
}

// TestOlderCopy: a file put back from a backup does not believe the slots of a later life.
func TestOlderCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	boltstore.SetBootID(t, "boot 1")
	left(t, path)
	backup, err := os.ReadFile(path)
	require.NoError(t, err)
	balance(t, path)
	left(t, path)
	require.NoError(t, os.WriteFile(path, backup, 0o600))
	b := balance(t, path)
	require.LessOrEqual(t, b.Remaining, int64(990))
}

// TestAdjustments: who, when, from what, by how much and why, also after the file was opened again.
func TestAdjustments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	l, err := ledger.New(ledger.Config{Store: s})
	require.NoError(t, err)
	begin := time.Now()
	_, err = l.Take(t.Context(), key, monthly, 30)
	require.NoError(t, err)
	for _, delta := range []int64{100, -20} {
		_, err = l.Extend(t.Context(), key, monthly, ledger.Adjustment{Delta: delta, Actor: "owner", Reason: "launch"})
		require.NoError(t, err)
		_, err = l.Correct(t.Context(), key, monthly, ledger.Adjustment{Delta: -5, Actor: "clerk", Reason: "outage"})
		require.NoError(t, err)
	}
	_, err = l.Extend(t.Context(), ledger.Key{Plan: "plan", Subject: "other"}, monthly, ledger.Adjustment{Delta: 1})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, s.Close())

	l, err = ledger.New(ledger.Config{Store: open(t, path)})
	require.NoError(t, err)
	var told []string
	for e, err := range l.Adjustments(t.Context(), key, begin, time.Now()) {
		require.NoError(t, err)
		require.True(t, begin.Unix() <= e.Time && e.Time <= time.Now().Unix())
		told = append(told, fmt.Sprintf("%s, from %d to %d: %s", e.Actor, e.Before, e.Before+e.Granted, e.Reason))
	}
	require.Equal(t, []string{
		"owner, from 0 to 100: launch", "clerk, from 30 to 25: outage",
		"owner, from 100 to 80: launch", "clerk, from 25 to 20: outage",
	}, told)
	for range l.Adjustments(t.Context(), key, begin.Add(-time.Hour), begin.Add(-time.Second)) {
		t.Fatal("too early")
	}
	require.NoError(t, l.Close())
	for _, err := range l.Adjustments(t.Context(), key, begin, time.Now()) {
		require.ErrorIs(t, err, ledger.ErrClosed)
	}
}

func TestUntoldAtOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	l, err := ledger.New(ledger.Config{Store: s}) // tells nobody
	require.NoError(t, err)
	_, err = l.Take(t.Context(), key, monthly, 800)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, s.Close())
	for _, want := range []int{2, 0} {
		s := open(t, path)
		told := make(chan ledger.Crossing, 9)
		l, err := ledger.New(ledger.Config{Store: s, OnThreshold: func(c ledger.Crossing) { told <- c }})
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Len(t, told, want)
		require.NoError(t, s.Close())
	}
}

// TestIDsOutliveKeep: compaction takes no entry whose id is still to be remembered, and takes all others.
func TestIDsOutliveKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "usage.db")
		for i := range 3 {
			s, err := boltstore.Open(path, boltstore.Config{Keep: time.Second})
			require.NoError(t, err)
			if i == 0 {
				batch := make([]ledger.Op, 2000)
				for j := range batch {
					batch[j] = charge("a", 1)
				}
				apply(t, s, batch...)
			}
			named := charge("a", 5)
			named.ID = "x"
			require.Equal(t, i > 0, apply(t, s, named)[0].Replayed)
			apply(t, s, charge("b", 1))
			n := 0
			for _, err := range s.Entries(t.Context(), 0) {
				require.NoError(t, err)
				n++
			}
			require.Equal(t, []int{2002, 3, 4}[i], n)
			time.Sleep(time.Hour)
			require.NoError(t, s.Close())
		}
	})
}

// TestCompaction: entries go, sums stay.
func TestCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "usage.db")
		count := func() (n int) {
			s, err := boltstore.Open(path, boltstore.Config{Keep: 48 * time.Hour})
			require.NoError(t, err)
			for _, err := range s.Entries(t.Context(), 0) {
				require.NoError(t, err)
				n++
			}
			apply(t, s, charge("other", 1))
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, s.Close()) // folds and compacts
			return n
		}
		want := filled(t, path)
		require.Equal(t, 600, count())
		time.Sleep(47 * time.Hour)
		require.Equal(t, 601, count())
		time.Sleep(2 * time.Hour)
		require.Equal(t, 602, count())
		require.Equal(t, 2, count(), "the first 601 entries were older than two days")
		s := open(t, path)
		got, err := usedBy(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
		for state, err := range s.Accounts(t.Context(), charge("subject7", 0).Account.Key, start, start) {
			require.NoError(t, err)
			require.Equal(t, want["subject7"], state.Days[0].Used, "daily totals stay")
		}
		require.NoError(t, s.Close())
	})
}

func TestAudit(t *testing.T) {
	begin := time.Now().Unix()
	s := open(t, filepath.Join(t.TempDir(), "usage.db"))
	l, err := ledger.New(ledger.Config{Store: s, Mode: ledger.Exact})
	require.NoError(t, err)
	defer l.Close()
	c, err := l.Take(t.Context(), key, monthly, 3)
	require.NoError(t, err)
	require.NoError(t, c.Settle(t.Context(), 1))
	_, err = l.Extend(t.Context(), key, monthly, ledger.Adjustment{ID: "ticket-812", Delta: 50, Reason: "outage", Actor: "support/bo"})
	require.NoError(t, err)
	_, err = l.Correct(t.Context(), key, monthly, ledger.Adjustment{Delta: -1, Reason: "probe", Actor: "ops"})
	require.NoError(t, err)
	var got []string
	for e, err := range s.Entries(t.Context(), 0) {
		require.NoError(t, err)
		require.True(t, begin <= e.Time && e.Time <= time.Now().Unix())
		require.NotEmpty(t, e.ID)
		require.Equal(t, key, e.Account.Key)
		got = append(got, strings.TrimSpace(strings.Join([]string{e.Kind.String(), time.Duration(e.Granted).String(), e.Reason, e.Actor}, " ")))
	}
	require.Equal(t, []string{"charge 3ns", "refund 2ns", "extend 50ns outage support/bo", "correct -1ns probe ops"}, got)
}
