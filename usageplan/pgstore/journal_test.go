package pgstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/journal/journaltest"
	"github.com/tallygate/tallygate/usageplan/pgstore"
)

// TestJournal: the store keeps the contract of journals. All topics are in one namespace.
func TestJournal(t *testing.T) {
	pgstore.SetReadBytes(t, 64<<10) // so that what is read has several pages
	s := common(t)
	e := open(t, connect(t, options(t, s.url())), fresh())
	journaltest.Run(t, func(_ *testing.T, retain time.Duration) journal.Journal { return e.Journal(fresh(), retain) })
	journaltest.RunReopen(t, func(t *testing.T, retain time.Duration) (journal.Journal, func() journal.Journal) {
		namespace := fresh()
		e := open(t, connect(t, options(t, s.url())), namespace)
		return e.Journal("topic", retain), func() journal.Journal {
			_ = e.Close()
			e = open(t, connect(t, options(t, s.url())), namespace)
			return e.Journal("topic", retain)
		}
	})
}

// TestDroppedItemsLeaveNothing: an item that is changed when its record has been dropped leaves no row of what it was.
// So a name is forgotten with the record of its removal, as the contract has it.
func TestDroppedItemsLeaveNothing(t *testing.T) {
	p, namespace := connect(t, options(t, common(t).url())), fresh()
	j, revision := open(t, p, namespace).Journal("topic", time.Minute), uint64(0)
	for _, it := range []journal.Item{
		{Name: "a", Value: []byte("1")},
		{Name: "b"},
		{Name: "b"},
		{Name: "a", Value: []byte("2")},
		{Name: "b"},
		{Name: "b"},
		{Name: "a", Gone: true},
		{Name: "b"},
		{Name: "b"},
	} {
		next, err := j.Append(t.Context(), revision, journal.Change{Items: []journal.Item{it}}) // its time is long ago
		require.NoError(t, err)
		revision = next
	}
	rows, err := p.Query(t.Context(), fmt.Sprintf("select name from %q.items", namespace))
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("b")}, names)
}

// appendItem appends a change of one item.
func appendItem(t *testing.T, j journal.Journal, after uint64) error {
	_, err := j.Append(t.Context(), after, journal.Change{
		Time: time.Now(), Items: []journal.Item{{Name: fmt.Sprint(after), Value: []byte("\x00\xff")}},
	})
	return err
}
