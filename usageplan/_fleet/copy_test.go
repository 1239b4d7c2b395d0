package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var monthly = ledger.Quota{Limit: 1000, Period: ledger.Monthly}

// keeper is what each store is: an engine, and journals.
type keeper interface {
	ledger.Engine
	Journal(topic string, retain time.Duration) journal.Journal
}

// TestCopyFromAFileAndBack: the ledger and a journal go from a file into a store, and from there into another file.
// Each way is interrupted after 1, 2, 4 ... writes and called again. At the end both files tell the same.
func TestCopyFromAFileAndBack(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		file, back := openFile(t), openFile(t)
		live(t, file)
		engine, err := s.place("copy").open(t.Context())
		require.NoError(t, err)
		there := engine.(keeper)
		resume(t, there, file)
		resume(t, back, there)
		want := tell(t, file)
		require.Len(t, want, 20+7+1)
		require.Equal(t, want, tell(t, back))
	})
}

func openFile(t *testing.T) *boltstore.Store {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "usage.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// live gives a file a past: 20 keys that have counted, and 30 changes of 7 items, some of which are gone.
func live(t *testing.T, s *boltstore.Store) {
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(t, err)
	for i := range 20 {
		_, err := l.Take(t.Context(), ledger.Key{Plan: "gold", Subject: fmt.Sprint(i)}, monthly, int64(i+1))
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	for after := range uint64(30) {
		_, err := s.Journal("keys", 0).Append(t.Context(), after, journal.Change{
			Time: time.Now().Truncate(time.Millisecond), Operation: fmt.Sprint("op ", after), Origin: journal.Origin{Actor: "alice"},
			Items: []journal.Item{{Name: fmt.Sprint("item ", after%7), Value: fmt.Append(nil, after), Gone: after%3 == 0}},
		})
		require.NoError(t, err)
	}
}

// tell returns what a file has: the balance of each key, the history of each item, and the items.
func tell(t *testing.T, s *boltstore.Store) (all []string) {
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(t, err)
	for i := range 20 {
		b, err := l.Balance(t.Context(), ledger.Key{Plan: "gold", Subject: fmt.Sprint(i)}, monthly)
		require.NoError(t, err)
		require.EqualValues(t, i+1, b.Used)
		all = append(all, fmt.Sprint(b.Used, b.Remaining))
	}
	require.NoError(t, l.Close())
	for i := range 7 {
		var history strings.Builder
		for c, err := range s.Journal("keys", 0).History(t.Context(), fmt.Sprint("item ", i)) {
			require.NoError(t, err)
			history.WriteString(fmt.Sprintln(c.Revision, c.Time, c.Operation, c.Actor, c.Items))
		}
		all = append(all, history.String())
	}
	var items strings.Builder
	for c, err := range s.Journal("keys", 0).Changes(t.Context(), 0) {
		require.NoError(t, err)
		items.WriteString(fmt.Sprintln(c.Revision, c.Items))
	}
	return append(all, items.String())
}

// resume copies again and again, each time with twice as many writes, until both copies are made. Then it copies once
// more, which finds that all is there.
func resume(t *testing.T, to, from keeper) {
	toLog, fromLog := to.Journal("keys", 0), from.Journal("keys", 0)
	for n := 1; ; n *= 2 {
		b := &budget{left: n}
		err := ledger.Copy(t.Context(), mortalEngine{to, b}, from)
		if err == nil {
			err = journal.Copy(t.Context(), mortalJournal{toLog, b}, fromLog)
		}
		if err == nil {
			require.Greater(t, n, 8, "it was interrupted")
			break
		}
		require.ErrorIs(t, err, errKilled)
	}
	require.NoError(t, ledger.Copy(t.Context(), to, from))
	require.NoError(t, journal.Copy(t.Context(), toLog, fromLog))
}

// budget is how many writes a copy makes before it is killed.
type budget struct{ left int }

var errKilled = errors.New("killed")

func (b *budget) spend() error {
	if b.left--; b.left < 0 {
		return errKilled
	}
	return nil
}

type mortalEngine struct {
	ledger.Engine
	*budget
}

func (m mortalEngine) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Engine.Update(ctx, keys, f)
}

type mortalJournal struct {
	journal.Journal
	*budget
}

func (m mortalJournal) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if err := m.spend(); err != nil {
		return 0, err
	}
	return m.Journal.Append(ctx, after, c)
}
