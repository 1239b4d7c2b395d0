package apikey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"
)

// Op names what a [Change] did, for a log; what a change means is in its records.
type Op string

// The operations on keys, one for each verb of the [Verifier].
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpRotate Op = "rotate"
	OpDelete Op = "delete"
	OpImport Op = "import"
)

// Change is one mutation of the keys, as [Config.Commit] stores it and [Config.Restore] gives it back. It holds the
// whole state of each key it touches, so a store may keep all changes in their order, or the latest one of each key by
// its id. A deletion of a key that [Config.Keys] declares must be kept, any other may be forgotten with its key.
type Change struct {
	Op      Op        `json:"op"`
	Time    time.Time `json:"time"`
	Records []Record  `json:"records"`
}

// Record is a key with the digests that find it: what a store keeps.
type Record struct {
	Key      Key        `json:"key"`
	Digest   Digest     `json:"digest"`
	Previous []Previous `json:"previous,omitempty"`
}

// Previous is an earlier value of a rotated key, accepted before Until.
type Previous struct {
	Digest Digest    `json:"digest"`
	Until  time.Time `json:"until"`
}

// maxPrevious bounds the values of one key that [Verifier.Rotate] can keep alive beside the current one.
const maxPrevious = 8

// Create adds the key k with the given value and returns it with its ID and dates set. The value is hashed and not
// kept: the caller shows it to its owner, once. A value or an ID that is taken is [ErrExists].
func (v *Verifier) Create(ctx context.Context, k Key, value Value) (Key, error) {
	created, err := v.change(ctx, OpCreate, func(now time.Time) ([]Record, error) {
		r, err := v.admit(Entry{k, value}, now)
		return []Record{r}, err
	})
	return first(created), err
}

// Update changes the key of the given id by edit, which gets a copy and whose error is returned as it is; edit must
// not change keys itself. The ID, the Created date and LastUsed stay. Disabled or expired thus, a key is refused from
// the next request on.
func (v *Verifier) Update(ctx context.Context, id string, edit func(*Key) error) (Key, error) {
	updated, err := v.change(ctx, OpUpdate, func(now time.Time) ([]Record, error) {
		old, err := v.record(id)
		if err != nil {
			return nil, err
		}
		if edit == nil {
			return nil, invalid("no edit")
		}
		r := old
		r.Key = old.Key.clone()
		if err := edit(&r.Key); err != nil {
			return nil, err
		}
		r.Key = r.Key.clone() // what edit may hold on to
		r.Key.ID, r.Key.Created, r.Key.LastUsed, r.Key.Updated = id, old.Key.Created, old.Key.LastUsed, now
		return []Record{r}, r.Key.validate()
	})
	return first(updated), err
}

// Rotate gives the key of the given id a new value. The value it replaces stays valid for the grace period, and values
// replaced before stay until the earlier of their own end and this one: a grace of 0 ends them all at once. The ID,
// and with it all that is counted by it, stays. A value that is taken is [ErrExists].
func (v *Verifier) Rotate(ctx context.Context, id string, value Value, grace time.Duration) (Key, error) {
	rotated, err := v.change(ctx, OpRotate, func(now time.Time) ([]Record, error) {
		r, err := v.record(id)
		if err != nil {
			return nil, err
		}
		digest, err := v.fresh(value, now)
		if err != nil {
			return nil, err
		}
		r.Previous, err = retire(r, now, grace)
		r.Digest, r.Key.Updated = digest, now
		return []Record{r}, err
	})
	return first(rotated), err
}

// Delete forgets the key of the given id and all its values. What else names the key, such as its membership of a usage plan, is
// its owner's to remove: a key created under the id again would find it.
func (v *Verifier) Delete(ctx context.Context, id string) error {
	_, err := v.change(ctx, OpDelete, func(time.Time) ([]Record, error) {
		r, err := v.record(id)
		return []Record{r}, err
	})
	return err
}

// Key returns the key of the given id.
func (v *Verifier) Key(id string) (Key, bool) {
	if v == nil || v.hashers == nil {
		return Key{}, false
	}
	r := v.keys.byID(id)
	if r == nil {
		return Key{}, false
	}
	return r.key(), true
}

// Keys yields every key, in no order. A key that changes meanwhile is yielded as it was before or after.
func (v *Verifier) Keys() iter.Seq[Key] {
	return func(yield func(Key) bool) {
		if v == nil || v.hashers == nil {
			return
		}
		for r := range v.keys.ids.all() {
			if !yield(r.key()) {
				return
			}
		}
	}
}

// change makes one change at a time: what build returns is committed, then visible to the next request.
func (v *Verifier) change(ctx context.Context, op Op, build func(now time.Time) ([]Record, error)) ([]Key, error) {
	if v == nil || v.hashers == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	now := time.Now().UTC()
	records, err := build(now)
	if err != nil {
		return nil, err
	}
	if v.commit != nil {
		if err := v.commit(ctx, Change{Op: op, Time: now, Records: records}); err != nil {
			return nil, &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		}
	}
	v.apply(op, records)
	after := make([]Key, len(records))
	for i := range records {
		after[i] = records[i].Key
	}
	return after, nil
}

// apply makes a change visible, key by key. While it runs, the values of a key that it replaces are still accepted
// beside the new one; once it returns, they are not.
func (v *Verifier) apply(op Op, records []Record) {
	for i := range records {
		r := &records[i]
		if op == OpDelete {
			v.keys.remove(r.Key.ID)
		} else {
			v.keys.put(pack(r, v.keys.byID(r.Key.ID)))
		}
	}
}

