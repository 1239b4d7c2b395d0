package pgstore

import (
	"context"
	_ "embed" // the statements
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// Journal returns the journal of a topic, such as "keys". It is in the database of the store, and needs no closing. All
// journals of one topic are the same one. Those of two topics know nothing of each other, nor of the ledger. A topic
// has 0 to 1 200 bytes of any value.
//
// The journal keeps the record of each change for retain; 0 or less stands for 400 days. Times are kept to the
// microsecond. A change is as durable as the server makes its commits; see the package documentation. An error of Wait
// is [ErrClosed] when the store is closed.
//
// The first Wait makes the store listen for notifications of the server, on a connection of its own that lasts until
// Close. Behind a pooler it asks for the head four times a second instead.
func (s *Store) Journal(topic string, retain time.Duration) journal.Journal {
	return journal.New(fmt.Sprintf("pgstore: journal %q", topic), retain, &topicLog{s, []byte(topic)})
}

// topicLog is the [journal.Store] of a topic.
type topicLog struct {
	store *Store
	topic []byte
}

// Append begins with these statements, and ends with those of a file. takeHead locks the row of the topic until the end
// of the transaction, so one change at a time is appended to a topic. A call that waits for it then compares with the
// new head.
const (
	makeTopic = `insert into schema.topics values ($1, 1, 0) on conflict do nothing`
	takeHead  = `update schema.topics set head = head + 1 where topic = $1 and head = $2 returning first`
)

// The other statements are in files, which say what they do and what they take.
var (
	//go:embed sql/append.sql
	writeChange string
	//go:embed sql/changes.sql
	readChanges string
	//go:embed sql/snapshot.sql
	readSnapshot string
	//go:embed sql/history.sql
	readHistory string
)

// Append is one transaction of two round trips, which is sent once.
func (l *topicLog) Append(ctx context.Context, c journal.Change, oldest time.Time) error {
	return l.store.transact(ctx, func(conn *pgxpool.Conn) error {
		first, err := l.take(ctx, conn, c.Revision-1)
		if err == nil {
			err = l.write(ctx, conn, first, c, oldest)
		}
		return err
	})
}

// idleAppend is how long the server waits for a change of up to 64 MiB. If the process has been stopped, other writers
// of the topic wait as long.
const idleAppend = 30 * time.Second

// take begins a transaction and moves the head. It returns the revision of the oldest record.
func (l *topicLog) take(ctx context.Context, conn *pgxpool.Conn, after uint64) (first uint64, err error) {
	s, b := l.store, begin(idleAppend)
	if after == 0 {
		b.Queue(s.in(makeTopic), l.topic)
	}
	b.Queue(s.in(takeHead), l.topic, after).QueryRow(func(row pgx.Row) error { return row.Scan(&first) })
	err = conn.SendBatch(ctx, b).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w: not at %d", journal.ErrBehind, after)
	}
	return first, err
}

// write writes a change and commits it, in one request. The items are arrays, one for each column, so the number of
// statements does not depend on that of the items.
func (l *topicLog) write(ctx context.Context, conn *pgxpool.Conn, first uint64, c journal.Change, oldest time.Time) error {
	names, gone, values := make([][]byte, len(c.Items)), make([]bool, len(c.Items)), make([][]byte, len(c.Items))
	size := 0
	for i, it := range c.Items {
		names[i], gone[i] = []byte(it.Name), it.Gone
		if !it.Gone {
			values[i] = append([]byte{}, it.Value...) // not nil, which stands for no value
		}
		size += len(it.Name) + len(values[i])
	}
	args := pgx.NamedArgs{
		"topic": l.topic, "revision": c.Revision, "time": c.Time, "operation": []byte(c.Operation),
		"actor": []byte(c.Actor), "source": []byte(c.Source), "request": []byte(c.Request), "size": size,
		"names": names, "gone": gone, "values": values,
		"first": first, "oldest": oldest,
		"channel": channel, "schema": l.store.schema,
	}
	b := &pgx.Batch{}
	for statement := range strings.SplitSeq(l.store.in(writeChange), ";") {
		b.Queue(statement, args)
	}
	return commit(ctx, conn, b)
}
