package auth

import (
	"bytes"
	"strings"
	"unsafe"
)

// words reads scopes and returns them separated by single spaces. It accepts one string in which blanks separate the
// scopes (RFC 6749 section 3.3 allows a single space, but some issuers write more), or an array of scopes. It skips any
// other value and returns "".
func (s *scanner) words() string {
	switch s.peek() {
	case '"':
		return s.collapseBlanks(s.string())
	case '[':
		return s.join()
	}
	s.skip()
	return ""
}

// join reads an array of scopes and separates them by spaces. If any element is not a scope, it returns "". An element
// with a blank in it is not one: joined, it would read as two scopes that the issuer did not grant.
func (s *scanner) join() string {
	s.expect('[')
	b, n, ok := s.joined[:0], 0, true // the buffer is kept, so that only the result is allocated
	for ; s.element(n == 0); n++ {
		if s.peek() != '"' {
			s.skip()
			ok = false
			continue
		}
		s.charge(keptCost)
		word := s.string()
		b = append(append(b, word...), ' ')
		ok = ok && word != ""
	}
	s.joined = b
	if !ok || n == 0 {
		return ""
	}
	text := string(b[:len(b)-1])
	if strings.Count(text, " ") != n-1 || tabbed(text) {
		return "" // n scopes have n-1 spaces between them, so one more is within a scope
	}
	return text
}

// singlySpaced reports whether single spaces separate the words of a text and no blank is around them. Most issuers
// write scopes like this.
func singlySpaced(text string) bool {
	return text != "" && text[0] != ' ' && text[len(text)-1] != ' ' && !strings.Contains(text, "  ") && !tabbed(text)
}

// tabbed reports whether a text contains a blank other than the space.
func tabbed(text string) bool {
	return strings.IndexByte(text, '\t') >= 0 || strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0
}

// collapseBlanks returns the text with single spaces between its words. The copy is charged as many values, since
// otherwise a text of blanks would cost more than other texts of its length.
func (s *scanner) collapseBlanks(text string) string {
	if singlySpaced(text) {
		return text
	}
	if s.charge(len(text) / spacedBytes); s.err != nil {
		return ""
	}
	b := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		if blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'; !blank {
			b = append(b, c)
		} else if len(b) > 0 && b[len(b)-1] != ' ' {
			b = append(b, ' ')
		}
	}
	b = bytes.TrimSuffix(b, []byte(" "))
	return unsafe.String(unsafe.SliceData(b), len(b)) // b is not used again
}
