package apikey

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A row is a key that is to be imported, from one line of a file or from an [Entry].
type row struct {
	Entry   // of a file without an id
	planIDs []string
	line    int    // its place among the rows
	name    string // what warnings call it
}

// A warning says why a row was left out.
type warning struct {
	line int
	text string
}

func (r *row) warning(err error) warning {
	return warning{r.line, r.name + ": " + reason(err)}
}

// reason returns what a warning says about a row with the mistake err.
func reason(err error) string {
	if bad, is := errors.AsType[*csv.ParseError](err); is {
		return bad.Err.Error()
	}
	if e, is := errors.AsType[*Error](err); is {
		return e.ErrorMessage()
	}
	return err.Error()
}

// ImportEntries adds keys that have ids and values already, such as those of another system, in one change, all or
// nothing. If a key has the id and the value of an entry, the entry replaces its name, description, customer, state and
// dates, and its tags unless they are nil. An entry whose id or value is that of another key is left out with a warning,
// and so is one with a mistake; see [Verifier.Import] for what that means. Created of a new key is kept. More than
// 10 000 keys are [ErrInvalid].
func (v *Verifier) ImportEntries(ctx context.Context, entries []Entry, opt ImportOptions) (Imported, error) {
	if v == nil || v.hashers == nil {
		return Imported{}, &Error{Err: ErrNotConfigured}
	}
	if len(entries) > maxKeys {
		return Imported{}, tooMany()
	}
	var rows []row
	var warnings []warning
	for i, e := range entries {
		r := row{Entry: e, line: i, name: "Key " + clip(e.Key.ID)}
		r.Key = e.Key.clone()
		err := r.Key.validate()
		if err == nil {
			err = v.acceptable(e.Value)
		}
		if err != nil {
			warnings = append(warnings, r.warning(err))
			continue
		}
		rows = append(rows, r)
	}
	return v.importRows(ctx, rows, warnings, opt)
}

// importRows makes the change of an import. warnings are those that were found already.
func (v *Verifier) importRows(ctx context.Context, rows []row, warnings []warning, opt ImportOptions) (Imported, error) {
	var got Imported
	_, err := v.store(ctx, opImport, func(now time.Time) ([]state, error) {
		b := newBatch(v, now, slices.Clone(warnings))
		for i := range rows {
			if err := b.add(&rows[i], opt.Check); err != nil {
				b.warnings = append(b.warnings, rows[i].warning(err))
			}
		}
		if len(b.states) > maxKeys {
			return nil, tooMany()
		}
		got = b.result()
		if opt.FailOnWarnings && len(got.Warnings) > 0 {
			return nil, invalid(summary(got.Warnings))
		}
		if opt.DryRun {
			return nil, nil
		}
		return b.states, nil
	})
	if err != nil {
		return Imported{Warnings: got.Warnings}, err
	}
	return got, nil
}

// maxKeys is how many keys one import may have: as many as a change of a journal.
const maxKeys = 10_000

func tooMany() error { return invalid(fmt.Sprintf("API Key file has more than %d keys", maxKeys)) }

// maxSummary is how many warnings an error repeats.
const maxSummary = 50

// summary returns the text of the error for the warnings.
func summary(warnings []string) string {
	if more := len(warnings) - maxSummary; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(warnings[:maxSummary], "; "), more)
	}
	return strings.Join(warnings, "; ")
}

// A batch collects the states of the keys of an import, one for each key. A row of a file is known by its value. For
// example, of the rows "a,VALUE1", "b,VALUE2" and "c,VALUE1", the third overwrites the first: two keys are imported,
// named c and b. If a key of the verifier has VALUE2, that key is named b, and only one key is new.
type batch struct {
	verifier *Verifier
	now      time.Time
	states   []state
	values   map[digest]string // → id of the key that has the value
	places   map[string]int    // id → index in states
	plans    map[string][]string
	warnings []warning
}

func newBatch(v *Verifier, now time.Time, warnings []warning) *batch {
	return &batch{
		verifier: v, now: now, warnings: warnings,
		values: make(map[digest]string), places: make(map[string]int), plans: make(map[string][]string),
	}
}

// add adds a row, or returns why it has to be left out.
func (b *batch) add(r *row, check func(Key, []string) error) error {
	d := b.verifier.digest(r.Value)
	id, err := b.id(r, d)
	if err != nil {
		return err
	}
	s := b.state(id, d)
	if s.digest == d {
		s.sealed = b.verifier.sealer.seal(id, r.Value)
	}
	b.edit(&s.key, r)
	if check != nil {
		if err := check(s.key, r.planIDs); err != nil {
			return err
		}
	}
	i, again := b.places[id]
	if !again {
		i = len(b.states)
		b.states = append(b.states, state{})
	}
	b.states[i], b.places[id], b.values[d], b.plans[id] = s, i, id, r.planIDs
	return nil
}

// id returns the id of the key that the row is about: the one that has the digest d, or a new one.
func (b *batch) id(r *row, d digest) (string, error) {
	holder := b.holder(d)
	_, again := b.places[r.Key.ID]
	switch {
	case r.Key.ID == "" && holder != "":
		return holder, nil
	case r.Key.ID == "":
		return b.newID(), nil
	case holder == r.Key.ID:
		return holder, nil
	case holder != "", again, b.verifier.keys.byID(r.Key.ID) != nil:
		return "", &Error{Err: ErrExists, KeyID: r.Key.ID}
	}
	return r.Key.ID, nil
}

// holder returns the id of the key that has the digest d, or "".
func (b *batch) holder(d digest) string {
	if id, found := b.values[d]; found {
		return id
	}
	b.verifier.forget(d, b.now)
	if r := b.verifier.keys.byDigest(&d); r != nil {
		return r.id()
	}
	return ""
}

// newID returns an id that neither a key nor the batch has.
func (b *batch) newID() string {
	for {
		id := b.verifier.newID()
		if _, used := b.places[id]; !used {
			return id
		}
	}
}

// state returns the state of the key of the given id: that of the batch, that of the verifier, or a new one with the
// digest d.
func (b *batch) state(id string, d digest) state {
	if i, again := b.places[id]; again {
		return b.states[i]
	}
	s, err := b.verifier.state(id)
	if err != nil {
		return state{key: Key{ID: id}, digest: d}
	}
	return s
}

// edit gives a key what the row has. A file has neither customers, tags nor dates.
func (b *batch) edit(k *Key, r *row) {
	k.Name, k.Description, k.Enabled, k.Updated = r.Key.Name, r.Key.Description, r.Key.Enabled, b.now
	if r.Key.ID != "" {
		k.CustomerID, k.NotBefore, k.Expires = r.Key.CustomerID, r.Key.NotBefore, r.Key.Expires
		if r.Key.Tags != nil {
			k.Tags = r.Key.Tags
		}
	}
	if k.Created.IsZero() {
		k.Created = cmp.Or(r.Key.Created, b.now)
	}
}

// result returns what the batch has, with its warnings in the order of the rows.
func (b *batch) result() Imported {
	got := Imported{PlanIDs: b.plans}
	for i := range b.states {
		got.Keys = append(got.Keys, b.states[i].key)
	}
	slices.SortStableFunc(b.warnings, func(x, y warning) int { return cmp.Compare(x.line, y.line) })
	for _, w := range b.warnings {
		got.Warnings = append(got.Warnings, w.text)
	}
	return got
}
