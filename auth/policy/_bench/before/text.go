package before

import "strings"

// text is a string that patterns are matched with. All patterns of an evaluation share its blocks, so that the string
// is indexed once instead of once for each pattern. A text must not be used by two goroutines at once.
type text struct {
	s      string  // UTF-8
	blocks []block // room for the index; nil if the policy is not worth one
	read   int     // how many of blocks are filled
}

// short is the number of bytes up to which strings.Index is as fast as blocks. In longer strings strings.Index takes up
// to ten times as long. Its worst case is a string in which the first byte of the piece is at every eighth place and
// the rest of the piece never follows.
const short = 256

// find returns the offset at which the first match of piece between two offsets in t ends, or -1 if there is no match.
// The piece must not have an asterisk.
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
	case len(piece) > to-from: // a question mark is one byte of the piece and at least one byte of the text
		return -1
	}
	return t.scan(piece, from, to)
}

// scan is index by blocks. For each block it takes len(piece) steps, until the piece has been found; see block.step. It
// does not allocate if t is no longer than a method ARN.
func (t *text) scan(piece string, from, to int) int {
	var few [longest]carry
	carries := few[:]
	if len(piece) > len(few) {
		carries = make([]carry, len(piece))
	}
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

// block returns the i-th block of t. If t has no room for it, block fills and returns spare.
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
