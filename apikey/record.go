package apikey

import (
	"iter"
	"math"
	"sync/atomic"
	"time"
)

// record is a key as one of its values finds it, packed into 96 bytes and its text; what verifying reads stands
// together at the front. A record never changes, but for the last use; a change of the key puts new records in the
// tables. A key has one record for its current value, and one for each earlier value that is still in its grace
// period, whose expires is the end of that grace.
type record struct {
	digest  Digest
	expires int64         // times are UnixNano, or never and always
	used    *atomic.Int64 // the last use in Unix seconds, shared by all records of a key; apart, so that none keeps another alive
	enabled bool
	more    *details // nil in most keys
	text    string   // the id, then the name
	created int64
	updated int64
}

// details are the fields that most keys leave empty.
type details struct {
	description string
	customerID  string
	tags        map[string]string
	notBefore   int64
	expires     int64 // the key's own expiry, of which record.expires may be the shorter one of a value
	previous    []Previous
}

// Times that bound nothing. The zero of UnixNano is an instant like any other and cannot stand for them.
const (
	always = math.MinInt64
	never  = math.MaxInt64
)

func (r *record) id() string { return r.text[:lengthID] }

// refusal returns why the key is not accepted at the instant now, or nil. It takes the same steps whatever it finds.
func (r *record) refusal(now int64) error {
	var err error
	if r.more != nil && now < r.more.notBefore {
		err = ErrNotYetValid
	}
	if now >= r.expires {
		err = ErrExpired
	}
	if !r.enabled {
		err = ErrDisabled
	}
	return err
}

// touch notes a use. It writes once a second at most, so that a busy key's line stays shared among the processors.
func (r *record) touch(now int64) {
	if s := now / int64(time.Second); r.used.Load() < s {
		r.used.Store(s)
	}
}

// key unpacks r.
func (r *record) key() Key {
	k := Key{
		ID: r.text[:lengthID], Name: r.text[lengthID:], Enabled: r.enabled,
		Created: instant(r.created), Updated: instant(r.updated), Expires: instant(r.expires),
	}
	if s := r.used.Load(); s != 0 {
		k.LastUsed = time.Unix(s, 0).UTC()
	}
	if m := r.more; m != nil {
		k.Description, k.CustomerID, k.Tags = m.description, m.customerID, m.tags
		k.NotBefore, k.Expires = instant(m.notBefore), instant(m.expires)
	}
	return k
}

// digests yields the digest of every value of the key of r, which is the record of the current one.
func (r *record) digests() iter.Seq[Digest] {
	return func(yield func(Digest) bool) {
		if !yield(r.digest) {
			return
		}
		for _, p := range r.previous() {
			if !yield(p.Digest) {
				return
			}
		}
	}
}

// previous returns the earlier values of the key.
func (r *record) previous() []Previous {
	if r.more == nil {
		return nil
	}
	return r.more.previous
}

// pack returns the records of what was stored: of the current value first, then of the earlier ones. They share the
// last use with old, if there is such a record of the key.
func pack(s *Record, old *record) []*record {
	records := []*record{{digest: s.Digest, expires: nano(s.Key.Expires, never)}}
	for _, p := range s.Previous {
		until := min(nano(p.Until, always), records[0].expires)
		records = append(records, &record{digest: p.Digest, expires: until})
	}
	used := lastUse(old, s.Key.LastUsed)
	more := s.details()
	text := s.Key.ID + s.Key.Name
	for _, r := range records {
		r.used, r.enabled, r.more, r.text = used, s.Key.Enabled, more, text
		r.created, r.updated = nano(s.Key.Created, always), nano(s.Key.Updated, always)
	}
	return records
}

// details returns nil if all of them are empty.
func (s *Record) details() *details {
	k := &s.Key
	if k.Description == "" && k.CustomerID == "" && len(k.Tags) == 0 && k.NotBefore.IsZero() && len(s.Previous) == 0 {
		return nil
	}
	return &details{k.Description, k.CustomerID, k.Tags, nano(k.NotBefore, always), nano(k.Expires, never), s.Previous}
}

// lastUse returns where the last use of a key stands: where old has it, or in a place of its own if there is no old.
// It is set to the use at t if that is later.
func lastUse(old *record, t time.Time) *atomic.Int64 {
	used := new(atomic.Int64)
	if old != nil {
		used = old.used
	}
	if !t.IsZero() && used.Load() < t.Unix() {
		used.Store(t.Unix())
	}
	return used
}

func nano(t time.Time, zero int64) int64 {
	if t.IsZero() {
		return zero
	}
	return t.UnixNano()
}

func instant(nano int64) time.Time {
	if nano == always || nano == never {
		return time.Time{}
	}
	return time.Unix(0, nano).UTC()
}
