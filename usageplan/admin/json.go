package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep a JSON document may be nested. A usage plan has five levels, a template some more.
const maxDepth = 64

// A node is a value in a JSON document, and the path to it. Reading it as the wrong type records a mistake and returns
// the zero value, so that a caller reads a whole object and then asks for the first mistake once. For example, of
//
//	{"name": 5, "quota": {"limit": "ten"}}
//
// the mistake is "$.name is not a string".
//
// encoding/json would not do: it takes names in any case, takes a name twice, and replaces what is no character.
type node struct {
	path    string
	value   any // nil, bool, json.Number, string, []any or map[string]any
	mistake *error
}

// parseJSON reads exactly one JSON value. A name that an object has twice is an error.
func parseJSON(text []byte) (node, error) {
	if !utf8.Valid(text) || hasHalfPair(text) {
		return node{}, errors.New("the text is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, 0)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("data after the value")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return node{}, fmt.Errorf("at offset %d: %w", d.InputOffset(), err)
	}
	return newNode(value), nil
}

// hasHalfPair reports whether text has the escape of a surrogate without the other one of its pair, such as "\ud800".
// UTF-8 cannot represent it. encoding/json replaces it, so two names that differ would become one.
func hasHalfPair(text []byte) bool {
	for i := bytes.IndexByte(text, '\\'); i >= 0; i = bytes.IndexByte(text, '\\') {
		text = text[i:]
		size := 2 // of every other escape, as far as it may contain a backslash
		if r := escaped(text); utf16.IsSurrogate(r) {
			if utf16.DecodeRune(r, escaped(text[6:])) == unicode.ReplacementChar {
				return true
			}
			size = len(`\ud83d\ude00`)
		}
		text = text[min(size, len(text)):]
	}
	return false
}

// escaped returns the value of the \u escape that text begins with, or -1.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	r, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(r)
}

func newNode(value any) node { return node{"$", value, new(error)} }

// parseValue reads the next value, which is depth levels deep.
func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		return parseList(d, depth)
	case json.Delim('{'):
		return parseObject(d, depth)
	}
	return t, nil
}

func parseList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token() // the bracket
	return list, err
}

func parseObject(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder returns no other token here
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%q is given twice", clip(name))
		}
		if object[name], err = parseValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the brace
	return object, err
}

// finish returns the first mistake that was recorded in the document, or nil.
func (n node) finish() error { return *n.mistake }

// fail records a mistake, unless there is one already. The text begins with the path.
func (n node) fail(format string, args ...any) {
	if *n.mistake == nil {
		*n.mistake = fmt.Errorf("%s "+format, append([]any{n.path}, args...)...)
	}
}

func (n node) isNull() bool { return n.value == nil }

// has reports whether n is an object that has the name.
func (n node) has(name string) bool {
	object, _ := n.value.(map[string]any)
	_, found := object[name]
	return found
}

// field returns the value of the name in the object n. It is null if n does not have the name.
func (n node) field(name string) node {
	object, _ := n.value.(map[string]any)
	return node{n.path + "." + clip(name), object[name], n.mistake}
}

// names returns the sorted names of the object n.
func (n node) names() []string {
	return slices.Sorted(maps.Keys(as[map[string]any](n, "an object")))
}

// known records a mistake for a name of the object n that is not among names.
func (n node) known(names ...string) {
	for _, name := range n.names() {
		if !slices.Contains(names, name) {
			n.field(name).fail("is not a known field")
		}
	}
}

// list returns the elements of the list n.
func (n node) list() []node {
	var nodes []node
	for i, v := range as[[]any](n, "a list") {
		nodes = append(nodes, node{fmt.Sprintf("%s[%d]", n.path, i), v, n.mistake})
	}
	return nodes
}

func (n node) text() string { return as[string](n, "a string") }

func (n node) truth() bool { return as[bool](n, "true or false") }

// texts returns the values of the object n as text, by name. It is nil if there are none. A null is a mistake here: it
// would become a tag with an empty value.
func (n node) texts() map[string]string {
	var texts map[string]string
	for _, name := range n.names() {
		if texts == nil {
			texts = make(map[string]string)
		}
		v := n.field(name)
		if v.isNull() {
			v.fail("is not a string")
		}
		texts[name] = v.text()
	}
	return texts
}

// number returns n as a number.
func (n node) number() float64 {
	text := as[json.Number](n, "a number")
	if text == "" {
		return 0
	}
	v, err := text.Float64()
	if err != nil {
		n.fail("is out of range")
	}
	return v
}

// whole returns n as a whole number. It takes 5.0 for whole, because languages with one type of number write it so.
func (n node) whole() int64 {
	text := as[json.Number](n, "a number")
	if text == "" {
		return 0
	}
	if v, err := text.Int64(); err == nil {
		return v
	}
	v, err := text.Float64()
	if err != nil || v != float64(int64(v)) || v >= 1<<53 || v <= -1<<53 {
		n.fail("is not a whole number, or out of range")
		return 0
	}
	return int64(v)
}

// as returns the value of n as a T. Null is the zero T. A value of another type is a mistake.
func as[T any](n node, what string) T {
	v, is := n.value.(T)
	if !is && !n.isNull() {
		n.fail("is not %s", what)
	}
	return v
}
