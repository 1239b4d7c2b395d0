package apikey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The journal has one item for each key (and the mark; see pepper.go), with all that is stored of the key. So the last
// item of a name is enough, and a journal may drop the ones before. Its bytes are:
//
//	version     1 byte
//	flags       1 byte
//	id          10 bytes
//	digest      32 bytes
//	created     varint, UnixNano
//	updated     varint, nanoseconds after created
//	name, description, customer id    each an uvarint length and its bytes
//	tags        an uvarint count, then names and values as the texts above
//	not before, expires, last used    each a varint, UnixNano, if its flag is set
//	previous    an uvarint count, then for each 32 bytes of digest and the end of its grace, a varint
//	sealed      an uvarint length and its bytes; 0 without a sealed value
//
// An item that only says that a declared key was deleted ends after the flags.
//
// Most keys have a short name, and the rest is empty: then an item has about 76 bytes. In JSON, a prototype took 469
// bytes of file for a key.
//
// Unknown flags and further bytes are refused. A version that adds a field needs another version byte: a program that
// skipped the field would drop it with its next change.
const (
	itemVersion = 1
	maxSealed   = 255 // bytes; version 1 of a sealed value has at most 157
)

const (
	flagEnabled = 1 << iota
	flagDeleted
	flagNotBefore
	flagExpires
	flagLastUsed
	flagsOfKeys = flagEnabled | flagNotBefore | flagExpires | flagLastUsed
)

// deletion are the bytes of an item that says that a declared key was deleted.
var deletion = []byte{itemVersion, flagDeleted}

// encode returns the bytes of the item for s.
func (s *state) encode() []byte {
	k := &s.key
	created, updated := nano(k.Created, always), nano(k.Updated, always)
	b := make([]byte, 0, 96+len(k.Name)+len(k.Description)+len(k.CustomerID)+len(s.sealed))
	b = append(b, itemVersion, s.flags())
	b = append(b, k.ID...)
	b = append(b, s.digest[:]...)
	b = binary.AppendVarint(b, created)
	b = binary.AppendVarint(b, updated-created)
	b = appendText(b, k.Name)
	b = appendText(b, k.Description)
	b = appendText(b, k.CustomerID)
	b = binary.AppendUvarint(b, uint64(len(k.Tags)))
	for _, name := range slices.Sorted(maps.Keys(k.Tags)) {
		b = appendText(appendText(b, name), k.Tags[name])
	}
	for _, t := range k.dates() {
		if !t.IsZero() {
			b = binary.AppendVarint(b, t.UnixNano())
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.previous)))
	for _, p := range s.previous {
		b = binary.AppendVarint(append(b, p.digest[:]...), nano(p.until, always))
	}
	return appendText(b, s.sealed)
}

func (s *state) flags() byte {
	var flags byte
	if s.key.Enabled {
		flags |= flagEnabled
	}
	for i, t := range s.key.dates() {
		if !t.IsZero() {
			flags |= flagNotBefore << i
		}
	}
	return flags
}

// dates are the fields that most keys leave empty, in the order of their flags.
func (k *Key) dates() [3]*time.Time { return [...]*time.Time{&k.NotBefore, &k.Expires, &k.LastUsed} }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errDamaged says that an item does not have the format.
var errDamaged = errors.New("apikey: an item of the journal is damaged")

// newer says that a later program has written an item.
func newer(version, read byte) error {
	return fmt.Errorf("apikey: an item of the journal has version %d, this program reads %d", version, read)
}

// decode reads the bytes of an item. It returns false if the item says that a declared key was deleted. Earlier values
// whose grace has ended at the time now are left out, because another key may have them.
func decode(b []byte, now time.Time) (s state, exists bool, err error) {
	if len(b) < 2 {
		return state{}, false, errDamaged
	}
	version, flags := b[0], b[1]
	if version > itemVersion {
		return state{}, false, newer(version, itemVersion)
	}
	if bytes.Equal(b, deletion) {
		return state{}, false, nil
	}
	r := reader{rest: b[2:]}
	s = r.state(flags)
	if version != itemVersion || flags&^flagsOfKeys != 0 || r.failed || len(r.rest) > 0 {
		return state{}, false, errDamaged
	}
	if err := s.validate(); err != nil {
		return state{}, false, fmt.Errorf("%w: %v", errDamaged, err) // ErrInvalid would be about the caller's change
	}
	s.previous = current(s.previous, now)
	return s, true, nil
}

// validate returns an error if s is not what a verifier stores. A digest of zeros comes from a store that lost it: no
// value has it.
func (s *state) validate() error {
	if s.digest == (digest{}) {
		return invalid("API Key without a digest")
	}
	for _, p := range s.previous {
		if p.digest == (digest{}) || p.until.IsZero() || !representable(p.until) {
			return invalid("Invalid earlier API Key value")
		}
	}
	if !s.key.LastUsed.IsZero() && s.key.LastUsed.Unix() <= 0 {
		return invalid("Invalid last use of an API Key")
	}
	return s.key.validate()
}

// A reader takes fields from the front of rest. After a failure it returns empty fields.
type reader struct {
	rest   []byte
	failed bool
}

// state reads what follows the flags.
func (r *reader) state(flags byte) state {
	s := state{key: Key{ID: string(r.bytes(lengthID)), Enabled: flags&flagEnabled != 0}, digest: r.digest()}
	created := r.varint()
	s.key.Created, s.key.Updated = instant(created), instant(created+r.varint())
	s.key.Name, s.key.Description, s.key.CustomerID = r.text(), r.text(), r.text()
	s.key.Tags = r.tags()
	for i, t := range s.key.dates() {
		if flags&(flagNotBefore<<i) != 0 {
			*t = instant(r.varint())
		}
	}
	for range r.count(maxPrevious) {
		s.previous = append(s.previous, earlier{r.digest(), instant(r.varint())})
	}
	s.sealed = r.text()
	r.failed = r.failed || len(s.sealed) > maxSealed
	return s
}

func (r *reader) tags() map[string]string {
	n := r.count(maxTags)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		name := r.text()
		m[name] = r.text()
	}
	r.failed = r.failed || len(m) < n // a name twice
	return m
}

// bytes returns the next n bytes, or nil.
func (r *reader) bytes(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) digest() (d digest) {
	copy(d[:], r.bytes(uint64(len(d))))
	return d
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

// count reads a number of at most most.
func (r *reader) count(most uint64) int {
	n := r.uvarint()
	if n > most {
		r.failed = true
		return 0
	}
	return int(n)
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.bytes(uint64(max(size, 0)))
	if r.failed = r.failed || size <= 0; r.failed {
		return 0
	}
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.rest)
	r.bytes(uint64(max(size, 0)))
	if r.failed = r.failed || size <= 0; r.failed {
		return 0
	}
	return n
}
