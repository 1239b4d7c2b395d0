package apikey

import (
	"iter"
	"math"
	"sync/atomic"
	"time"
)

// A record is what is stored for one value of a key. A key has one record for its current value, and one for each
// earlier value in its grace period. A record is immutable, apart from the last use: a change of the key puts new
// records into the tables.
//
// A record takes 96 bytes and its text. The fields that verifying reads are the first ones, so that they share a cache
// line.
type record struct {
	digest  digest
	expires int64         // for an earlier value, the end of its grace; this and other times are UnixNano, always or never
	used    *atomic.Int64 // the last use in Unix seconds; all records of a key point to the same
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
	expires     int64 // the key's; record.expires of an earlier value may be earlier
	previous    []earlier
}

// Times that are no bound. The zero of UnixNano cannot be used, because it is a real time, in 1970.
const (
	always = math.MinInt64
	never  = math.MaxInt64
)

func (r *record) id() string { return r.text[:lengthID] }

// refusal returns why the key is not accepted at the time now, or nil. It makes all checks in any case, so that its
// time does not tell the result.
func (r *record) refusal(now int64) error {
	var err error
	if r.more != nil && now < r.more.notBefore {
		err = errNotYetValid
	}
	if now >= r.expires {
		err = errExpired
	}
	if !r.enabled {
		err = errDisabled
	}
	return err
}

// touch records a use. It writes at most once a second, so that the processors can share the cache line of a busy key.
func (r *record) touch(now int64) {
	if s := now / int64(time.Second); r.used.Load() < s {
		r.used.Store(s)
	}
}

// key returns the key of r.
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

// digests yields the digest of every value of the key. r must be the record of the current value.
func (r *record) digests() iter.Seq[digest] {
	return func(yield func(digest) bool) {
		if !yield(r.digest) {
			return
		}
		for _, p := range r.previous() {
			if !yield(p.digest) {
				return
			}
		}
	}
}

// previous returns the earlier values of the key. The caller must not modify them.
func (r *record) previous() []earlier {
	if r.more == nil {
		return nil
	}
	return r.more.previous
}

// pack returns the records of a key: first that of the current value, then those of the earlier ones. They share the
// last use of old, a record of the same key. old may be nil.
//
// An earlier value ends with its grace or with the key, whichever is first. For example, a key that expires at 12:00
// and an earlier value with a grace until 13:00 give two records that expire at 12:00.
func pack(s *state, old *record) []*record {
	records := []*record{{digest: s.digest, expires: nano(s.key.Expires, never)}}
	for _, p := range s.previous {
		until := min(nano(p.until, always), records[0].expires)
		records = append(records, &record{digest: p.digest, expires: until})
	}
	used := lastUse(old, s.key.LastUsed)
	more := s.details()
	text := s.key.ID + s.key.Name
	for _, r := range records {
		r.used, r.enabled, r.more, r.text = used, s.key.Enabled, more, text
		r.created, r.updated = nano(s.key.Created, always), nano(s.key.Updated, always)
	}
	return records
}

// details returns the details of a key, or nil if they are all empty.
func (s *state) details() *details {
	k := &s.key
	if k.Description == "" && k.CustomerID == "" && len(k.Tags) == 0 && k.NotBefore.IsZero() && len(s.previous) == 0 {
		return nil
	}
	return &details{k.Description, k.CustomerID, k.Tags, nano(k.NotBefore, always), nano(k.Expires, never), s.previous}
}

// lastUse returns the last use that old points to, or a new one if old is nil. It sets it to t if t is later.
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

// nano returns t as UnixNano, and the given number for the zero time.
func nano(t time.Time, zero int64) int64 {
	if t.IsZero() {
		return zero
	}
	return t.UnixNano()
}

// instant undoes nano.
func instant(nano int64) time.Time {
	if nano == always || nano == never {
		return time.Time{}
	}
	return time.Unix(0, nano).UTC()
}
