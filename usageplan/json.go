package usageplan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDocument = 16 << 20 // bytes that Load reads: more than 10 000 plans of a kilobyte
	maxDepth    = 16       // levels of a document; a plan has five
	maxMistakes = 100      // mistakes that an error lists; of more it says "and more"
)

// A node is a value in a JSON document and the path to it. Reading a value as the wrong type records a mistake and
// returns the zero value, so that one pass over the document finds every mistake. For example, of the document
//
//	{"name": 5, "quota": {"limit": "ten", "period": "DAY"}}
//
// it reports "$.name is not a string" and "$.quota.limit is not a number". encoding/json would stop at the first of
// them, accept a name in another case and a name that comes twice, and give no path into a list.
type node struct {
	path     string
	value    any // nil, bool, json.Number, string, []any or map[string]any
	mistakes *[]error
}

// readJSON reads one JSON value, strictly. Data after the value is an error. A name that an object has twice is
// recorded as a mistake.
func readJSON(r io.Reader) (node, error) {
	n := node{path: "$", mistakes: new([]error)}
	text, err := readText(r)
	if err != nil {
		return n, err
	}
	d := reader{json.NewDecoder(bytes.NewReader(text)), n.mistakes}
	d.UseNumber()
	value, err := d.value(n.path, 0)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("data after the value")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("at offset %d: %w", d.InputOffset(), err)
	}
	n.value = value
	return n, err
}

