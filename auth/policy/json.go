package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Parse returns the policy of an IAM JSON document of at most 10 240 bytes, not counting white space, and 64 KiB with it.
// Names are compared with regard to case, and none may occur twice in an object or be unknown. The error wraps
// [ErrInvalid]: it is the first mistake in the JSON, or every mistake that [New] finds.
func Parse(data []byte) (*Policy, error) {
	var d Document
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // RFC 8259 section 8.1: may be ignored; some editors write it
	if err := d.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	return New(d)
}

// UnmarshalJSON reads d as strictly as [Parse]; what [New] checks remains to be checked.
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

// size returns the length of a JSON text without the white space between its tokens (RFC 8259 section 2).
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

// reader reads a document token by token, since json.Unmarshal takes names in any case, and twice.
type reader struct {
	dec *json.Decoder
}

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

// version reads a version, which may be left out but not be empty.
func (r *reader) version(path string, to *string) error {
	err := r.text(path, to)
	if err == nil && *to == "" {
		return fmt.Errorf("%s: empty", path)
	}
	return err
}

// statements reads a statement or an array of them.
func (r *reader) statements(path string, to *[]Statement) error {
	token, err := r.dec.Token()
	switch {
	case err != nil:
		return err
	case token == json.Delim('{'):
		*to = make([]Statement, 1)
		return r.statement(path, &(*to)[0])
	case token != json.Delim('['):
		return fmt.Errorf("%s: unexpected %v", path, token)
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

// condition reads a condition that constrains nothing: tools write "Condition": {}, and IAM takes operators without keys
// as well. One that has a key is a mistake, since it is not evaluated.
func (r *reader) condition(path string) error {
	return r.object(path, func(operator string) error {
		at := path + "." + operator
		return r.object(at, func(key string) error {
			return fmt.Errorf("%s: %q is a condition, and conditions are not evaluated", at, key)
		})
	})
}

// errUnknown is what the reader of a member returns for a name it does not know.
var errUnknown = errors.New("unknown element")

// object reads an object, its opening brace included.
func (r *reader) object(path string, member func(name string) error) error {
	if err := r.expect(path, '{'); err != nil {
		return err
	}
	return r.members(path, member)
}

// members reads the members of an object and its closing brace. member reads the value of a name.
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
		case err == errUnknown: // itself: one that is wrapped has been told by an inner object, with its path
			return fmt.Errorf("%s: %w %q", path, err, name)
		case err != nil:
			return err
		}
	}
	return r.expect(path, '}')
}

// texts reads a string or an array of strings, which is not empty.
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
		return fmt.Errorf("%s: unexpected %v", path, token)
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

func (r *reader) expect(path string, want json.Delim) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%s: %v where %v is due", path, token, want)
	}
	return nil
}
