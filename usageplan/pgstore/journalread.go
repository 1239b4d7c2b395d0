package pgstore

import (
	"cmp"
	"context"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// readBytes is about how many bytes of items one page has; one change may have more. A page has up to a thousand
// changes or items. A variable for tests.
var readBytes = 1 << 20

// readHead yields a row also if the topic has no change yet.
const readHead = `select coalesce(max(head), 0) from schema.topics where topic = $1`

// Page is one transaction of one round trip, which sees one state of the database. Otherwise a change that is appended
// between two statements could be in the head but not in the page, as if its record had been dropped.
func (l *topicLog) Page(ctx context.Context, after uint64, all bool) (head uint64, changes []journal.Change, err error) {
	s := l.store
	page := pgx.NamedArgs{"topic": l.topic, "after": min(after, math.MaxInt64), "bytes": readBytes, "all": all}
	err = s.transact(ctx, func(c *pgxpool.Conn) error {
		b := &pgx.Batch{}
		b.Queue("begin isolation level repeatable read, read only")
		b.Queue(s.in(readHead), l.topic).QueryRow(func(row pgx.Row) error { return row.Scan(&head) })
		b.Queue(s.in(readChanges), page).Query(func(rows pgx.Rows) (err error) {
			changes, err = pgx.CollectRows(rows, scanChange)
			return err
		})
		return commit(ctx, c, b)
	})
	return head, changes, err
}

// scanChange reads a change. Its items are arrays, one for each column, as in Append. So a page is one query, and the
// texts of a change are sent once, however many items it has. An array is null if all items have changed since.
func scanChange(row pgx.CollectableRow) (c journal.Change, err error) {
	var names, values [][]byte
	var gone []bool
	err = row.Scan(&c.Revision, &c.Time, (*text)(&c.Operation),
		(*text)(&c.Actor), (*text)(&c.Source), (*text)(&c.Request), &names, &gone, &values)
	c.Time = c.Time.UTC()
	for i, name := range names {
		c.Items = append(c.Items, journal.Item{Name: string(name), Gone: gone[i], Value: values[i]})
	}
	return c, err
}

// text is a string that is bytes in the tables, because a client may choose it: PostgreSQL's text has neither a zero
// byte nor what is not UTF-8.
type text string

// ScanBytes implements [pgtype.BytesScanner].
func (t *text) ScanBytes(b []byte) error {
	*t = text(b)
	return nil
}

// Items is one query. The name that a page ends with is where the next one begins, so a page costs the same however many
// items come before it. A page without items is the last one.
func (l *topicLog) Items(ctx context.Context, from string) (items []journal.Item, next string, err error) {
	page := pgx.NamedArgs{"topic": l.topic, "from": []byte(from), "bytes": readBytes}
	items, err = query(ctx, l.store, func(row pgx.CollectableRow) (it journal.Item, err error) {
		err = row.Scan((*text)(&it.Name), &it.Value)
		return it, err
	}, readSnapshot, page)
	if len(items) > 0 {
		next = items[len(items)-1].Name
	}
	return items, next, err
}

// History is one query for each page, which yields changes as Page does. The record before which it begins need not be
// there any more. An item has no bytes there, as the statement yields null in their place.
func (l *topicLog) History(ctx context.Context, item string, before uint64) ([]journal.Change, error) {
	page := pgx.NamedArgs{"topic": l.topic, "name": []byte(item), "before": cmp.Or(before, math.MaxInt64)}
	return query(ctx, l.store, scanChange, readHistory, page)
}

// Wait asks for the head, and again when the bell of the store rings or some time is over. All topics in a schema ring
// one bell, so it may find the head where it was. An error of the server ends it too.
func (l *topicLog) Wait(ctx context.Context, after uint64) error {
	for {
		rung, err := l.store.watch(ctx) // before the head is read, so that no change comes in between
		if err != nil {
			return err
		}
		head, err := query(ctx, l.store, pgx.RowTo[uint64], readHead, l.topic)
		if err != nil || head[0] > after {
			return err
		}
		if err := l.store.await(ctx, rung); err != nil {
			return err
		}
	}
}
