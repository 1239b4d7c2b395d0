package sigv4

import (
	"math"
	"math/bits"
	"net/http"
	"strings"
)

// Present reports whether the request carries an AWS signature, valid or not: in the Authorization header, of any
// version, or in the query, of version 4. It verifies nothing; it is for a caller who accepts several mechanisms and
// must choose one. It looks at each byte of the query at most once.
func (v *Verifier) Present(r *http.Request) bool {
	for name, values := range r.Header {
		if !isAuthorization(name) {
			continue
		}
		for _, h := range values {
			if len(h) >= 4 && (strings.EqualFold(h[:4], "AWS4") || strings.EqualFold(h[:4], "AWS ")) {
				return true
			}
		}
	}
	path, rawQuery, _ := target(r)
	if v != nil && len(r.Method)+len(path)+len(rawQuery) > v.config.MaxHeaderBytes {
		return mentions(rawQuery, closely)
	}
	return mentions(rawQuery, math.MaxInt)
}

// mentions reports whether a query names a parameter of a presigned URL. The case of letters, escapes, the kind of
// separator and the value do not matter: whether the parameter is valid is for the parser to decide. For example,
// "a=1;x%2Damz-date=" mentions X-Amz-Date.
//
// A query may have any length, so that each byte is looked at once: the scan goes from separator to separator and reads
// a name only if its first bytes fit. It reads at most that many names; a query with more of them counts as one that
// mentions a parameter.
func mentions(rawQuery string, most int) bool {
	for at := 0; at+len(shortestName) <= len(rawQuery); at++ {
		c, next := rawQuery[at], rawQuery[at+1]
		switch {
		case c == '&' || c == ';':
			continue
		case next == '&' || next == ';':
			at++
			continue
		case (c|0x20 == 'x' || c == '%') && mayNameAuth(rawQuery[at:]):
			if most--; most < 0 || namesAuth(rawQuery[at:]) {
				return true
			}
		}
		end := min(at+8, len(rawQuery)) // few parameters are longer, and a plain loop is faster for the others
		for at++; at < end && rawQuery[at] != '&' && rawQuery[at] != ';'; at++ {
		}
		if at == end {
			at += separator(rawQuery[at:])
		}
	}
	return false
}

// closely is how many names [mentions] reads in a query that is too large to be parsed. Verify refuses a presigned
// request with such a query anyway. Present takes a request with so many names that look like ours for a presigned one,
// even if it is authenticated in another way.
const closely = 1000

// shortestName is the shortest of [authParamNames].
const shortestName = "X-Amz-Date"

// separator returns the index of the first "&" or ";", or the length of s if there is none. It looks at eight bytes at
// a time: after the XOR a byte that is equal is zero, and subtracting one from a zero byte borrows and so sets its top
// bit. A borrow may also mark a byte above an equal one, but never one below, so that the lowest mark is right.
func separator(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		t := s[n : n+8]
		x := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		a, b := x^ones*'&', x^ones*';'
		if found := ((a-ones)&^a | (b-ones)&^b) & tops; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(s) && s[n] != '&' && s[n] != ';' {
		n++
	}
	return n
}

// mayNameAuth reports whether the first bytes of a name fit a parameter of a presigned URL. It is the quick check
// before namesAuth: nearly all names fail at the first letter, which must be "x", or at the "-a" after it, escaped or
// not. For example, "x-a", "X%2D" and "%78-" may be the beginning of X-Amz-Date; "%58" is "X". s must have at least as
// many bytes as shortestName.
func mayNameAuth(s string) bool {
	switch {
	case s[0]|0x20 == 'x':
		return s[1] == '%' || s[1] == '-' && (s[2] == '%' || s[2]|0x20 == 'a')
	case s[0] == '%':
		return (s[1] == '5' || s[1] == '7') && s[2] == '8' && (s[3] == '-' || s[3] == '%')
	}
	return false
}

// unescaped returns the byte that the beginning of s stands for, and how many bytes of s it takes: three for an escape,
// one for any other byte, none at the end of s.
func unescaped(s string) (c byte, n int) {
	switch {
	case s == "":
		return 0, 0
	case s[0] == '%':
		if c, ok := unescape(s); ok {
			return c, 3
		}
	}
	return s[0], 1
}

// namesAuth reports whether s begins with the name of a parameter that only a presigned URL has. X-Amz-Content-Sha256,
// which is last in [authParamNames], is not among them: a query with the payload hash alone is not presigned.
func namesAuth(s string) bool {
	var name [len("X-Amz-Security-Token") + 1]byte // the longest of them, and one byte more
	n := 0
	for n < len(name) && s != "" && s[0] != '=' && s[0] != '&' && s[0] != ';' {
		c, length := unescaped(s)
		name[n], s = c, s[length:]
		n++
	}
	if n < len(shortestName) {
		return false
	}
	for i := range queryPayload {
		if known := authParamNames[i]; len(known) == n && strings.EqualFold(string(name[:n]), known) {
			return true
		}
	}
	return false
}
