package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Each value in the file ends with a checksum of its key and itself.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// checksum is the CRC-32C of a key and its value. It begins with the length of the key: without it, the key "ab" with the
// row "c" would have the sum of the key "a" with the row "bc".
func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(len(key)), castagnoli, key), castagnoli, value)
}

// seal appends the checksum.
func seal(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, checksum(key, value))
}

// unseal returns the value without the checksum, and whether that is right.
func unseal(key, sealed []byte) (value []byte, ok bool) {
	n := len(sealed) - sumSize
	if n <= 0 {
		return nil, false
	}
	return sealed[:n:n], storedSum(sealed) == checksum(key, sealed[:n])
}

// storedSum is the checksum at the end of a value, 0 if there is none.
func storedSum(sealed []byte) uint32 {
	if len(sealed) < sumSize {
		return 0
	}
	return binary.LittleEndian.Uint32(sealed[len(sealed)-sumSize:])
}

// rowError is the error for a key whose row is damaged. The tree around it is sound, so other keys go on.
type rowError string

func (e rowError) Error() string {
	return fmt.Sprintf("%v: checksum of the row of key %q", ErrFormat, string(e))
}
func (e rowError) Unwrap() error { return ErrFormat }

// Row returns the key.
func (e rowError) Row() string { return string(e) }

// find returns the row of a key, nil if there is none.
//
// That there is none has to be proved as well. Were one bit of the stored key "bob" flipped to "bab", the key "bob" would
// seem new and its count would begin again. Open has checked that the keys of the file ascend, so "bab" then still stands
// where "bob" would: next to the place that the cursor finds. So the two rows around that place are checked.
func find(c *bolt.Cursor, key []byte) ([]byte, error) {
	k, sealed := c.Seek(key)
	row, ok := unseal(k, sealed)
	if ok && string(k) == string(key) {
		return row, nil
	}
	before := c.Prev
	if k == nil { // all keys are less
		before, ok = c.Last, true
	}
	if k, sealed = before(); ok && k != nil {
		_, ok = unseal(k, sealed)
	}
	if !ok {
		return nil, rowError(key)
	}
	return nil, nil
}
