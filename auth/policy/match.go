package policy

import "strings"

// match reports whether s is what pattern stands for: an asterisk for any characters, a question mark for one, anything
// else for itself. Both must be UTF-8. A character is a code point, of one to four bytes.
//
// It takes one pass. What stands before the first asterisk must begin s, and what stands after the last must end it.
// Each piece in between is taken where it first occurs: a later place would only leave less for the pieces that follow.
// So nothing is tried twice, and the time grows with len(pattern) + len(s), times one for each 64 bytes of a piece that
// has question marks inside.
func match(pattern, s string) bool {
	head, rest, starred := strings.Cut(pattern, "*")
	n := prefix(head, s)
	if n < 0 {
		return false
	}
	s = s[n:]
	if !starred {
		return s == ""
	}
	last := strings.LastIndexByte(rest, '*')
	if n = suffix(rest[last+1:], s); n < 0 {
		return false
	}
	s = s[:len(s)-n]
	for rest = rest[:last+1]; rest != ""; {
		var piece string
		piece, rest, _ = strings.Cut(rest, "*")
		if n = find(piece, s); n < 0 {
			return false
		}
		s = s[n:]
	}
	return true
}

// prefix returns the length of what pattern, which has no asterisk, stands for at the beginning of s, or -1.
func prefix(pattern, s string) int {
	whole := len(s)
	for {
		mark := strings.IndexByte(pattern, '?')
		if mark < 0 {
			if !strings.HasPrefix(s, pattern) {
				return -1
			}
			return whole - len(s) + len(pattern)
		}
		if len(s) <= mark || s[:mark] != pattern[:mark] {
			return -1
		}
		s = s[mark+charLen(s[mark:]):]
		pattern = pattern[mark+1:]
	}
}

// suffix returns the length of what pattern, which has no asterisk, stands for at the end of s, or -1.
func suffix(pattern, s string) int {
	whole := len(s)
	for {
		mark := strings.LastIndexByte(pattern, '?')
		literal := pattern[mark+1:]
		if !strings.HasSuffix(s, literal) {
			return -1
		}
		s = s[:len(s)-len(literal)]
		if mark < 0 {
			return whole - len(s)
		}
		if s == "" {
			return -1
		}
		i := len(s) - 1
		for i > 0 && !begins(s[i]) {
			i--
		}
		s, pattern = s[:i], pattern[:mark]
	}
}

// find returns the offset in s at which the first occurrence of what piece, which has no asterisk, stands for ends, or
// -1 if there is none.
func find(piece, s string) int {
	inner := strings.TrimLeft(piece, "?")
	start := prefix(piece[:len(piece)-len(inner)], s)
	literal := strings.TrimRight(inner, "?")
	if start < 0 {
		return -1
	}
	end := index(literal, s[start:])
	if end < 0 {
		return -1
	}
	end += start
	n := prefix(inner[len(literal):], s[end:])
	if n < 0 {
		return -1
	}
	return end + n
}

// index is find for a piece that neither begins nor ends with a question mark.
func index(piece, s string) int {
	switch {
	case strings.IndexByte(piece, '?') < 0:
		if i := strings.Index(s, piece); i >= 0 {
			return i + len(piece)
		}
		return -1
	case len(piece) > len(s): // a question mark is one byte, a character at least one
		return -1
	case len(piece) <= column:
		return scan(piece, s)
	}
	return scanLong(piece, s)
}

// column is the number of bytes of a piece that a word of state has bits for.
const column = 64

// masks says for each byte at which places of a piece it stands, and at which there are question marks.
type masks struct {
	of    [256]uint64
	marks uint64
	last  uint64 // the last place
}

func (m *masks) set(piece string) {
	*m = masks{last: 1 << (len(piece) - 1)}
	for j := range len(piece) {
		if piece[j] == '?' {
			m.marks |= 1 << j
		} else {
			m.of[piece[j]] |= 1 << j
		}
	}
}

// step returns the state after b. Bit j of next says that b may stand at place j, since all before it has just been
// read; bit j of the result says that the places up to j have (the shift-and automaton of Baeza-Yates and Gonnet, 1992).
func (m *masks) step(state, next uint64, b byte) uint64 {
	if begins(b) {
		return next & (m.of[b] | m.marks)
	}
	return next&m.of[b] | state&m.marks // the character of a question mark goes on
}

// scan reads s once and returns where piece, of a column at most, first ends in it, or -1.
func scan(piece, s string) int {
	var m masks
	m.set(piece)
	state := uint64(0)
	for i := range len(s) {
		if state = m.step(state, state<<1|1, s[i]); state&m.last != 0 {
			return i + 1
		}
	}
	return -1
}

// scanLong is scan for a piece of any length. It reads s once for each column; reached[i] says whether the columns
// before have all been read when s[i] comes. It allocates nothing if s is a method ARN, which has 1600 bytes at most.
func scanLong(piece, s string) int {
	var few [1600]byte
	reached := few[:]
	if len(s) > len(few) {
		reached = make([]byte, len(s))
	}
	for i := range reached {
		reached[i] = 1 // the piece may begin anywhere
	}
	var m masks
	for final := false; !final; piece = piece[min(column, len(piece)):] {
		final = len(piece) <= column
		m.set(piece[:min(column, len(piece))])
		state, done := uint64(0), byte(0)
		for i := range len(s) {
			next := state<<1 | uint64(reached[i])
			reached[i] = done
			state, done = m.step(state, next, s[i]), 0
			if state&m.last != 0 {
				if final {
					return i + 1
				}
				done = 1
			}
		}
	}
	return -1
}

// charLen returns the length of the first character of s, which is not empty.
func charLen(s string) int {
	n := 1
	for n < len(s) && !begins(s[n]) {
		n++
	}
	return n
}

// begins reports whether b is the first byte of a character. In UTF-8 the others are 10xxxxxx (RFC 3629 section 3).
func begins(b byte) bool { return b&0xC0 != 0x80 }
