package policy

import (
	"math/bits"
	"strings"
)

// text is what patterns are matched with. Its blocks, if there are any, are shared by the patterns of an evaluation, so
// that it is read once and not once for each pattern.
type text struct {
	s      string // UTF-8
	blocks []block
	read   int // how many of the blocks have been read
}

// find returns the offset at which the first occurrence of what piece, which has no asterisk, stands for ends, from one
// offset in t to another, or -1 if there is none.
func (t *text) find(piece string, from, to int) int {
	inner := strings.TrimLeft(piece, "?")
	n := prefix(piece[:len(piece)-len(inner)], t.s[from:to])
	if n < 0 {
		return -1
	}
	literal := strings.TrimRight(inner, "?")
	end := t.index(literal, from+n, to)
	if end < 0 {
		return -1
	}
	n = prefix(inner[len(literal):], t.s[end:to])
	if n < 0 {
		return -1
	}
	return end + n
}

// index is find for a piece that neither begins nor ends with a question mark.
func (t *text) index(piece string, from, to int) int {
	literal := strings.IndexByte(piece, '?') < 0
	switch {
	case piece == "":
		return from
	case literal && (t.blocks == nil || to-from <= short):
		if i := strings.Index(t.s[from:to], piece); i >= 0 {
			return from + i + len(piece)
		}
		return -1
	case len(piece) > to-from: // a question mark is one byte, a character at least one
		return -1
	}
	return t.scan(piece, from, to)
}

// scan is index by blocks. It takes len(piece) steps for each block that it looks at, until the
// piece has been found: a bit of state says that the piece may go on at that byte of the block, since all before has
// just been read. What goes on in the next block is carried over, apart for each byte of the piece. It allocates nothing
// if t is a method ARN, which has 1600 bytes at most.
func (t *text) scan(piece string, from, to int) int {
	var few [longest]carry
	carries := few[:]
	if len(piece) > len(few) {
		carries = make([]carry, len(piece))
	}
	var spare block
	start := ^uint64(0) << (from % column) // the piece may begin anywhere from there
	for i := from / column; i*column < to; i++ {
		if end := t.block(i, &spare).step(piece, start, carries); end > 0 {
			if end += i * column; end <= to {
				return end
			}
			return -1
		}
		start = ^uint64(0)
	}
	return -1
}

// block returns the i-th block of t, which may be spare.
func (t *text) block(i int, spare *block) *block {
	if i >= len(t.blocks) {
		*spare = block{}
		spare.set(t.s[i*column:])
		return spare
	}
	for ; t.read <= i; t.read++ {
		t.blocks[t.read].set(t.s[t.read*column:])
	}
	return &t.blocks[i]
}

const (
	column  = 64   // the number of bytes of a block: a word has a bit for each
	longest = 1600 // the number of bytes of the longest method ARN that API Gateway serves

	// short is the number of bytes up to which strings.Index is as fast as the blocks. In a longer text it takes up to
	// ten times as long, where the first byte of a piece is in each eighth place and nothing follows.
	short = 256
)

// block says where each byte stands in a column of text. A byte stands where both its halves do, which takes an eighth of
// the memory of a word for each byte.
type block struct {
	low, high [16]uint64
	inner     uint64 // where there are bytes that go on with a character
}

// set reads the first column of s into an empty block.
func (b *block) set(s string) {
	for i := range min(column, len(s)) {
		b.low[s[i]&0x0F] |= 1 << i
		b.high[s[i]>>4] |= 1 << i
		if !begins(s[i]) {
			b.inner |= 1 << i
		}
	}
}

// carry is what a byte of a piece carries over to the next block: that the byte after it may stand at the first place,
// or that the character of a question mark goes on there.
type carry struct {
	next, within uint8
}

// step reads a block, whose bits of start say where piece may begin, and returns the number of the byte at which it ends
// first, counted from 1, or 0.
func (b *block) step(piece string, start uint64, carries []carry) int {
	state := start
	for j := range len(piece) {
		c := &carries[j]
		mark := piece[j] == '?'
		if !mark {
			state &= b.low[piece[j]&0x0F] & b.high[piece[j]>>4]
			if j == len(piece)-1 {
				break
			}
		}
		next := state<<1 | uint64(c.next)
		c.next = uint8(state >> 63)
		if mark && (b.inner != 0 || c.within != 0) {
			// The sum carries a bit at the first of the bytes that go on with a character over the others.
			sum, over := bits.Add64(next&b.inner, b.inner, uint64(c.within))
			c.within = uint8(over)
			next = (next | sum) &^ b.inner
		}
		state = next
	}
	if state == 0 {
		return 0
	}
	return bits.TrailingZeros64(state) + 1
}
