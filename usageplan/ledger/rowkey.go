package ledger

import (
	"encoding/binary"
	"strings"
)

// What the first byte of a row's key says. After it stand the length of the plan in two bytes, the plan and the
// subject: so the rows of one plan have a prefix of their own, and no two keys have a row in common.
//
// Example: the head of subject "s1" under plan "basic" is "k\x00\x05basics1". Without the length, plan "ba" with
// subject "sics1" would have the same row. A plan and a subject have up to 512 bytes each, so a key has up to 1 037 of
// the 1 200 bytes that an engine takes.
const (
	headRow    = 'k'
	historyRow = 'h' // then a chunk, in 4 bytes
	pageRow    = 'a' // then the start of an account, in 8 bytes, and the number of the page, in 2
	indexRow   = 'c'
)

// chunkSeconds is how much time a row of history covers: the accounts that start within it. That is 32 days: one or two
// monthly accounts, or 32 daily ones with a day each. So a row stays far below the bound of an engine, and a year is a
// dozen rows.
const chunkSeconds = 32 * 86400

// chunkOf returns the chunk of an instant. It rounds down, also before 1970, so that all chunks are equally long.
func chunkOf(start int64) int64 {
	c := start / chunkSeconds
	if start%chunkSeconds < 0 {
		c--
	}
	return c
}

// place is a row of a key other than its head and its index row.
type place struct {
	letter byte
	at     int64  // the chunk, or the start of the account
	page   uint16 // of adjustments
}

// historyAt returns where an account stands once it has left the head.
func historyAt(start int64) place { return place{letter: historyRow, at: chunkOf(start)} }

// pageOf returns where the i-th change of an account stands, once it has left the head. Of all pages only the last 17
// are kept, so it does not matter that the numbers begin again after 65 536.
func pageOf(start int64, i int) place {
	return place{letter: pageRow, at: start, page: uint16(i / pageSize)}
}

// row is the key of the row. The numbers have a fixed length, so no two subjects of a plan have a row in common.
func (p place) row(k Key) string {
	b := appendKey(make([]byte, 0, 13+len(k.Plan)+len(k.Subject)), p.letter, k)
	if p.letter == historyRow {
		return string(binary.BigEndian.AppendUint32(b, uint32(p.at)))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.at))
	return string(binary.BigEndian.AppendUint16(b, p.page))
}

// rowOf is the key of a head or an index row.
func rowOf(letter byte, k Key) string {
	return string(appendKey(make([]byte, 0, 3+len(k.Plan)+len(k.Subject)), letter, k))
}

// appendKey appends what the keys of all rows of k begin with.
func appendKey(b []byte, letter byte, k Key) []byte {
	return append(append(appendPlan(b, letter, k.Plan), k.Plan...), k.Subject...)
}

func appendPlan(b []byte, letter byte, plan string) []byte {
	return binary.BigEndian.AppendUint16(append(b, letter), uint16(len(plan)))
}

// planPrefix is what the keys of a plan's rows of one sort begin with.
func planPrefix(letter byte, plan string) string {
	return string(append(appendPlan(nil, letter, plan), plan...))
}

// parseRow returns whose a head or an index row is; ok is false if it is no such row. The parts are copied, so a Key
// that the ledger keeps does not keep a larger string of the engine.
func parseRow(row string) (k Key, ok bool) {
	if len(row) < 3 {
		return Key{}, false
	}
	n := int(row[1])<<8 | int(row[2])
	if rest := row[3:]; n <= len(rest) {
		k = Key{strings.Clone(rest[:n]), strings.Clone(rest[n:])}
	}
	return k, k.validate() == nil
}
