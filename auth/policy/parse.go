package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Parse returns the policy of an IAM JSON document. The document may have at most 10 240 bytes without white space, and
// 64 KiB with it. Names are compared with regard to case. A name must be known and must not occur twice in an object.
// The error wraps [ErrInvalid]: it is the first mistake in the JSON, or every mistake that [New] finds.
func Parse(data []byte) (*Policy, error) {
	var d Document
	// Some editors write a byte order mark; RFC 8259 section 8.1 lets parsers ignore it.
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := d.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	return New(d)
}

// UnmarshalJSON reads d from JSON as strictly as [Parse] does, and leaves d unchanged if it returns an error. It does
// not check the values, which [New] does.
func (d *Document) UnmarshalJSON(data []byte) error {
	var m mistakes
	if len(data) > maxText {
		m.add("document", "%d bytes with white space, at most %d", len(data), maxText)
		return m[0]
	}
	if size := size(data); size > maxDocument {
		m.add("document", "%d bytes, at most %d", size, maxDocument)
		return m[0]
	}
	if !utf8.Valid(data) {
		m.add("document", "not UTF-8")
		return m[0]
	}
	r := reader{dec: json.NewDecoder(bytes.NewReader(data))}
	var got Document
	if err := r.document(&got); err != nil {
		return fmt.Errorf("policy: %w: %w", ErrInvalid, err)
	}
	*d = got
	return nil
}

// size returns the length in bytes of a JSON text without the white space between its tokens (RFC 8259 section 2).
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
// Each method reads one value and returns an error that starts with the path of the value.
type reader struct {
	dec *json.Decoder
}

// document reads a whole document, after which the text must end.
func (r *reader) document(d *Document) error {
	err := r.object("document", func(name string) error {
		switch name {
		case "Version":
			return r.version(name, &d.Version)
		case "Id":
			return r.text(name, &d.ID)
		case "Statement":
			return r.statements(name, &d.Statement)
		}
		return errUnknown
	})
	if err != nil {
		return err
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return errors.New("text after the document")
	}
	return nil
}

// version reads a version. It may be left out, but must not be empty.
func (r *reader) version(path string, to *string) error {
	err := r.text(path, to)
	if err == nil && *to == "" {
		return fmt.Errorf("%s: empty", path)
	}
	return err
}

// statements reads a statement or an array of statements.
func (r *reader) statements(path string, to *[]Statement) error {
	token, err := r.dec.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('{'):
		*to = make([]Statement, 1)
		return r.statement(path, &(*to)[0])
	case token != json.Delim('['):
		return fmt.Errorf("%s: found %v, expected an object or an array", path, token)
	}
	for i := 0; r.dec.More(); i++ {
		at := fmt.Sprintf("%s[%d]", path, i)
		if err := r.expect(at, '{'); err != nil {
			return err
		}
		var s Statement
		if err := r.statement(at, &s); err != nil {
			return err
		}
		*to = append(*to, s)
	}
	return r.expect(path, ']')
}

// statement reads the members of a statement and its closing brace.
func (r *reader) statement(path string, s *Statement) error {
	return r.members(path, func(name string) error {
		at := path + "." + name
		switch name {
		case "Sid":
			return r.text(at, &s.Sid)
		case "Effect":
			return r.text(at, &s.Effect)
		case "Action":
			return r.texts(at, &s.Action)
		case "NotAction":
			return r.texts(at, &s.NotAction)
		case "Resource":
			return r.texts(at, &s.Resource)
		case "NotResource":
			return r.texts(at, &s.NotResource)
		case "Condition":
			return r.condition(at)
		}
		return errUnknown
	})
}

// condition reads a condition without keys, which constrains nothing: some tools write "Condition": {}, and IAM also
// accepts an operator without keys. A key is a mistake, since the package does not evaluate conditions.
func (r *reader) condition(path string) error {
	return r.object(path, func(operator string) error {
		at := path + "." + operator
		return r.object(at, func(key string) error {
			return fmt.Errorf("%s: %q is a condition, and conditions are not evaluated", at, key)
		})
	})
}

// errUnknown is what a member function returns, unwrapped, for a name that it does not know.
var errUnknown = errors.New("unknown element")

// object reads an object with members, from its opening to its closing brace.
func (r *reader) object(path string, member func(name string) error) error {
	if err := r.expect(path, '{'); err != nil {
		return err
	}
	return r.members(path, member)
}

// members reads the members of an object and its closing brace. It calls member for each name, to read the value.
func (r *reader) members(path string, member func(name string) error) error {
	seen := make(map[string]bool)
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder allows no other token here
		if seen[name] {
			return fmt.Errorf("%s: %q occurs twice", path, name)
		}
		seen[name] = true
		switch err := member(name); {
		case err == errUnknown: // not errors.Is: an inner object has wrapped its own, with its path
			return fmt.Errorf("%s: %w %q", path, err, name)
		case err != nil:
			return err
		}
	}
	return r.expect(path, '}')
}

// texts reads a string, or an array of strings that must not be empty.
func (r *reader) texts(path string, to *[]string) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if one, ok := token.(string); ok {
		*to = []string{one}
		return nil
	}
	if token != json.Delim('[') {
		return fmt.Errorf("%s: found %v, expected a string or an array", path, token)
	}
	for i := 0; r.dec.More(); i++ {
		var one string
		if err := r.text(fmt.Sprintf("%s[%d]", path, i), &one); err != nil {
			return err
		}
		*to = append(*to, one)
	}
	if len(*to) == 0 {
		return fmt.Errorf("%s: empty", path)
	}
	return r.expect(path, ']')
}

// text reads a string.
func (r *reader) text(path string, to *string) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	s, ok := token.(string)
	if !ok {
		return fmt.Errorf("%s: %v is not a string", path, token)
	}
	*to = s
	return nil
}

// expect reads a brace or a bracket.
func (r *reader) expect(path string, want json.Delim) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%s: found %v, expected %v", path, token, want)
	}
	return nil
}
