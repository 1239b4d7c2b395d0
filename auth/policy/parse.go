package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// Parse returns the policy of an IAM JSON document. The document may have at most 10 240 bytes without white space, and
// 64 KiB with it. Names are compared with regard to case. A name must be known and must not occur twice in an object.
// The document may use the condition keys of AWS and those of own. The error is every mistake in the document and in
// own, joined; each wraps [ErrInvalid]. What is no JSON ends the search.
func Parse(data []byte, own ...Key) (*Policy, error) {
	// Some editors write a byte order mark; RFC 8259 section 8.1 lets parsers ignore it.
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var m mistakes
	d, whole := readDocument(data, &m)
	if !whole {
		return nil, m.join()
	}
	// What was read is compiled even if its form has mistakes, to find those in its values as well.
	p := compile(&d, own, &m)
	if err := m.join(); err != nil {
		return nil, err
	}
	return p, nil
}

// UnmarshalJSON reads d from JSON as strictly as [Parse] does, and leaves d unchanged if it returns an error. It does
// not check the values, which [New] does.
func (d *Document) UnmarshalJSON(data []byte) error {
	var m mistakes
	got, _ := readDocument(data, &m) // what is not whole has a mistake
	if err := m.join(); err != nil {
		return err
	}
	*d = got
	return nil
}

// readDocument reads a document and adds every mistake in its form to m. It returns false if it did not come to the
// end. The bounds are checked first, so that nobody makes the decoder work on a large text.
func readDocument(data []byte, m *mistakes) (d Document, whole bool) {
	switch size := size(data); {
	case len(data) > maxText:
		m.add("document", "%d bytes with white space, at most %d", len(data), maxText)
	case size > maxDocument:
		m.add("document", "%d bytes, at most %d", size, maxDocument)
	case !utf8.Valid(data):
		m.add("document", "not UTF-8")
	default:
		r := reader{dec: json.NewDecoder(bytes.NewReader(data)), m: m}
		// A number stays as it is written. A float64 would round it before literal.go has counted its digits.
		r.dec.UseNumber()
		if err := r.document(&d); err != nil {
			m.add("document", "%v", err)
			return d, false
		}
		return d, true
	}
	return d, false
}

// size returns the length in bytes of a JSON text without the white space between its tokens (RFC 8259 section 2). A
// quote ends a string unless it is escaped, and a backslash escapes unless it is escaped itself: "a\\" is a whole
// string, and "a\" is not.
func size(text []byte) (n int) {
	quoted, escaped := false, false
	for _, b := range text {
		if quoted || b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			n++
		}
		if b == '"' && !escaped {
			quoted = !quoted
		}
		escaped = quoted && b == '\\' && !escaped
	}
	return n
}

// reader reads a document token by token. It does not use json.Unmarshal, which accepts a name in any case, and twice.
// Each method reads one value and adds its mistakes to m. It returns an error only if the text is no JSON.
//
// A method that finds a wrong value still reads the whole of it. So the next token is always the one after the value,
// and what follows is checked as well. The functions that are passed to object, members and list must do the same.
type reader struct {
	dec *json.Decoder
	m   *mistakes
}

// document reads a whole document, after which the text must end. The path of its members has no prefix, so it is
// "Statement[0].Effect" and not "document.Statement[0].Effect".
func (r *reader) document(d *Document) error {
	err := r.object("", func(name, path string) error {
		switch name {
		case "Version":
			err := r.text(path, &d.Version)
			if err == nil && d.Version == "" && !r.m.at(path) {
				r.m.add(path, "empty") // it may be left out, but must not be empty
			}
			return err
		case "Id":
			return r.text(path, &d.ID)
		case "Statement":
			return r.statements(path, &d.Statement)
		}
		return r.unknown(path)
	})
	if err != nil {
		return err
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return errors.New("text after it")
	}
	return nil
}

// objectOrArray is what list is told to want if its elements are objects.
const objectOrArray = "an object or an array"

// statements reads a statement or an array of statements.
func (r *reader) statements(path string, to *[]Statement) error {
	return r.list(path, objectOrArray, func(path string, token json.Token) error {
		*to = append(*to, Statement{})
		s := &(*to)[len(*to)-1]
		return r.members(path, token, func(name, path string) error { return r.statement(name, path, s) })
	})
}

// statement reads the member of a statement with a name.
func (r *reader) statement(name, path string, s *Statement) error {
	switch name {
	case "Sid":
		return r.text(path, &s.Sid)
	case "Effect":
		return r.text(path, &s.Effect)
	case "Principal":
		return r.principals(path, &s.Principal)
	case "NotPrincipal":
		return r.principals(path, &s.NotPrincipal)
	case "Action":
		return r.texts(path, &s.Action)
	case "NotAction":
		return r.texts(path, &s.NotAction)
	case "Resource":
		return r.texts(path, &s.Resource)
	case "NotResource":
		return r.texts(path, &s.NotResource)
	case "Condition":
		return r.condition(path, &s.Condition)
	}
	return r.unknown(path)
}

