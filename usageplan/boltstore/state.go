package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// Buckets. Rows has one row for each key; it is as old as the last checkpoint. Each log has the rows that commits have
// changed since, under the number of the record. Meta has the version of the format and the state.
var (
	metaBucket = []byte("meta")
	rowBucket  = []byte("rows")
	logBuckets = [2][]byte{[]byte("log 0"), []byte("log 1")}

	versionKey = []byte("version")
	stateKey   = []byte("state")
)

// version is the format of the file. Version 1 had accounts in place of rows.
const version = 2

// state is what the rest of a file is checked against. Each commit writes it.
//
// The checksums of rows and records do not tell that one is missing. A page that refers to another by one flipped bit may
// show an older copy of it, in which each checksum is right. So the state says which records there are, and what the
// checksums of all rows add up to.
type state struct {
	owner       uint32 // number of the last opening
	first, last uint64 // records; all before first are in the rows, and the logs have exactly the others
	sum         uint64 // of the checksums of the rows
}

const stateSize = 28

func (s *state) put(tx *bolt.Tx) error {
	b := make([]byte, 0, stateSize+sumSize)
	b = binary.BigEndian.AppendUint32(b, s.owner)
	b = binary.BigEndian.AppendUint64(b, s.first)
	b = binary.BigEndian.AppendUint64(b, s.last)
	b = binary.BigEndian.AppendUint64(b, s.sum)
	return tx.Bucket(metaBucket).Put(stateKey, seal(stateKey, b))
}

// readState reads the state of a file that is of this version.
func readState(tx *bolt.Tx) (s state, err error) {
	if err := checkVersion(tx); err != nil {
		return s, err
	}
	for _, name := range [][]byte{rowBucket, logBuckets[0], logBuckets[1]} {
		if tx.Bucket(name) == nil {
			return s, fmt.Errorf("%w: no bucket %q", ErrFormat, name)
		}
	}
	b, err := unseal(stateKey, tx.Bucket(metaBucket).Get(stateKey))
	if err != nil || len(b) != stateSize {
		return s, fmt.Errorf("%w: state", ErrFormat)
	}
	return state{
		owner: binary.BigEndian.Uint32(b),
		first: binary.BigEndian.Uint64(b[4:]),
		last:  binary.BigEndian.Uint64(b[12:]),
		sum:   binary.BigEndian.Uint64(b[20:]),
	}, nil
}

func checkVersion(tx *bolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return fmt.Errorf("%w: no bucket %q", ErrFormat, metaBucket)
	}
	v := meta.Get(versionKey)
	if len(v) != 8 || binary.BigEndian.Uint64(v) == 0 {
		return fmt.Errorf("%w: no version", ErrFormat)
	}
	if n := binary.BigEndian.Uint64(v); n != version {
		return fmt.Errorf("%w: %d; this package reads %d", ErrVersion, n, version)
	}
	return nil
}

// recordSum is the CRC-32C of a record and its number.
func recordSum(number, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(number, castagnoli), castagnoli, body)
}

// numberKey makes keys that sort as their numbers do.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