// readText reads a whole document, without a byte order mark before the value (RFC 8259 section 8.1). Only UTF-8 is
// accepted. encoding/json would replace what is no character, so two ids that differ could become one.
func readText(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case isUTF16(text): // what PowerShell's > writes
		return nil, errors.New("the text is UTF-16, not UTF-8")
	case len(text) > maxDocument:
		return nil, fmt.Errorf("more than %d bytes", maxDocument)
	case err != nil:
		return nil, fmt.Errorf("at offset %d: %w", len(text), err)
	case !utf8.Valid(text) || hasHalfPair(text):
		return nil, errors.New("the text is not UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}

// hasHalfPair reports whether text has the escape of a surrogate without the other one of its pair, such as "\ud800".
// UTF-8 cannot represent it.
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

// isUTF16 reports whether a text begins with UTF-16's byte order mark, or with an ASCII character in two bytes.
func isUTF16(start []byte) bool {
	if len(start) < 2 {
		return false
	}
	mark := [2]byte{start[0], start[1]}
	return mark == [2]byte{0xff, 0xfe} || mark == [2]byte{0xfe, 0xff} || (mark[0] == 0) != (mark[1] == 0)
}

// A reader reads values. If an object has a name twice, it records a mistake and keeps the first value.
type reader struct {
	*json.Decoder
	mistakes *[]error
}

// value reads the next value, which is at the path. The depth bounds the recursion. An error ends the reading: only
// mistakes that leave the rest readable are recorded.
func (d reader) value(path string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		return d.list(path, depth)
	case json.Delim('{'):
		return d.object(path, depth)
	}
	return t, nil
}

// list reads the elements of a list and the bracket after them.
func (d reader) list(path string, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := d.value(fmt.Sprintf("%s[%d]", path, len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

// object reads the members of an object and the brace after them.
func (d reader) object(path string, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder returns no other token here
		v, err := d.value(join(path, name), depth+1)
		if err != nil {
			return nil, err
		}
		if _, twice := object[name]; twice {
			note(d.mistakes, fmt.Errorf("%s is given twice", join(path, name)))
			continue
		}
		object[name] = v
	}
	_, err := d.Token()
	return object, err
}

// mistake records a mistake in n. Its text begins with the path.
func (n node) mistake(format string, args ...any) {
	note(n.mistakes, fmt.Errorf("%s "+format, append([]any{n.path}, args...)...))
}

// note appends err to mistakes, up to maxMistakes.
func note(mistakes *[]error, err error) {
	switch len(*mistakes) {
	case maxMistakes + 1:
		return
	case maxMistakes:
		err = errors.New("and more")
	}
	*mistakes = append(*mistakes, err)
}

func (n node) isNull() bool { return n.value == nil }

func (n node) isList() bool {
	_, is := n.value.([]any)
	return is
}

// has reports whether n is an object that has the name.
func (n node) has(name string) bool {
	object, _ := n.value.(map[string]any)
	_, found := object[name]
	return found
}

// field returns the value of the name in the object n. It is null if n does not have the name.
func (n node) field(name string) node {
	object, _ := n.value.(map[string]any)
	return node{join(n.path, name), object[name], n.mistakes}
}

// join returns the path of the name in the object at path.
func join(path, name string) string {
	name = clip(name)
	if name == "" || name[0] == '/' {
		return fmt.Sprintf("%s[%q]", path, name)
	}
	return path + "." + name
}

// required returns the value of the name, as field does. It records a mistake if the value is null or "".
func (n node) required(name string) node {
	f := n.field(name)
	if f.isNull() || f.value == "" {
		f.mistake("is required")
	}
	return f
}

// names returns the sorted names of the object n.
func (n node) names() []string {
	return slices.Sorted(maps.Keys(as[map[string]any](n, "an object")))
}

// known records a mistake for every name of the object n that is not among names. For the spelling of another tool,
// such as CloudFormation's ApiStages or Terraform's api_stages, the mistake says which name was meant.
func (n node) known(names ...string) {
	for _, name := range n.names() {
		if slices.Contains(names, name) || n.isMetadata(name) {
			continue
		}
		plain := strings.ReplaceAll(name, "_", "")
		meant := slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(s, plain) })
		if meant < 0 {
			n.field(name).mistake("is not a field of API Gateway's")
		} else {
			n.field(name).mistake("is not a field of API Gateway's, but %s is", names[meant])
		}
	}
}

// isMetadata reports whether an SDK adds the name to a response: boto3's ResponseMetadata, the JavaScript SDK's
// $metadata or the PHP SDK's @metadata. They stand at the top of a document, or at the top of each element of a list.
func (n node) isMetadata(name string) bool {
	return slices.Contains([]string{"ResponseMetadata", "$metadata", "@metadata"}, name) && !strings.Contains(n.path, ".")
}

// list returns the elements of the list n.
func (n node) list() []node {
	var nodes []node
	for i, v := range as[[]any](n, "a list") {
		nodes = append(nodes, node{fmt.Sprintf("%s[%d]", n.path, i), v, n.mistakes})
	}
	return nodes
}

func (n node) text() string { return as[string](n, "a string") }

// texts returns the values of the object n as text, by name; nil if n has none.
func (n node) texts() map[string]string {
	var texts map[string]string
	for _, name := range n.names() {
		if texts == nil {
			texts = make(map[string]string)
		}
		texts[name] = n.field(name).text()
	}
	return texts
}

func (n node) number() float64 {
	v := as[json.Number](n, "a number")
	if v == "" {
		return 0
	}
	f, err := v.Float64()
	if err != nil {
		n.mistake("is out of range")
	}
	return f
}

// whole returns n as a whole number. It takes 5.0 and 1e6 for whole, because languages with only one type of number
// write whole numbers so.
func (n node) whole() int64 {
	v := as[json.Number](n, "a number")
	if v == "" {
		return 0
	}
	i, err := v.Int64()
	if f, floatErr := v.Float64(); err != nil && floatErr == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		n.mistake("is out of range")
	case err != nil:
		n.mistake("is not a whole number")
	}
	return i
}

// as returns the value of n as a T. Null is the zero T. A value of another type is a mistake.
func as[T any](n node, what string) T {
	v, is := n.value.(T)
	if !is && !n.isNull() {
		n.mistake("is not %s", what)
	}
	return v
}
