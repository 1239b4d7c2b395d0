package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Values end with their CRC-32C. Integers are varints; texts have their length before them.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)) }

func unseal(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: short value", ErrFormat)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: checksum", ErrFormat)
	}
	return body, nil
}

// accountKey sorts the accounts of a key together, by start. Its parts have lengths, so no two accounts share one.
func accountKey(b []byte, a ledger.Account) []byte {
	b = keyPrefix(b, a.Key)
	return binary.BigEndian.AppendUint64(b, uint64(a.Start)^1<<63) // negative starts sort first
}

func keyPrefix(b []byte, k ledger.Key) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(k.Plan)))
	b = append(b, k.Plan...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(k.Subject)))
	return append(b, k.Subject...)
}

func parseAccountKey(b []byte) (a ledger.Account, err error) {
	part := func() (s string) {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			err = fmt.Errorf("%w: account key", ErrFormat)
			return ""
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		s, b = string(b[2:n]), b[n:]
		return s
	}
	a.Plan = part()
	a.Subject = part()
	if err == nil && len(b) != 8 {
		err = fmt.Errorf("%w: account key", ErrFormat)
	}
	if err == nil {
		a.Start = int64(binary.BigEndian.Uint64(b) ^ 1<<63)
	}
	return a, err
}

// startOf reads the start off a well-formed account key.
func startOf(key []byte) (start int64, ok bool) {
	if len(key) < 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(key[len(key)-8:]) ^ 1<<63), true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Flags in the byte that holds an entry's kind.
const (
	forceFlag   = 0x80
	inForceFlag = 0x40
)

// appendEntry writes an entry (without Seq). Times are relative to the account's start, which keeps them short.
func appendEntry(b []byte, e *ledger.Entry) []byte {
	kind := byte(e.Kind)
	if e.Force {
		kind |= forceFlag
	}
	if e.InForce {
		kind |= inForceFlag
	}
	b = append(b, kind)
	b = binary.AppendUvarint(b, uint64(len(e.Account.Plan)+len(e.Account.Subject)+12))
	b = accountKey(b, e.Account)
	least := e.Min
	if e.Kind.Adjusts() {
		least = e.Before // they have no Min
	}
	for _, n := range [...]int64{e.Granted, e.Day - e.Account.Start, e.Time - e.Day, e.Limit, e.Want, least, e.Spent} {
		b = binary.AppendVarint(b, n)
	}
	b = binary.LittleEndian.AppendUint64(b, e.Lease)
	for _, n := range e.Crossed {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range [...]string{e.ID, e.Reason, e.Actor} {
		b = appendText(b, s)
	}
	return b
}

// reader takes values apart; after the first mistake it gives zeros and keeps the error.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrFormat, what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("short value")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed() uint64 {
	if len(r.b) < 8 {
		r.fail("short value")
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// text returns a part of the value itself.
func (r *reader) text() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail("text")
		return nil
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

// count reads how many items follow, each of at least one byte.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail("count")
		return 0
	}
	return int(n)
}

// raw is an entry whose texts are still parts of the value: a million can be read without a million allocations.
type raw struct {
	kind                                        ledger.Kind
	force, inForce                              bool
	account                                     []byte
	granted, day, time, limit, want, min, spent int64
	lease                                       uint64
	crossed                                     ledger.Percents
	id, reason, actor                           []byte
}

func (r *reader) entry(e *raw) {
	kind := r.byte()
	e.kind = ledger.Kind(kind &^ (forceFlag | inForceFlag))
	e.force, e.inForce = kind&forceFlag != 0, kind&inForceFlag != 0
	if !e.kind.Valid() {
		r.fail("kind of entry")
	}
	e.account = r.text()
	for _, n := range [...]*int64{&e.granted, &e.day, &e.time, &e.limit, &e.want, &e.min, &e.spent} {
		*n = r.int()
	}
	e.lease = r.fixed()
	e.crossed = ledger.Percents{r.uint(), r.uint()}
	e.id, e.reason, e.actor = r.text(), r.text(), r.text()
}

// entry makes the entry, of its own memory.
func (e *raw) entry(seq uint64) (ledger.Entry, error) {
	a, err := parseAccountKey(e.account)
	op := e.op(a)
	op.ID, op.Reason, op.Actor = string(e.id), string(e.reason), string(e.actor)
	before := int64(0)
	if e.kind.Adjusts() {
		before, op.Min = e.min, 0
	}
	return ledger.Entry{Seq: seq, Op: op, Granted: e.granted, Before: before, Crossed: e.crossed}, err
}

