package before

import "strings"

// match reports whether pattern matches the part of t between two offsets. An asterisk matches any number of
// characters, a question mark exactly one, anything else itself. Pattern and text must be UTF-8. A character is a code
// point, of one to four bytes.
//
// Asterisks divide a pattern into pieces. The text must begin with the first piece and end with the last. Each piece in
// between is taken at its first occurrence, since a later occurrence would only leave less text for the pieces that
// follow. So match takes one pass and never goes back. For example, the pattern a*b*c is matched with abbc like this:
// the text begins with a and ends with c; in the rest, bb, the piece b is found at the first place, and what is left
// over is for the asterisks.
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

// prefix returns how many bytes at the beginning of s match pattern, which must not have an asterisk. It returns -1 if
// s does not begin with a match.
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

// suffix returns how many bytes at the end of s match pattern, which must not have an asterisk. It returns -1 if s does
// not end with a match.
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

// charLen returns the number of bytes of the first character of s, which must not be empty.
func charLen(s string) int {
	n := 1
	for n < len(s) && !begins(s[n]) {
		n++
	}
	return n
}

// begins reports whether b is the first byte of a character. In UTF-8 all other bytes are 10xxxxxx (RFC 3629 section
// 3).
func begins(b byte) bool { return b&0xC0 != 0x80 }
