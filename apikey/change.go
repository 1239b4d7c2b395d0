package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// The names of the changes in the journal: the operations of API Gateway that make them. It has no RotateApiKey and no
// RevealApiKey.
const (
	opCreate = "CreateApiKey"
	opUpdate = "UpdateApiKey"
	opRotate = "RotateApiKey"
	opReveal = "RevealApiKey"
	opDelete = "DeleteApiKey"
	opImport = "ImportApiKeys"
)

// A state is all that is stored of a key.
type state struct {
	number   uint64 // 0 for a key that is being created
	key      Key
	digest   digest
	previous []earlier
	sealed   string // the sealed value, or ""
}

// An earlier is an earlier value of a key, accepted before until.
type earlier struct {
	digest digest
	until  time.Time
}

// maxPrevious is how many earlier values of a key [Verifier.Rotate] can keep valid, in addition to the current one.
const maxPrevious = 8

// Create adds the key k with the given value. It returns the key with its ID and dates set. Without [Config].Sealer,
// the value is stored only as a digest, so the caller has to show it to its owner now. If another key has the value or
// the ID, the error is [ErrExists].
//
// What Create, Update, Rotate, Delete and Import have changed acts on the next request. If the error is
// [ErrUnavailable], it is unknown whether the change was made; the next change or [Verifier.Refresh] tells. After any
// other error, nothing has changed. If [Config].Pepper is not the pepper of the journal, that is [ErrNotConfigured].
func (v *Verifier) Create(ctx context.Context, k Key, value Secret) (Key, error) {
	created, err := v.store(ctx, opCreate, func(now time.Time) ([]state, string, error) {
		s, err := v.admit(Entry{k, value}, now)
		return []state{s}, "", err
	})
	return first(created), err
}

// Update changes the key of the given id by calling edit with a copy of it. If edit returns an error, Update returns
// that error and changes nothing. edit is called again if another node has changed keys meanwhile, and must not call
// methods that change keys. What it does to ID, Created, Updated and LastUsed is ignored.
func (v *Verifier) Update(ctx context.Context, id string, edit func(*Key) error) (Key, error) {
	updated, err := v.store(ctx, opUpdate, func(now time.Time) ([]state, string, error) {
		old, err := v.state(id)
		if err != nil {
			return nil, "", err
		}
		if edit == nil {
			return nil, "", invalid("no edit")
		}
		s := old
		s.key = old.key.clone()
		if err := edit(&s.key); err != nil {
			return nil, "", err
		}
		s.key = s.key.clone() // edit may have kept the map
		s.key.ID, s.key.Created, s.key.LastUsed, s.key.Updated = id, old.key.Created, old.key.LastUsed, now
		s.sealed = v.sealer.reseal(id, old.sealed)
		return []state{s}, changed(&old.key, &s.key), s.key.validate()
	})
	return first(updated), err
}

// Rotate gives the key of the given id a new value. The value that it replaces stays valid for the grace period. Values
// that were replaced earlier stay valid until their own grace ends, but not longer than that: a grace of 0 ends them
// all at once. The ID stays, and so does everything that is counted by it. If any key has the value, this one included,
// the error is [ErrExists]. At most 8 earlier values can be valid at a time; a ninth is [ErrInvalid].
func (v *Verifier) Rotate(ctx context.Context, id string, value Secret, grace time.Duration) (Key, error) {
	rotated, err := v.store(ctx, opRotate, func(now time.Time) ([]state, string, error) {
		s, err := v.state(id)
		if err != nil {
			return nil, "", err
		}
		d, err := v.fresh(value, now)
		if err != nil {
			return nil, "", err
		}
		s.previous, err = retire(s, now, grace)
		s.digest, s.sealed, s.key.Updated = d, v.sealer.seal(id, value), now
		return []state{s}, "", err
	})
	return first(rotated), err
}

