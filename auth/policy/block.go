package policy

import "math/bits"

const (
	column  = 64   // the number of bytes of a block: a word has one bit for each
	longest = 1600 // the number of bytes of the longest method ARN that API Gateway serves
)

// block is an index of 64 bytes of text. It says at which places each byte value stands: bit i of a word is for byte i.
//
// There is no word for each of the 256 byte values. There is one for each value of the low four bits and one for each
// value of the high four bits, which takes an eighth of the memory. A byte stands where both of its halves stand:
// 'a' is 0x61, so it stands at the bits of low[1] & high[6].
type block struct {
	low, high [16]uint64
	inner     uint64 // where bytes stand that continue a character
}

// set indexes the first 64 bytes of s. The block must be zero.
func (b *block) set(s string) {
	for i := range min(column, len(s)) {
		b.low[s[i]&0x0F] |= 1 << i
		b.high[s[i]>>4] |= 1 << i
		if !begins(s[i]) {
			b.inner |= 1 << i
		}
	}
}

// carry is what the match of one byte of a piece carries over from a block to the next.
type carry struct {
	next   uint8 // 1 if the following byte of the piece may stand at the first place of the next block
	within uint8 // 1 if the character that a question mark matches continues in the next block
}

// step searches a block for the first match of piece. It returns the number of bytes of the block up to the end of the
// match, or 0 if no match ends in this block. The bits of start are the places where piece may begin. The matches that
// begin in this block and may end in the next are left in carries, which has an element for each byte of piece.
//
// This is the Shift-And algorithm, with one word for all places of the block instead of one bit for each byte of the
// piece. State holds the places where the next byte of piece may stand, given that all bytes before it have matched.
// For example, the piece ab is found in the text aab like this:
//
//	start                            places 0, 1, 2
//	a stands at 0 and 1              state is 0, 1
//	one place further                state is 1, 2
//	b stands at 2                    state is 2: the match comes up to the end of byte 2, so step returns 3
//
// A question mark matches a whole character. So a place where a byte continues a character is moved on to the place
// where the next character begins. An addition does this for all places at once, since it carries a bit over a run of
// ones. The character € is three bytes, of which places 1 and 2 are inner:
//
//	a question mark at place 0       state is 1
//	inner                                     1, 2    as a number 2 + 4
//	the sum 2 + (2 + 4) = 8          state is 3       the place after €
func (b *block) step(piece string, start uint64, carries []carry) int {
	state := start
	for j := range len(piece) {
		c := &carries[j]
		mark := piece[j] == anyOne
		if !mark {
			state &= b.low[piece[j]&0x0F] & b.high[piece[j]>>4]
			if j == len(piece)-1 {
				break
			}
		}
		next := state<<1 | uint64(c.next)
		c.next = uint8(state >> 63)
		if mark && (b.inner != 0 || c.within != 0) {
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
