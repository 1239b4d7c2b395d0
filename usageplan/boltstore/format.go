package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Buckets. Rows has one row for each key; it is as old as the last checkpoint. Meta has the version of the format and
// the state. Besides these there are one or two logs, see log.go, and two buckets for each journal, see
// journalcodec.go.
var metaBucket, rowBucket = []byte("meta"), []byte("rows")

// Keys of meta.
var versionKey, stateKey = []byte("version"), []byte("state")

// version is the format of the file. Version 1 had accounts in place of rows.
const version = 2

// state is what the rest of a file is checked against. A commit writes it if more than Last changes, and if it begins a
// log. Last changes with each commit, so it also stands where that costs next to nothing: as the sequence number of the
// bucket in which the last record is. Its fields are exported for encoding/binary.
//
// The checksums of rows and records do not tell that one is missing, nor that it is an older one. Say a leaf has been
// written anew, from page 40 to page 41, and page 40 is free but still there. One flipped bit in the branch makes 41 a
// 40. Then keys have the rows they had before, and each checksum is right. So the state says which records there are,
// and what the checksums of all rows add up to.
type state struct {
	Owner       uint32 // number of the last opening
	First, Last uint64 // records; all before First are in the rows, and the logs have exactly the others; see replay
	Sum         uint64 // of the checksums of the rows, and of all that journals have
}

// errMissing says that what a file has is not what its state says.
var errMissing = fmt.Errorf("%w: a row or record is missing or is an older one", ErrFormat)

func (s *state) put(tx *bolt.Tx) error {
	b, _ := binary.Append(nil, binary.BigEndian, s) // an error would say that a field has no fixed size
	return tx.Bucket(metaBucket).Put(stateKey, seal(stateKey, b))
}

// errVersion1 says that a file has to be converted.
var errVersion1 = fmt.Errorf("%w: 1", ErrVersion)

// read reads the state of a file that is of this version.
func (s *state) read(tx *bolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return fmt.Errorf("%w: no bucket %q", ErrFormat, metaBucket)
	}
	switch v := meta.Get(versionKey); string(v) {
	case string(numberKey(version)):
	case string(numberKey(1)):
		return errVersion1
	case "", string(numberKey(0)):
		return fmt.Errorf("%w: no version", ErrFormat)
	default:
		return fmt.Errorf("%w: %x; this package reads %d", ErrVersion, v, version)
	}
	b, ok := unseal(stateKey, meta.Get(stateKey))
	if !ok || len(b) != binary.Size(s) || tx.Bucket(rowBucket) == nil {
		return fmt.Errorf("%w: no state or no rows", ErrFormat)
	}
	_, err := binary.Decode(b, binary.BigEndian, s)
	return err
}

// numberKey makes keys that sort as their numbers do: 255 is 00 … 00 FF, and 256 is 00 … 01 00.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Each value in the file ends with a checksum of its key and itself.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// checksum is the CRC-32C of a key and its value. It begins with the length of the key: without it, the key "ab" with
// the row "c" would have the sum of the key "a" with the row "bc".
func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(len(key)), castagnoli, key), castagnoli, value)
}

// seal appends the checksum.
func seal(key, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, checksum(key, value))
}

// unseal returns the value without the checksum, and whether that is right. A value is never empty.
func unseal(key, sealed []byte) (value []byte, ok bool) {
	n := max(0, len(sealed)-sumSize)
	return sealed[:n:n], n > 0 && storedSum(sealed) == checksum(key, sealed[:n])
}

// storedSum is the checksum at the end of a value, 0 if there is none.
func storedSum(sealed []byte) uint32 {
	if len(sealed) < sumSize {
		return 0
	}
	return binary.LittleEndian.Uint32(sealed[len(sealed)-sumSize:])
}
