package session

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// A capsule is what a session token seals: the secret access key and the session. Its bytes are
//
//	version      1 byte
//	issued       varint, seconds since 1970
//	lasts        varint, seconds
//	secret, principal, role, source identity, policy   each its length as a varint, then its bytes
//	tags         their number as a varint, then name and value of each, in the order of the names
//
// The access key id is not in it. It is the associated data of the encryption, so that a token fits one id only.
type capsule struct {
	secret  string
	session Session
}

// capsuleVersion is that of the bytes inside of the seal.
const capsuleVersion = 1

// append adds the bytes of the capsule to b. The tags are sorted, so equal sessions have equal bytes.
func (c *capsule) append(b []byte) []byte {
	s := &c.session
	b = append(b, capsuleVersion)
	b = binary.AppendUvarint(b, uint64(s.Issued.Unix()))
	b = binary.AppendUvarint(b, uint64(s.Expires.Unix()-s.Issued.Unix()))
	for _, text := range []string{c.secret, s.Principal, s.Role, s.SourceIdentity, s.Policy} {
		b = appendText(b, text)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Tags)))
	for _, name := range slices.Sorted(maps.Keys(s.Tags)) {
		b = appendText(appendText(b, name), s.Tags[name])
	}
	return b
}

// appendText adds a text to b: its length, then its bytes.
func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// errCapsule says that bytes are not a capsule. They were sealed by one of our keys, so this is a mistake of the
// program that has sealed them, or a later version of the format.
var errCapsule = errors.New("session: the capsule of a token is damaged, or of a later version")

// read sets c from the bytes of a capsule. The texts of c are parts of one string.
func (c *capsule) read(b []byte) error {
	r := reader{rest: string(b)}
	version := r.number()
	issued, lasts := r.number(), r.number()
	s := &c.session
	for _, text := range []*string{&c.secret, &s.Principal, &s.Role, &s.SourceIdentity, &s.Policy} {
		*text = r.text()
	}
	// A damaged reader ends the loop, so a number of tags that is too large costs no more than the bytes that are there.
	for n := r.number(); n > 0 && !r.damaged; n-- {
		if s.Tags == nil {
			s.Tags = make(map[string]string)
		}
		name := r.text()
		s.Tags[name] = r.text()
	}
	// The bounds keep the conversions below from overflowing: 2^40 seconds are some 34 800 years.
	if r.damaged || len(r.rest) > 0 || version != capsuleVersion || issued > 1<<40 || lasts > uint64(longest/time.Second) {
		return errCapsule
	}
	s.Issued = time.Unix(int64(issued), 0).UTC()
	s.Expires = s.Issued.Add(time.Duration(lasts) * time.Second)
	return nil
}

// A reader takes numbers and texts from the front of some bytes. After the first mistake it is damaged and returns
// zeros.
type reader struct {
	rest    string
	damaged bool
}

// number takes a varint.
func (r *reader) number() uint64 {
	n, size := binary.Uvarint([]byte(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		r.rest, r.damaged = "", true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// text takes a text. It is a part of the string that the reader began with, so it costs no memory of its own, and keeps
// the whole capsule alive.
func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.damaged = "", true
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
