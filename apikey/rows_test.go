package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// imported is what an import has done.
type imported struct {
	Keys     []apikey.Key // each once
	IDs      []string     // of the keys of the rows
	Warnings []string
	PlanIDs  map[string][]string
}

// importRows imports the rows and sums up what became of them.
func importRows(ctx context.Context, v *apikey.Verifier, rows []apikey.Row, opt apikey.ImportOptions) (imported, error) {
	rows, err := v.Import(ctx, rows, opt)
	got := imported{PlanIDs: make(map[string][]string)}
	for _, r := range rows {
		if r.Err != nil {
			got.IDs, got.Warnings = append(got.IDs, ""), append(got.Warnings, r.Err.Error())
			continue
		}
		if _, again := got.PlanIDs[r.Key.ID]; !again {
			got.Keys = append(got.Keys, r.Key)
		}
		got.IDs = append(got.IDs, r.Key.ID)
		got.PlanIDs[r.Key.ID] = r.PlanIDs
	}
	return got, err
}

// importFile imports a file.
func importFile(ctx context.Context, v *apikey.Verifier, file io.Reader, opt apikey.ImportOptions) (imported, error) {
	rows, err := apikey.ReadCSV(file)
	if err != nil {
		return imported{}, err
	}
	return importRows(ctx, v, rows, opt)
}

// moved returns a row with an id of ten times the letter, and a value of its own.
func moved(letter, name string) apikey.Row {
	return apikey.Row{Entry: apikey.Entry{
		Key:   apikey.Key{ID: strings.Repeat(letter, 10), Name: name, Enabled: true},
		Value: apikey.Secret("value-" + strings.Repeat(letter, 20)),
	}}
}

func TestImportKeepsIDsAndValues(t *testing.T) {
	j := journal.Memory(0)
	pepper := apikey.Secret(strings.Repeat("p", 32))
	v := newVerifier(t, apikey.Config{Journal: j, Pepper: pepper})
	created := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	a, b := moved("a", "first"), moved("b", "second")
	a.Key.Created, a.Key.Tags, a.Key.CustomerID = created, map[string]string{"team": "x"}, "c1"
	got, err := importRows(t.Context(), v, []apikey.Row{a, b}, apikey.ImportOptions{FailOnWarnings: true})
	require.NoError(t, err)
	require.Empty(t, got.Warnings)
	require.Len(t, got.Keys, 2)
	require.Equal(t, created, got.Keys[0].Created)
	require.WithinDuration(t, time.Now(), got.Keys[1].Created, time.Minute)
	for _, e := range []apikey.Row{a, b} {
		c, err := v.VerifyKey(t.Context(), string(e.Value))
		require.NoError(t, err)
		require.Equal(t, e.Key.ID, c.ID())
	}

	// The same again replaces what the entry has. Tags stay unless it has some.
	a.Key.Name, a.Key.Enabled, a.Key.Tags, a.Key.CustomerID, a.Key.Created = "third", false, nil, "", time.Time{}
	_, err = importRows(t.Context(), v, []apikey.Row{a}, apikey.ImportOptions{FailOnWarnings: true})
	require.NoError(t, err)
	k, found := v.Key(a.Key.ID)
	require.True(t, found)
	require.Equal(t, "third", k.Name)
	require.False(t, k.Enabled)
	require.Empty(t, k.CustomerID)
	require.Equal(t, map[string]string{"team": "x"}, k.Tags)
	require.Equal(t, created, k.Created)

	again := newVerifier(t, apikey.Config{Journal: j, Pepper: pepper})
	for _, e := range []apikey.Row{a, b} {
		k, _ := v.Key(e.Key.ID)
		stored, found := again.Key(e.Key.ID)
		require.True(t, found)
		k.LastUsed, stored.LastUsed = time.Time{}, time.Time{} // in memory only
		require.Equal(t, k, stored)
	}
	var operations []string
	for c, err := range v.History(t.Context(), a.Key.ID) {
		require.NoError(t, err)
		operations = append(operations, c.Operation)
	}
	require.Equal(t, []string{"ImportApiKeys", "ImportApiKeys"}, operations)
}

func TestImportLeavesOutWhatClashes(t *testing.T) {
	a, b := moved("a", "first"), moved("b", "second")
	otherValue, otherID, short, bad := a, a, moved("c", "short"), moved("d", "bad")
	otherValue.Value = moved("x", "").Value
	otherID.Key.ID = "cccccccccc"
	short.Value = "short"
	bad.Key.ID = "D"
	for _, tt := range []struct {
		name string
		rows []apikey.Row
		want []string
	}{
		{"another value for the id", []apikey.Row{otherValue, b}, []string{"Key aaaaaaaaaa: API Key already exists"}},
		{"another id for the value", []apikey.Row{otherID, b}, []string{"Key cccccccccc: API Key already exists"}},
		{"a value twice", []apikey.Row{b, {Entry: apikey.Entry{Key: otherID.Key, Value: b.Value}}}, []string{"Key cccccccccc: API Key already exists"}},
		{"an id twice", []apikey.Row{b, {Entry: apikey.Entry{Key: b.Key, Value: moved("y", "").Value}}}, []string{"Key bbbbbbbbbb: API Key already exists"}},
		{"mistakes, in order", []apikey.Row{otherValue, short, b, bad}, []string{
			"Key aaaaaaaaaa: API Key already exists", "Key cccccccccc: API Key value should be at least 20 characters",
			"Key D: Invalid API Key identifier specified",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{a.Entry}})
			before := slices.Collect(v.Keys())
			for _, opt := range []apikey.ImportOptions{{FailOnWarnings: true}, {FailOnWarnings: true, DryRun: true}} {
				got, err := importRows(t.Context(), v, tt.rows, opt)
				require.ErrorIs(t, err, apikey.ErrInvalid)
				require.Equal(t, tt.want, got.Warnings)
				require.Equal(t, before, slices.Collect(v.Keys()))
			}
			got, err := importRows(t.Context(), v, tt.rows, apikey.ImportOptions{DryRun: true})
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Warnings)
			require.Equal(t, before, slices.Collect(v.Keys()))
			got, err = importRows(t.Context(), v, tt.rows, apikey.ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Warnings)
			require.Len(t, got.Keys, 1)
			require.Equal(t, b.Key.ID, got.Keys[0].ID)
			c, err := v.VerifyKey(t.Context(), string(a.Value))
			require.NoError(t, err)
			require.Equal(t, a.Key.ID, c.ID())
		})
	}
}

