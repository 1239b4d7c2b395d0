package sigv4

import (
	"math"
	"math/bits"
	"net/http"
	"strings"
)

// Present reports whether the request carries an AWS signature, good or bad, in its header or of version 4 in its query.
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

// mentions reports whether a query names a parameter of a presigned URL, in any case of letters, escaped or not, between
// separators of any kind: whether it is good or bad is for others to say. It looks at each byte once, for it reads queries
// of any length. It looks closely at no more names than most, and takes a query that has more for one that names ours.
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
		end := min(at+8, len(rawQuery)) // most names and many parameters are shorter
		for at++; at < end && rawQuery[at] != '&' && rawQuery[at] != ';'; at++ {
		}
		if at == end {
			at += separator(rawQuery[at:])
		}
	}
	return false
}

// closely is how many names [mentions] looks at in a query that is too large to be parsed. Such a query is refused anyway,
// unless it belongs to a request that is signed in another way.
const closely = 1000

// shortestName is the shortest of [authParamNames].
const shortestName = "X-Amz-Date"

// separator returns where the first "&" or ";" stands, or the length of s. It looks at eight bytes at a time: a byte that is
// zero after the comparison borrows when one is subtracted from it.
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

// mayNameAuth looks at the first bytes of a name, where it is quickly done: nearly all names begin with another letter than
// "x", escaped or not, or do not go on with "-a". There are at least as many bytes as in the shortest name.
func mayNameAuth(s string) bool {
	switch {
	case s[0]|0x20 == 'x':
		return s[1] == '%' || s[1] == '-' && (s[2] == '%' || s[2]|0x20 == 'a')
	case s[0] == '%':
		return (s[1] == '5' || s[1] == '7') && s[2] == '8' && (s[3] == '-' || s[3] == '%')
	}
	return false
}

// unescaped returns the byte that the head of s stands for, and its length there.
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

// namesAuth reports whether the name at the head of s is a parameter's that says of itself that the URL is presigned. The
// payload hash alone does not, which stands last.
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
