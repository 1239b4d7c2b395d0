package apikey

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Op is the verb that made a [Change], for logs. The effect of a change is in its records.
type Op string

// The operations on keys, one for each verb of the [Verifier].
const (
	OpCreate Op = "create"
	OpUpdate Op = "update"
	OpRotate Op = "rotate"
	OpDelete Op = "delete"
	OpImport Op = "import"
)

// Change is one change of the keys. [Config.Commit] stores it and [Config.Restore] yields it. It holds the whole state
// of each key that it changes, so a store may keep all changes in their order, or only the latest change of each key,
// by its id. It must keep the deletion of a key that [Config.Keys] declares. It may drop any other deletion together
// with the earlier changes of the key.
type Change struct {
	Op      Op        `json:"op"`
	Time    time.Time `json:"time"`
	Records []Record  `json:"records"`
}

// Record is what a store keeps of a key: the key and the digests of its values.
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

// maxPrevious is how many earlier values of a key [Verifier.Rotate] can keep valid, in addition to the current one.
const maxPrevious = 8

// Create adds the key k with the given value. It returns the key with its ID and dates set. The value is stored only as
// a digest, so the caller has to show it to its owner now. If another key has the value or the ID, the error is
// [ErrExists].
func (v *Verifier) Create(ctx context.Context, k Key, value Value) (Key, error) {
	created, err := v.change(ctx, OpCreate, func(now time.Time) ([]Record, error) {
		r, err := v.admit(Entry{k, value}, now)
		return []Record{r}, err
	})
	return first(created), err
}

// Update changes the key of the given id by calling edit with a copy of it. If edit returns an error, Update returns
// that error and changes nothing. edit must not call methods that change keys. It cannot change ID, Created and
// LastUsed. A key that it disables is refused from the next request on.
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
		r.Key = r.Key.clone() // edit may have kept the map
		r.Key.ID, r.Key.Created, r.Key.LastUsed, r.Key.Updated = id, old.Key.Created, old.Key.LastUsed, now
		return []Record{r}, r.Key.validate()
	})
	return first(updated), err
}

// Rotate gives the key of the given id a new value. The value that it replaces stays valid for the grace period. Values
// that were replaced earlier stay valid until their own grace ends, but not longer than that: a grace of 0 ends them
// all at once. The ID stays, and so does everything that is counted by it. If another key has the value, the error is
// [ErrExists].
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

// Delete removes the key of the given id and all its values. The caller removes what else refers to the id, such as
// memberships of usage plans. Otherwise a new key with the same id would have them.
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

// Keys yields every key, in no particular order. A key that changes in the meantime is yielded as it was before or
// after.
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

// change makes one change at a time. The records that build returns are given to commit, and then made visible.
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

// apply makes a change visible, key by key. While it runs, both the old and the new values of a key are accepted. When
// it has returned, only the new ones are.
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

// admit returns the record of a new key. It draws an ID if there is none.
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

// fresh returns the digest of value, or [ErrExists] if a key has the value.
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

// forget removes the value of digest d from its key if it is an earlier value whose grace has ended, so that another
// key can have it. This is not committed, because the value is refused in any case.
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

// acceptable returns an error, in API Gateway's words, if value cannot be the value of a key.
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

// record returns the record of the key of the given id, or [ErrNotFound].
func (v *Verifier) record(id string) (Record, error) {
	r := v.keys.byID(id)
	if r == nil {
		return Record{}, &Error{Err: ErrNotFound, KeyID: id}
	}
	return Record{Key: r.key(), Digest: r.digest, Previous: r.previous()}, nil
}

// retire returns the earlier values that stay valid when the key of r gets its next value at the time now.
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

// first returns the first of keys, or the zero Key if there are none, which is so after an error.
func first(keys []Key) Key {
	if len(keys) == 0 {
		return Key{}
	}
	return keys[0]
}
