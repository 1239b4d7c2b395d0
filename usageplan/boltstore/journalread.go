package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/tallygate/tallygate/usageplan/journal"
	bolt "go.etcd.io/bbolt"
)

// chunkBytes is about how much of a journal is read while the store is locked, and in one transaction. More would hold
// up the ledger. No transaction lasts while a caller has a change, who may keep it for long: a store that opens its
// file again, or needs a larger map of it, would wait until then. A variable for tests.
var chunkBytes = 256 << 10

// cost is about what an item adds to a chunk.
func cost(s stored) int { return 100 + len(s.value) }

// read calls f with what the journal has, in a transaction.
func (l *topicLog) read(ctx context.Context, f func(now contents) error) error {
	return l.store.view(ctx, func(tx *bolt.Tx) error { return l.with(tx, f) })
}

// part reads a part of a journal.
type part func(now contents) ([]journal.Change, error)

// sequence yields what next returns, until that is nothing, and reads on in between. Each use of it begins anew.
func (l *topicLog) sequence(ctx context.Context, begin func() part) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		for next := begin(); ; {
			var changes []journal.Change
			err := l.read(ctx, func(now contents) (err error) {
				changes, err = next(now)
				return err
			})
			if err != nil {
				yield(journal.Change{}, err)
			}
			if err != nil || len(changes) == 0 {
				return
			}
			for _, c := range changes {
				if !yield(c, nil) {
					return
				}
			}
		}
	}
}

// Changes implements [journal.Journal]. After revision 0 it yields a snapshot: that is less to read.
func (l *topicLog) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return l.sequence(ctx, func() part { return (&reader{after: after, fresh: true}).next })
}

// reader is how far Changes has come.
//
// A snapshot is read in several transactions. It has the revision of the head at its beginning. What changes meanwhile
// is in it or not; in any case the changes that follow repeat it.
type reader struct {
	after    uint64 // all up to this revision has been read, but for the rest of the snapshot
	fresh    bool   // nothing has been read
	snapshot bool   // the items from at on are to be read
	at       string
}

func (r *reader) next(now contents) ([]journal.Change, error) {
	switch dropped := r.after+1 < now.first; {
	case r.after == now.head && !r.snapshot:
		return nil, nil
	case r.after > now.head:
		return nil, fmt.Errorf("revision %d has been read, but the head is %d: "+
			"changes are lost, or this is another journal", r.after, now.head)
	case r.fresh && (dropped || r.after == 0):
		r.snapshot, r.after = true, now.head
	case dropped && !r.snapshot:
		return nil, fmt.Errorf("records after %d were dropped while they were read", r.after)
	}
	r.fresh = false
	if r.snapshot {
		return r.items(now)
	}
	return r.records(now)
}

// items reads a part of a snapshot.
func (r *reader) items(now contents) ([]journal.Change, error) {
	part := journal.Change{Revision: r.after, Snapshot: true}
	cursor := now.items.Cursor()
	name, sealed := cursor.Seek([]byte(r.at))
	for size := 0; name != nil && size < chunkBytes; name, sealed = cursor.Next() {
		var s stored
		b, ok := unseal(name, sealed)
		if !ok {
			b = nil // which decode refuses
		}
		if err := s.decode(name, b); err != nil {
			return nil, err
		}
		if size += cost(s); !s.gone {
			part.Items = append(part.Items, journal.Item{Name: string(name), Value: bytes.Clone(s.value)})
		}
	}
	r.at, r.snapshot = string(name), name != nil
	return []journal.Change{part}, nil
}

// records reads changes, with those of their items that no later change has changed.
func (r *reader) records(now contents) (changes []journal.Change, err error) {
	items := now.items.Cursor()
	for size := 0; r.after < now.head && size < chunkBytes; r.after++ {
		rec, err := now.record(r.after + 1)
		if err != nil {
			return nil, err
		}
		c := rec.Change
		c.Items = nil
		for _, it := range rec.Items {
			s, err := itemAt(items, it.Name)
			if err == nil && s.revision < rec.Revision {
				err = errMissing
			}
			if err != nil {
				return nil, err
			}
			if size += cost(s); s.revision == rec.Revision {
				c.Items = append(c.Items, journal.Item{Name: it.Name, Value: bytes.Clone(s.value), Gone: s.gone})
			}
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// Records yields all records, with all items of each, without bytes. [journal.Copy] looks for this method.
func (l *topicLog) Records(ctx context.Context) iter.Seq2[journal.Change, error] {
	return l.sequence(ctx, func() part {
		next := uint64(1)
		return func(now contents) (changes []journal.Change, err error) {
			for size := 0; next <= now.head && size < chunkBytes; next++ {
				next = max(next, now.first)
				r, err := now.record(next)
				if err != nil {
					return nil, err
				}
				size += len(r.Items) * cost(stored{})
				changes = append(changes, r.Change)
			}
			return changes, nil
		}
	})
}

// History implements [journal.Journal].
func (l *topicLog) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	return l.sequence(ctx, func() part { return (&history{item: item, fresh: true}).next })
}

// history is how far History has come.
type history struct {
	item     string
	fresh    bool   // nothing has been read
	revision uint64 // of the next change to read
}

func (h *history) next(now contents) (changes []journal.Change, err error) {
	if now.head == 0 {
		return nil, nil
	}
	if h.fresh {
		s, err := itemAt(now.items.Cursor(), h.item)
		if err != nil {
			return nil, err
		}
		h.fresh, h.revision = false, s.revision
	}
	for size := 0; h.revision >= now.first && size < chunkBytes; {
		r, err := now.record(h.revision)
		i := slices.IndexFunc(r.Items, func(it journal.Item) bool { return it.Name == h.item })
		if err == nil && (i < 0 || r.before[i] >= h.revision) {
			err = errMissing
		}
		if err != nil {
			return nil, err
		}
		h.revision = r.before[i]
		size += len(r.Items) * cost(stored{})
		r.Items = []journal.Item{r.Items[i]}
		changes = append(changes, r.Change)
	}
	return changes, nil
}

// Wait implements [journal.Journal]. No other process appends, so the calls of Append in this one wake it.
func (l *topicLog) Wait(ctx context.Context, after uint64) error {
	for {
		var appended chan struct{} // nil if there is nothing to wait for
		err := l.read(ctx, func(now contents) error {
			if now.head <= after {
				appended = l.store.appended
			}
			return nil
		})
		if err != nil || appended == nil {
			return err
		}
		select {
		case <-appended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake tells all that wait that a journal has changed, or that the store is closed. The caller must hold mu.
func (s *Store) wake() {
	close(s.appended)
	s.appended = make(chan struct{})
}
