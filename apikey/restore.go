package apikey

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"
)

// restoreAll makes the changes that were committed earlier. It stops at an error, because the changes after it may
// build on the one that is missing. It adds the ids of the changes' keys to restored.
func (v *Verifier) restoreAll(changes iter.Seq2[Change, error], restored map[string]bool) error {
	for c, err := range changes {
		if err == nil {
			err = v.restore(c, restored)
		}
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

// restore makes a change that was committed earlier. It first checks the change, because the store may have damaged it.
// It adds the ids of the change's keys to restored.
func (v *Verifier) restore(c Change, restored map[string]bool) error {
	if !slices.Contains([]string{opCreate, opUpdate, opRotate, opDelete, opImport}, c.Op) {
		return invalid("unknown operation " + strconv.Quote(clip(c.Op)))
	}
	for _, r := range c.Records {
		s, err := v.sound(c.Op, r)
		if err != nil {
			return err
		}
		v.apply(c.Op, []state{s})
		restored[s.key.ID] = true
	}
	return nil
}

// sound checks a record that is restored, and returns the state of its key. It leaves out earlier values whose grace
// has ended, because another key may have them by now. The values of a deleted key are not checked, for the same
// reason.
func (v *Verifier) sound(op string, r Record) (state, error) {
	s := state{key: r.Key.clone()}
	errs := []error{s.key.validate()}
	for _, p := range r.Previous {
		d, err := parseDigest(p.Digest)
		errs = append(errs, err)
		if p.Until.IsZero() || !representable(p.Until) {
			errs = append(errs, invalid("Invalid API Key date, must be between 1678 and 2261."))
		}
		s.previous = append(s.previous, earlier{d, p.Until})
	}
	if s.previous = current(s.previous, time.Now()); op == opDelete {
		return s, errors.Join(errs...)
	}
	d, err := parseDigest(r.Digest)
	s.digest = d
	errs = append(errs, err, v.owned(d, s.key.ID))
	for _, p := range s.previous {
		errs = append(errs, v.owned(p.digest, s.key.ID))
	}
	return s, errors.Join(errs...)
}

// owned returns an error if a key other than that of the given id has the digest d.
func (v *Verifier) owned(d digest, id string) error {
	if other := v.keys.byDigest(&d); other != nil && other.id() != id {
		return &Error{Err: ErrExists, KeyID: other.id()}
	}
	return nil
}
