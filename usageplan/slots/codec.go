package slots

import (
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
	"math/bits"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A slot names its lease in a fixed part, whose checksum is the key of the number:
//
//	 0  24  three copies of the number, see copies
//	24   8  ID of the lease
//	32   8  first second of the usage day
//	40   8  first second of the period
//	48   8  digest of the boot in which the slot was written, 0 if the system does not tell
//	56   2  length of the plan
//	58   2  length of the subject
//	60   4  CRC-32C of bytes 24 to 60 and of both texts
//	64      plan, subject, zeros
//
// All numbers are little endian. A free slot is zeros, at least up to byte 64.
const (
	fixedAt = 24
	crcAt   = 60
	textAt  = 64
	maxText = 512 // of ledger.Key
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns a slot of which nothing is spent, and its checksum.
func encode(o *ledger.OpenLease, boot uint64) (b []byte, crc uint32) {
	b = make([]byte, textAt, textAt+len(o.Account.Plan)+len(o.Account.Subject))
	binary.LittleEndian.PutUint64(b[fixedAt:], o.ID)
	binary.LittleEndian.PutUint64(b[fixedAt+8:], uint64(o.Day))
	binary.LittleEndian.PutUint64(b[fixedAt+16:], uint64(o.Account.Start))
	binary.LittleEndian.PutUint64(b[fixedAt+24:], boot)
	binary.LittleEndian.PutUint16(b[fixedAt+32:], uint16(len(o.Account.Plan)))
	binary.LittleEndian.PutUint16(b[fixedAt+34:], uint16(len(o.Account.Subject)))
	b = append(append(b, o.Account.Plan...), o.Account.Subject...)
	crc = checksum(b)
	binary.LittleEndian.PutUint32(b[crcAt:], crc)
	put((*copies)(b), 0, crc)
	return b, crc
}

// checksum is that of a slot's fixed part and texts. It leaves out the copies of the number, which change without it,
// and itself.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[fixedAt:crcAt], castagnoli), castagnoli, b[textAt:])
}

// decode reads a slot. It returns false if the slot is free, or if its fixed part is damaged: then nobody can know
// whose it was. The number is known if this is the boot in which it was written, and at least two copies agree.
// Otherwise Spent is 0, which is a lower bound of everything.
func decode(b []byte, boot uint64) (o ledger.OpenLease, ok bool) {
	plan := int(binary.LittleEndian.Uint16(b[fixedAt+32:]))
	subject := int(binary.LittleEndian.Uint16(b[fixedAt+34:]))
	// A damaged length must not lead out of the slot.
	if plan == 0 || subject == 0 || textAt+plan+subject > len(b) {
		return o, false
	}
	b = b[:textAt+plan+subject]
	crc := binary.LittleEndian.Uint32(b[crcAt:])
	if crc != checksum(b) {
		return o, false
	}
	o.ID = binary.LittleEndian.Uint64(b[fixedAt:])
	o.Day = int64(binary.LittleEndian.Uint64(b[fixedAt+8:]))
	o.Account.Start = int64(binary.LittleEndian.Uint64(b[fixedAt+16:]))
	o.Account.Plan, o.Account.Subject = string(b[textAt:textAt+plan]), string(b[textAt+plan:])
	if boot != 0 && boot == binary.LittleEndian.Uint64(b[fixedAt+24:]) {
		o.Spent, o.Known = vote((*copies)(b), crc)
	}
	return o, true
}

// digest is a hash of the boot's name, as the slot has room for eight bytes only. It is 0 only for a boot that has no
// name.
func digest(boot string) uint64 {
	if boot == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(boot))
	return max(1, h.Sum64())
}

// copies are three copies of a number, each scrambled in its own way. What two of them say is the number.
//
// Worked example: 5 becomes 6. Note writes one copy after the other, and a process can be killed after each.
//
//	5 5 5    5: as it was
//	6 5 5    5: Note has not returned, so nobody was told of 6
//	6 6 5    6: nor was anybody here, but it is what was to be noted
//	6 6 6    6: only now does Note return
//
// The order of the copies does not matter, so the processor and the compiler may choose it. A flipped bit spoils one
// copy and the other two still agree: 6 6 7 is 6. A bit that is flipped in the middle of a note leaves three different
// copies, 6 7 5: the number is unknown. Nothing makes of one flipped bit a number that was never noted.
//
// The scrambling depends on the checksum of the fixed part. So zeros, the copies of another lease, or a page of an
// older time below a new fixed part are three different numbers. It also turns the bits, so that a bit which is stuck
// in each word of a page does not change two copies in the same way.
type copies [3 * 8]byte

// scramble turns a number into copy i of the slot with this checksum.
func scramble(n int64, crc uint32, i int) uint64 {
	return bits.RotateLeft64(uint64(n)^mask(crc, i), 21*i)
}

// unscramble is the inverse of scramble.
func unscramble(word uint64, crc uint32, i int) int64 {
	return int64(bits.RotateLeft64(word, -21*i) ^ mask(crc, i))
}

// mask is another one for each i, and never 0 for a checksum of 0. The factors are the odd constants of MurmurHash3's
// finaliser and of the golden ratio.
func mask(crc uint32, i int) uint64 {
	return (1<<32 | uint64(crc)) * [...]uint64{0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53, 0x9e3779b97f4a7c15}[i]
}

// put stores the copies, each whole. A constant copy of eight bytes is one store of the processor in every build; eight
// stores of a byte, as of a build without optimisation, could be killed in between.
func put(to *copies, n int64, crc uint32) {
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], scramble(n, crc, 0))
	copy(to[0:8], word[:])
	binary.LittleEndian.PutUint64(word[:], scramble(n, crc, 1))
	copy(to[8:16], word[:])
	binary.LittleEndian.PutUint64(word[:], scramble(n, crc, 2))
	copy(to[16:24], word[:])
}

// vote returns the number that two copies agree on.
func vote(c *copies, crc uint32) (n int64, known bool) {
	first := unscramble(binary.LittleEndian.Uint64(c[0:]), crc, 0)
	second := unscramble(binary.LittleEndian.Uint64(c[8:]), crc, 1)
	third := unscramble(binary.LittleEndian.Uint64(c[16:]), crc, 2)
	switch {
	case first == second || first == third:
		return first, true
	case second == third:
		return second, true
	}
	return 0, false
}
