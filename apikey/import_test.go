package apikey_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

const (
	valueA = "apikey1234abcdefghij0123456789"
	valueB = "apikeyb234abcdefghij0123456789"
)

func TestImportReadsAPIGatewaysFormat(t *testing.T) {
	type imported struct {
		name, description string
		enabled           bool
		plans             []string
	}
	for _, tt := range []struct {
		name, file string
		want       []imported
		warnings   []string
	}{
		{
			"the example of the format's page",
			"Name,key,description,Enabled,usageplanIds\n" +
				"MyFirstApiKey," + valueA + ",An imported key,TRUE,c7y23b\n",
			[]imported{{"MyFirstApiKey", "An imported key", true, []string{"c7y23b"}}},
			nil,
		},
		{
			"blanks, two plans, the state's case",
			"Name, key, description, Enabled, usageplanIds\n" +
				"MyFirstApiKey, " + valueA + ", An imported key, tRuE, \"c7y23b,glvrsr\"\n" +
				"MySecondApiKey, " + valueB + " , \"some, words\" ,FALSE,'c7y23b, glvrsr'\n",
			[]imported{
				{"MyFirstApiKey", "An imported key", true, []string{"c7y23b", "glvrsr"}},
				{"MySecondApiKey", "some, words", false, []string{"c7y23b", "glvrsr"}},
			},
			nil,
		},
		{
			"other order, other columns, a BOM, CRLF, no last line end",
			"\xef\xbb\xbfowner,KEY,UsagePlanIds,NAME\r\nme," + valueA + ",'a,b',first\r\nyou," + valueB + ",c,second",
			[]imported{{"first", "", true, []string{"a", "b"}}, {"second", "", true, []string{"c"}}},
			nil,
		},
		{
			"a plan twice",
			"Name,Key,UsagePlanIds\na," + valueA + ",\"x,y, x\"\n",
			[]imported{{"a", "", true, []string{"x", "y"}}},
			nil,
		},
		{
			"defaults, short rows, empty lines",
			"Name,Key,Enabled,UsagePlanIds\n\na," + valueA + "\n\n \t\n,,,\nb," + valueB + ",,\n , \"\" ,,\n",
			[]imported{{"a", "", true, nil}, {"b", "", true, nil}},
			nil,
		},
		{
			"bad rows",
			"Name,Key,Description,Enabled,UsagePlanIds\n" +
				"a,short,,,\n" +
				"b," + valueB + ",,yes,\n" +
				"," + valueB + ",,,\n" +
				"d\n" +
				"e," + valueB + ",,,,\n" +
				"f," + valueB + ",,,'x,y\n" +
				"g,ak_" + valueB + ",,,\n" +
				"\"h\nh\"," + valueB + "é,,,\n" +
				"i," + valueA + ",,,unknown\n" +
				"j," + valueA + ",'tis,false,x\n" +
				"M\xfcller," + valueB + ",,,\n" +
				"k,\"" + valueB,
			[]imported{{"j", "'tis", false, []string{"x"}}},
			[]string{
				"Line 2: API Key value should be at least 20 characters",
				"Line 3: Invalid value for column 'Enabled', must be true or false",
				"Line 4: Missing required value 'Name'",
				"Line 5: API Key value should be at least 20 characters",
				"Line 6: More values than columns",
				"Line 7: More values than columns",
				"Line 8: API Key value has the prefix ak_ but not its checksum",
				"Line 9: API Key value must be visible ASCII characters without a comma",
				"Line 11: no such plan",
				"Line 13: The row is not UTF-8",
				`Line 14: extraneous or missing " in quoted-field`,
			},
		},
		{
			"the same value twice: the later row",
			"Name,Key,Enabled,UsagePlanIds\na," + valueA + ",true,x\nb," + valueB + ",,\nc," + valueA + ",false,\n",
			[]imported{{"c", "", false, nil}, {"b", "", true, nil}},
			nil,
		},
		{"no rows", "Name,Key\n", nil, nil},
		{
			"an unclosed quote costs its line, not those after it",
			"Name,Key,Description\n" +
				"a,\"" + valueA + ",x\n" +
				"b," + valueB + ",\"good, really\"\n" +
				"c," + valueA + ",\"open\r\n\r\n" +
				"d," + valueA + ",\r\n" +
				"e,\"" + valueB,
			[]imported{{"b", "good, really", true, nil}, {"d", "", true, nil}},
			[]string{
				`Line 2: extraneous or missing " in quoted-field`,
				`Line 4: extraneous or missing " in quoted-field`,
				`Line 7: extraneous or missing " in quoted-field`,
			},
		},
		{
			"blanks after quotes, and what is none",
			"\"Name\" ,\"Key\"\t, \"Description\" \r\n" +
				"\"a\"\" , b\" ," + valueA + ", \"\" \r\n" +
				"\"c\" d," + valueB + ",\n" +
				"e,\"" + valueB + "\" \"\",\n" +
				"f,\"" + valueB + "\" , \"x\"\"",
			[]imported{{"a\" , b", "", true, nil}},
			[]string{
				`Line 3: extraneous or missing " in quoted-field`,
				`Line 4: extraneous or missing " in quoted-field`,
				`Line 5: extraneous or missing " in quoted-field`,
			},
		},
		{
			"semicolons in a file of commas",
			"Name,Key,Name;Key\na," + valueA + ",;\n",
			[]imported{{"a", "", true, nil}},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, apikey.Config{Prefix: "ak"})
			known := func(_ apikey.Key, plans []string) error {
				if slices.Contains(plans, "unknown") {
					return errors.New("no such plan")
				}
				return nil
			}
			got, err := importFile(t.Context(), v, strings.NewReader(tt.file), apikey.ImportOptions{Check: known})
			require.NoError(t, err)
			require.Equal(t, tt.warnings, got.Warnings)
			var rows []imported
			for _, k := range got.Keys {
				rows = append(rows, imported{k.Name, k.Description, k.Enabled, got.PlanIDs[k.ID]})
				stored, ok := v.Key(k.ID)
				require.True(t, ok)
				require.Equal(t, k, stored)
			}
			require.Equal(t, tt.want, rows)

			w := newVerifier(t, apikey.Config{Prefix: "ak"})
			got, err = importFile(t.Context(), w, strings.NewReader(tt.file), apikey.ImportOptions{Check: known, FailOnWarnings: true})
			if len(tt.warnings) == 0 {
				require.NoError(t, err)
				require.Len(t, got.Keys, len(tt.want))
				return
			}
			require.ErrorIs(t, err, apikey.ErrInvalid)
			require.Equal(t, strings.Join(tt.warnings, "; "), err.(*apikey.Error).ErrorMessage())
			require.Equal(t, tt.warnings, got.Warnings)
			require.Empty(t, state(w))
		})
	}
}

