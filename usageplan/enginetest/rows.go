package enginetest

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The most that the contract allows. The suite uses keys, rows and Updates of exactly these sizes.
const (
	maxKey  = 1200
	maxRow  = 65536
	maxKeys = 10_000
)

// testRows takes one row through each change that an Update can make, with a second row that has to stay.
//
// Contract: "Update calls f for each key with the key's row, or with nil if there is none. It makes durable what f
// returns. Nil leaves the row as it was. A slice that is empty but not nil deletes the row."
//
// Finds: an engine that mixes up nil and empty, either way; that appends to a row, or leaves the end of a longer one;
// that ends a row at a zero byte; that tells no row by an empty slice or by an error; that yields keys which are
// deleted, or cannot write them again.
func testRows(t *testing.T, e ledger.Engine) {
	leave := func(int, []byte) ([]byte, error) { return nil, nil }
	steps := []struct {
		name string
		f    func(int, []byte) ([]byte, error)
		want string
	}{
		{"leave what is not there", leave, ""},
		{"delete what is not there", write(""), ""},
		{"write", write("one"), "one"},
		{"leave", leave, "one"},
		{"write a longer row", write("one and more"), "one and more"},
		{"write a shorter row", write("1"), "1"},
		{"write a zero byte", write("\x00"), "\x00"},
		{"write the same again", write("\x00"), "\x00"},
		{"delete", write(""), ""},
		{"delete again", write(""), ""},
		{"write after that", write("two"), "two"},
	}
	put(t, e, "other", "row")
	for _, s := range steps {
		if err := e.Update(t.Context(), []string{"key"}, s.f); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		// A failure of expect below does not name the step. The log before it does.
		t.Log(s.name)
		expect(t, e, "key", s.want)
		expect(t, e, "other", "row")
		want := []string{"key", "other"}
		if s.want == "" {
			want = want[1:]
		}
		if got := slices.Sorted(slices.Values(list(t, e, ""))); !slices.Equal(got, want) {
			t.Fatalf("keys: got %q, want %q", got, want)
		}
	}
}

// testNoKeys makes an Update with a nil slice and one with an empty slice of keys.
//
// Contract: "With no keys, Update returns nil."
//
// Finds: an engine that returns an error, as some databases do for an empty list; that calls f; that writes something.
func testNoKeys(t *testing.T, e ledger.Engine) {
	for _, keys := range [][]string{nil, {}} {
		err := e.Update(t.Context(), keys, func(int, []byte) ([]byte, error) {
			t.Error("f is called without keys")
			return []byte("row"), nil
		})
		if err != nil {
			t.Fatalf("Update without keys: %v", err)
		}
	}
	if got := list(t, e, ""); got != nil {
		t.Fatalf("keys: got %q", got)
	}
}

