package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
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

// A row in the first format, with numbers as varints, signed ones in zigzag. Parts in brackets are there if the bits
// before them say so; n× stands for a count and as many elements.
//
//	format, bits           1 byte each
//	epoch                  8 bytes
//	counter
//	[moves, oldest] [tells]
//	n× account             bits (1 byte), start, limit, used, [adjustments] [held] [crossed, told]
//	   n× day              day, limit, adjustments, used, held
//	   [n× lease]          id (8 bytes), day, granted, spent
//	   [changes]           made, kept, length, and kept times: kind (1 byte), id, reason, actor,
//	                       time, asked, delta, before
//	n× session             name (8 bytes), last, length, and n× answer: how many, which
//	[move]                 letter (1 byte), at, page, length, and: bits (1 byte), accounts and sessions as above
//	checksum               4 bytes: CRC-32C of all that stands before
//
// A key in exact mode has 51 bytes. An epoch, names and IDs are random, so varints would make them longer.

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

// encode returns r as a row: format, contents, checksum. Extension fields are written whatever the format asked for. A
// row of another ledger may have some, and this one must not lose them.
func (r *record) encode(format uint8) ([]byte, error) {
	if len(r.extension) > 0 {
		format = format2
	}
	c := coder{b: append(r.scratch[:0], format), writing: true}
	r.code(&c, format)
	r.scratch = binary.LittleEndian.AppendUint32(c.b, crc32.Checksum(c.b, castagnoli))
	if len(r.scratch) > maxRow {
		return nil, fmt.Errorf("%w: %d bytes", errTooBig, len(r.scratch))
	}
	return bytes.Clone(r.scratch), nil // engines keep it, so no byte too many
}

// decode replaces r by what a row says; no row is the zero record. It reuses the memory of r. What it does not
// understand in full it refuses: a count read wrongly would be written back as if it were right. A newer format may end
// otherwise, so the format is looked at before the checksum. The shortest row has a format, its bits and a checksum, 6
// bytes. What r then holds as bytes is part of row, so it is valid as long as row is.
func (r *record) decode(row []byte) error {
	*r = record{states: r.states[:0], sessions: r.sessions[:0], scratch: r.scratch, noted: r.noted}
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
	c := coder{b: body[1:]}
	r.code(&c, row[0])
	return c.end("contents")
}

// code is what stands in a row, for writing as for reading. While it writes, has is made of the record; while it reads,
// it comes from the row and says what follows. A row that has moved something has accounts: a reader of history relies
// on that.
func (r *record) code(c *coder, format uint8) {
	has := flag(r.moves > 0, hasMoves) | flag(r.moving.to.letter != 0, hasMoving) | flag(r.tells > 0, hasTells) |
		flag(r.pruned, isPruned)
	c.byte(&has)
	c.fail(has&^knownParts != 0)
	r.pruned = has&isPruned != 0
	c.word(&r.epoch)
	c.uint(&r.counter)
	if has&hasMoves != 0 {
		c.uint(&r.moves)
		c.int(&r.oldest, 0)
	}
	if has&hasTells != 0 {
		c.uint(&r.tells)
	}
	r.codeContents(c)
	if has&hasMoving != 0 {
		r.moving.to.code(c)
		c.bytes(&r.moving.items)
	}
	if format == format2 {
		c.bytes(&r.extension)
	}
	c.fail(r.moves > 0 && len(r.states) == 0)
}

// codeContents is the part of a record that moves have as well. The smallest account has 5 bytes, and the smallest
// session 10; count needs that to refuse a damaged number.
func (r *record) codeContents(c *coder) {
	r.states = resize(r.states, c.count(len(r.states), 5))
	last := int64(0)
	for i := range r.states {
		s := &r.states[i]
		s.code(c, last)
		c.fail(i > 0 && s.start <= last)
		last = s.start
	}
	r.sessions = resize(r.sessions, c.count(len(r.sessions), 10))
	for i := range r.sessions {
		c.word(&r.sessions[i].name)
		c.uint(&r.sessions[i].last)
		c.bytes(&r.sessions[i].answers)
	}
}

// code writes or reads s. Numbers that tend to be near others stand as differences; those that overflow come back as
// they were. last is the start of the account before, so that a daily account needs 3 bytes for its start: 86 400 is
// zigzag 172 800. A part that most accounts do not have costs a bit where it is missing.
func (s *state) code(c *coder, last int64) {
	if !c.writing {
		*s = state{days: s.days[:0], open: s.open[:0]}
	}
	has := flag(s.whole, isWhole) | flag(s.adjustments != 0, isExtended) | flag(s.held != 0, isHolding) |
		flag(s.crossed != percents{} || s.told != percents{}, hasCrossed) |
		flag(len(s.open) > 0, hasLeases) | flag(s.made > 0 || s.kept > 0, hasChanges)
	c.byte(&has)
	c.fail(has&^knownFlags != 0)
	s.whole = has&isWhole != 0
	c.int(&s.start, last)
	c.int(&s.limit, 0)
	c.int(&s.used, 0)
	if has&isExtended != 0 {
		c.int(&s.adjustments, 0)
	}
	if has&isHolding != 0 {
		c.int(&s.held, 0)
	}
	if has&hasCrossed != 0 {
		for i := range s.crossed {
			c.uint(&s.crossed[i])
			c.uint(&s.told[i])
		}
	}
	s.codeDays(c)
	if has&hasLeases != 0 {
		s.open = resize(s.open, c.count(len(s.open), 11))
		for i := range s.open {
			l := &s.open[i]
			c.word(&l.id)
			c.int(&l.day, s.start)
			c.int(&l.granted, 0)
			c.int(&l.spent, 0)
		}
	}
	if has&hasChanges != 0 {
		c.size(&s.made)
		c.size(&s.kept)
		c.bytes(&s.texts)
		c.fail(s.kept > len(s.texts)/minChange)
	}
}

