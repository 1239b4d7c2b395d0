package dynamostore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// A transaction of DynamoDB has at most 100 items and 4 MB, and a change may have more. So a change takes two steps:
//
//  1. The head, one item, is replaced by a new one if it is still the one that the writer has read. It holds the
//     change. Of a large change it holds the beginning, and names the items with the rest, which have been written
//     before. This step makes the change: readers see nothing of it before.
//  2. Settling: the change is entered into the log and into the versions of its items. This changes nothing that a
//     reader sees, and any process may repeat it. Each Append first settles the change before, if its writer has not.
//     So only the last change can be unsettled, and the head leads to all of it.
//
// The items of a topic have these keys. The items with a place, here ":5", are spread over 16 partition keys:
//
//	gateway:2c70e12b7a0646f9    head                     the last change
//	gateway:2c70e12b7a0646f9    r, revision              a settled change
//	gateway:2c70e12b7a0646f9:5  p, token, number         a part of a change that is larger than 2 KB
//	gateway:2c70e12b7a0646f9:5  v, digest, revision      what a change made of an item
//	gateway:2c70e12b7a0646f9:5  c, digest, rev., number  a part of an item that is larger than 300 KB
//
// Each Append deletes a few records that have become too old, with their parts and with the versions that their changes
// have replaced. Nothing else deletes them, so no process has to run in the background.

// Journal returns the journal of a topic, such as "keys". It is in the table of the store, and needs no closing. All
// journals of one topic are the same journal, in each process. Journals of different topics are independent of each
// other and of the ledger.
//
// The journal keeps the record of each change for retain; 0 or less stands for 400 days. Times are kept to the
// millisecond. An item that cannot be read is an error that wraps [ErrFormat]. After Close of the store, calls fail
// with [ErrClosed], and a Wait that is under way ends with it.
//
// A change of one small item costs a read and four writes. If the process ends before the change is made, the parts of
// a change of more than 2 KB stay in the table. They only cost storage.
func (s *Store) Journal(topic string, retain time.Duration) journal.Journal {
	l := &topicLog{store: s}
	if s != nil {
		digest := sha256.Sum256([]byte(topic))
		l.prefix = fmt.Sprintf("%s:%x", s.name, digest[:8])
	}
	return journal.New(fmt.Sprintf("dynamostore: journal %q", topic), retain, l)
}

// topicLog is the [journal.Store] of a topic.
type topicLog struct {
	store  *Store
	prefix string // of its partition keys
}

// place returns the partition key for what is spread.
func (l *topicLog) place(n int) string {
	return l.prefix + ":" + strconv.FormatInt(int64(n%places), 16)
}

// headKey is that of the last change, the one item by which writers of the topic exclude each other.
func (l *topicLog) headKey() item { return key(l.prefix, []byte("head")) }

// logKey is that of a settled change.
func (l *topicLog) logKey(revision uint64) item { return key(l.prefix, numbered("r", revision)) }

// Append takes the two steps that the comment at the beginning of this file describes. The request that makes the
// change is sent once.
func (l *topicLog) Append(ctx context.Context, c journal.Change, oldest time.Time) error {
	made, err := l.append(ctx, c, oldest)
	// A change that is made is not undone, so an error of settling does not concern the caller. The next Append settles
	// what is left.
	if err == nil && settlesOwn {
		_ = l.settle(ctx, made, c)
	}
	return err
}

// settlesOwn is a variable for tests. If it is false, each writer stops as soon as its change is made.
var settlesOwn = true

// append makes a change, and returns its record. What it writes before the swap does not matter to anybody until the
// swap has been made: parts that no head names, and the work of settling and retiring, which any writer may do.
func (l *topicLog) append(ctx context.Context, c journal.Change, oldest time.Time) (record, error) {
	last, err := l.head(ctx)
	if err != nil {
		return record{}, err
	}
	if last.revision+1 != c.Revision {
		return record{}, behind(last, c)
	}
	if err := l.settleLast(ctx, last); err != nil {
		return record{}, err
	}
	next := head{first: last.first, firstTime: last.firstTime}
	var rest [][]byte
	next.record, rest = newRecord(c)
	if err := l.retire(ctx, &next, oldest.UnixMilli()); err != nil {
		return record{}, err
	}
	if err := l.store.putEach(ctx, withContent(l.partKeys(next.record), rest)); err != nil {
		return record{}, err
	}
	now, written, err := l.store.swap(ctx, next.item(l.headKey()), last.token)
	if err != nil || written {
		return next.record, err
	}
	_ = l.store.deleteEach(ctx, l.partKeys(next.record)) // parts that cannot be deleted stay, and only cost storage
	if last, err = parseHead(now); err == nil {
		err = behind(last, c)
	}
	return record{}, err
}

// behind is the error of a change whose writer has not seen the last one. The writer reads on and decides again.
func behind(h head, c journal.Change) error {
	return fmt.Errorf("%w: at %d, not %d", journal.ErrBehind, h.revision, c.Revision-1)
}

// records yields the settled changes that the query in finds. It ends with the first error.
func (l *topicLog) records(ctx context.Context, in *dynamodb.QueryInput) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		for it, err := range l.store.query(ctx, in) {
			var r record
			if err == nil {
				r, err = parseRecord(it)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// rangeQuery finds the items of a partition key from one key to another, including both.
func rangeQuery(from, to item) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("p = :p and s between :from and :to"),
		ExpressionAttributeValues: item{":p": from[attrPartition], ":from": from[attrSort], ":to": to[attrSort]},
	}
}

// head reads the head. A journal without a change has the zero head.
func (l *topicLog) head(ctx context.Context) (head, error) {
	if err := l.store.usable(ctx); err != nil {
		return head{}, err
	}
	it, err := l.store.get(ctx, l.headKey())
	if err != nil {
		return head{}, err
	}
	return parseHead(it)
}

// polls is how often Wait asks.
const polls = 500 * time.Millisecond

// Wait asks every half second. It does not ask at once, because its caller has just read the head. A follower of
// package journal reads the head itself four times a second, and cancels the Wait each time. So its Wait never asks,
// and it costs four read units a second: 10.4 million a month for each process and topic.
func (l *topicLog) Wait(ctx context.Context, after uint64) error {
	for {
		if err := l.store.usable(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-l.store.closed:
		case <-time.After(polls):
		}
		h, err := l.head(ctx)
		if err != nil {
			return err
		}
		if h.revision > after {
			return nil
		}
	}
}

// partKeys are those of the parts of a change.
func (l *topicLog) partKeys(r record) []item {
	keys := make([]item, r.parts)
	for i := range keys {
		keys[i] = key(l.place(i), numbered("p"+string(r.token), uint64(i)))
	}
	return keys
}

// withContent adds to each item its bytes, and returns items. There must be as many contents as items.
func withContent(items []item, content [][]byte) []item {
	for i := range items {
		items[i][attrContent] = blob(content[i])
	}
	return items
}

// numbered returns a sort key: a prefix and a number of eight bytes, the highest first. So keys, which DynamoDB
// compares byte by byte, are in the order of the numbers.
func numbered(prefix string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(prefix), n)
}
