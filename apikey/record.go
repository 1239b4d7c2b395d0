package apikey

import (
	"iter"
	"math"
	"sync/atomic"
	"time"
)

// record is a key as one of its values finds it, packed: 104 bytes, 8 for its last use, and its text. A record never
// changes, but for used, which all records of a key share; a change of the key puts new records in the tables.
// A key has one record for its current value, and one for each earlier value that is still in its grace period,
// whose expires is the end of that grace.
type record struct {
	text      string // the id, then the name
	digest    Digest
	created   int64 // times are UnixNano, or never and always
	updated   int64
	notBefore int64
	expires   int64
	used      *atomic.Int64 // Unix seconds
	more      *details      // nil in most keys
	enabled   bool
}

// details are the fields that most keys leave empty.
type details struct {
	description string
	customerID  string
	tags        map[string]string
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
	if now < r.notBefore {
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
		Created: instant(r.created), Updated: instant(r.updated), NotBefore: instant(r.notBefore), Expires: instant(r.expires),
	}
	if s := r.used.Load(); s != 0 {
		k.LastUsed = time.Unix(s, 0).UTC()
	}
	if m := r.more; m != nil {
		k.Description, k.CustomerID, k.Tags, k.Expires = m.description, m.customerID, m.tags, instant(m.expires)
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

// pack returns the records of what was stored: of the current value first, then of the earlier ones.
// The key's last use is kept in used.
func pack(s *Record, used *atomic.Int64) []*record {
	k := &s.Key
	current := &record{
		text: k.ID + k.Name, digest: s.Digest, used: used, enabled: k.Enabled,
		created: nano(k.Created, always), updated: nano(k.Updated, always),
		notBefore: nano(k.NotBefore, always), expires: nano(k.Expires, never),
	}
	if k.Description != "" || k.CustomerID != "" || len(k.Tags) > 0 || len(s.Previous) > 0 {
		current.more = &details{k.Description, k.CustomerID, k.Tags, current.expires, s.Previous}
	}
	records := []*record{current}
	for _, p := range s.Previous {
		earlier := *current
		earlier.digest = p.Digest
		earlier.expires = min(current.expires, nano(p.Until, always))
		records = append(records, &earlier)
	}
	return records
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
