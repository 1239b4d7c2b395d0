package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// A keyRow is a key of a source. If the source is a CSV file, the row has no id and may name plans.
type keyRow struct {
	at   string
	file int // the number of the CSV file, or 0
	apikey.Row
	key apikey.Key // as the import makes it; a new key of a CSV file gets another id each time that it is tried
}

// readCSV reads a CSV file.
func (m *move) readCSV(at string, text []byte) error {
	rows, err := apikey.ReadCSV(bytes.NewReader(text))
	if e, is := errors.AsType[*apikey.Error](err); is {
		return errors.New(e.ErrorMessage())
	}
	m.files++
	for _, r := range rows {
		m.keys = append(m.keys, keyRow{at: at, file: m.files, Row: r})
	}
	return err
}

// tryKeys leaves out the keys that cannot be imported. It tries all of them as one change, and so finds the key of each
// row of a CSV file, also if the key is new. A row finds its key by the value, so keys with ids must come first.
func (m *move) tryKeys(ctx context.Context) error {
	slices.SortStableFunc(m.keys, func(x, y keyRow) int { return cmp.Compare(x.file, y.file) })
	if err := m.importRows(ctx, apikey.ImportOptions{DryRun: true}); err != nil {
		return err
	}
	for _, k := range m.keys {
		_, m.old[k.key.ID] = m.Keys.Key(k.key.ID)
	}
	return nil
}

// importRows imports the keys as one change, finds out their ids, and leaves out those that are refused.
func (m *move) importRows(ctx context.Context, opt apikey.ImportOptions) error {
	if len(m.keys) == 0 {
		return nil
	}
	rows := make([]apikey.Row, len(m.keys))
	for i, k := range m.keys {
		rows[i] = k.Row
	}
	rows, err := m.Keys.Import(ctx, rows, opt)
	if err != nil {
		return err
	}
	taken := m.keys[:0]
	for i, k := range m.keys {
		if err := rows[i].Err; err != nil {
			m.leaveOut(k.at, "%v", err)
			delete(m.keyAt, k.Key.ID)
			continue
		}
		k.key = rows[i].Key
		taken = append(taken, k)
	}
	m.keys = taken
	return nil
}

// checkRows leaves out the rows of CSV files whose keys cannot be in the plans that the rows name.
func (m *move) checkRows() {
	file, join := 0, m.join
	m.keys = slices.DeleteFunc(m.keys, func(k keyRow) bool {
		if k.file != file {
			file, join = k.file, m.joinRows()
		}
		err := join(k.key.ID, k.PlanIDs...)
		if err != nil {
			m.leaveOut(k.at, "%s: %v", k.Place, err)
		}
		return err != nil
	})
}

// applyKeys adds the keys, and adds to m the memberships that CSV files name.
func (m *move) applyKeys(ctx context.Context) error {
	if err := m.importRows(ctx, apikey.ImportOptions{FailOnWarnings: m.FailOnWarnings}); err != nil {
		return err
	}
	at := make(map[string]string) // of several rows, the last one counts
	for _, k := range m.keys {
		at[k.key.ID] = k.at
	}
	for _, k := range m.eachKey() {
		m.did(at[k.ID], "key %s %q %s", k.ID, clip(k.Name), done(m.old[k.ID]))
	}
	m.addPlansOfRows()
	return nil
}

// eachKey returns the keys of the rows, each once.
func (m *move) eachKey() (keys []apikey.Key) {
	seen := make(map[string]bool)
	for _, k := range m.keys {
		if !seen[k.key.ID] {
			seen[k.key.ID] = true
			keys = append(keys, k.key)
		}
	}
	return keys
}

// addPlansOfRows adds the memberships that CSV files name. Of several rows of a file for one key, the last one counts.
func (m *move) addPlansOfRows() {
	type place struct {
		file int
		id   string
	}
	last := make(map[place]int)
	for i, k := range m.keys {
		last[place{k.file, k.key.ID}] = i
	}
	for i, k := range m.keys {
		if last[place{k.file, k.key.ID}] != i {
			continue
		}
		for _, plan := range k.PlanIDs {
			m.members = append(m.members, moved[usageplan.Member]{k.at, usageplan.Member{Plan: plan, Client: k.key.ID}})
		}
	}
}
