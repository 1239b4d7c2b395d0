package policy

import "strings"

// match reports whether the text from one offset to another is what pattern stands for: an asterisk for any characters, a
// question mark for one, anything else for itself. Both must be UTF-8. A character is a code point, of one to four bytes.
//
// It takes one pass. What stands before the first asterisk must begin the text, and what stands after the last must end
// it. Each piece in between is taken where it first occurs: a later place would only leave less for the pieces that
// follow. So nothing is tried twice.
func match(pattern string, t *text, from, to int) bool {
	head, rest, starred := strings.Cut(pattern, "*")
	n := prefix(head, t.s[from:to])
	if n < 0 {
		return false
	}
	from += n
	if !starred {
		return from == to
	}
	last := strings.LastIndexByte(rest, '*')
	if n = suffix(rest[last+1:], t.s[from:to]); n < 0 {
		return false
	}
	to -= n
	for rest = rest[:last+1]; rest != "" && from >= 0; {
		var piece string
		piece, rest, _ = strings.Cut(rest, "*")
		from = t.find(piece, from, to)
	}
	return from >= 0
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
