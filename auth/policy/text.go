package policy

import "strings"

// text is a string that patterns are matched with. All patterns of an evaluation share its blocks, so that the string
// is indexed once instead of once for each pattern. A text must not be used by two goroutines at once.
type text struct {
	s      string  // UTF-8
	blocks []block // room for the index; nil if the policy is not worth one
	read   int     // how many of blocks are filled
}

// few is the number of bytes up to which strings.Index is as fast as blocks. In longer strings strings.Index takes up
// to ten times as long. Its worst case is a string in which the first byte of the piece is at every eighth place and
// the rest of the piece never follows. For pieces that are longer than a block, blocks take longer than that.
const few = 256

// find returns the offset at which the first match of piece between two offsets in t ends, or -1 if there is no match.
// The piece must not have an asterisk. Question marks at its ends match whatever stands there, so they are only
// counted: for ??ab? find leaves out two characters, looks for ab, and takes one more.
func (t *text) find(piece string, from, to int) int {
	inner := strings.TrimLeft(piece, marks)
	n := prefix(piece[:len(piece)-len(inner)], t.s[from:to])
	if n < 0 {
		return -1
	}
	literal := strings.TrimRight(inner, marks)
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
	literal := strings.IndexByte(piece, anyOne) < 0
	switch {
	case piece == "":
		return from
	case literal && (t.blocks == nil || to-from <= few || len(piece) > column):
		if i := strings.Index(t.s[from:to], piece); i >= 0 {
			return from + i + len(piece)
		}
		return -1
	case len(piece) > to-from: // a question mark is one byte of the piece and at least one byte of the text
		return -1
	}
	return t.scan(piece, from, to)
}

// scan is index by blocks. It does not allocate if t is no longer than a method ARN. The room that it needs is cleared
// each time, so a short piece gets less of it.
func (t *text) scan(piece string, from, to int) int {
	if len(piece) <= column {
		var room [column]carry
		return t.steps(piece, from, to, room[:])
	}
	return t.scanLong(piece, from, to)
}

// scanLong is scan for a long piece.
//
//go:noinline
func (t *text) scanLong(piece string, from, to int) int {
	var room [longest]carry
	carries := room[:]
	if len(piece) > len(room) {
		carries = make([]carry, len(piece))
	}
	return t.steps(piece, from, to, carries)
}

// steps searches t block by block. The elements of carries must be zero; they take what has matched so far from one
// block to the next. For each block it takes len(piece) steps, until the piece has been found; see block.step.
func (t *text) steps(piece string, from, to int, carries []carry) int {
	var spare block
	start := ^uint64(0) << (from % column) // the piece may begin at any byte from there on
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

// block returns the i-th block of t. If t has no room for it, block fills and returns spare. Blocks are filled in order
// and no further than they are asked for: a pattern that fails early costs the beginning of the text only.
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
