package policy

import "strings"

// match reports whether a compiled pattern matches the part of t between two offsets. An asterisk matches any number of
// characters, a question mark exactly one, anything else itself. Pattern and text must be UTF-8. A character is a code
// point, of one to four bytes. These comments write the bytes of compiled patterns as the document does.
//
// Asterisks divide a pattern into pieces. The text must begin with the first piece and end with the last. Each piece in
// between is taken at its first occurrence, since a later occurrence would only leave less text for the pieces that
// follow. So match takes one pass and never goes back. For example, the pattern a*b*c is matched with abbc like this:
// the text begins with a and ends with c; in the rest, bb, the piece b is found at the first place, and what is left
// over is for the asterisks.
func match(pattern string, t *text, from, to int) bool {
	head, rest, starred := strings.Cut(pattern, stars)
	n := prefix(head, t.s[from:to])
	if n < 0 {
		return false
	}
	from += n
	if !starred {
		return from == to
	}
	last := strings.LastIndexByte(rest, anyText)
	if n = suffix(rest[last+1:], t.s[from:to]); n < 0 {
		return false
	}
	to -= n
	for rest = rest[:last+1]; rest != "" && from >= 0; {
		var piece string
		piece, rest, _ = strings.Cut(rest, stars)
		from = t.find(piece, from, to)
	}
	return from >= 0
}

// matchParts is match with wildcards that stay within the colon-separated parts of an ARN, from the part at an offset
// on. The sixth part is the rest of the ARN, colons included. A pattern that ends early ends in an asterisk, which
// matches the rest of its part and all parts that follow: arn:aws:execute-api:eu-* matches every resource of every
// account in eu-west-1.
func matchParts(pattern string, t *text, from int, early bool) bool {
	for {
		part, more, goesOn := strings.Cut(pattern, string(separator))
		if !goesOn && !early {
			return match(part, t, from, len(t.s))
		}
		n := strings.IndexByte(t.s[from:], ':')
		if n < 0 || !match(part, t, from, from+n) {
			return false
		}
		if !goesOn {
			return true
		}
		pattern, from = more, from+n+1
	}
}

// matchesFilled is match, or matchParts if parts is true, for a pattern with variables. It is not inlined, since the
// caller would then clear room even for patterns without variables. A filled pattern that is longer goes to the heap.
//
//go:noinline
func (p *pattern) matchesFilled(t *text, from int, e *evaluation, parts, early bool) bool {
	var room [2 * longest]byte
	filled, ok := p.fill(room[:0], e, len(t.s)-from)
	switch {
	case !ok:
		return false
	case parts:
		return matchParts(view(filled), t, from, early)
	}
	return match(view(filled), t, from, len(t.s))
}

// prefix returns how many bytes at the beginning of s match pattern, which must not have an asterisk. It returns -1 if
// s does not begin with a match.
func prefix(pattern, s string) int {
	whole := len(s)
	for {
		mark := strings.IndexByte(pattern, anyOne)
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
		mark := strings.LastIndexByte(pattern, anyOne)
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
		i := len(s) - 1 // the question mark takes one character, so its first byte is looked for
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
