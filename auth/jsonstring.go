package auth

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// string reads a string and resolves its escapes. Without escapes the result is part of the text: it is not allocated,
// but it keeps the text in memory.
func (s *scanner) string() string {
	s.expect('"')
	start := s.at
	switch s.run() {
	case '"':
		s.at++
		return s.text[start : s.at-1]
	case '\\':
		return s.escaped(start)
	}
	s.fail(errJSON)
	return ""
}

// skipString checks a string as strictly as string does, but does not allocate it. escape needs room for one character,
// which is overwritten by the next.
func (s *scanner) skipString() {
	var unused [utf8.UTFMax]byte
	s.expect('"')
	for {
		switch s.run() {
		case '"':
			s.at++
			return
		case '\\':
			s.escape(unused[:0])
		default:
			s.fail(errJSON)
			return
		}
	}
}

const (
	ones  = 0x0101010101010101 // times n: eight bytes of n
	highs = 0x8080808080808080 // the high bit of each byte
)

// run skips the ordinary characters of a string and returns the first one with a meaning: a quote, a backslash, or a
// control character, which is a mistake (RFC 8259 section 7). At the end of the text it returns zero, which is a
// mistake too.
//
// It examines eight bytes at a time. For a token of the usual size that is no faster than a loop over the bytes. But a
// hostile token of 16 KiB, which must not cost more than twice a usual one, would cost 10 to 16 % more: 7 to 9 µs
// (BenchmarkWorst in _bench).
//
// A byte below n sets its high bit when n is subtracted. So b-0x20 finds the control characters. In quote and slash,
// the exclusive or turns the byte looked for into zero, and zero is the only byte below 1. &^ drops the bytes of 0x80
// and more, whose high bit says nothing. Example: a tab, 0x09, gives 0x09-0x20 = 0xe9, with the high bit set; an 'a'
// gives 0x61-0x20 = 0x41, without it. A borrow from one byte can only spoil the bytes above it, and the lowest one
// found is used.
func (s *scanner) run() byte {
	i := s.at
	for ; i+8 <= len(s.text); i += 8 {
		b := binary.LittleEndian.Uint64([]byte(s.text[i : i+8]))
		quote, slash := b^(ones*'"'), b^(ones*'\\')
		if stop := ((b-ones*' ')&^b | (quote-ones)&^quote | (slash-ones)&^slash) & highs; stop != 0 {
			s.at = i + bits.TrailingZeros64(stop)/8
			return s.text[s.at]
		}
	}
	for ; i < len(s.text); i++ {
		if c := s.text[i]; c == '"' || c == '\\' || c < ' ' {
			s.at = i
			return c
		}
	}
	s.at = i
	return 0
}

// escaped reads the rest of a string that begins at start, and returns the whole. The current position is at its first
// backslash. The result must be allocated, which is charged.
func (s *scanner) escaped(start int) string {
	if s.charge(makeCost); s.err != nil {
		return ""
	}
	long := max(strings.IndexByte(s.text[s.at:], '"'), 0) // enough, unless an escaped quote follows
	b := append(make([]byte, 0, s.at-start+long), s.text[start:s.at]...)
	for {
		from := s.at
		c := s.run()
		b = append(b, s.text[from:s.at]...)
		switch c {
		case '"':
			s.at++
			return unsafe.String(unsafe.SliceData(b), len(b)) // b is not used again
		case '\\':
			b = s.escape(b)
		default:
			s.fail(errJSON)
			return ""
		}
	}
}

// The character at each place of unescape is what a backslash and the character at that place of escapes stand for (RFC
// 8259 section 7).
const (
	escapes  = `"\/bfnrt`
	unescape = "\"\\/\b\f\n\r\t"
)

// escape reads one escape and appends its character to b.
//
// A character beyond U+FFFF is written as two escapes, a surrogate pair. Example: "\ud83d\ude00" is U+1F600. A
// surrogate without its pair is refused: UTF-8 cannot represent it, and encoding/json replaces it with U+FFFD, so two
// different texts would become the same string.
func (s *scanner) escape(b []byte) []byte {
	s.at++ // the backslash
	s.charge(escapeCost)
	c := s.peek() // zero if the text ends here, which is no escape
	s.at++
	if i := strings.IndexByte(escapes, c); i >= 0 {
		return append(b, unescape[i])
	}
	if c != 'u' {
		s.fail(errJSON)
		return nil
	}
	r := s.hex()
	if utf16.IsSurrogate(r) {
		if !strings.HasPrefix(s.text[min(s.at, len(s.text)):], `\u`) {
			s.fail(errUTF8)
			return nil
		}
		s.at += 2
		s.charge(escapeCost)
		if r = utf16.DecodeRune(r, s.hex()); r == unicode.ReplacementChar {
			s.fail(errUTF8)
			return nil
		}
	}
	return utf8.AppendRune(b, r)
}

// hex reads the four hexadecimal digits of a \u escape, in either letter case, and returns their value. It does not
// check that the value is a character: the caller must handle surrogates.
func (s *scanner) hex() (r rune) {
	if len(s.text)-s.at < 4 {
		s.fail(errJSON)
		return 0
	}
	for _, c := range []byte(s.text[s.at : s.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			s.fail(errJSON)
			return 0
		}
	}
	s.at += 4
	return r
}
