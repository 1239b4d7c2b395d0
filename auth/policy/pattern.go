package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// A compiled pattern holds these bytes where the document has something that is not itself. No pattern may have control
// characters, so they stand for nothing else. An asterisk that comes from a variable's value stays an asterisk.
const (
	anyText   = '\x01' // an asterisk: any number of characters
	anyOne    = '\x02' // a question mark: exactly one character
	separator = '\x03' // one of the first five colons of an ARN, in a pattern whose wildcards stay between them
	inserted  = '\x04' // the value of a variable

	stars, marks = string(anyText), string(anyOne)
)

// pattern is a compiled pattern. Of "arn:aws:execute-api:*:*:api/Prod/GET/${aws:username}", in the narrow reading of
// newStatement, text is
//
//	"arn\x03aws\x03execute-api\x03\x01\x03\x01\x03api/Prod/GET/\x04"
//
// Stars is 2, and variables has one element, with the key aws:username.
type pattern struct {
	text      string     // with the bytes above
	stars     int        // the number of asterisks in text
	variables []variable // what stands at the inserted bytes of text, in order
}

// variable is a policy variable in a pattern.
type variable struct {
	key      key
	fallback string
	defaults bool // fallback is used if the request does not have the key
}

// grammar says what is special in a pattern.
type grammar struct {
	variables bool // "${" begins a variable
	wildcards bool // asterisks and question marks are wildcards
	arn       bool // the first five colons separate the parts of an ARN
	late      bool // variables may stand only after the fifth colon
	keys      keys
}

// compile returns the compiled form of s, or what is wrong with it. With a fault the pattern is of no use: its text is
// empty.
func (g grammar) compile(s string) (p pattern, fault string) {
	var b strings.Builder
	colons := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return p, "has a control character or U+FFFD"
		case c == '*' && g.wildcards:
			p.stars++
			b.WriteByte(anyText)
		case c == '?' && g.wildcards:
			b.WriteByte(anyOne)
		case c == ':' && colons < partsOfARN-1:
			colons++
			if g.arn { // a colon that a variable brings is no separator, so it cannot move the parts that follow
				c = separator
			}
			b.WriteByte(c)
		case g.variables && strings.HasPrefix(s[i:], "${"):
			n, fault := g.variable(s[i:], &p, &b)
			switch {
			case fault != "":
				return p, fault
			case g.late && colons < partsOfARN-1:
				return p, "has a variable before the fifth colon"
			}
			i += n - 1
		default:
			b.WriteByte(c)
		}
	}
	if strings.Contains(s, string(utf8.RuneError)) || !utf8.ValidString(s) {
		return p, "has a control character or U+FFFD"
	}
	p.text = b.String()
	return p, ""
}

// variable compiles the variable that s begins with and returns its length. "${*}", "${?}" and "${$}" stand for the
// character itself (IAM User Guide, "Variables and tags", "Special characters"). A default is written with a comma, a
// space and single quotes: "${aws:username, 'nobody'}".
func (g grammar) variable(s string, p *pattern, b *strings.Builder) (n int, fault string) {
	inner, _, closed := strings.Cut(s[len("${"):], "}")
	name, quoted, defaults := strings.Cut(inner, ", '")
	if defaults {
		// The text of a default may have a brace, so its end is the quote.
		quoted, _, closed = strings.Cut(s[len("${")+len(name)+len(", '"):], "'}")
		inner = name + ", '" + quoted + "'"
	}
	n = len("${") + len(inner) + len("}") // right only if closed is true
	if !closed {
		return 0, `has "${" without its end`
	}
	if inner == "*" || inner == "?" || inner == "$" {
		b.WriteString(inner)
		return n, ""
	}
	k, ok := g.keys.find(name)
	switch { // "you cannot use a multivalued context key as a policy variable"
	case !ok:
		return 0, fmt.Sprintf("has the unknown variable %q", name)
	case k.list:
		return 0, fmt.Sprintf("has the variable %q, which may have several values", name)
	case k.kind == kindBinary:
		return 0, fmt.Sprintf("has the variable %q, which is no text", name)
	case !insertable(quoted):
		return 0, "has a control character or U+FFFD"
	}
	p.variables = append(p.variables, variable{key: k, fallback: quoted, defaults: defaults})
	b.WriteByte(inserted)
	return n, ""
}

// insertable reports whether the value of a variable can be put into a pattern: it is UTF-8 without control characters.
func insertable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(value)
}

// literal returns the text up to the first byte of p that is special, with colons for separators. Every match begins
// with it. It is as long as the part of p.text that it stands for: a separator is one byte, as a colon is.
func (p *pattern) literal() string {
	for i := range len(p.text) {
		if c := p.text[i]; c < ' ' && c != separator {
			return strings.ReplaceAll(p.text[:i], string(separator), ":")
		}
	}
	return strings.ReplaceAll(p.text, string(separator), ":")
}

// fill appends the text of p with the values of its variables to b. It stops if the result has more than limit bytes
// that must stand in a text, since no text of that length can match. It returns false then, and if a variable has no
// value or one that cannot be judged. In these cases it also sets e.unresolved or e.unfit.
//
// An asterisk may stand for no character at all, all other bytes stand for at least one byte of the text. So a filled
// pattern of n bytes with k asterisks matches no text of less than n - k bytes.
//
// The wildcards of the document stay bytes of their own in the result, so an asterisk in a value is an asterisk. The
// result is matched once. Matching the values one by one in their places would take exponential time for a pattern like
// "*${x}*${x}*${x}".
func (p *pattern) fill(b []byte, e *evaluation, limit int) ([]byte, bool) {
	rest := p.text
	for i := range p.variables {
		v := &p.variables[i]
		at := strings.IndexByte(rest, inserted)
		b = append(b, rest[:at]...)
		rest = rest[at+1:]
		from, found := len(b), absent
		b, found = e.insert(b, &v.key)
		switch {
		case found == absent && v.defaults:
			b = append(b, v.fallback...)
		case found == absent:
			e.unresolved = true
			return b, false
		case found == unfit || !insertable(view(b[from:])):
			e.unfit = true
			return b, false
		}
		if len(b)-p.stars > limit { // b has p.stars asterisks at most, as the rest may have some too
			return b, false
		}
	}
	return append(b, rest...), true
}

// view returns the bytes of b as a string, without a copy. It may be used only while b does not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
