package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// The bucket of rows has each row under its key, followed by a checksum of both.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// errRow says that one row is damaged. The file around it is sound, so it stays open, and other keys go on.
var errRow = fmt.Errorf("%w: checksum of a row", ErrFormat)

// rowSum is the CRC-32C of a key and its row. It begins with the length of the key: without it, the key "ab" with the row
// "c" would have the sum of the key "a" with the row "bc".
func rowSum(key, row []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(len(key)), castagnoli, key), castagnoli, row)
}

// seal appends the checksum to a row.
func seal(key, row []byte) []byte {
	value := make([]byte, len(row), len(row)+sumSize)
	copy(value, row)
	return binary.LittleEndian.AppendUint32(value, rowSum(key, row))
}

// unseal returns the row in a value of the bucket.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - sumSize
	if n <= 0 || storedSum(value) != rowSum(key, value[:n]) {
		return nil, fmt.Errorf("%w: key %q", errRow, key)
	}
	return value[:n:n], nil
}

// storedSum is the checksum at the end of a value, 0 if there is none.
func storedSum(value []byte) uint32 {
	if len(value) < sumSize {
		return 0
	}
	return binary.LittleEndian.Uint32(value[len(value)-sumSize:])
}

// rowReader reads rows from the bucket, all in one transaction that begins with the first.
type rowReader struct {
	db     *database
	tx     *bolt.Tx
	cursor *bolt.Cursor
	copied []byte
}

func (s *Store) reader() *rowReader { return &rowReader{db: s.db} }

// get returns a copy of a row, valid until the next call. The copy is made here because the file is mapped into memory: if
// its disk goes away, reading it is a fault, which guard turns into an error. The caller may read the copy without guard.
func (r *rowReader) get(key string) (row []byte, err error) {
	if r.tx == nil {
		if r.tx, err = r.db.begin(false); err != nil {
			return nil, err
		}
	}
	err = guard(func() error {
		if r.cursor == nil {
			r.cursor = r.tx.Bucket(rowBucket).Cursor()
		}
		found, err := find(r.cursor, []byte(key))
		if found != nil {
			r.copied = append(r.copied[:0], found...)
			row = r.copied
		}
		return err
	})
	return row, err
}

func (r *rowReader) end() {
	if r.tx != nil {
		r.db.end(r.tx)
		r.tx = nil
	}
}

// find returns the row of a key, nil if there is none.
//
// That there is none has to be proved as well. Were one bit of the stored key "bob" flipped to "bab", the key "bob" would
// seem new and its count would begin again. Open has checked that the keys of the file ascend, so "bab" then still stands
// where "bob" would: next to the place that the cursor finds. So the two rows around that place are checked.
func find(c *bolt.Cursor, key []byte) ([]byte, error) {
	k, value := c.Seek(key)
	switch {
	case k == nil:
		k, value = c.Last()
	case string(k) == string(key):
		return unseal(k, value)
	default:
		if _, err := unseal(k, value); err != nil {
			return nil, err
		}
		k, value = c.Prev()
	}
	if k == nil {
		return nil, nil
	}
	_, err := unseal(k, value)
	return nil, err
}