// codeDays writes or reads the days, each as its difference to the day before. Most have the account's limit, which
// then takes a byte. They ascend, which a damaged row may not do; the newest day is derived, so it cannot contradict
// them.
func (s *state) codeDays(c *coder) {
	s.days = resize(s.days, c.count(len(s.days), 5))
	day := s.start
	for i := range s.days {
		d := &s.days[i]
		c.int(&d.day, day)
		c.fail(i > 0 && d.day <= day)
		c.int(&d.limit, s.limit)
		c.int(&d.adjustments, 0)
		c.int(&d.used, 0)
		c.int(&d.held, 0)
		day = d.day
	}
	s.settleDay()
}

// code writes or reads where a move goes. Another letter than those of history and pages would name a row of another
// sort, so it is refused.
func (p *place) code(c *coder) {
	page := int(p.page)
	c.byte(&p.letter)
	c.int(&p.at, 0)
	c.size(&page)
	p.page = uint16(page)
	c.fail(int(p.page) != page || p.letter != historyRow && p.letter != pageRow)
}

// contents encodes the states and sessions of r, for a move. It has no checksum, because it stands in a row that has
// one.
func (r *record) contents() []byte {
	c := coder{b: []byte{flag(r.pruned, isPruned)}, writing: true}
	r.codeContents(&c)
	return c.b
}

// readContents is the reverse of contents. What r then holds as bytes is part of b.
func (r *record) readContents(b []byte) error {
	*r = record{}
	c := coder{b: b}
	var has byte
	c.byte(&has)
	r.pruned = has&isPruned != 0
	r.codeContents(&c)
	return c.end("a move")
}

// flag is f if is holds, else 0. It builds the bits that say which parts follow.
func flag(is bool, f byte) byte {
	if is {
		return f
	}
	return 0
}

// resize returns s with n elements, what stands in those that are new does not matter. They may be what stood there
// before: their own memory is used again.
func resize[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make([]T, n-cap(s))...)
}

// coder writes values to the end of b, or takes them off its front. So what is written and what is read cannot differ.
// After a mistake in what it reads it is bad, and all further values are 0. So the mistake need not be looked for
// before the end: loops in between end by themselves, as every count is 0 then.
type coder struct {
	b       []byte
	writing bool
	bad     bool
}

// fail notes a mistake if is holds. While writing it does nothing, because what is written was checked before. So both
// directions share the lines that check.
func (c *coder) fail(is bool) {
	if is && !c.writing {
		c.bad, c.b = true, nil
	}
}

// end returns an error unless all has been read without a mistake.
func (c *coder) end(what string) error {
	if c.bad || len(c.b) > 0 {
		return fmt.Errorf("%w: %s", errDamaged, what)
	}
	return nil
}

// uint is a number of 1 to 10 bytes, 7 bits each. Most take one, which is read without a call.
func (c *coder) uint(p *uint64) {
	switch {
	case c.writing:
		c.b = binary.AppendUvarint(c.b, *p)
	case len(c.b) > 0 && c.b[0] < 0x80: // nearly always
		*p = uint64(c.b[0])
		c.b = c.b[1:]
	default:
		v, n := binary.Uvarint(c.b)
		*p = v
		if c.fail(n <= 0); n > 0 {
			c.b = c.b[n:]
		}
	}
}

// int is a number that is near base. It stands as zigzag of the difference, so that small negative ones are short as
// well: 0, -1, 1 and -2 stand as 0, 1, 2 and 3.
func (c *coder) int(p *int64, base int64) {
	n := *p - base
	v := uint64(n<<1) ^ uint64(n>>63)
	c.uint(&v)
	*p = base + (int64(v>>1) ^ -int64(v&1))
}

// size is a number from 0 to 2^31 - 1, so an int of 32 bits has room for it. A number that is too large is read as 0.
func (c *coder) size(p *int) {
	v := uint64(*p)
	c.uint(&v)
	if v > math.MaxInt32 && !c.writing {
		c.fail(true)
		v = 0
	}
	*p = int(v)
}

// count is how many elements of at least so many bytes follow. A damaged count can be huge. One that the remaining
// bytes cannot hold is refused before anything is allocated for it. For example, at 100 bytes from the end there are at
// most 20 days of 5 bytes.
func (c *coder) count(n, least int) int {
	c.size(&n)
	if !c.writing && n > len(c.b)/least {
		c.fail(true)
		return 0
	}
	return n
}

// bytes is a part with its length before it. What has been read can be appended to without harm to what follows it.
func (c *coder) bytes(p *[]byte) {
	n := c.count(len(*p), 1)
	if c.writing {
		c.b = append(c.b, *p...)
		return
	}
	*p, c.b = c.b[:n:n], c.b[n:]
}

// text is bytes as a string of its own, which does not keep the row in memory.
func (c *coder) text(p *string) {
	b := []byte(*p)
	c.bytes(&b)
	*p = string(b)
}

// byte is one byte as it is: flags, a kind or a letter.
func (c *coder) byte(p *byte) {
	switch {
	case c.writing:
		c.b = append(c.b, *p)
	case len(c.b) == 0:
		c.fail(true)
	default:
		*p, c.b = c.b[0], c.b[1:]
	}
}

// word is a random number: all 8 bytes are in use, and a varint would take 9 or 10.
func (c *coder) word(p *uint64) {
	switch {
	case c.writing:
		c.b = binary.LittleEndian.AppendUint64(c.b, *p)
	case len(c.b) < 8:
		c.fail(true)
	default:
		*p, c.b = binary.LittleEndian.Uint64(c.b), c.b[8:]
	}
}
