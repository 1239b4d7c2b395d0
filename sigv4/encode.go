package sigv4

import "strings"

// The bytes that stay as they are, by place. RFC 3986 2.3 names the unreserved ones.
var (
	componentByte = byteSet("-._~")  // in the name or value of a query parameter
	pathByte      = byteSet("-._~/") // in a path
	headerByte    = lowerNames()     // in the lower-case name of a header: RFC 9110 5.6.2
)

func lowerNames() [256]bool {
	set := byteSet("!#$%&'*+-.^_`|~")
	for c := 'A'; c <= 'Z'; c++ {
		set[c] = false
	}
	return set
}

func byteSet(marks string) (set [256]bool) {
	for c := range 256 {
		letter := 'A' <= c&^0x20 && c&^0x20 <= 'Z' && c < 0x80
		set[c] = letter || '0' <= c && c <= '9' || c != 0 && strings.IndexByte(marks, byte(c)) >= 0
	}
	return set
}

const upperHex = "0123456789ABCDEF"

func appendEscape(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// unescape reads the escape at the head of s.
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, low := hexDigit(s[1]), hexDigit(s[2])
	return high<<4 | low, high|low < 16
}

// hexDigit returns the value of c, or 255.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// appendComponent appends the canonical form of a parameter's name or value: each byte that it stands for, escaped unless
// unreserved, the digits in upper case. It reports false for a bad escape and for the bytes that parsers read differently:
// "+" is a space to some and a plus to others, ";" separates parameters for some, and "#" ends the query for some.
func appendComponent(dst []byte, s string) ([]byte, bool) {
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if componentByte[c] {
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '+', ';', '#':
			return dst, false
		case '%':
			var ok bool
			if c, ok = unescape(s[i:]); !ok {
				return dst, false
			}
			i += 2
		}
		if start = i + 1; componentByte[c] {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	return append(dst, s[start:]...), true
}

// appendLiteral appends the canonical form of a text that has no escapes.
func appendLiteral(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; componentByte[c] {
			dst = append(dst, c)
		} else {
			dst = appendEscape(dst, c)
		}
	}
	return dst
}

// decode returns what a parameter's value stands for. The value has passed [appendComponent].
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			c, _ = unescape(s[i:])
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
}

// appendPath appends the canonical form of a path as it was sent. Most services encode it once more, so that an escape's
// percent sign is itself escaped; S3 keeps escapes and encodes only what should have been escaped.
func appendPath(dst []byte, path string, rules Rules) []byte {
	start := 0
	for i := range len(path) {
		c := path[i]
		if pathByte[c] || c == '%' && rules == S3 {
			continue
		}
		dst = appendEscape(append(dst, path[start:i]...), c)
		start = i + 1
	}
	return append(dst, path[start:]...)
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
	for i := range len(path) {
		if path[i] == '/' && !isPlainSegment(path[i+1:]) {
			return false
		}
	}
	return true
}

// isPlainSegment looks at the segment at the head of s, which may be empty only at the end of the path.
func isPlainSegment(s string) bool {
	if s == "" || componentByte[s[0]] && s[0] != '.' { // the usual case
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

// isHash reports whether s has nothing but lower-case hexadecimal digits.
func isHash(s string) bool {
	for i := range len(s) {
		if c := s[i]; hexDigit(c) > 15 || 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token, as methods are: RFC 9110 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !headerByte[s[i]] && (s[i] < 'A' || s[i] > 'Z') {
			return false
		}
	}
	return true
}