func TestImportRefusesFile(t *testing.T) {
	for _, tt := range []struct {
		name, message string
		file          io.Reader
	}{
		{"empty", "Missing required column 'Key'", strings.NewReader("")},
		{"no key", "Missing required column 'Key'", strings.NewReader("Name,Description\n")},
		{"no name", "Missing required column 'Name'", strings.NewReader("Key\n")},
		{"semicolons", "API Key file separates its columns by semicolons, not by a comma", strings.NewReader("Name;Key\na;" + valueA + "\n")},
		{"tabs", "API Key file separates its columns by tabs, not by a comma", strings.NewReader("name\tkey\tenabled\na\t" + valueA + "\ttrue\n")},
		{"quoted names, a BOM, CRLF", "API Key file separates its columns by semicolons, not by a comma", strings.NewReader("\xef\xbb\xbf\"Key\"; \"Name\"\r\n" + valueA + ";a\r\n")},
		{"semicolons, and a column that is not there", "API Key file separates its columns by semicolons, not by a comma", strings.NewReader("Name;Value;Enabled\n")},
		{"semicolons, and a spreadsheet's hint", "API Key file separates its columns by semicolons, not by a comma", strings.NewReader("sep=;\r\nName;Key\r\n")},
		{"semicolons, and lines that end in CR", "API Key file separates its columns by semicolons, not by a comma", strings.NewReader("Name;Key\ra;" + valueA + "\r")},
		{"no key, and semicolons in another column", "Missing required column 'Key'", strings.NewReader("Name,Enabled,see;description\n")},
		{"bars", "API Key file separates its columns by vertical bars, not by a comma", strings.NewReader("Key | Name\n")},
		{"UTF-16 as PowerShell writes it", "API Key file is UTF-16, not UTF-8", utf16("\ufeffName,Key\r\n", false)},
		{"UTF-16, big-endian", "API Key file is UTF-16, not UTF-8", utf16("\ufeffName,Key\n", true)},
		{"UTF-16 without a mark", "API Key file is UTF-16, not UTF-8", utf16("Name,Key\n", false)},
		{"a long column twice", "Duplicate column '" + strings.Repeat("é", 128) + "… (cut)'", strings.NewReader(strings.Repeat("é", 1<<20) + "," + strings.Repeat("é", 1<<20))},
		{"a column twice", "Duplicate column 'KEY'", strings.NewReader("Name,Key, KEY \n")},
		{"bad header", "API Key file cannot be read", strings.NewReader("Name,\"Key\n")},
		{"broken off", "API Key file cannot be read", io.MultiReader(strings.NewReader("Name,Key\na,"+valueA+"\n"), iotest.ErrReader(errors.New("reset")))},
		{"too large", "API Key file exceeds maximum size of 64 MiB", io.MultiReader(strings.NewReader("Name,Key\n"), &lines{n: 64 << 20})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, apikey.Config{})
			_, err := importFile(t.Context(), v, tt.file, apikey.ImportOptions{})
			require.ErrorIs(t, err, apikey.ErrInvalid)
			require.Equal(t, tt.message, err.(*apikey.Error).ErrorMessage())
			require.Empty(t, state(v))
		})
	}
}

