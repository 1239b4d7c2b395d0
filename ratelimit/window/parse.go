package window

import (
	"hash/maphash"
	"strings"
)

// findArgument is the value, still encoded, of the first argument of that name in a query string, as url.ParseQuery
// reads it: a pair with a semicolon or a bad escape does not count. The standard library's parser builds a map for it.
func findArgument(query, name string) (value string, ok bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" || strings.IndexByte(pair, ';') >= 0 {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		if sameUnescaped(key, name) && wellEscaped(value) {
			return value, true
		}
	}
	return "", false
}

// escaped reports whether s has to be decoded.
func escaped(s string) bool { return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0 }

// sameUnescaped reports whether s is a well-formed encoding of text.
func sameUnescaped(s, text string) bool {
	if len(s) < len(text) {
		return false
	}
	if !escaped(s) {
		return s == text
	}
	for ; s != ""; text = text[1:] {
		c, n := unescape(s)
		if n == 0 || text == "" || text[0] != c {
			return false
		}
		s = s[n:]
	}
	return text == ""
}

// wellEscaped reports whether url.QueryUnescape reads s without an error: each percent sign is followed by two
// hexadecimal digits.
func wellEscaped(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return true
		}
		if _, n := unescape(s[i:]); n == 0 {
			return false
		}
		s = s[i+3:]
	}
}

// hashUnescaped is the hash of what s, which is well-formed, encodes.
func hashUnescaped(seed maphash.Seed, s string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for s != "" {
		c, n := unescape(s)
		_ = h.WriteByte(c) // never fails
		s = s[n:]
	}
	return h.Sum64()
}

// unescape is the first byte that s encodes, which is not empty, and how many bytes encode it: 0 if they are malformed.
func unescape(s string) (c byte, n int) {
	switch {
	case s[0] == '+':
		return ' ', 1
	case s[0] != '%':
		return s[0], 1
	case len(s) < 3:
		return 0, 0
	}
	high, ok1 := digit(s[1])
	low, ok2 := digit(s[2])
	if !ok1 || !ok2 {
		return 0, 0
	}
	return high<<4 | low, 3
}

// digit is the value of a hexadecimal digit.
func digit(c byte) (value byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	default:
		return 0, false
	}
}

// findCookie is the value of the first cookie of that name, as Request.Cookie reads it: without quotes around it, and
// past values with bytes that RFC 6265 section 4.1.1 does not allow. The standard library's parser allocates.
func findCookie(lines []string, name string) (value string, ok bool) {
	for _, line := range lines {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			key, value, _ := strings.Cut(trim(part), "=")
			if trim(key) != name {
				continue
			}
			if value, ok := cookieValue(value); ok {
				return value, true
			}
		}
	}
	return "", false
}

// trim cuts blanks off both ends of s, those that net/textproto cuts off.
func trim(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// cookieValue is a cookie's value without quotes around it. It is false for a value that Request.Cookie would skip.
func cookieValue(s string) (value string, ok bool) {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return "", false
		}
	}
	return s, true
}
