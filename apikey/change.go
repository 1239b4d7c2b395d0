package apikey

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Change is one change of the keys. [Config.Commit] stores it and [Config.Restore] yields it. It holds the whole state
// of each key that it changes, so a store may keep all changes in their order, or only the latest change of each key,
// by its id. It must keep the deletion of a key that [Config.Keys] declares. It may drop any other deletion together
// with the earlier changes of the key.
type Change struct {
	Op      string    `json:"op"`      // the verb that made it: "create", "update", "rotate", "delete" or "import"
	Time    time.Time `json:"time"`    // when it was made, in UTC
	Records []Record  `json:"records"` // one for each key; of an import several, otherwise one
}

// The values of Change.Op.
const (
	opCreate = "create"
	opUpdate = "update"
	opRotate = "rotate"
	opDelete = "delete"
	opImport = "import"
)

// Record is what a store keeps of a key: the key and the digests of its values. A digest is the HMAC-SHA-256 of a value
// under the pepper, in hex.
type Record struct {
	Key      Key        `json:"key"`
	Digest   string     `json:"digest"`             // of the current value
	Previous []Previous `json:"previous,omitempty"` // the earlier values that are in their grace period
}

// Previous is an earlier value of a rotated key, accepted before Until.
type Previous struct {
	Digest string    `json:"digest"`
	Until  time.Time `json:"until"`
}

// A state is all that is stored of a key: what a [Record] holds, with the digests as bytes.
type state struct {
	key      Key
	digest   digest
	previous []earlier
}

// An earlier is an earlier value of a key, accepted before until.
type earlier struct {
	digest digest
	until  time.Time
}

func (s *state) record() Record {
	r := Record{Key: s.key, Digest: s.digest.String()}
	for _, p := range s.previous {
		r.Previous = append(r.Previous, Previous{p.digest.String(), p.until})
	}
	return r
}

// maxPrevious is how many earlier values of a key [Verifier.Rotate] can keep valid, in addition to the current one.
const maxPrevious = 8

// Create adds the key k with the given value. It returns the key with its ID and dates set. The value is stored only as
// a digest, so the caller has to show it to its owner now. If another key has the value or the ID, the error is
// [ErrExists].
func (v *Verifier) Create(ctx context.Context, k Key, value Secret) (Key, error) {
	created, err := v.change(ctx, opCreate, func(now time.Time) ([]state, error) {
		s, err := v.admit(Entry{k, value}, now)
		return []state{s}, err
	})
	return first(created), err
}

// Update changes the key of the given id by calling edit with a copy of it. If edit returns an error, Update returns
// that error and changes nothing. edit must not call methods that change keys. What it does to ID, Created, Updated and
// LastUsed is ignored. A key that it disables is refused from the next request on.
func (v *Verifier) Update(ctx context.Context, id string, edit func(*Key) error) (Key, error) {
	updated, err := v.change(ctx, opUpdate, func(now time.Time) ([]state, error) {
		old, err := v.state(id)
		if err != nil {
			return nil, err
		}
		if edit == nil {
			return nil, invalid("no edit")
		}
		s := old
		s.key = old.key.clone()
		if err := edit(&s.key); err != nil {
			return nil, err
		}
		s.key = s.key.clone() // edit may have kept the map
		s.key.ID, s.key.Created, s.key.LastUsed, s.key.Updated = id, old.key.Created, old.key.LastUsed, now
		return []state{s}, s.key.validate()
	})
	return first(updated), err
}

// Rotate gives the key of the given id a new value. The value that it replaces stays valid for the grace period. Values
// that were replaced earlier stay valid until their own grace ends, but not longer than that: a grace of 0 ends them
// all at once. The ID stays, and so does everything that is counted by it. If any key has the value, this one included,
// the error is [ErrExists]. At most 8 earlier values can be valid at a time; a ninth is [ErrInvalid].
func (v *Verifier) Rotate(ctx context.Context, id string, value Secret, grace time.Duration) (Key, error) {
	rotated, err := v.change(ctx, opRotate, func(now time.Time) ([]state, error) {
		s, err := v.state(id)
		if err != nil {
			return nil, err
		}
		d, err := v.fresh(value, now)
		if err != nil {
			return nil, err
		}
		s.previous, err = retire(s, now, grace)
		s.digest, s.key.Updated = d, now
		return []state{s}, err
	})
	return first(rotated), err
}

