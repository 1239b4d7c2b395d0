package awslambda

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader walks over a JSON text that [json.Valid] has accepted, and returns parts of it without copying them. It
// trusts the text, so the walk needs no errors. A text that is not valid can make it panic, so nothing else may be
// given to it.
//
// It exists because an event has about a hundred members, of which a dozen are used. json.Unmarshal allocates each
// string and each map; _bench compares the two.
type jsonReader struct {
	text string
	at   int // the next byte
}

// member moves to the next member of an object and returns its name, or false after the last. Before the first call the
// reader must be at the object. Before each further call, the caller must have read or skipped the value of the last
// member. A value that is not an object has no members, and is skipped.
func (r *jsonReader) member() (name string, ok bool) {
	if !r.enter('{', '}') {
		return "", false
	}
	name = r.string()
	r.space()
	r.at++ // the colon
	return name, true
}

// element moves to the next element of an array, in the same way. Each loop over members or elements must go on to the
// end, or the reader stands inside of the value. Example: in {"a":[1,2],"b":3} the member after "a" is found only when
// element has returned false.
func (r *jsonReader) element() bool { return r.enter('[', ']') }

// enter moves behind the opening bracket or a comma and returns true if an element follows. It needs no check for a
// comma before the closing bracket, since valid JSON has none.
func (r *jsonReader) enter(opening, closing byte) bool {
	r.space()
	if r.at == len(r.text) {
		return false // the empty text: the value is absent
	}
	switch r.text[r.at] {
	case opening:
		r.at++
		r.space()
		if r.text[r.at] != closing {
			return true
		}
		r.at++
	case ',':
		r.at++
		r.space()
		return true
	case closing:
		r.at++
	default:
		r.skip()
	}
	return false
}

// space moves behind white space. Valid JSON has no other bytes up to a blank between its tokens (RFC 8259 section 2).
func (r *jsonReader) space() {
	for r.at < len(r.text) && r.text[r.at] <= ' ' {
		r.at++
	}
}

// string returns the value if it is a string, and "" for any other. It copies only a string with escapes.
func (r *jsonReader) string() string {
	r.space()
	if r.text[r.at] != '"' {
		r.skip()
		return ""
	}
	start := r.at + 1
	escaped := r.skipString()
	s := r.text[start : r.at-1]
	if escaped {
		return unescape(s)
	}
	return s
}

// bool returns the value if it is true, and false for any other. The text "true" is another: AWS writes a boolean.
func (r *jsonReader) bool() bool { return r.raw() == "true" }

// raw returns the text of the value, and "" for null.
func (r *jsonReader) raw() string {
	r.space()
	start := r.at
	r.skip()
	if value := r.text[start:r.at]; value != "null" {
		return value
	}
	return ""
}

// skip moves behind a value. It counts brackets without their kinds, because valid JSON has matching ones. It needs no
// stack, so the depth of a hostile event costs nothing.
func (r *jsonReader) skip() {
	r.space()
	depth := 0
	for {
		switch c := r.text[r.at]; c {
		case '"':
			r.skipString()
		case '{', '[':
			depth++
			r.at++
		case '}', ']':
			depth--
			r.at++
		case ',', ':', ' ', '\t', '\r', '\n':
			r.at++
			continue // a value does not end here
		default:
			r.skipWord()
		}
		if depth == 0 {
			return
		}
	}
}

// skipWord moves behind a number or a literal. Numbers are never converted: no member that is used is a number, and a
// hostile one, such as 1e999999999, costs no more than its length.
func (r *jsonReader) skipWord() {
	for r.at < len(r.text) && !strings.ContainsRune(",:]} \t\r\n", rune(r.text[r.at])) {
		r.at++
	}
}

// skipString moves behind a string, and reports whether it has escapes. It looks for quotation marks, and not at each
// byte, because most of a large event is the body, one string.
func (r *jsonReader) skipString() (escaped bool) {
	r.at++
	for {
		n := strings.IndexByte(r.text[r.at:], '"')
		part := r.text[r.at : r.at+n]
		if strings.IndexByte(part, '\\') < 0 {
			r.at += n + 1
			return escaped
		}
		escaped = true
		r.at += r.behindEscapes(part)
		if r.text[r.at] == '"' {
			r.at++
			return escaped
		}
	}
}

// behindEscapes returns the length of part, which ends before a quotation mark, or one more if a backslash escapes that
// mark. Example: in a\\"b the mark ends the string; in a\"b it does not.
func (r *jsonReader) behindEscapes(part string) int {
	backslashes := len(part) - len(strings.TrimRight(part, `\`))
	return len(part) + backslashes%2
}

// simple are the escapes of one letter (RFC 8259 section 7).
var simple = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape returns the string that s stands for. That is never longer than s: the shortest escape of a letter that
// takes three bytes has six.
func unescape(s string) string {
	out := make([]byte, 0, len(s)+utf8.UTFMax)
	for {
		n := strings.IndexByte(s, '\\')
		if n < 0 {
			return string(append(out, s...))
		}
		out = append(out, s[:n]...)
		if s = s[n+1:]; s[0] != 'u' {
			out, s = append(out, simple[s[0]]), s[1:]
			continue
		}
		var c rune
		c, s = unicodeEscape(s)
		out = utf8.AppendRune(out, c)
	}
}

// unicodeEscape reads the escape that s begins with behind the backslash, or two that are a surrogate pair, and returns
// the rest. Half a pair becomes U+FFFD, as in encoding/json.
func unicodeEscape(s string) (rune, string) {
	c := hex4(s[1:5])
	s = s[5:]
	if utf16.IsSurrogate(c) {
		if strings.HasPrefix(s, `\u`) {
			if pair := utf16.DecodeRune(c, hex4(s[2:6])); pair != utf8.RuneError {
				return pair, s[6:]
			}
		}
		return utf8.RuneError, s
	}
	return c, s
}

// hex4 returns the number that four hexadecimal digits stand for. json.Valid has checked that they are digits.
func hex4(digits string) (c rune) {
	for i := range len(digits) {
		d := rune(digits[i])
		switch {
		case d >= 'a':
			d -= 'a' - 10
		case d >= 'A':
			d -= 'A' - 10
		default:
			d -= '0'
		}
		c = c<<4 | d
	}
	return c
}
