package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	bolt "go.etcd.io/bbolt"
)

// A journal has two buckets. Those of the topic "keys":
//
//	items keys     name -> revision of the item's last change, and its bytes or that it is gone
//	records keys   revision -> who changed which items and when, and the revision of the change before of each
//
// So the bytes of an item are in the file once. Its history is a chain: the item leads to the record of its last
// change, and each record to the one before. A chain ends with the change that made the item, or at a record that has
// been dropped.
//
// Checksums do not tell that a value is missing or an older one. So the sum of the state has those of all items and
// records, with those of the rows. The sequence of the bucket of records is the head. Unless one of the two is damaged,
// the last record has the same number.
const itemPrefix, recordPrefix = "items ", "records "

// isSummed reports whether the sum of the state has the checksums of a bucket.
func isSummed(bucket string) bool {
	return bucket == string(rowBucket) ||
		strings.HasPrefix(bucket, itemPrefix) || strings.HasPrefix(bucket, recordPrefix)
}

// contents is what a journal has in the file, during a transaction.
type contents struct {
	items, records *bolt.Bucket // nil if no change has been appended
	first, head    uint64       // the records that there are; 1 and 0 if there is none
}

func contentsOf(tx *bolt.Tx, topic string) (contents, error) {
	c := contents{tx.Bucket([]byte(itemPrefix + topic)), tx.Bucket([]byte(recordPrefix + topic)), 1, 0}
	if c.items == nil && c.records == nil {
		return c, nil
	}
	if c.items == nil || c.records == nil {
		return c, errMissing
	}
	c.head = c.records.Sequence()
	cursor := c.records.Cursor()
	first, _ := cursor.First()
	last, _ := cursor.Last()
	if len(first) != len(numberKey(0)) || !bytes.Equal(last, numberKey(c.head)) {
		return c, errMissing
	}
	c.first = binary.BigEndian.Uint64(first)
	return c, nil
}

// checkJournals checks that each journal has both buckets, and its last record. Nothing else would tell that the name
// of a bucket has changed. Buckets of other names have no topic, or one without a journal.
func checkJournals(tx *bolt.Tx) error {
	return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
		_, topic, _ := strings.Cut(string(name), " ")
		_, err := contentsOf(tx, topic)
		return err
	})
}

// itemAt returns an item as it is stored, with revision 0 if there is none. c is a cursor over items.
func itemAt(c *bolt.Cursor, name string) (s stored, err error) {
	b, err := find(c, []byte(name))
	if b != nil {
		err = s.decode([]byte(name), b)
	}
	return s, err
}

func (c contents) record(revision uint64) (r record, err error) {
	number := numberKey(revision)
	return r, r.decode(number, c.records.Get(number))
}

// isBefore reports whether the time of a record is before t. It reads no more than that: the oldest record may have
// 10 000 items, and each Append asks.
func (c contents) isBefore(revision uint64, t time.Time) bool {
	var at time.Time
	sealed := c.records.Get(numberKey(revision))
	return len(sealed) > timeEnd && at.UnmarshalBinary(sealed[timeBegin:timeEnd]) == nil && at.Before(t)
}

// stored is an item in the file, or what a record says of one.
type stored struct {
	gone     bool
	revision uint64 // of its last change; in a record, of the change before, or 0
	value    []byte // nil in a record, or if gone
}

// The first byte of a stored item. A later version of this package may have others.
const isThere, isGone = 1, 2

// encode puts the revision after the first byte, and the bytes of the item after that: revision 300 with "x" is
// 01 AC 02 'x'.
func (s stored) encode() []byte {
	first := byte(isThere)
	if s.gone {
		first, s.value = isGone, nil
	}
	return append(binary.AppendUvarint([]byte{first}, s.revision), s.value...)
}

// decode reads what encode has written. The value is a part of b.
func (s *stored) decode(name, b []byte) error {
	revision, n := binary.Uvarint(b[min(1, len(b)):])
	switch {
	case len(b) > 0 && b[0] > isGone:
		return fmt.Errorf("%w: %d of item %q", ErrVersion, b[0], name)
	case n <= 0 || b[0] == 0:
		return fmt.Errorf("%w: item %q", ErrFormat, name)
	}
	if s.gone, s.revision = b[0] == isGone, revision; !s.gone {
		s.value = b[1+n:]
	}
	return nil
}

// record is a change without bytes, with the revision of the change before of each item, or 0.
type record struct {
	journal.Change
	before []uint64
}

// recordVersion begins each record, after its size. The size of the time follows, and the time.
const (
	recordVersion      = "\x01"
	timeBegin, timeEnd = 3, 3 + 15
)

// encode makes pairs of texts, as records of a log have: the version and the time, two pairs that say who and what, and
// one for each item.
func (r record) encode() []byte {
	t, _ := r.Time.UTC().MarshalBinary() // fails for no time in UTC
	b := appendRow(nil, change{recordVersion, t})
	b = appendRow(b, change{r.Actor, []byte(r.Source)})
	b = appendRow(b, change{r.Request, []byte(r.Operation)})
	for i, it := range r.Items {
		b = appendRow(b, change{it.Name, stored{gone: it.Gone, revision: r.before[i]}.encode()})
	}
	return b
}

// decode reads what encode has written.
func (r *record) decode(number, sealed []byte) error {
	pairs, err := readRecord(number, sealed)
	switch {
	case err != nil:
		return err
	case len(pairs) > 0 && pairs[0].key != recordVersion:
		return fmt.Errorf("%w: %q of record %x", ErrVersion, pairs[0].key, number)
	case len(pairs) < 4 || r.Time.UnmarshalBinary(pairs[0].row) != nil:
		return fmt.Errorf("%w: record %x", ErrFormat, number)
	}
	r.Revision = binary.BigEndian.Uint64(number)
	r.Actor, r.Source, r.Request, r.Operation = pairs[1].key, string(pairs[1].row), pairs[2].key, string(pairs[2].row)
	for _, pair := range pairs[3:] {
		var s stored
		if err := s.decode([]byte(pair.key), pair.row); err != nil {
			return err
		}
		r.Items, r.before = append(r.Items, journal.Item{Name: pair.key, Gone: s.gone}), append(r.before, s.revision)
	}
	return nil
}
