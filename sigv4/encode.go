package sigv4

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// byteSet holds 1 for the bytes of a set.
type byteSet [256]uint8

// The bytes that stay as they are, by place. RFC 3986 2.3 names the unreserved ones.
var (
	componentBytes = newByteSet(alphanumeric + "-._~")                 // in the name or value of a query parameter
	pathBytes      = newByteSet(alphanumeric + "-._~/")                // in a path
	queryBytes     = newByteSet(alphanumeric + "-._~!$&'()*,=:@/?%;#") // in a query that is to be sent; see sentQuery
	tokenBytes     = newByteSet(alphanumeric + "!#$%&'*+-.^_`|~")
	fieldBytes     = newByteSet("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") // of a token in lower case
	hostBytes      = newByteSet(alphanumeric + "-._~!$&'()*+,;=:[]")                   // of a host with its port, RFC 3986 3.2.2 without escapes
	prefixBytes    = newByteSet(alphanumeric + "-._~!$&'()*+,;=:@/%")                  // in a path as it is sent, RFC 3986 3.3
	hashBytes      = newByteSet("0123456789abcdef")
)

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func newByteSet(bytes string) *byteSet {
	var set byteSet
	for _, c := range []byte(bytes) {
		set[c] = 1
	}
	return &set
}

// shortSpan is span where s goes on, but few bytes of it are likely to be in the set.
func (b *byteSet) shortSpan(s string) int {
	for n := range min(len(s), 4) {
		if b[s[n]] == 0 {
			return n
		}
	}
	return b.span(s)
}

// span returns how many bytes at the head of s are in the set. It looks at eight at a time, which halves its cost.
func (b *byteSet) span(s string) int {
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		t := s[n : n+8]
		if b[t[0]]&b[t[1]]&b[t[2]]&b[t[3]]&b[t[4]]&b[t[5]]&b[t[6]]&b[t[7]] == 0 {
			break
		}
	}
	for ; n < len(s) && b[s[n]] != 0; n++ {
	}
	return n
}

// all reports whether s has nothing but bytes of the set.
func (b *byteSet) all(s string) bool { return b.span(s) == len(s) }

const upperHex = "0123456789ABCDEF"

func appendEscape(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// hexPairs holds the two lower-case digits of each byte, the first in the lower half. Looking both up at once takes half
// the time of encoding/hex, and every signature has two hashes to write.
var hexPairs = func() (pairs [256]uint16) {
	const digits = "0123456789abcdef"
	for c := range pairs {
		pairs[c] = uint16(digits[c>>4]) | uint16(digits[c&15])<<8
	}
	return pairs
}()

func putHex(dst *[hashLength]byte, sum *[sha256.Size]byte) {
	for i, c := range sum {
		binary.LittleEndian.PutUint16(dst[2*i:], hexPairs[c])
	}
}

// equal compares in constant time, like crypto/subtle but by words: no branch and no index depends on the bytes.
func equal(a, b *[hashLength]byte) bool {
	var difference uint64
	for i := 0; i < hashLength; i += 8 {
		difference |= binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
	}
	return difference == 0
}

// unescape reads the escape at the head of s.
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, low := hexDigits[s[1]], hexDigits[s[2]]
	return high<<4 | low, high|low < 16
}

// hexDigits holds the value of each hexadecimal digit in either case, and 255 for other bytes.
var hexDigits = func() (values [256]uint8) {
	for i := range values {
		values[i] = 255
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c], values[upperHex[i]] = byte(i), byte(i)
	}
	return values
}()

// appendComponent appends the canonical form of the parameter's name or value at the head of s, and returns its length
// there; it ends at "&" or at the byte given. Each byte that it stands for is escaped unless unreserved, the digits in upper
// case. A "+" stands for a space, as for every reader of forms and for net/url: the clients that send it have signed "%20".
// It reports false for a bad escape and for the bytes that parsers read differently: ";" separates parameters for some, and
// "#" ends the query for some.
func appendComponent(dst []byte, s string, end byte) (text []byte, n int, ok bool) {
	for n < len(s) {
		c := s[n]
		switch {
		case componentBytes[c] != 0:
			length := componentBytes.shortSpan(s[n:])
			dst, n = append(dst, s[n:n+length]...), n+length
			continue
		case c == '&' || c == end:
			return dst, n, true
		case c == ';' || c == '#':
			return dst, n, false
		case c == '+':
			c = ' '
		case c == '%':
			if c, ok = unescape(s[n:]); !ok {
				return dst, n, false
			}
			n += 2
		}
		if n++; componentBytes[c] != 0 {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	return dst, n, true
}

// appendLiteral appends the canonical form of a text that has no escapes.
func appendLiteral(dst []byte, s string) []byte { return appendEscaped(dst, s, componentBytes) }

// appendEscaped appends s with all bytes escaped that are not in the set.
func appendEscaped(dst []byte, s string, set *byteSet) []byte {
	for {
		n := set.span(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return dst
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// decode returns what a parameter's value stands for. The value has passed [appendComponent].
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	text := make([]byte, 0, len(s))
	for s != "" {
		c := s[0]
		switch c {
		case '+':
			c = ' '
		case '%':
			c, _ = unescape(s)
			s = s[2:]
		}
		text, s = append(text, c), s[1:]
	}
	return string(text)
}

// appendPath appends the canonical form of a path as it was sent. Most services encode it once more, so that an escape's
// percent sign is itself escaped; S3 decodes it and encodes it once.
func appendPath(dst []byte, path string, rules Rules) []byte {
	if rules == S3 {
		return appendDecoded(dst, path)
	}
	return appendEscaped(dst, path, pathBytes)
}

// appendDecoded appends S3's form of a path. An escaped slash stays one: the two paths would have one signature, and those
// who serve files and routes tell them apart.
func appendDecoded(dst []byte, path string) []byte {
	for {
		n := pathBytes.span(path)
		dst = append(dst, path[:n]...)
		if path = path[n:]; path == "" {
			return dst
		}
		c := path[0]
		if c == '%' {
			if escaped, ok := unescape(path); ok {
				c, path = escaped, path[2:]
			}
		}
		if path = path[1:]; componentBytes[c] != 0 {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
}

// normalize removes dot segments and empty ones as AWS's signers do. Unlike RFC 3986 5.2.4 a trailing "." leaves no slash.
func normalize(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, segment)
		}
	}
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		kept = append(kept, "")
	}
	return "/" + strings.Join(kept, "/")
}

// isClean reports whether the path has neither empty segments nor dot segments, the escaped ones included, for "%2e" is
// "." to whoever decodes the path.
func isClean(path string) bool {
	if strings.IndexByte(path, '.') < 0 && strings.IndexByte(path, '%') < 0 && !strings.Contains(path, "//") {
		return true // the usual case
	}
	for i := range len(path) {
		if path[i] == '/' && !isPlainSegment(path[i+1:]) {
			return false
		}
	}
	return true
}

// isPlainSegment looks at the segment at the head of s, which may be empty only at the end of the path.
func isPlainSegment(s string) bool {
	if s == "" {
		return true
	}
	dots := 0
	for s != "" && s[0] != '/' {
		switch {
		case s[0] == '.':
			s = s[1:]
		case len(s) >= 3 && s[0] == '%' && s[1] == '2' && s[2]|0x20 == 'e':
			s = s[3:]
		default:
			return true
		}
		dots++
	}
	return dots > 2
}
