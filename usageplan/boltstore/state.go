package boltstore

import (
	"encoding/binary"
	"fmt"

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

// errMissing says that what a file has is not what its state says.
var errMissing = fmt.Errorf("%w: a row or record is missing or is an older one", ErrFormat)

func (s *state) put(tx *bolt.Tx) error {
	b := binary.BigEndian.AppendUint32(nil, s.owner)
	for _, n := range [...]uint64{s.first, s.last, s.sum} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return tx.Bucket(metaBucket).Put(stateKey, seal(stateKey, b))
}

// readState reads the state of a file that is of this version.
func readState(tx *bolt.Tx) (s state, err error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return s, fmt.Errorf("%w: no bucket %q", ErrFormat, metaBucket)
	}
	if v := meta.Get(versionKey); string(v) != string(numberKey(version)) {
		return s, errVersion(v)
	}
	for _, name := range [][]byte{rowBucket, logBuckets[0], logBuckets[1]} {
		if tx.Bucket(name) == nil {
			return s, fmt.Errorf("%w: no bucket %q", ErrFormat, name)
		}
	}
	b, err := unseal(stateKey, meta.Get(stateKey))
	if err != nil || len(b) != stateSize {
		return s, fmt.Errorf("%w: state", ErrFormat)
	}
	number := binary.BigEndian.Uint64
	return state{binary.BigEndian.Uint32(b), number(b[4:]), number(b[12:]), number(b[20:])}, nil
}

// errVersion1 says that a file has to be converted.
var errVersion1 = fmt.Errorf("%w: 1", ErrVersion)

func errVersion(v []byte) error {
	if len(v) != 8 || binary.BigEndian.Uint64(v) == 0 {
		return fmt.Errorf("%w: no version", ErrFormat)
	}
	if binary.BigEndian.Uint64(v) == 1 {
		return errVersion1
	}
	return fmt.Errorf("%w: %d; this package reads %d", ErrVersion, binary.BigEndian.Uint64(v), version)
}

// numberKey makes keys that sort as their numbers do.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
