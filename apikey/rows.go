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

// A Row is a key that is to be imported, such as a line of a file that [ReadCSV] has read.
type Row struct {
	// Entry is the key and its value. If Key.ID is empty, the row is about the key that has the value, or a new one.
	Entry

	PlanIDs []string // the usage plans that the row names, each once
	Place   string   // what the text of Err calls the row, such as "Line 2"; "Key" and the id if it is empty
	Err     error    // why the row is left out; nil if it is not
}

// A rowError says which row has a mistake.
type rowError struct {
	place string
	err   error
}

func (e *rowError) Error() string { return e.place + ": " + reason(e.err) }

func (e *rowError) Unwrap() error { return e.err }

// fail leaves the row out for the mistake err, unless it is nil.
func (r *Row) fail(err error) {
	if _, is := errors.AsType[*rowError](err); err != nil && !is {
		err = &rowError{cmp.Or(r.Place, "Key "+clip(r.Key.ID)), err}
	}
	r.Err = err
}

// validate returns the mistake of the key. A key without an id gets one later.
func (r *Row) validate() error {
	k := r.Key
	if k.ID == "" {
		k.ID = strings.Repeat("0", lengthID)
	}
	return k.validate()
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

// Import adds keys that have values already, such as those of a file or of another system, in one change, all or
// nothing. It returns the rows in their order. Key is then the key as it was imported, or Err says why the row was left
// out.
//
// A row with an id is about the key with that id and that value, or adds it. It replaces the key's name, description,
// customer, state and dates, and its tags unless they are nil. Created of a new key is kept. If the id or the value is
// that of another key, the row is left out.
//
// A row without an id is about the key that has the value, which may be that of an earlier row. It replaces name,
// description and state. If no key has the value, it adds one. Of several rows about one key, the last one counts.
//
// Import adds no memberships of the usage plans that rows name: the caller does, for example by AddMembers of package
// usageplan.
//
// A row with a mistake is left out. With [ImportOptions].FailOnWarnings it makes the import fail with [ErrInvalid]; the
// rows are returned then too, with their mistakes. More than 10 000 keys, or 100 000 rows without mistakes, are
// ErrInvalid as well.
func (v *Verifier) Import(ctx context.Context, rows []Row, opt ImportOptions) ([]Row, error) {
	if v == nil || v.hashers == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	rows, err := v.checkRows(rows)
	if err != nil {
		return nil, err
	}
	var got []Row
	_, err = v.store(ctx, opImport, func(now time.Time) ([]state, string, error) {
		b := newBatch(v, now)
		got = b.addAll(rows, opt.Check)
		if len(b.states) > maxKeys {
			return nil, "", tooMany()
		}
		if warnings := mistakes(got); opt.FailOnWarnings && len(warnings) > 0 {
			return nil, "", invalid(summary(warnings))
		}
		if opt.DryRun {
			return nil, "", nil
		}
		return b.states, "", nil
	})
	return got, err
}

// checkRows returns copies of the rows, which share nothing that the caller may change. Err is set in each that has a
// mistake.
func (v *Verifier) checkRows(rows []Row) ([]Row, error) {
	rows = slices.Clone(rows)
	good := 0
	for i := range rows {
		r := &rows[i]
		r.Key = r.Key.clone()
		err := r.Err
		if err == nil {
			err = r.validate()
		}
		if err == nil {
			err = v.acceptable(r.Value)
		}
		if r.fail(err); err == nil {
			good++
		}
	}
	if good > maxImportRows {
		return nil, invalid(fmt.Sprintf("More than %d rows", maxImportRows))
	}
	return rows, nil
}

// mistakes returns the texts of what is wrong with the rows.
func mistakes(rows []Row) (texts []string) {
	for i := range rows {
		if rows[i].Err != nil {
			texts = append(texts, rows[i].Err.Error())
		}
	}
	return texts
}

// maxImportRows is how many rows without mistakes one import may have: those of a listing and of several files that are
// about the same keys.
const maxImportRows = 10 * maxKeys

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
}

func newBatch(v *Verifier, now time.Time) *batch {
	return &batch{
		verifier: v, now: now,
		values: make(map[digest]string), places: make(map[string]int),
	}
}

// addAll adds the rows. It returns copies of them, with the keys as they will be.
func (b *batch) addAll(rows []Row, check func(Key, []string) error) []Row {
	rows = slices.Clone(rows)
	for i := range rows {
		if r := &rows[i]; r.Err == nil {
			id, err := b.add(r, check)
			if r.fail(err); err == nil {
				r.Key.ID = id
			}
		}
	}
	for i := range rows {
		if r := &rows[i]; r.Err == nil {
			r.Key = b.states[b.places[r.Key.ID]].key
		}
	}
	return rows
}

// add adds a row without a mistake and returns the id of its key, or returns why it has to be left out.
func (b *batch) add(r *Row, check func(Key, []string) error) (string, error) {
	d := b.verifier.digest(r.Value)
	id, err := b.id(r, d)
	if err != nil {
		return "", err
	}
	s := b.state(id, d)
	if s.digest == d {
		s.sealed = b.verifier.sealer.seal(id, r.Value)
	}
	b.edit(&s.key, r)
	if check != nil {
		if err := check(s.key, r.PlanIDs); err != nil {
			return "", err
		}
	}
	i, again := b.places[id]
	if !again {
		i = len(b.states)
		b.states = append(b.states, state{})
	}
	b.states[i], b.places[id], b.values[d] = s, i, id
	return id, nil
}

// id returns the id of the key that the row is about: the one that has the digest d, or a new one.
func (b *batch) id(r *Row, d digest) (string, error) {
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

// edit gives a key what the row has. A row of a file, which has no id, has neither customers, tags nor dates.
func (b *batch) edit(k *Key, r *Row) {
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
