package usageplan

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	maxDocument = 16 << 20 // bytes that Load reads: 10 000 plans of a kilobyte, and more than API Gateway allows
	maxDepth    = 16       // a plan nests five deep
	maxMistakes = 100      // more are not told
)

// A node is a value inside a JSON document and the path to it. Reading a wrong type notes a mistake and goes on with
// a zero, so that one pass finds every mistake.
type node struct {
	path     string
	value    any // nil, bool, json.Number, string, []any or map[string]any
	mistakes *[]error
}

// readJSON reads one JSON value, strictly: duplicate names and trailing data are errors. A byte order mark before it is
// skipped (RFC 8259 section 8.1), and UTF-16 is named.
func readJSON(r io.Reader) (node, error) {
	limited := &io.LimitedReader{R: r, N: maxDocument + 1}
	text := bufio.NewReader(limited)
	n := node{path: "$", mistakes: new([]error)}
	if start, _ := text.Peek(2); isUTF16(start) {
		return n, errors.New("the text is UTF-16, not UTF-8") // what PowerShell's > writes
	}
	if mark, _ := text.Peek(3); string(mark) == "\ufeff" {
		_, _ = text.Discard(len(mark))
	}
	d := reader{json.NewDecoder(text), n.mistakes}
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
	if limited.N == 0 {
		err = fmt.Errorf("more than %d bytes", maxDocument)
	}
	if err != nil {
		err = fmt.Errorf("at offset %d: %w", d.InputOffset(), err)
	}
	n.value = value
	return n, err
}

// isUTF16 reports whether the first two bytes of a text are UTF-16's byte order mark, or one ASCII character.
func isUTF16(start []byte) bool {
	if len(start) < 2 {
		return false
	}
	mark := [2]byte{start[0], start[1]}
	return mark == [2]byte{0xff, 0xfe} || mark == [2]byte{0xfe, 0xff} || (mark[0] == 0) != (mark[1] == 0)
}

// A reader reads values and notes names that are given twice, of which the first counts.
type reader struct {
	*json.Decoder
	mistakes *[]error
}

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

func (d reader) object(path string, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // the decoder lets nothing else stand here
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

func (n node) mistake(format string, args ...any) {
	note(n.mistakes, fmt.Errorf("%s "+format, append([]any{n.path}, args...)...))
}

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

// has reports whether n is an object with that name.
func (n node) has(name string) bool {
	object, _ := n.value.(map[string]any)
	_, found := object[name]
	return found
}

// field returns the named value of an object, null where it is not given.
func (n node) field(name string) node {
	object, _ := n.value.(map[string]any)
	return node{join(n.path, name), object[name], n.mistakes}
}

// join is the path of a name within an object.
func join(path, name string) string {
	name = clip(name)
	if name == "" || name[0] == '/' {
		return fmt.Sprintf("%s[%q]", path, name)
	}
	return path + "." + name
}

// required returns the named value of an object, which must be there and must not be empty.
func (n node) required(name string) node {
	f := n.field(name)
	if f.isNull() || f.value == "" {
		f.mistake("is required")
	}
	return f
}

// names returns the names of an object in order.
func (n node) names() []string {
	return slices.Sorted(maps.Keys(as[map[string]any](n, "an object")))
}

// known notes a mistake for every name of an object that is not among names. Names of other tools' forms, such as
// CloudFormation's ApiStages, are not read, but told from mere mistakes.
func (n node) known(names ...string) {
	for _, name := range n.names() {
		if slices.Contains(names, name) || n.isMetadata(name) {
			continue
		}
		meant := slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(s, strings.ReplaceAll(name, "_", "")) })
		if meant < 0 {
			n.field(name).mistake("is not a field of API Gateway's")
		} else {
			n.field(name).mistake("is not a field of API Gateway's, but %s is", names[meant])
		}
	}
}

// isMetadata reports whether the name is what an SDK adds to an answer: boto3's ResponseMetadata, the JavaScript SDK's
// $metadata or the PHP SDK's @metadata. A document is one answer or a list of several.
func (n node) isMetadata(name string) bool {
	return slices.Contains([]string{"ResponseMetadata", "$metadata", "@metadata"}, name) && !strings.Contains(n.path, ".")
}

func (n node) list() []node {
	var nodes []node
	for i, v := range as[[]any](n, "a list") {
		nodes = append(nodes, node{fmt.Sprintf("%s[%d]", n.path, i), v, n.mistakes})
	}
	return nodes
}

func (n node) text() string { return as[string](n, "a string") }

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

func (n node) whole() int64 {
	v := as[json.Number](n, "a number")
	if v == "" {
		return 0
	}
	i, err := v.Int64()
	if f, floatErr := v.Float64(); err != nil && floatErr == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f) // 5.0 and 1e6 are whole: languages with one type of number write such
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		n.mistake("is out of range")
	case err != nil:
		n.mistake("is not a whole number")
	}
	return i
}

// as returns n's value as a T; anything but a T or null is a mistake.
func as[T any](n node, what string) T {
	v, is := n.value.(T)
	if !is && !n.isNull() {
		n.mistake("is not %s", what)
	}
	return v
}
