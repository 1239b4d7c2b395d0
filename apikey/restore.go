package apikey

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

// restore makes a change that was committed earlier. It first checks the change, because the store may have damaged it.
// It adds the ids of the change's keys to restored.
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

// sound checks a record that is restored. It removes earlier values whose grace has ended, because another key may have
// them by now. The values of a deleted key are not checked, for the same reason.
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

// owned returns an error if d cannot be a digest of the key of r: if it is zero, or if another key has it.
func (v *Verifier) owned(r *Record, d Digest) error {
	if err := present(d); err != nil {
		return err
	}
	if other := v.keys.byDigest(&d); other != nil && other.id() != r.Key.ID {
		return &Error{Err: ErrExists, KeyID: other.id()}
	}
	return nil
}

// present returns an error if d is zero.
func present(d Digest) error {
	if d == (Digest{}) {
		return invalid("API Key without a digest")
	}
	return nil
}