// utf16 is text in UTF-16.
func utf16(text string, bigEndian bool) io.Reader {
	var wide []byte
	for _, unit := range text { // all of it is in the basic plane
		if bigEndian {
			wide = append(wide, byte(unit>>8), byte(unit))
		} else {
			wide = append(wide, byte(unit), byte(unit>>8))
		}
	}
	return bytes.NewReader(wide)
}

// However many rows are bad, the answer is short.
func TestImportOfBadRowsIsLinear(t *testing.T) {
	v := newVerifier(t, apikey.Config{})
	file := "Name,Key\n" + strings.Repeat("a,\"short\n", 100_000)
	got, err := importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{FailOnWarnings: true})
	require.ErrorIs(t, err, apikey.ErrInvalid)
	require.Len(t, got.Warnings, 100_000)
	require.Less(t, len(err.(*apikey.Error).ErrorMessage()), 4096)
	require.ErrorContains(t, err, "Line 51: ")
	require.ErrorContains(t, err, "; and 99950 more")
}

// lines reads as n bytes of lines of 4 KiB.
type lines struct{ n int }

func (l *lines) Read(p []byte) (int, error) {
	if l.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(l.n, len(p), 4096)]
	for i := range p {
		p[i] = 'a'
	}
	p[len(p)-1] = '\n'
	l.n -= len(p)
	return len(p), nil
}

func TestImportOverwrites(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{
		Pepper: pepper, Journal: log,
		Keys: []apikey.Entry{{
			Key:   apikey.Key{ID: "fr92a5qpbj", Name: "old", CustomerID: "c", Tags: map[string]string{"a": "b"}, Enabled: true},
			Value: valueA,
		}},
	})
	_, err := v.Rotate(t.Context(), "fr92a5qpbj", valueB, 1e12)
	require.NoError(t, err)
	file := "Name,Key,Description,Enabled\nnew," + valueA + ",text,false\nnewer," + valueB + ",text,false\nthird," + value + ",,\n"
	got, err := importFile(t.Context(), v, strings.NewReader(file), apikey.ImportOptions{})
	require.NoError(t, err)
	require.Len(t, got.Keys, 2, "two values of one key")
	require.Equal(t, "fr92a5qpbj", got.Keys[0].ID)
	k, _ := v.Key("fr92a5qpbj")
	require.Equal(t, "newer", k.Name)
	require.Equal(t, "text", k.Description)
	require.Equal(t, "c", k.CustomerID)
	require.Equal(t, map[string]string{"a": "b"}, k.Tags)
	for _, s := range []string{valueA, valueB} {
		_, err = v.VerifyKey(t.Context(), s)
		require.ErrorIs(t, err, apikey.ErrDisabled)
	}
	changes := changesOf(t, log)
	require.Len(t, changes, 2)
	require.Equal(t, "ImportApiKeys", changes[1].Operation)
	require.Len(t, changes[1].Items, 2, "one change for the whole file")
}

// What is more than one change can have is refused before anything is stored.
func TestImportOfTooManyKeysChangesNothing(t *testing.T) {
	log := journal.Memory(0)
	v := newVerifier(t, apikey.Config{Pepper: pepper, Journal: log})
	file := strings.Builder{}
	file.WriteString("Name,Key\n")
	for i := range 10_000 {
		fmt.Fprintf(&file, "a,value-of-twenty-characters-%05d\n", i)
	}
	most := file.String()
	_, err := importFile(t.Context(), v, strings.NewReader(most+"b,one-value-more-than-is-allowed\n"), apikey.ImportOptions{})
	require.ErrorIs(t, err, apikey.ErrInvalid)
	require.Equal(t, "API Key file has more than 10000 keys", err.(*apikey.Error).ErrorMessage())
	require.Empty(t, changesOf(t, log))
	require.Empty(t, state(v))

	for range 2 { // the second time, each row replaces its key
		got, err := importFile(t.Context(), v, strings.NewReader(most+"again,value-of-twenty-characters-00000\n"), apikey.ImportOptions{})
		require.NoError(t, err)
		require.Len(t, got.Keys, 10_000)
		require.Len(t, state(v), 10_000)
	}

	_, err = importFile(t.Context(), v, strings.NewReader(most+most[len("Name,Key\n"):]+"b,value-of-twenty-characters-00000\n"), apikey.ImportOptions{})
	require.ErrorContains(t, err, "API Key file has more than 20000 rows")

	if !heavy {
		return
	}
	wide := &strings.Builder{}
	wide.WriteString("Name,Key,Description\n")
	for i := range 10_000 {
		fmt.Fprintf(wide, "a,value-of-twenty-characters-%05d,%s\n", i, strings.Repeat("d", 6_670))
	}
	_, err = importFile(t.Context(), v, strings.NewReader(wide.String()), apikey.ImportOptions{})
	require.ErrorIs(t, err, apikey.ErrInvalid)
	require.Equal(t, "API Key file is too large for one change", err.(*apikey.Error).ErrorMessage())
	require.Len(t, state(v), 10_000)
}
