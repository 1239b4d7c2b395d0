package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Causes of a key whose rows cannot be read. They concern that key alone.
var (
	errDamaged = errors.New("row is damaged")
	errNewer   = errors.New("row was written by a newer release")
	errTooBig  = errors.New("row would be larger than an engine takes")
)

// The formats of a row. Both are always readable. The second is the first with a section of fields that a later release
// may define: a reader that does not know them keeps them. So that nodes of two releases can run together, a release
// reads a format before any release writes it.
const (
	format1 = 1
	format2 = 2

	lastFormat = format2
)

const maxRow = 65536

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Which parts a record has.
const (
	hasMoves = 1 << iota
	hasMoving
	hasTells
	isPruned
	knownParts = 1<<iota - 1
)

// Which parts a state has.
const (
	isWhole = 1 << iota
	isExtended
	isHolding
	hasCrossed
	hasLeases
	hasChanges
	knownFlags = 1<<iota - 1
)

// encode returns r as a row: format, parts, body, checksum. Extension fields are written whatever the format asked for.
func (r *record) encode(format uint8) ([]byte, error) {
	if len(r.extension) > 0 {
		format = format2
	}
	b := append(make([]byte, 0, 160), format, flag(r.moves > 0, hasMoves)|flag(r.moving.to.letter != 0, hasMoving)|
		flag(r.tells > 0, hasTells)|flag(r.pruned, isPruned))
	b = binary.LittleEndian.AppendUint64(b, r.epoch)
	b = binary.AppendUvarint(b, r.counter)
	if r.moves > 0 {
		b = binary.AppendUvarint(b, r.moves)
		b = binary.AppendVarint(b, r.oldest)
	}
	if r.tells > 0 {
		b = binary.AppendUvarint(b, r.tells)
	}
	b = appendStates(b, r.states)
	b = appendSessions(b, r.sessions)
	if m := &r.moving; m.to.letter != 0 {
		b = append(b, m.to.letter)
		b = binary.AppendVarint(b, m.to.at)
		b = binary.AppendUvarint(b, uint64(m.to.page))
		b = appendBytes(b, m.items)
	}
	if format == format2 {
		b = appendBytes(b, r.extension)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if len(b) > maxRow {
		return nil, fmt.Errorf("%w: %d bytes", errTooBig, len(b))
	}
	return b, nil
}

// flag is f if is holds, else 0.
func flag(is bool, f byte) byte {
	if is {
		return f
	}
	return 0
}

func appendBytes(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

func appendStates(b []byte, states []state) []byte {
	b = binary.AppendUvarint(b, uint64(len(states)))
	last := int64(0)
	for i := range states {
		b = states[i].append(b, last)
		last = states[i].start
	}
	return b
}

// append encodes s. Numbers that tend to be near others are written as differences; differences that overflow come back
// as they were.
func (s *state) append(b []byte, last int64) []byte {
	b = append(b, flag(s.whole, isWhole)|flag(s.adjustments != 0, isExtended)|flag(s.held != 0, isHolding)|
		flag(s.crossed != percents{} || s.told != percents{}, hasCrossed)|
		flag(len(s.open) > 0, hasLeases)|flag(s.made > 0 || s.kept > 0, hasChanges))
	b = binary.AppendVarint(b, s.start-last)
	b = binary.AppendVarint(b, s.limit)
	b = binary.AppendVarint(b, s.used)
	if s.adjustments != 0 {
		b = binary.AppendVarint(b, s.adjustments)
	}
	if s.held != 0 {
		b = binary.AppendVarint(b, s.held)
	}
	if s.crossed != (percents{}) || s.told != (percents{}) {
		for _, word := range [...]uint64{s.crossed[0], s.crossed[1], s.told[0], s.told[1]} {
			b = binary.AppendUvarint(b, word)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.days)))
	day := s.start
	for _, d := range s.days {
		b = binary.AppendVarint(b, d.day-day)
		b = binary.AppendVarint(b, d.limit-s.limit)
		b = binary.AppendVarint(b, d.adjustments)
		b = binary.AppendVarint(b, d.used)
		b = binary.AppendVarint(b, d.held)
		day = d.day
	}
	if len(s.open) > 0 {
		b = binary.AppendUvarint(b, uint64(len(s.open)))
		for _, l := range s.open {
			b = binary.LittleEndian.AppendUint64(b, l.id)
			b = binary.AppendVarint(b, l.day-s.start)
			b = binary.AppendVarint(b, l.granted)
			b = binary.AppendVarint(b, l.spent)
		}
	}
	if s.made > 0 || s.kept > 0 {
		b = binary.AppendUvarint(b, uint64(s.made))
		b = binary.AppendUvarint(b, uint64(s.kept))
		b = appendBytes(b, s.texts)
	}
	return b
}

func appendSessions(b []byte, sessions []session) []byte {
	b = binary.AppendUvarint(b, uint64(len(sessions)))
	for i := range sessions {
		b = binary.LittleEndian.AppendUint64(b, sessions[i].name)
		b = binary.AppendUvarint(b, sessions[i].last)
		b = appendBytes(b, sessions[i].answers)
	}
	return b
}

// decode replaces r by what a row says; no row is the zero record. It reuses the memory of r. What it does not understand
// in full it refuses.
func (r *record) decode(row []byte) error {
	*r = record{states: r.states[:0], sessions: r.sessions[:0]}
	if row == nil {
		return nil
	}
	if len(row) < 6 {
		return fmt.Errorf("%w: %d bytes", errDamaged, len(row))
	}
	body := row[:len(row)-4]
	switch format := row[0]; {
	case format != format1 && format != format2:
		return fmt.Errorf("%w: format %d", errNewer, format)
	case binary.LittleEndian.Uint32(row[len(body):]) != crc32.Checksum(body, castagnoli):
		return fmt.Errorf("%w: checksum", errDamaged)
	}
	in := reader{b: body[2:]}
	r.read(&in, body[1])
	if body[0] == format2 {
		r.extension = in.bytes()
	}
	if in.bad || len(in.b) > 0 || body[1]&^knownParts != 0 {
		return fmt.Errorf("%w: contents", errDamaged)
	}
	return nil
}

func (r *record) read(in *reader, parts byte) {
	r.epoch = in.word()
	r.counter = in.uvarint()
	if parts&hasMoves != 0 {
		r.moves = in.uvarint()
		r.oldest = in.varint()
	}
	if parts&hasTells != 0 {
		r.tells = in.uvarint()
	}
	r.pruned = parts&isPruned != 0
	r.readStates(in)
	r.readSessions(in)
	if parts&hasMoving != 0 {
		r.moving.to = place{letter: in.byte(), at: in.varint(), page: uint16(in.upTo(1<<16 - 1))}
		r.moving.items = in.bytes()
		in.fail(!r.moving.to.valid())
	}
	in.fail(r.moves > 0 && len(r.states) == 0)
}

func (r *record) readStates(in *reader) {
	last := int64(0)
	for i := range in.count(5) {
		if i < cap(r.states) {
			r.states = r.states[:i+1]
		} else {
			r.states = append(r.states, state{})
		}
		s := &r.states[i]
		s.read(in, last)
		in.fail(i > 0 && s.start <= last)
		last = s.start
	}
}

func (s *state) read(in *reader, last int64) {
	*s = state{days: s.days[:0], open: s.open[:0]}
	flags := in.byte()
	in.fail(flags&^knownFlags != 0)
	s.whole = flags&isWhole != 0
	s.start = last + in.varint()
	s.limit, s.used = in.varint(), in.varint()
	if flags&isExtended != 0 {
		s.adjustments = in.varint()
	}
	if flags&isHolding != 0 {
		s.held = in.varint()
	}
	if flags&hasCrossed != 0 {
		s.crossed = percents{in.uvarint(), in.uvarint()}
		s.told = percents{in.uvarint(), in.uvarint()}
	}
	s.readDays(in)
	if flags&hasLeases != 0 {
		for range in.count(11) {
			s.open = append(s.open, leased{in.word(), s.start + in.varint(), in.varint(), in.varint()})
		}
	}
	if flags&hasChanges != 0 {
		s.made, s.kept = int(in.upTo(1<<31-1)), int(in.upTo(1<<16))
		s.texts = in.bytes()
		in.fail(s.kept > len(s.texts)/minChange)
	}
}

func (s *state) readDays(in *reader) {
	day := s.start
	for i := range in.count(5) {
		d := dayTotals{day + in.varint(), s.limit + in.varint(), in.varint(), in.varint(), in.varint()}
		in.fail(i > 0 && d.day <= day)
		s.days = append(s.days, d)
		day = d.day
	}
	s.settleDay()
}

func (r *record) readSessions(in *reader) {
	for range in.count(10) {
		r.sessions = append(r.sessions, session{in.word(), in.uvarint(), in.bytes()})
	}
}

// contents encodes the states and sessions of r, for a move.
func (r *record) contents() []byte {
	return appendSessions(appendStates([]byte{flag(r.pruned, isPruned)}, r.states), r.sessions)
}

// readContents is the reverse of contents.
func (r *record) readContents(b []byte) error {
	*r = record{}
	in := reader{b: b}
	r.pruned = in.byte() == isPruned
	r.readStates(&in)
	r.readSessions(&in)
	if in.bad || len(in.b) > 0 {
		return fmt.Errorf("%w: a move", errDamaged)
	}
	return nil
}

// reader takes numbers off the front of b. After a mistake it is bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

// fail notes a mistake if is holds.
func (in *reader) fail(is bool) {
	if is {
		in.bad, in.b = true, nil
	}
}

func (in *reader) uvarint() uint64 {
	if len(in.b) > 0 && in.b[0] < 0x80 { // nearly always
		v := in.b[0]
		in.b = in.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail(true)
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *reader) varint() int64 {
	v := in.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// upTo is a number that is not larger than most.
func (in *reader) upTo(most uint64) uint64 {
	v := in.uvarint()
	if v > most {
		in.fail(true)
		return 0
	}
	return v
}

// count is the number of parts that follow, of at least size bytes each.
func (in *reader) count(size int) int {
	n := in.uvarint()
	if n > uint64(len(in.b)/size) {
		in.fail(true)
		return 0
	}
	return int(n)
}

// bytes is a part with its length before it. It can be appended to without harm to what follows it.
func (in *reader) bytes() []byte {
	n := in.count(1)
	part := in.b[:n:n]
	in.b = in.b[n:]
	return part
}

func (in *reader) byte() byte {
	if len(in.b) == 0 {
		in.fail(true)
		return 0
	}
	v := in.b[0]
	in.b = in.b[1:]
	return v
}

func (in *reader) word() uint64 {
	if len(in.b) < 8 {
		in.fail(true)
		return 0
	}
	v := binary.LittleEndian.Uint64(in.b)
	in.b = in.b[8:]
	return v
}
