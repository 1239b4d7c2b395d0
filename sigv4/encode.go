package sigv4

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// byteSet is a set of bytes: 1 for each that is in it, so that span can test eight bytes with seven ANDs.
type byteSet [256]uint8

// The bytes that are allowed, or need no escape, by where they are. RFC 3986 2.3 names the unreserved ones.
var (
	componentBytes = newByteSet(alphanumeric + "-._~")                                 // in the name or value of a query parameter
	pathBytes      = newByteSet(alphanumeric + "-._~/")                                // in a path
	queryBytes     = newByteSet(alphanumeric + "-._~!$&'()*,=:@/?%;#")                 // in a query as the signer sends it; see sentQuery
	tokenBytes     = newByteSet(alphanumeric + "!#$%&'*+-.^_`|~")                      // in a token, RFC 9110 5.6.2
	fieldBytes     = newByteSet("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") // in a token in lower case
	hostBytes      = newByteSet(alphanumeric + "-._~!$&'()*+,;=:[]")                   // in a host with its port, RFC 3986 3.2.2 without escapes
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

// shortSpan is span, made for a span that is likely to be short: names and values of a query often have one to four
// bytes, for which a plain loop is faster.
func (b *byteSet) shortSpan(s string) int {
	for n := range min(len(s), 4) {
		if b[s[n]] == 0 {
			return n
		}
	}
	return b.span(s)
}

// span returns how many bytes at the beginning of s are in the set. It looks at eight bytes at a time, which takes half
// the time.
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

// all reports whether all bytes of s are in the set.
func (b *byteSet) all(s string) bool { return b.span(s) == len(s) }

const upperHex = "0123456789ABCDEF"

// appendEscape appends the escape of one byte, with digits in upper case (RFC 3986 2.1).
func appendEscape(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// hexPairs holds the two lower-case hexadecimal digits of each byte, the first digit in the lower half. To look up both
// at once takes half the time of encoding/hex, and every signature writes two hashes.
var hexPairs = func() (pairs [256]uint16) {
	const digits = "0123456789abcdef"
	for c := range pairs {
		pairs[c] = uint16(digits[c>>4]) | uint16(digits[c&15])<<8
	}
	return pairs
}()

// putHex writes a hash in hexadecimal digits.
func putHex(dst *[hashLength]byte, sum *[sha256.Size]byte) {
	for i, c := range sum {
		binary.LittleEndian.PutUint16(dst[2*i:], hexPairs[c])
	}
}

// equal reports whether two hashes are equal, in constant time: no branch and no index depends on the bytes. Otherwise
// a client could find a signature digit by digit, by measuring how long a refusal takes. It compares words where
// crypto/subtle compares bytes.
func equal(a, b *[hashLength]byte) bool {
	var difference uint64
	for i := 0; i < hashLength; i += 8 {
		difference |= binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
	}
	return difference == 0
}

// unescape returns the byte that the escape at the beginning of s stands for. It reports false if there is no valid
// escape. s must begin with "%", which it does not check.
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, low := hexDigits[s[1]], hexDigits[s[2]]
	return high<<4 | low, high|low < 16
}

// hexDigits holds the value of each hexadecimal digit, in either case, and 255 for all other bytes: of two digits one
// is bad if and only if the OR of their values is above 15.
var hexDigits = func() (values [256]uint8) {
	for i := range values {
		values[i] = 255
	}
	for i, c := range []byte("0123456789abcdef") {
		values[c], values[upperHex[i]] = byte(i), byte(i)
	}
	return values
}()

// appendComponent appends the canonical form of the name or value that s begins with, and returns how many bytes of s
// it takes. It ends before "&", before the byte given, or with s. Each byte that is not unreserved is escaped, with
// digits in upper case. A "+" stands for a space, as in net/url and all readers of forms; clients that send it have
// signed "%20". For example, "caf%c3%a9+%41!" becomes "caf%C3%A9%20A%21".
//
// It reports false for a bad escape, and for two bytes that readers disagree about: some take ";" for a separator of
// parameters, and some take "#" for the end of the query.
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

// appendLiteral appends the canonical form of a name or value that has no escapes yet.
func appendLiteral(dst []byte, s string) []byte { return appendEscaped(dst, s, componentBytes) }

// appendEscaped appends s and escapes all bytes that are not in the set. "%" is not in pathBytes, so that
// a path is escaped once more.
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

// decode returns what a parameter's value stands for. [appendComponent] must have accepted the value, so that its
// escapes are valid. Most values have none, and are returned as they are.
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

// appendPath appends the canonical form of a path as it was sent. Most services escape it once more, so that "%20"
// becomes "%2520". S3 decodes it and escapes it once, so that "%20" stays, and "%7E" becomes "~".
//
// Source: AWS, "Create a signed AWS API request", step 1, "canonical URI".
func appendPath(dst []byte, path string, s3 bool) []byte {
	if s3 {
		return appendDecoded(dst, path)
	}
	return appendEscaped(dst, path, pathBytes)
}

// appendDecoded appends S3's form of a path, but an escaped slash stays escaped. In S3's own form "/a%2Fb" and "/a/b"
// would have the same signature, whereas routers and file servers tell them apart. A "%" that begins no valid escape is
// a byte like any other, and becomes "%25".
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

// normalize removes dot segments and empty segments, as AWS's signers do: "/a//b/../c/" becomes "/a/c/". Unlike in RFC
// 3986 5.2.4, a "." at the end leaves no slash: "/a/." becomes "/a".
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

// isClean reports whether a path has no empty segments and no dot segments. Escaped dots count as dots, because "%2e"
// is "." to every reader that decodes the path. A slash at the end is clean.
//
// The first test is quick and decides nearly always: without a dot, a "%" and "//" there is nothing to look at.
func isClean(path string) bool {
	if strings.IndexByte(path, '.') < 0 && strings.IndexByte(path, '%') < 0 && !strings.Contains(path, "//") {
		return true
	}
	for i := range len(path) {
		if path[i] == '/' && !isPlainSegment(path[i+1:]) {
			return false
		}
	}
	return true
}

// isPlainSegment reports whether the segment that s begins with is neither empty nor a dot segment, such as "..", "%2E"
// or ".%2e". At the end of the path it may be empty. It counts the dots: one or two are a dot segment, three are a
// name.
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