// Delete removes the key of the given id and all its values. The caller removes what else refers to the id, such as
// memberships of usage plans. Otherwise a new key with the same id would have them.
func (v *Verifier) Delete(ctx context.Context, id string) error {
	_, err := v.change(ctx, opDelete, func(time.Time) ([]state, error) {
		s, err := v.state(id)
		return []state{s}, err
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

// change makes one change at a time. The states that build returns are given to commit, and then made visible.
func (v *Verifier) change(ctx context.Context, op string, build func(now time.Time) ([]state, error)) ([]Key, error) {
	if v == nil || v.hashers == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	now := time.Now().UTC()
	states, err := build(now)
	if err != nil {
		return nil, err
	}
	c := Change{Op: op, Time: now}
	keys := make([]Key, len(states))
	for i := range states {
		keys[i] = states[i].key
		if v.commit != nil {
			c.Records = append(c.Records, states[i].record())
		}
	}
	if v.commit != nil {
		if err := v.commit(ctx, c); err != nil {
			return nil, &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		}
	}
	v.apply(op, states)
	return keys, nil
}

// apply makes a change visible, key by key. While it runs, both the old and the new values of a key are accepted. When
// it has returned, only the new ones are.
func (v *Verifier) apply(op string, states []state) {
	for i := range states {
		s := &states[i]
		if op == opDelete {
			v.keys.remove(s.key.ID)
		} else {
			v.keys.put(pack(s, v.keys.byID(s.key.ID)))
		}
	}
}

// admit returns the state of a new key. It draws an ID if there is none.
func (v *Verifier) admit(e Entry, now time.Time) (state, error) {
	k := e.Key.clone()
	if k.ID == "" {
		k.ID = v.newID()
	}
	if k.Created.IsZero() {
		k.Created = now
	}
	k.Updated, k.LastUsed = now, time.Time{}
	if err := k.validate(); err != nil {
		return state{}, err
	}
	if v.keys.byID(k.ID) != nil {
		return state{}, &Error{Err: ErrExists, KeyID: k.ID}
	}
	d, err := v.fresh(e.Value, now)
	return state{key: k, digest: d}, err
}

// fresh returns the digest of value, or [ErrExists] if a key has the value.
func (v *Verifier) fresh(value Secret, now time.Time) (digest, error) {
	if err := v.acceptable(value); err != nil {
		return digest{}, err
	}
	d := v.digest(value)
	v.forget(d, now)
	if taken := v.keys.byDigest(&d); taken != nil {
		return digest{}, &Error{Err: ErrExists, KeyID: taken.id()}
	}
	return d, nil
}

// forget removes the value of digest d from its key if it is an earlier value whose grace has ended, so that another
// key can have it. This is not committed, because the value is refused in any case.
func (v *Verifier) forget(d digest, now time.Time) {
	r := v.keys.byDigest(&d)
	if r == nil {
		return
	}
	s, err := v.state(r.id())
	if kept := current(s.previous, now); err == nil && len(kept) < len(s.previous) {
		s.previous = kept
		v.apply(opUpdate, []state{s})
	}
}

// current returns the earlier values that are still in their grace period.
func current(previous []earlier, now time.Time) []earlier {
	return slices.DeleteFunc(slices.Clone(previous), func(p earlier) bool { return !p.until.After(now) })
}

// digest returns the digest of an acceptable value.
func (v *Verifier) digest(value Secret) digest {
	h := v.hashers.Get().(*hasher)
	defer v.hashers.Put(h)
	return *h.sum(string(value))
}

// acceptable returns an error, in API Gateway's words, if value cannot be the value of a key.
func (v *Verifier) acceptable(value Secret) error {
	if err := validateValue(value); err != nil {
		return err
	}
	if v.prefix.claims(string(value)) && !v.prefix.has(string(value)) {
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

// state returns the state of the key of the given id, or [ErrNotFound].
func (v *Verifier) state(id string) (state, error) {
	r := v.keys.byID(id)
	if r == nil {
		return state{}, &Error{Err: ErrNotFound, KeyID: id}
	}
	return state{key: r.key(), digest: r.digest, previous: r.previous()}, nil
}

// retire returns the earlier values that stay valid when the key of s gets its next value at the time now. None stays
// valid longer than the one that is replaced now. For example, with a grace of a day at noon on Monday and of an hour
// at 13:00, both values end at 14:00.
func retire(s state, now time.Time, grace time.Duration) ([]earlier, error) {
	until := now.Add(grace)
	if grace < 0 || !representable(until) {
		return nil, invalid("Invalid grace period specified.")
	}
	var kept []earlier
	for _, p := range append([]earlier{{s.digest, until}}, s.previous...) {
		if p.until.After(until) {
			p.until = until
		}
		if p.until.After(now) {
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