// op is the operation without its texts.
func (e *raw) op(a ledger.Account) ledger.Op {
	day := a.Start + e.day
	return ledger.Op{
		Kind: e.kind, Account: a, Day: day, Time: day + e.time, Limit: e.limit, Want: e.want, Min: e.min,
		Force: e.force, InForce: e.inForce, Lease: e.lease, Spent: e.spent,
	}
}

// A record is the entries of one commit: the time of the commit, the entries, the checksum.

func beginRecord(b []byte, unix int64) []byte { return binary.AppendVarint(b[:0], unix) }

// readRecord calls each with the entries of a record and their index in it.
func readRecord(value []byte, each func(i int, e *raw) error) (unix int64, err error) {
	body, err := unseal(value)
	if err != nil {
		return 0, err
	}
	r := reader{b: body}
	unix = r.int()
	var e raw
	for i := 0; len(r.b) > 0; i++ {
		if r.entry(&e); r.err != nil {
			return 0, r.err
		}
		if err := each(i, &e); err != nil {
			return 0, err
		}
	}
	return unix, r.err
}

// appendState writes a state.
func appendState(b []byte, s *ledger.State) []byte {
	for _, n := range [...]int64{s.Start, s.Limit, s.Adjustments, s.Used, s.Held} {
		b = binary.AppendVarint(b, n)
	}
	for _, n := range [...]uint64{s.Crossed[0], s.Crossed[1], s.Told[0], s.Told[1], uint64(len(s.Days))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, d := range s.Days {
		for _, n := range [...]int64{d.Day - s.Start, d.Limit, d.Adjustments, d.Used, d.Held} {
			b = binary.AppendVarint(b, n)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.Leases)))
	for _, l := range s.Leases {
		b = binary.LittleEndian.AppendUint64(b, l.ID)
		for _, n := range [...]int64{l.Day - s.Start, l.Granted, l.Spent} {
			b = binary.AppendVarint(b, n)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.Applied)))
	for _, a := range s.Applied {
		b = binary.AppendVarint(appendText(b, a.ID), a.Granted)
	}
	for _, a := range s.Applied { // at the end, because older rows lack them
		b = append(b, byte(a.Kind))
	}
	return seal(b)
}

// readState makes a state, with the memory of its first day beside it: who needs the one needs the other.
func readState(value []byte) (*ledger.State, error) {
	s := new(struct {
		ledger.State
		day [1]ledger.DayTotal
	})
	s.Days = s.day[:0]
	return &s.State, readStateInto(&s.State, value)
}

// readStateInto uses the slices of s again.
func readStateInto(s *ledger.State, value []byte) error {
	body, err := unseal(value)
	if err != nil {
		return err
	}
	r := reader{b: body}
	for _, n := range [...]*int64{&s.Start, &s.Limit, &s.Adjustments, &s.Used, &s.Held} {
		*n = r.int()
	}
	for _, n := range [...]*uint64{&s.Crossed[0], &s.Crossed[1], &s.Told[0], &s.Told[1]} {
		*n = r.uint()
	}
	s.Days = resized(s.Days, r.count())
	for i := range s.Days {
		s.Days[i] = ledger.DayTotal{Day: s.Start + r.int(), Limit: r.int(), Adjustments: r.int(), Used: r.int(), Held: r.int()}
	}
	if s.Day = 0; len(s.Days) > 0 {
		s.Day = s.Days[len(s.Days)-1].Day
	}
	s.Leases = resized(s.Leases, r.count())
	for i := range s.Leases {
		s.Leases[i] = ledger.Lease{ID: r.fixed(), Day: s.Start + r.int(), Granted: r.int(), Spent: r.int()}
	}
	s.Applied = resized(s.Applied, r.count())
	for i := range s.Applied {
		s.Applied[i] = ledger.Applied{ID: string(r.text()), Granted: r.int()}
	}
	if len(r.b) > 0 {
		for i := range s.Applied {
			s.Applied[i].Kind = ledger.Kind(r.byte())
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("long value")
	}
	return r.err
}

func resized[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// sums are what entries add up to.
type sums struct{ used, adjustments int64 }

func (s *sums) add(kind ledger.Kind, granted int64) {
	used, adjustments := kind.Effect(granted)
	s.used += used
	s.adjustments += adjustments
}

func (s sums) encode() []byte {
	return seal(binary.AppendVarint(binary.AppendVarint(nil, s.used), s.adjustments))
}

func readSums(value []byte) (s sums, err error) {
	body, err := unseal(value)
	if err != nil {
		return s, err
	}
	r := reader{b: body}
	s = sums{r.int(), r.int()}
	return s, r.err
}
