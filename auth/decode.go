package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Claims decodes the token's claims set into a T, as [json.Unmarshal] does, but member names are case-sensitive (RFC
// 7519 section 4):
//
//   - A struct field whose json tag has a name takes only the member of exactly that name.
//   - A field without such a tag takes the member of its Go name. If there is none, it takes the only member whose name
//     differs in letter case; two such members are an error.
//   - A type with its own UnmarshalJSON gets its value unchanged. It is an error if two names of an object in that
//     value differ only in letter case.
//
// This applies to nested structs too. The errors are [*Error] values: [ErrNotConfigured] for the zero Token, else
// [ErrMalformed]. Each call decodes again, and the caller owns the result.
func Claims[T any](t Token) (T, error) {
	var v T
	payload := t.claims().payload
	if payload == "" {
		return v, &Error{Err: ErrNotConfigured}
	}
	// encoding/json matches names in any letter case, and has no option against it. So the members that it must not see
	// are removed first. That costs a second pass, which only callers of Claims pay for.
	text, err := exactly(reflect.TypeFor[T](), []byte(payload))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		var zero T
		return zero, &Error{Err: fmt.Errorf("%w: %w", ErrMalformed, err), Token: &t}
	}
	return v, nil
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// exactly returns the JSON value without the members that encoding/json would store in a field whose name differs in
// letter case. Example: for struct{ID string `json:"id"`}, {"id":"a","ID":"b"} becomes {"id":"a"}.
func exactly(t reflect.Type, raw json.RawMessage) (json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) {
		return raw, distinct(raw)
	}
	switch kind := t.Kind(); {
	case kind == reflect.Pointer:
		return exactly(t.Elem(), raw)
	case kind == reflect.Struct && raw[0] == '{':
		return exactFields(fieldsOf(t), raw)
	case kind == reflect.Map && raw[0] == '{':
		return exactMembers(raw, func(string) (reflect.Type, error) { return t.Elem(), nil })
	case (kind == reflect.Slice || kind == reflect.Array) && raw[0] == '[':
		return exactElements(t.Elem(), raw)
	}
	return raw, nil
}

// exactFields is exactly for an object that becomes a struct. It keeps the members that belong to a field.
func exactFields(fields []field, raw json.RawMessage) (json.RawMessage, error) {
	taken := map[*field]string{}
	return exactMembers(raw, func(name string) (reflect.Type, error) {
		f := fieldFor(fields, name)
		if f == nil {
			return nil, nil
		}
		if other, twice := taken[f]; twice {
			return nil, fmt.Errorf("names %q and %q fit one field", other, name)
		}
		taken[f] = name
		return f.typ, nil
	})
}

// exactMembers rewrites an object. typeOf returns the type of a member, or nil to leave the member out.
func exactMembers(raw json.RawMessage, typeOf func(name string) (reflect.Type, error)) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	b := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		t, err := typeOf(name)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		value, err := exactly(t, members[name])
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		quoted, _ := json.Marshal(name) // a string always encodes
		b = append(append(append(b, quoted...), ':'), value...)
	}
	return append(b, '}'), nil
}

// exactElements is exactly for each element of an array.
func exactElements(t reflect.Type, raw json.RawMessage) (json.RawMessage, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, err
	}
	b := []byte{'['}
	for i, value := range elements {
		value, err := exactly(t, value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, value...)
	}
	return append(b, ']'), nil
}

// field is a struct field, seen as the JSON member that it takes.
type field struct {
	name   string
	tagged bool // the name is from its json tag
	depth  int  // 1 in the struct itself, one more for each embedded struct around it
	typ    reflect.Type
}

// fieldsOf lists the fields that encoding/json fills. If embedded structs give several fields the same name, the field
// at the smallest depth wins, and among those the one whose tag has the name. If several remain, none is filled.
func fieldsOf(t reflect.Type) (list []field) {
	all := allFields(t, nil) // the rules are those of encoding/json, in the documentation of Marshal
	for i, f := range all {
		if !hidden(all, i) {
			list = append(list, f)
		}
	}
	return list
}

// hidden reports whether another field of the same name wins against the i-th one, or ties with it.
func hidden(all []field, i int) bool {
	f := all[i]
	for j, o := range all {
		if j != i && o.name == f.name && (o.depth < f.depth || o.depth == f.depth && (o.tagged || !f.tagged)) {
			return true
		}
	}
	return false
}

// allFields lists the fields of a struct and of the structs that it embeds. around holds the structs around t.
func allFields(t reflect.Type, around []reflect.Type) (list []field) {
	around = append(slices.Clip(around), t)
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		name, inner := tagName(tag), f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case tag == "-":
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			if !slices.Contains(around, inner) { // a struct that embeds itself adds no further field
				list = append(list, allFields(inner, around)...)
			}
		case f.IsExported() && name == "":
			list = append(list, field{f.Name, false, len(around), f.Type})
		case f.IsExported():
			list = append(list, field{name, true, len(around), f.Type})
		}
	}
	return list
}

// tagName returns the member name in a json tag, or "". encoding/json ignores a name with any other character.
func tagName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	if strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return ""
	}
	return name
}

// fieldFor returns the field that takes the member of this name, or nil. That is the field of exactly that name. If
// there is none, it is the only field whose name differs in letter case, provided that the name is not from a tag.
func fieldFor(fields []field, name string) (fit *field) {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	for i := range fields {
		if strings.EqualFold(fields[i].name, name) {
			if fit != nil || fields[i].tagged {
				return nil
			}
			fit = &fields[i]
		}
	}
	return fit
}

// distinct refuses a value if any object in it has two names that differ only in letter case. It is for types with
// their own UnmarshalJSON: which names they match, and how, cannot be known.
func distinct(raw json.RawMessage) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return distinctIn(v)
}

// distinctIn is distinct for a decoded value.
func distinctIn(v any) error {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			if err := distinctIn(element); err != nil {
				return err
			}
		}
	case map[string]any:
		seen := map[string]string{}
		for name, value := range v {
			fold := strings.Map(foldRune, name)
			if other, twice := seen[fold]; twice {
				return fmt.Errorf("names %q and %q differ only in letter case", other, name)
			}
			seen[fold] = name
			if err := distinctIn(value); err != nil {
				return err
			}
		}
	}
	return nil
}
