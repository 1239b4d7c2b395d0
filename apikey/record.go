package apikey

import (
	"iter"
	"math"
	"sync/atomic"
	"time"
)

// A record is what is kept in memory for one value of a key. A key has one record for its current value, and one for
// each earlier value in its grace period. A record is immutable, apart from the last use: a change of the key puts new
// records into the tables.
//
// A record takes 96 bytes, its text, and 16 bytes of lasting. The fields that verifying reads are the first ones, so
// that they share a cache line.
type record struct {
	digest   digest
	expires  int64    // for an earlier value, the end of its grace; this and other times are UnixNano, always or never
	lasting  *lasting // all records of a key point to the same
	enabled  bool
	deleted  bool     // it stands for a key that was deleted
	nameSize uint16   // at most 4 bytes for each character of a name
	more     *details // nil in most keys
	text     string   // the id, then the name, then the sealed value
	created  int64
	updated  int64
}

// lasting is what stays the same while a key changes.
type lasting struct {
	number uint64       // of its creation; see order
	used   atomic.Int64 // the last use in Unix seconds
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

func (r *record) id() string     { return r.text[:lengthID] }
func (r *record) name() string   { return r.text[lengthID:][:r.nameSize] }
func (r *record) sealed() string { return r.text[lengthID:][r.nameSize:] }

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
	if s := now / int64(time.Second); r.lasting.used.Load() < s {
		r.lasting.used.Store(s)
	}
}

// key returns the key of r.
func (r *record) key() Key {
	k := Key{
		ID: r.id(), Name: r.name(), Enabled: r.enabled,
		Created: instant(r.created), Updated: instant(r.updated), Expires: instant(r.expires),
	}
	if s := r.lasting.used.Load(); s != 0 {
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

// has reports whether d is the digest of a value of the key.
func (r *record) has(d digest) bool {
	for own := range r.digests() {
		if own == d {
			return true
		}
	}
	return false
}

// previous returns the earlier values of the key. The caller must not modify them.
func (r *record) previous() []earlier {
	if r.more == nil {
		return nil
	}
	return r.more.previous
}

// pack returns the record of the current value of a key.
func pack(s *state) *record {
	k := &s.key
	r := &record{
		digest: s.digest, expires: nano(k.Expires, never), lasting: &lasting{number: s.number}, enabled: k.Enabled,
		nameSize: uint16(len(k.Name)), more: s.details(), text: k.ID + k.Name + s.sealed,
		created: nano(k.Created, always), updated: nano(k.Updated, always),
	}
	if !k.LastUsed.IsZero() {
		r.lasting.used.Store(k.LastUsed.Unix())
	}
	return r
}

// state undoes pack.
func (r *record) state() state {
	return state{number: r.lasting.number, key: r.key(), digest: r.digest, previous: r.previous(), sealed: r.sealed()}
}

// earlier yields the records of the earlier values of the key. r must be the record of the current value.
//
// An earlier value ends with its grace or with the key, whichever is first. For example, a key that expires at 12:00
// and an earlier value with a grace until 13:00 give two records that expire at 12:00.
func (r *record) earlier() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for _, p := range r.previous() {
			e := *r
			e.digest, e.expires = p.digest, min(nano(p.until, always), r.expires)
			if !yield(&e) {
				return
			}
		}
	}
}

// succeed makes r a record of the same key as old. It keeps the later of both last uses.
func (r *record) succeed(old *record) {
	used := r.lasting.used.Load()
	r.lasting = old.lasting
	if r.lasting.used.Load() < used {
		r.lasting.used.Store(used)
	}
}

// details returns the details of a key, or nil if they are all empty.
func (s *state) details() *details {
	k := &s.key
	if k.Description == "" && k.CustomerID == "" && len(k.Tags) == 0 && k.NotBefore.IsZero() && len(s.previous) == 0 {
		return nil
	}
	return &details{k.Description, k.CustomerID, k.Tags, nano(k.NotBefore, always), nano(k.Expires, never), s.previous}
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