// admit returns the record of a new key.
func (v *Verifier) admit(e Entry, now time.Time) (Record, error) {
	k := e.Key.clone()
	if k.ID == "" {
		k.ID = v.newID()
	}
	if k.Created.IsZero() {
		k.Created = now
	}
	k.Updated, k.LastUsed = now, time.Time{}
	if err := k.validate(); err != nil {
		return Record{}, err
	}
	if v.keys.byID(k.ID) != nil {
		return Record{}, &Error{Err: ErrExists, KeyID: k.ID}
	}
	digest, err := v.fresh(e.Value, now)
	return Record{Key: k, Digest: digest}, err
}

// fresh returns the digest of a value that no key has.
func (v *Verifier) fresh(value Value, now time.Time) (Digest, error) {
	if err := v.acceptable(value); err != nil {
		return Digest{}, err
	}
	d := v.digest(value)
	v.forget(d, now)
	if taken := v.keys.byDigest(&d); taken != nil {
		return Digest{}, &Error{Err: ErrExists, KeyID: taken.id()}
	}
	return d, nil
}

// forget frees the value of digest d if it is an earlier one of some key, and its grace has ended. That needs no commit: it
// is refused either way.
func (v *Verifier) forget(d Digest, now time.Time) {
	r := v.keys.byDigest(&d)
	if r == nil {
		return
	}
	s, err := v.record(r.id())
	if kept := current(s.Previous, now); err == nil && len(kept) < len(s.Previous) {
		s.Previous = kept
		v.apply(OpUpdate, []Record{s})
	}
}

// current returns the earlier values that are still in their grace period.
func current(previous []Previous, now time.Time) []Previous {
	return slices.DeleteFunc(slices.Clone(previous), func(p Previous) bool { return !p.Until.After(now) })
}

// digest returns the digest of an acceptable value.
func (v *Verifier) digest(value Value) Digest {
	h := v.hashers.Get().(*hasher)
	defer v.hashers.Put(h)
	return *h.sum(string(value))
}

// acceptable reports in API Gateway's words why value cannot be a key's.
func (v *Verifier) acceptable(value Value) error {
	if err := value.validate(); err != nil {
		return err
	}
	if v.prefix.claims(string(value)) && !v.prefix.Check(string(value)) {
		return invalid("API Key value has the prefix " + string(v.prefix) + separator + " but not its checksum")
	}
	return nil
}

// newID returns an id that no key has.
func (v *Verifier) newID() string {
	for {
		if id := random(lower+digits, lengthID); v.keys.byID(id) == nil {
			return id
		}
	}
}

// record returns what is stored about the key of the given id.
func (v *Verifier) record(id string) (Record, error) {
	r := v.keys.byID(id)
	if r == nil {
		return Record{}, &Error{Err: ErrNotFound, KeyID: id}
	}
	return Record{Key: r.key(), Digest: r.digest, Previous: r.previous()}, nil
}

// retire returns the values that stay valid beside the next one of r.
func retire(r Record, now time.Time, grace time.Duration) ([]Previous, error) {
	until := now.Add(grace)
	if grace < 0 || !representable(until) {
		return nil, invalid("Invalid grace period specified.")
	}
	var kept []Previous
	for _, p := range append([]Previous{{r.Digest, until}}, r.Previous...) {
		if p.Until.After(until) {
			p.Until = until
		}
		if p.Until.After(now) {
			kept = append(kept, p)
		}
	}
	if len(kept) > maxPrevious {
		return nil, invalid("Too many API Key values are still in their grace period.")
	}
	return kept, nil
}

func first(keys []Key) Key {
	if len(keys) == 0 {
		return Key{}
	}
	return keys[0]
}

// restore replays a change that was committed once, after checking what a store may have spoilt, and notes its keys.
func (v *Verifier) restore(c Change, restored map[string]bool) error {
	if !slices.Contains([]Op{OpCreate, OpUpdate, OpRotate, OpDelete, OpImport}, c.Op) {
		return invalid("unknown operation " + strconv.Quote(string(c.Op)))
	}
	for i := range c.Records {
		r := c.Records[i]
		r.Key = r.Key.clone()
		if err := v.sound(c.Op, &r); err != nil {
			return err
		}
		v.apply(c.Op, []Record{r})
		restored[r.Key.ID] = true
	}
	return nil
}

// sound checks a record that is restored, and takes out of it the earlier values whose grace has ended: another key may have
// them by now. The values of a deleted key may be another's, too.
func (v *Verifier) sound(op Op, r *Record) error {
	errs := []error{r.Key.validate()}
	for _, p := range r.Previous {
		errs = append(errs, present(p.Digest))
		if p.Until.IsZero() || !representable(p.Until) {
			errs = append(errs, invalid("Invalid API Key date, must be between 1678 and 2261."))
		}
	}
	r.Previous = current(r.Previous, time.Now())
	if op == OpDelete {
		return errors.Join(errs...)
	}
	errs = append(errs, v.owned(r, r.Digest))
	for _, p := range r.Previous {
		errs = append(errs, v.owned(r, p.Digest))
	}
	return errors.Join(errs...)
}

// owned reports whether d may belong to the key of r: no other key has it, and it is a digest at all.
func (v *Verifier) owned(r *Record, d Digest) error {
	if err := present(d); err != nil {
		return err
	}
	if other := v.keys.byDigest(&d); other != nil && other.id() != r.Key.ID {
		return &Error{Err: ErrExists, KeyID: other.id()}
	}
	return nil
}

func present(d Digest) error {
	if d == (Digest{}) {
		return invalid("API Key without a digest")
	}
	return nil
}