func TestImportHasABound(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	var rows []apikey.Row
	for i := range 10_001 {
		rows = append(rows, apikey.Row{Entry: apikey.Entry{
			Key: apikey.Key{ID: fmt.Sprintf("%010d", i)}, Value: apikey.Secret(fmt.Sprintf("value-%020d", i)),
		}})
	}
	_, err := importRows(t.Context(), v, rows, apikey.ImportOptions{})
	require.ErrorIs(t, err, apikey.ErrInvalid)
	require.Empty(t, slices.Collect(v.Keys()))
	got, err := importRows(t.Context(), v, rows[1:], apikey.ImportOptions{})
	require.NoError(t, err)
	require.Len(t, got.Keys, 10_000)
	_, err = importRows(t.Context(), v, slices.Repeat(rows[1:2], 100_001), apikey.ImportOptions{})
	require.EqualError(t, err, "apikey: invalid: More than 100000 rows")
	_, err = importRows(t.Context(), new(apikey.Verifier), rows[:1], apikey.ImportOptions{})
	require.ErrorIs(t, err, apikey.ErrNotConfigured)
}

// Rows of a file are about the keys that rows before them add, so that one change can have keys of several sources.
func TestImportKnowsKeysByTheirValues(t *testing.T) {
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	a := moved("a", "first")
	a.Key.CustomerID = "c1"
	rows, err := apikey.ReadCSV(strings.NewReader("Name,Key,UsagePlanIds\nsecond," + string(a.Value) + ",p\n,x\nnew," + valueA +
		",\nnewer," + valueA + ",\"p,q\"\nold," + value + ",\n"))
	require.NoError(t, err)
	require.EqualError(t, rows[1].Err, "Line 3: Missing required value 'Name'")
	require.Empty(t, rows[1].Entry)
	require.Equal(t, []string{"p", "q"}, rows[3].PlanIDs)
	rows = append([]apikey.Row{a}, rows...)
	for _, opt := range []apikey.ImportOptions{{DryRun: true}, {}} {
		got, err := importRows(t.Context(), v, rows, opt)
		require.NoError(t, err)
		require.Equal(t, []string{"Line 3: Missing required value 'Name'"}, got.Warnings)
		require.Len(t, got.Keys, 3)
		added := got.Keys[1].ID
		require.Equal(t, []string{a.Key.ID, a.Key.ID, "", added, added, julian.Key.ID}, got.IDs)
		require.Equal(t, map[string][]string{a.Key.ID: {"p"}, added: {"p", "q"}, julian.Key.ID: nil}, got.PlanIDs)
		require.Equal(t, "second", got.Keys[0].Name)
		require.Equal(t, "c1", got.Keys[0].CustomerID)
	}
	require.Len(t, slices.Collect(v.Keys()), 3)
}

// Check is asked about the key as it will be, and decides about its row alone.
func TestImportChecksKeys(t *testing.T) {
	a := moved("a", "first")
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{a.Entry}})
	asked := make(map[string][]string)
	check := func(k apikey.Key, plans []string) error {
		asked[k.Name] = plans
		if k.ID == a.Key.ID {
			return errors.New("not this one")
		}
		require.Len(t, k.ID, 10)
		return nil
	}
	file := "Name,Key,UsagePlanIds\nagain," + string(a.Value) + ",\"p,q\"\n,x\nnew," + valueA + ",p\n"
	got, err := importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{Check: check})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"again": {"p", "q"}, "new": {"p"}}, asked)
	require.Equal(t, []string{"Line 2: not this one", "Line 3: Missing required value 'Name'"}, got.Warnings)
	require.Len(t, got.Keys, 1)
	require.Equal(t, map[string][]string{got.Keys[0].ID: {"p"}}, got.PlanIDs)
	_, err = importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{Check: check, FailOnWarnings: true})
	require.ErrorContains(t, err, "Line 2: not this one; Line 3: Missing required value 'Name'")
}

func TestDryRunTellsWhatAnImportWouldDo(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	file := "Name,Key,UsagePlanIds\na," + valueA + ",p\nb,short,p\n"
	got, err := importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{DryRun: true})
	require.NoError(t, err)
	require.Len(t, got.Keys, 1)
	require.Equal(t, "a", got.Keys[0].Name)
	require.Len(t, got.Warnings, 1)
	require.Empty(t, slices.Collect(v.Keys()))
}
