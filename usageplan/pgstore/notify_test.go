package pgstore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// wait appends a change by one journal while another one waits for it, and returns how long that takes.
func wait(t *testing.T, from, to journal.Journal, after uint64) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	woken := make(chan error)
	go func() { woken <- to.Wait(ctx, after) }()
	time.Sleep(20 * time.Millisecond)
	begun := time.Now()
	require.NoError(t, appendItem(t, from, after))
	require.NoError(t, <-woken)
	return time.Since(begun)
}

// TestChangeWakesOtherProcesses: a change reaches those that wait for it without polling, which comes after an hour here.
// If the connection that listens breaks, polling does it.
func TestChangeWakesOtherProcesses(t *testing.T) {
	s := common(t)
	namespace := fresh()
	one := open(t, connect(t, options(t, s.url())), namespace)
	other := open(t, connect(t, options(t, s.url())), namespace)
	from, to := one.Journal("topic", 0), other.Journal("topic", 0)
	const changes = 10
	var took []time.Duration
	restore := pgstore.SetPollMissed(time.Hour)
	for after := range uint64(changes) {
		took = append(took, wait(t, from, to, after))
	}
	restore()
	slices.Sort(took)
	t.Logf("a change takes %v", took[changes/2])

	p := connect(t, options(t, s.url()))
	listening := func() (n int) {
		const sql = "select count(*) from pg_stat_activity where query = 'listen tallygate' and pid <> pg_backend_pid()"
		require.NoError(t, p.QueryRow(t.Context(), sql).Scan(&n))
		return n
	}
	require.Positive(t, listening())
	_, err := p.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen tallygate'")
	require.NoError(t, err)
	wait(t, from, to, changes)
	require.Eventually(t, func() bool { return listening() > 0 }, time.Minute, 20*time.Millisecond, "it listens again")
	require.NoError(t, other.Close())
	require.Eventually(t, func() bool { return listening() == 0 }, time.Minute, 20*time.Millisecond, "Close ends it")
}

// TestCloseEndsWait: Close ends a Wait that has begun, and one that begins afterwards fails.
func TestCloseEndsWait(t *testing.T) {
	e := open(t, connect(t, options(t, common(t).url())), fresh())
	woken := make(chan error)
	go func() { woken <- e.Journal("topic", 0).Wait(t.Context(), 0) }()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, e.Close())
	require.ErrorIs(t, <-woken, pgstore.ErrClosed)
	require.ErrorIs(t, e.Journal("topic", 0).Wait(t.Context(), 0), pgstore.ErrClosed)
}