// Delete removes the key of the given id and all its values. The caller removes what else refers to the id before, such
// as memberships of usage plans. Otherwise a new key with the same id would have them.
func (v *Verifier) Delete(ctx context.Context, id string) error {
	return v.change(ctx, opDelete, func(uint64) ([]journal.Item, error) {
		s, err := v.state(id)
		if err != nil {
			return nil, err
		}
		// The item that is named by the id is for History. For a declared key, it also keeps the next process from
		// declaring the key again.
		byID := journal.Item{Name: id, Gone: true}
		if v.named[id] != nil {
			byID = journal.Item{Name: id, Value: deletion}
		}
		if s.number < firstAdded {
			return []journal.Item{byID}, nil
		}
		return []journal.Item{{Name: itemName(s.number, id), Gone: true}, byID}, nil
	})
}

// Refresh reads what other nodes have appended to the journal, which [Config].Follow does by itself. It also finds out
// whether a change was made that ended with [ErrUnavailable]. If another node has been first to change an empty
// journal, and has another [Config].Pepper, the error is [ErrNotConfigured]. After an error, the keys are as they were.
func (v *Verifier) Refresh(ctx context.Context) error {
	if v == nil || v.hashers == nil {
		return &Error{Err: ErrNotConfigured}
	}
	if err := v.topic.Refresh(ctx); err != nil {
		return failed(err)
	}
	return nil
}

// store makes one change that puts keys: the states that build returns. It returns their keys. build also returns what
// it has changed, for people; it may be "".
func (v *Verifier) store(ctx context.Context, op string, build func(now time.Time) ([]state, string, error)) ([]Key, error) {
	var keys []Key
	err := v.record(ctx, func(next uint64) (string, []journal.Item, error) {
		keys = nil
		states, what, err := build(time.Now().UTC())
		if err != nil {
			return op, nil, err
		}
		operation := op
		if what != "" {
			operation += ": " + what
		}
		items := make([]journal.Item, len(states))
		for i := range states {
			s := &states[i]
			if s.number == 0 {
				s.number = next<<indexBits | uint64(i)
			}
			items[i] = journal.Item{Name: itemName(s.number, s.key.ID), Value: s.encode()}
			keys = append(keys, s.key)
		}
		return operation, items, nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// change makes one change at a time: the items that decide returns are appended to the journal, and then made visible.
func (v *Verifier) change(ctx context.Context, op string, decide func(next uint64) ([]journal.Item, error)) error {
	return v.record(ctx, func(next uint64) (string, []journal.Item, error) {
		items, err := decide(next)
		return op, items, err
	})
}

// record is change with an operation that decide returns, too.
func (v *Verifier) record(ctx context.Context, decide func(next uint64) (string, []journal.Item, error)) error {
	if v == nil || v.hashers == nil {
		return &Error{Err: ErrNotConfigured}
	}
	var refused, err error
	for full := true; full && err == nil; {
		full = false
		err = v.topic.Record(ctx, func(next uint64) (op string, items []journal.Item, err error) {
			if op, items, refused = decide(next); refused == nil {
				items, full = v.withMark(items)
			}
			return op, items, refused
		})
	}
	if err == nil || refused != nil {
		return err
	}
	return failed(err)
}

// failed returns the error for what the journal says. If the mark is that of another pepper, nothing was appended: it
// was found by reading on.
func failed(err error) error {
	if errors.Is(err, errPepper) {
		return &Error{Err: errPepper}
	}
	if errors.Is(err, journal.ErrTooLarge) {
		return &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Message: "API Key file is too large for one change"}
	}
	return &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
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
	return state{key: k, digest: d, sealed: v.sealer.seal(k.ID, e.Value)}, err
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
// key can have it. This is not stored, because the value is refused in any case.
func (v *Verifier) forget(d digest, now time.Time) {
	r := v.keys.byDigest(&d)
	if r == nil {
		return
	}
	s, err := v.state(r.id())
	if kept := current(s.previous, now); err == nil && len(kept) < len(s.previous) {
		s.previous = kept
		next := pack(&s)
		v.keys.put(next)
		v.keys.putEarlier(next)
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
	return r.state(), nil
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
