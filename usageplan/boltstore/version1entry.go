package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/tallygate/tallygate/usageplan/internal/past"
)

// Kinds of entries of version 1. Their numbers are in the files, so their order stays. Most of them changed what counts
// against the limit; only extend1 changed the limit itself.
const (
	read1    = iota // a limit that is met
	charge1         // counts granted
	trueUp1         // counts granted, of a request that was admitted earlier
	refund1         // gives back granted
	reserve1        // counts granted as held by a lease, and reports spent
	report1         // reports spent
	return1         // reports spent, gives back granted and ends the lease
	extend1         // adds granted to the limit
	correct1        // adds granted to what counts as used
	tell1           // the crossing of granted percent has been told
	// kinds1 is the number of kinds. From here on a kind is damage.
	kinds1
)

// Flags in the byte that has the kind. Force does not matter any more: it let a true-up go past the limit, and the
// entry tells what was granted.
const (
	force1   = 0x80
	inForce1 = 0x40 // a true-up's limit is the one in force
)

// entry1 is one change of an account. Its texts are part of the record, so they hold as long as the transaction.
// account is the name, as it is in the bucket of accounts.
type entry1 struct {
	kind    byte
	inForce bool
	account []byte

	// The day is relative to the account's start, and the time to the day. An adjustment has in least what it changed
	// from.
	granted, day, time, limit, want, least, spent int64

	lease             uint64
	crossed           [2]uint64
	id, reason, actor []byte
}

// entry reads an entry. It has, one after another:
//
//	kind and flags      1 byte
//	account             text: the name, see parseAccount
//	granted … spent     seven signed varints
//	lease               8 bytes, little endian
//	crossed             two varints
//	id, reason, actor   texts
//
// A record is the time of its commit, entries up to its end, and the CRC-32C. After a mistake the entry is useless and
// in.err says why. The caller looks at that when the record is at its end.
func (in *values) entry() (e entry1) {
	flags := in.byte()
	e.kind, e.inForce = flags&^(force1|inForce1), flags&inForce1 != 0
	if e.kind >= kinds1 {
		in.fail("kind of entry")
	}
	e.account = in.text()
	for _, n := range [...]*int64{&e.granted, &e.day, &e.time, &e.limit, &e.want, &e.least, &e.spent} {
		*n = in.int()
	}
	e.lease = in.fixed()
	e.crossed = [2]uint64{in.uint(), in.uint()}
	e.id, e.reason, e.actor = in.text(), in.text(), in.text()
	return e
}

// adjusts reports whether the entry is an adjustment, which stays known by who, when and why.
func (e *entry1) adjusts() bool { return e.kind == extend1 || e.kind == correct1 }

// knowsLimit reports whether the entry's limit was the quota's at that time. The other kinds have an older one: that of
// the time when their request was admitted.
func (e *entry1) knowsLimit() bool {
	return e.kind == read1 || e.kind == charge1 || e.kind == reserve1 || e.adjusts() || e.kind == trueUp1 && e.inForce
}

// used is what the entry adds to what counts against the limit. All of a lease counts from its reservation on, so a
// report adds nothing.
func (e *entry1) used() int64 {
	switch e.kind {
	case charge1, trueUp1, reserve1, correct1:
		return e.granted
	case refund1, return1:
		return -e.granted
	}
	return 0
}

// adjustments is what the entry adds to the adjustments of the limit.
func (e *entry1) adjustments() int64 {
	if e.kind == extend1 {
		return e.granted
	}
	return 0
}

// change is the adjustment that the entry tells of, of an account with this start. It copies the texts, as the change
// outlives the transaction.
func (e *entry1) change(start int64) past.Change {
	return past.Change{
		ID: string(e.id), Reason: string(e.reason), Actor: string(e.actor),
		Time: start + e.day + e.time, Delta: e.granted, Before: e.least, Correction: e.kind == correct1,
	}
}

// values takes a value of version 1 apart: integers are varints, texts have their length before them. After the first
// mistake it gives zeros, and keeps the error. So a caller reads a whole value and then asks for the error once, by
// end. A loop over what is left ends too, since nothing is.
type values struct {
	b   []byte
	err error
}

// openValue begins to read a value. It ends with its CRC-32C, which is that of the value alone: version 1 did not
// include the key. So the checksum does not show that two values were swapped. For accounts, their start and unproved
// do.
func openValue(sealed []byte) (*values, error) {
	n := len(sealed) - sumSize
	if n < 0 || crc32.Checksum(sealed[:n], castagnoli) != storedSum(sealed) {
		return nil, fmt.Errorf("%w: checksum of a value", ErrFormat)
	}
	return &values{b: sealed[:n]}, nil
}

// fail keeps the first mistake and drops what has not been read.
func (in *values) fail(what string) {
	if in.err == nil {
		in.err = fmt.Errorf("%w: %s", ErrFormat, what)
	}
	in.b = nil
}

// end is the error of a value of which all has been read.
func (in *values) end() error {
	if len(in.b) > 0 {
		in.fail("long value")
	}
	return in.err
}

// take returns the next n bytes, or zeros: at most eight, for a mistake in a length must not take memory.
func (in *values) take(n uint64) []byte {
	if n > uint64(len(in.b)) {
		in.fail("short value")
		return make([]byte, min(n, 8))
	}
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}

func (in *values) byte() byte { return in.take(1)[0] }

func (in *values) uint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail("number")
		return 0
	}
	in.b = in.b[n:]
	return v
}

// int reads a signed number as zigzag: 0, -1, 1, -2 are 0, 1, 2, 3. See [binary.Varint].
func (in *values) int() int64 {
	v := in.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (in *values) fixed() uint64 { return binary.LittleEndian.Uint64(in.take(8)) }

// text is a part of the value, not a copy.
func (in *values) text() []byte { return in.take(in.uint()) }

// part is a text with its length in two bytes.
func (in *values) part() string { return string(in.take(uint64(binary.BigEndian.Uint16(in.take(2))))) }

// count reads how many items follow, each of at least one byte. So a damaged count cannot make a loop longer than the
// value.
func (in *values) count() uint64 {
	n := in.uint()
	if n > uint64(len(in.b)) {
		in.fail("count")
		return 0
	}
	return n
}