// testManyKeys writes 10 000 rows in one Update. The next one changes, leaves and deletes a third each.
//
// Contract: "One Update has up to 10 000 keys."
//
// Finds: an engine with a lower limit, of parameters or of a transaction; that works in batches and gives f the index
// in the batch, or the rows of another batch; that has one buffer for all rows; that yields only the first page of
// keys. The keys are shuffled, so that sorted order is not the caller's order.
func testManyKeys(t *testing.T, e ledger.Engine) {
	keys, rows := make([]string, maxKeys), make([]string, maxKeys)
	for i, n := range rand.Perm(maxKeys) {
		keys[i], rows[i] = fmt.Sprintf("key %05d", n), fmt.Sprintf("row %d of %d", n, i)
	}
	writeEach(t, e, keys, rows)
	expectEach(t, e, keys, rows)
	err := e.Update(t.Context(), keys, func(i int, row []byte) ([]byte, error) {
		return [][]byte{nil, {}, append(bytes.Clone(row), '+')}[i%3], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for i := range keys {
		rows[i] = []string{rows[i], "", rows[i] + "+"}[i%3]
		if rows[i] != "" {
			left = append(left, keys[i])
		}
	}
	expectEach(t, e, keys, rows)
	slices.Sort(left)
	if got := slices.Sorted(slices.Values(list(t, e, "key"))); !slices.Equal(got, left) {
		t.Fatalf("got %d keys, want %d", len(got), len(left))
	}
}

// writeEach writes rows[i] for keys[i] in one Update, whatever was there before; "" deletes.
func writeEach(t *testing.T, e ledger.Engine, keys, rows []string) {
	t.Helper()
	err := e.Update(t.Context(), keys, func(i int, _ []byte) ([]byte, error) { return []byte(rows[i]), nil })
	if err != nil {
		t.Fatalf("Update of %d keys: %v", len(keys), err)
	}
}

// lookalikeKeys are easily taken for one another: by an engine that folds case, trims, normalises or repairs Unicode,
// ends a text at a zero byte, reads a pattern or a number, quotes badly, or cuts a long key. All values of a byte
// occur.
func lookalikeKeys() (keys []string) {
	for _, end := range []string{
		"", " ", "\t", "\n", "\r\n", "\x00", "\x00\x00", "\x00a", "\xff", "\xfe", "\xff\xff", "\ufffd", "?", "\u00e9",
		"e\u0301", "\ufeff", "%", "%%", "%25", "*", "'", "''", `"`, `\`, `\\`, `\x00`, "{", "}", "{}", "/", "//", "/.", ":",
	} {
		keys = append(keys, "key"+end, "KEY"+end, end+"key")
	}
	for b := range 256 {
		keys = append(keys, string([]byte{byte(b)}))
	}
	keys = append(keys, "00", "1.0", "+1", "-1", "0x1", "1e0", " 1", "nil", "null", "\\N", "true") // 0 and 1 are there
	for _, n := range []int{128, 255, 256, 512, 1000, 1023, 1024, 1199} {                          // two that differ in their last byte
		stem := strings.Repeat("x", n-1)
		keys = append(keys, stem+"xa", stem+"xb", stem+"x")
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// testLookalikeKeys gives each of the lookalike keys a row of its own, then changes each alone, then deletes every
// other one.
//
// Contract: "A key has 1 to 1 200 bytes of any value." Two keys that differ in one byte are two keys.
//
// Finds: an engine or a database that takes two keys for one. The causes are in [lookalikeKeys]. Both rows then show
// what was written last. It writes all together and each alone, as an engine may build the two requests differently.
func testLookalikeKeys(t *testing.T, e ledger.Engine) {
	keys := lookalikeKeys()
	rows := make([]string, len(keys))
	for i := range rows {
		rows[i] = fmt.Sprint("row ", i)
	}
	writeEach(t, e, keys, rows)
	for i, key := range keys {
		expect(t, e, key, rows[i])
		put(t, e, key, rows[i]+"+")
		rows[i] += "+"
	}
	expectEach(t, e, keys, rows)
	if got := slices.Sorted(slices.Values(list(t, e, ""))); !slices.Equal(got, keys) {
		t.Fatalf("got %d keys, want %d", len(got), len(keys))
	}
	var left []string
	err := e.Update(t.Context(), keys, func(i int, _ []byte) ([]byte, error) { return [][]byte{{}, nil}[i%2], nil })
	for i := range keys {
		if i%2 == 0 {
			rows[i] = ""
		} else {
			left = append(left, keys[i])
		}
	}
	if got := slices.Sorted(slices.Values(list(t, e, ""))); err != nil || !slices.Equal(got, left) {
		t.Fatalf("after every other one was deleted: got %d keys, %v; want %d", len(got), err, len(left))
	}
	expectEach(t, e, keys, rows)
}

// testSizes writes keys and rows of many lengths, up to the longest. Then it gives each key a row of another length.
//
// Contract: "A key has 1 to 1 200 bytes of any value. A row has 1 to 65 536 bytes."
//
// Finds: an engine that cuts keys or rows, trims zeros at the end, or stores text and changes bytes that are not UTF-8.
// The limits of databases are often at a power of two or one below. 65 536 bytes do not fit a length of 16 bits.
func testSizes(t *testing.T, e ledger.Engine) {
	keys, rows := sized()
	writeEach(t, e, keys, rows)
	expectEach(t, e, keys, rows)
	slices.Reverse(rows) // short rows become long, and long ones short
	for i := range keys {
		put(t, e, keys[i], rows[i])
		expect(t, e, keys[i], rows[i])
	}
	if got, want := slices.Sorted(slices.Values(list(t, e, ""))), slices.Sorted(slices.Values(keys)); !slices.Equal(got, want) {
		t.Fatalf("got %d keys, want %d", len(got), len(want))
	}
}

// sized returns keys and rows of many lengths: random bytes, only zeros, only 0xff. The lengths are on both sides of
// where stores have limits or change how they keep a value. The keys are distinct, also those of one byte.
func sized() (keys, rows []string) {
	keyLengths := []int{1, 2, 63, 64, 65, 127, 128, 254, 255, 256, 257, 511, 512, 767, 768, 1023, 1024, 1025, 1198, 1199, maxKey}
	rowLengths := []int{1, 2, 127, 128, 255, 256, 2000, 4095, 4096, 4097, 8191, 8192, 16_384, 32_767, 32_768, 65_000, 65_534, 65_535, maxRow}
	for i, n := range keyLengths {
		m := rowLengths[i%len(rowLengths)]
		for _, fill := range []func(int) string{randomText, zeros, ones} {
			keys, rows = append(keys, fill(n)), append(rows, fill(m))
			m = rowLengths[(i+1)%len(rowLengths)]
		}
	}
	return distinct(keys), rows
}

func zeros(n int) string { return strings.Repeat("\x00", n) }
func ones(n int) string  { return strings.Repeat("\xff", n) }

// randomText returns n random bytes, so nearly always something that is not UTF-8.
func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return string(b)
}

// distinct replaces each key that has come before by another one of its length. Keys of one byte collide now and then,
// and the contract says that keys are distinct.
func distinct(keys []string) []string {
	seen := make(map[string]bool, len(keys))
	for i := range keys {
		for seen[keys[i]] {
			keys[i] = randomText(len(keys[i]))
		}
		seen[keys[i]] = true
	}
	return keys
}

// testRandom makes 300 random Updates of several keys and compares each row that f sees with a map.
//
// Contract: "When Update returns nil, each key has the row that the last call of f for it returned", whatever came
// before.
//
// Finds: what depends on a history that no other case has, such as a row that is remembered wrongly after a deletion.
func testRandom(t *testing.T, e ledger.Engine) {
	model := make(map[string]string)
	for range 300 {
		change(t, e, model)
	}
	compare(t, e, model)
}

// change makes a random Update, and makes it in the model too. Of 30 keys it takes one to eight, so keys come back
// soon. A quarter of the rows is left, a quarter deleted, and the others are written. Only one goroutine at a time may
// call it with the same model.
func change(t *testing.T, e ledger.Engine, model map[string]string) {
	t.Helper()
	n := rand.IntN(8) + 1
	keys, seen, want, out := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, k := range rand.Perm(30)[:n] {
		keys[i] = fmt.Sprint(k)
		want[i] = model[keys[i]]
		switch rand.IntN(4) {
		case 0:
		case 1:
			out[i] = []byte{}
		default:
			out[i] = []byte(randomText(rand.IntN(200) + 1))
		}
	}
	err := e.Update(t.Context(), keys, func(i int, row []byte) ([]byte, error) {
		seen[i] = string(row)
		// What f returns belongs to the engine, which may change it. out is needed below.
		return bytes.Clone(out[i]), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expectSeen(t, keys, seen, want)
	for i, key := range keys {
		switch {
		case out[i] == nil:
		case len(out[i]) == 0:
			delete(model, key)
		default:
			model[key] = string(out[i])
		}
	}
}

// compare fails unless Keys, Load and Update tell the same keys and rows as the model.
func compare(t *testing.T, e ledger.Engine, model map[string]string) {
	t.Helper()
	want := slices.Sorted(maps.Keys(model))
	if got := slices.Sorted(slices.Values(list(t, e, ""))); !slices.Equal(got, want) {
		t.Fatalf("keys: got %.200q, want %.200q", got, want)
	}
	for key, row := range model {
		expect(t, e, key, row)
	}
}