// principals reads "*", or an object of lists of principals by their kind. Whether there is such a kind is for
// principalFault to say, which also checks documents that were not parsed.
func (r *reader) principals(path string, to *map[string][]string) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token == "*" {
		*to = map[string][]string{"AWS": {"*"}}
		return nil
	}
	*to = map[string][]string{}
	err = r.members(path, token, func(kind, path string) error {
		var list []string
		err := r.texts(path, &list)
		(*to)[kind] = list
		return err
	})
	if len(*to) == 0 && err == nil && !r.m.has(path) {
		r.m.add(path, "empty")
	}
	return err
}

// condition reads an object of operators, each an object of keys. Either may be empty, which constrains nothing: some
// tools write "Condition": {}.
func (r *reader) condition(path string, to *map[string]map[string][]string) error {
	*to = make(map[string]map[string][]string) // also if it is empty, for Lint
	return r.object(path, func(operator, path string) error {
		keys := make(map[string][]string)
		(*to)[operator] = keys
		return r.object(path, func(key, path string) error {
			var values []string
			err := r.values(path, &values)
			keys[key] = values
			return err
		})
	})
}

// object reads an object with members.
func (r *reader) object(path string, one func(name, path string) error) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	return r.members(path, token, one)
}

// members reads the members of an object and its closing brace. The token is what the value begins with. It calls one
// for each name, to read the value.
func (r *reader) members(path string, token json.Token, one func(name, path string) error) error {
	if token != json.Delim('{') {
		return r.wrong(path, token, "an object")
	}
	seen := make(map[string]bool)
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder allows no other token here
		at := member(path, name)
		if seen[name] { // "Individual elements must not contain multiple instances of the same key" (IAM's grammar)
			r.m.add(at, "occurs twice")
			err = r.skip()
		} else {
			err = one(name, at)
		}
		if err != nil {
			return err
		}
		seen[name] = true
	}
	_, err := r.dec.Token()
	return err
}

// list reads a value, or an array of values that must not be empty. It calls one for each, with the value's first
// token. A value alone has the path of the first in an array, since that is its place in a [Document].
func (r *reader) list(path, want string, one func(path string, token json.Token) error) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('[') {
		if (token == nil || token == json.Delim('{')) && want != objectOrArray {
			// Neither an element nor an array: the mistake is that of the whole list, not of its first element.
			return r.wrong(path, token, want)
		}
		return one(element(path, 0), token)
	}
	n := 0
	for ; r.dec.More(); n++ {
		token, err := r.dec.Token()
		if err == nil {
			err = one(element(path, n), token)
		}
		if err != nil {
			return err
		}
	}
	if n == 0 {
		r.m.add(path, "empty")
	}
	_, err = r.dec.Token()
	return err
}

// texts reads a string, or an array of strings that must not be empty.
func (r *reader) texts(path string, to *[]string) error {
	return r.list(path, "a string or an array", func(path string, token json.Token) error {
		s, ok := token.(string)
		*to = append(*to, s) // also in place of what is no string, so that the paths of the others stay right
		if !ok {
			return r.wrong(path, token, "a string")
		}
		return nil
	})
}

// values reads the values of a condition. "Quotation marks are optional for numeric and Boolean values" (IAM User
// Guide, "Grammar of the IAM JSON policy language").
func (r *reader) values(path string, to *[]string) error {
	return r.list(path, "a value or an array", func(path string, token json.Token) error {
		switch v := token.(type) {
		case string:
			*to = append(*to, v)
		case json.Number:
			*to = append(*to, v.String()) // as it is written, such as 1e3
		case bool:
			*to = append(*to, strconv.FormatBool(v))
		default:
			*to = append(*to, "")
			return r.wrong(path, token, "a string, a number or a boolean")
		}
		return nil
	})
}

// text reads a string. After a mistake it leaves to as it was, and validate does not report the same place again.
func (r *reader) text(path string, to *string) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	s, ok := token.(string)
	if !ok {
		return r.wrong(path, token, "a string")
	}
	*to = s
	return nil
}

// unknown adds the mistake of an unknown element, and reads its value. It is never ignored: "Conditon" would be a
// condition that its author relies on.
func (r *reader) unknown(path string) error {
	r.m.add(path, "unknown element")
	return r.skip()
}

// wrong adds the mistake of a value that begins with another token than it should, and reads the rest of the value.
func (r *reader) wrong(path string, token json.Token, want string) error {
	if path == "" {
		path = "document"
	}
	found := fmt.Sprint(token)
	if s, ok := token.(string); ok {
		found = strconv.Quote(s)
	} else if token == nil {
		found = "null"
	}
	r.m.add(path, "found %s, expected %s", found, want)
	return r.rest(token)
}

// skip reads a value.
func (r *reader) skip() error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	return r.rest(token)
}

// rest reads what is left of a value after its first token. It counts brackets instead of calling itself, since a value
// that is skipped may be nested as deep as the text is long.
func (r *reader) rest(token json.Token) error {
	for depth := 0; ; {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if token, err = r.dec.Token(); err != nil {
			return err
		}
	}
}
