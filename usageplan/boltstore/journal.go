package boltstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	bolt "go.etcd.io/bbolt"
)

// Journal returns the journal of a topic, such as "keys". It is in the file of the store and needs no closing. All
// journals of one topic are the same one. Those of two topics know nothing of each other, nor of the ledger.
//
// The journal keeps the record of each change for retain; 0 or less stands for 400 days. A change is on disk when
// Append has returned nil. The errors are those of [Store.Update]; one of Wait is [ErrClosed] when the store is closed.
//
// A damaged item or record is found when it is read: a call that needs it fails with [ErrFormat], and others go on.
// Reading all items needs each of them, and a change needs those that it has. An item or record that a later version of
// this package has written is [ErrVersion].
//
// Calls of the ledger wait while a change is appended.
func (s *Store) Journal(topic string, retain time.Duration) journal.Journal {
	if retain <= 0 {
		retain = 400 * 24 * time.Hour
	}
	return &topicLog{s, topic, retain}
}

// topicLog is the journal of a topic.
type topicLog struct {
	store  *Store
	topic  string
	retain time.Duration
}

// Append implements [journal.Journal]. It is one commit.
func (l *topicLog) Append(ctx context.Context, after uint64, c journal.Change) (uint64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	s := l.store
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	before := s.state
	err := s.commit(func(tx *bolt.Tx) error {
		return l.with(tx, func(now contents) error { return l.append(tx, now, after, c) })
	})
	s.wake() // also after an error, as the change may be in the file
	if err != nil {
		s.state = before
		return 0, err
	}
	return after + 1, nil
}

// with calls f with what the journal has. An error concerns this journal alone.
func (l *topicLog) with(tx *bolt.Tx, f func(now contents) error) error {
	now, err := contentsOf(tx, l.topic)
	if err == nil {
		err = f(now)
	}
	if err != nil {
		return partial{fmt.Errorf("boltstore: journal %q: %w", l.topic, err)}
	}
	return nil
}

// append writes a change, as part of a transaction. After an error the transaction is given up.
func (l *topicLog) append(tx *bolt.Tx, now contents, after uint64, c journal.Change) (err error) {
	if now.head != after {
		return fmt.Errorf("%w: at %d, not %d", journal.ErrBehind, after, now.head)
	}
	if now.head == 0 {
		now.items, err = tx.CreateBucket([]byte(itemPrefix + l.topic))
		if err == nil {
			now.records, err = tx.CreateBucket([]byte(recordPrefix + l.topic))
		}
		if err != nil {
			return err
		}
	}
	now.records.FillPercent = 1 // keys only ever come last
	before, err := l.putItems(now, c.Items)
	if err != nil {
		return err
	}
	return errors.Join(
		l.store.writeRow(now.records, numberKey(now.head+1), record{c, before}.encode()),
		now.records.SetSequence(now.head+1),
		l.drop(now, time.Now().Add(-l.retain)),
		l.store.state.put(tx))
}

// putItems writes the items of the change after the head. It returns the revision of the change before of each, 0 if
// there is none.
//
// As a rule new items come after all others, as they are named by numbers that grow. So it fills pages, but for a
// tenth: an item that changes often has a few bytes more, such as a higher revision, and should stay on its page.
func (l *topicLog) putItems(now contents, items []journal.Item) (before []uint64, err error) {
	now.items.FillPercent = 0.9
	for _, it := range items {
		old, err := itemAt(now.items.Cursor(), it.Name) // a new one, as a Put ends the last
		if err != nil {
			return nil, err
		}
		before = append(before, old.revision)
		s := stored{it.Gone, now.head + 1, it.Value}
		if err := l.store.writeRow(now.items, []byte(it.Name), s.encode()); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// dropItems is about how many items the records have that one Append drops. So a journal catches up, and no commit has
// much to drop.
const dropItems = 1000

// drop drops the oldest records if their time is before t, but not the one that is being appended. With a record go the
// items that it has removed, unless a later change has made them again. A record that is damaged stays, and with it
// those after it.
func (l *topicLog) drop(now contents, t time.Time) error {
	var failed error
	for n := 0; n < dropItems && now.first <= now.head && now.isBefore(now.first, t); now.first++ {
		r, err := now.record(now.first)
		if err != nil {
			break
		}
		for _, it := range r.Items {
			if last, _ := itemAt(now.items.Cursor(), it.Name); last.gone && last.revision == r.Revision {
				failed = errors.Join(failed, l.store.writeRow(now.items, []byte(it.Name), nil))
			}
		}
		failed = errors.Join(failed, l.store.writeRow(now.records, numberKey(r.Revision), nil))
		n += len(r.Items)
	}
	return failed
}
