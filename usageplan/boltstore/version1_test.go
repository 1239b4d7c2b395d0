package boltstore_test

import (
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// file1 is a file of version 1 to be written, by bucket and key.
type file1 map[string]map[string][]byte

// write makes the file.
func (f file1) write(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "usage.db")
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bolt.Tx) error {
		for name, values := range f {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for key, value := range values {
				if err := b.Put([]byte(key), value); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
	return path
}

func number1(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// value1 is a value: numbers, texts and parts that are encoded already, and the checksum.
func value1(parts ...any) []byte {
	b := parts1(parts...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func parts1(parts ...any) (b []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.AppendVarint(b, int64(p))
		case uint:
			b = binary.AppendUvarint(b, uint64(p))
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, p)
		case byte:
			b = append(b, p)
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// Times in the files that follow are those of days since 2000. The quota is a monthly 100.
const day1 = 86400

func start1(day int) int64 { return year2000(0).Unix() + int64(day)*day1 }

func name1(subject string, day int) string {
	b := append([]byte{0, 5}, "basic"...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(subject))), subject...)
	return string(binary.BigEndian.AppendUint64(b, uint64(start1(day))^1<<63))
}

// Kinds of entries.
const (
	charge byte = 1 + iota
	trueUp
	refund
	reserve
	report
	giveBack
	extend
	correct
	tell
)

// entry1 is an entry of an account that begins on a day, about another day. An adjustment has a text and changes from
// 7.
func entry1(kind byte, subject string, from, day, granted int, text string) []byte {
	before := 0
	if text != "" {
		before = 7
	}
	name := name1(subject, from)
	numbers := parts1(granted, (day-from)*day1, 60, 100, granted, before, 0)
	return parts1(kind, name, numbers, uint64(0), uint(0), uint(0), text, text, text)
}

// onLease is an entry of a lease.
func onLease(kind byte, subject string, from, day, granted, spent int, lease uint64) []byte {
	name := name1(subject, from)
	numbers := parts1(granted, (day-from)*day1, 60, 100, granted, 0, spent)
	return parts1(kind, name, numbers, lease, uint(0), uint(0), "", "", "")
}

func record1(entries ...[]byte) []byte { return value1(1_000_000, parts1(anys(entries)...)) }

func anys(parts [][]byte) (all []any) {
	for _, p := range parts {
		all = append(all, p)
	}
	return all
}

// row1 is an account that begins on a day. It used something on that day and on the next, was extended on the first,
// and has made two adjustments.
func row1(day, first, second, extended int, after ...any) []byte {
	return value1(append([]any{
		int(start1(day)), 100, extended, first + second, 0, uint(0), uint(0), uint(0), uint(0),
		uint(2), 0, 100, extended, first, 0, day1, 100, 0, second, 0,
		uint(0),
		uint(2), "an extension", extended, "a correction", 2,
	}, after...)...)
}

// sound is a file with the account of ann. Records 1 to 3 have been dropped; base has what they added up to. Records 4
// and 5 have been folded.
func sound() file1 {
	return file1{
		"meta":     {"version": []byte(number1(1)), "folded": []byte(number1(5))},
		"accounts": {name1("ann", 0): row1(0, 10, 20, 6, extend, correct)},
		"base":     {name1("ann", 0): value1(12, 6)},
		"log": {
			number1(4): record1(entry1(charge, "ann", 0, 1, 10, ""), entry1(refund, "ann", 0, 1, 2, "")),
			number1(5): record1(entry1(charge, "ann", 0, 1, 10, "")),
		},
	}
}

// requireUsage compares what was used of the days from one on, and what remained at the end of the last.
func requireUsage(t *testing.T, l *ledger.Ledger, subject string, from int, remaining int64, used ...int64) {
	t.Helper()
	q := ledger.Quota{Limit: 100, Period: ledger.Monthly}
	var got []int64
	for d, err := range l.Usage(t.Context(), basic(subject), q, year2000(from), year2000(from+len(used)-1)) {
		require.NoError(t, err)
		got = append(got, d.Used)
		if len(got) == len(used) {
			require.Equal(t, remaining, d.Remaining)
		}
	}
	require.Equal(t, used, got)
}

// convertedLedger is a ledger over a file of version 1.
func convertedLedger(t *testing.T, f file1) *ledger.Ledger {
	t.Helper()
	l, err := ledger.New(ledger.Config{Engine: open(t, f.write(t))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func adjustmentsOf(t *testing.T, l *ledger.Ledger, subject string) (all []ledger.Change) {
	t.Helper()
	for c, err := range l.Adjustments(t.Context(), basic(subject), year2000(0), year2000(400)) {
		require.NoError(t, err)
		c.Time = c.Time.UTC()
		all = append(all, c)
	}
	return all
}

// TestConvertForgotten: of adjustments whose entries have been dropped, ids and amounts are kept.
func TestConvertForgotten(t *testing.T) {
	of := func(id string, delta int64, correction bool) ledger.Change {
		return ledger.Change{
			Adjustment: ledger.Adjustment{ID: id, Delta: delta},
			Account:    ledger.Account{Key: basic("ann"), Start: start1(0)}, Time: year2000(0), Correction: correction,
		}
	}
	f := sound()
	l := convertedLedger(t, f)
	extension := of("an extension", 6, false)
	requireUsage(t, l, "ann", 0, 76, 10, 20, 0)
	require.Equal(t, []ledger.Change{extension, of("a correction", 2, true)}, adjustmentsOf(t, l, "ann"))

	f["accounts"][name1("ann", 0)] = row1(0, 10, 20, 6) // as the first rows of version 1 were
	l = convertedLedger(t, f)
	require.Equal(t, []ledger.Change{extension, of("a correction", 2, false)}, adjustmentsOf(t, l, "ann"))
}

// TestConvertAdjustments: one whose entry is in the log is whole, after those that have been forgotten.
func TestConvertAdjustments(t *testing.T) {
	f := sound()
	f["base"][name1("ann", 0)] = value1(12, 0)
	f["log"][number1(4)] = record1(
		entry1(charge, "ann", 0, 1, 8, ""), entry1(extend, "ann", 0, 0, 6, "an extension"),
	)
	f["log"][number1(6)] = record1(entry1(correct, "ann", 0, 1, -5, "a late one"))
	l := convertedLedger(t, f)
	requireUsage(t, l, "ann", 0, 81, 10, 15)
	account := ledger.Account{Key: basic("ann"), Start: start1(0)}
	whole := func(id string, delta int64, at time.Time, correction bool) ledger.Change {
		return ledger.Change{
			Adjustment: ledger.Adjustment{ID: id, Delta: delta, Reason: id, Actor: id},
			Account:    account, Time: at.Add(time.Minute), Before: 7, Correction: correction,
		}
	}
	require.Equal(t, []ledger.Change{
		{
			Adjustment: ledger.Adjustment{ID: "a correction", Delta: 2},
			Account:    account, Time: year2000(0), Correction: true,
		},
		whole("an extension", 6, year2000(0), false),
		whole("a late one", -5, year2000(1), true),
	}, adjustmentsOf(t, l, "ann"))
}

// TestConvertUnfolded: entries that had not been folded count, for accounts with a row and without one, in any order.
func TestConvertUnfolded(t *testing.T) {
	f := sound()
	f["log"][number1(6)] = record1(
		entry1(charge, "zoe", 0, 3, 1, ""),
		entry1(trueUp, "aby", 0, 1, 2, ""), entry1(refund, "aby", 0, 1, 1, ""),
		entry1(charge, "ann", 0, 1, 3, ""),
		entry1(charge, "ann", 31, 31, 5, ""),
	)
	f["log"][number1(7)] = record1(
		entry1(charge, "ann", 60, 60, 7, ""), entry1(charge, "ann", 60, 61, 8, ""),
		onLease(reserve, "zoe", 0, 3, 10, 0, 1), onLease(report, "zoe", 0, 3, 0, 4, 1),
		onLease(giveBack, "zoe", 0, 3, 5, 5, 1),
		onLease(reserve, "zoe", 0, 3, 20, 0, 2), onLease(reserve, "zoe", 0, 3, 10, 9, 2), // which stays open
	)
	l := convertedLedger(t, f)
	requireUsage(t, l, "ann", 0, 73, 10, 23, 0)
	requireUsage(t, l, "ann", 30, 95, 0, 5, 0)
	requireUsage(t, l, "ann", 60, 85, 7, 8)
	requireUsage(t, l, "aby", 0, 99, 0, 1)
	requireUsage(t, l, "zoe", 0, 100-1-5-30, 0, 0, 0, 1+5+9)
}

// TestConvertUnfoldedTells: a crossing that an unfolded entry made is told, unless another entry says that it has been.
func TestConvertUnfoldedTells(t *testing.T) {
	crossed := func(percent int) uint { return 1 << (percent % 64) }
	crosses := func(subject string) []byte { // 50 and 80 percent
		numbers := parts1(85, 0, 60, 100, 85, 0, 0)
		return parts1(charge, name1(subject, 0), numbers, uint64(0), crossed(50), crossed(80), "", "", "")
	}
	tells := func(subject string, percent int) []byte { return entry1(tell, subject, 0, 0, percent, "") }
	f := sound()
	f["log"][number1(6)] = record1(crosses("bob"), crosses("eve"), tells("eve", 80), tells("bob", 80), tells("eve", 50))
	told := make(chan ledger.Crossing, 10)
	l, err := ledger.New(ledger.Config{
		Engine: open(t, f.write(t)), OnThreshold: func(c ledger.Crossing) { told <- c },
	})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	close(told)
	c := <-told
	require.Equal(t, basic("bob"), c.Account.Key)
	require.Equal(t, 50, c.Percent)
	require.Empty(t, told)
}

// TestConvertRefuses: a file that does not add up, or of which a part is missing, is refused and stays as it is.
func TestConvertRefuses(t *testing.T) {
	ann := name1("ann", 0)
	tests := []struct {
		name   string
		change func(f file1)
	}{
		{"an older copy of a row", func(f file1) { f["accounts"][ann] = row1(0, 10, 10, 6, extend, correct) }},
		{"other adjustments", func(f file1) { f["accounts"][ann] = row1(0, 10, 20, 5, extend, correct) }},
		{"no row", func(f file1) { delete(f["accounts"], ann) }},
		{"the row of another", func(f file1) {
			f["accounts"][name1("bob", 0)] = f["accounts"][ann]
			delete(f["accounts"], ann)
		}},
		{"no base", func(f file1) { delete(f["base"], ann) }},
		{"no base of any", func(f file1) { delete(f, "base") }},
		{"no accounts", func(f file1) { delete(f, "accounts") }},
		{"no log", func(f file1) { delete(f, "log") }},
		{"no mark", func(f file1) { delete(f["meta"], "folded") }},
		{"an entry less", func(f file1) { f["log"][number1(4)] = record1(entry1(charge, "ann", 0, 1, 10, "")) }},
		{"no last folded record", func(f file1) { delete(f["log"], number1(5)) }},
		{"a gap", func(f file1) { f["log"][number1(7)] = record1() }},
		{"a gap after the mark", func(f file1) {
			f["log"] = map[string][]byte{number1(7): record1()}
			f["base"][ann] = value1(30, 6)
		}},
		{"a long number", func(f file1) { f["log"][number1(6)+"0"] = record1() }},
		{"a lease that nobody opened", func(f file1) {
			f["log"][number1(6)] = record1(onLease(giveBack, "ann", 0, 1, 5, 5, 1))
		}},
		{"an unknown kind", func(f file1) { f["log"][number1(6)] = record1(entry1(tell+1, "ann", 0, 1, 1, "")) }},
		{"half an entry", func(f file1) { f["log"][number1(6)] = record1(entry1(charge, "ann", 0, 1, 1, "")[:20]) }},
		{"a row with the start of another", func(f file1) { f["accounts"][ann] = row1(1, 10, 20, 6, extend, correct) }},
		{"a long row", func(f file1) { f["accounts"][ann] = row1(0, 10, 20, 6, extend, correct, byte(0)) }},
		{"half a row", func(f file1) {
			b := f["accounts"][ann]
			f["accounts"][ann] = value1(b[:len(b)/2])
		}},
		{"days that do not ascend", func(f file1) {
			f["accounts"][ann] = value1(
				int(start1(0)), 100, 6, 30, 0, uint(0), uint(0), uint(0), uint(0),
				uint(2), day1, 100, 6, 10, 0, 0, 100, 0, 20, 0, uint(0), uint(0),
			)
		}},
		{"days that do not add up", func(f file1) {
			f["accounts"][ann] = value1(
				int(start1(0)), 100, 6, 31, 0, uint(0), uint(0), uint(0), uint(0),
				uint(1), 0, 100, 6, 30, 0, uint(0), uint(0),
			)
		}},
		{"a checksum", func(f file1) { f["accounts"][ann][0] ^= 1 }},
		{"a checksum of the base", func(f file1) { f["base"][ann][0] ^= 1 }},
		{"a checksum of a record", func(f file1) {
			b := record1(entry1(correct, "ann", 0, 1, 1, "a reason"))
			b[len(b)-5] ^= 1 // in the text
			f["log"][number1(6)] = b
		}},
		{"an empty value", func(f file1) { f["accounts"][ann] = nil }},
		{"half a name", func(f file1) { f["accounts"][ann[:9]] = f["accounts"][ann] }},
		{"a key that no ledger takes", func(f file1) {
			f["log"][number1(6)] = record1(entry1(charge, strings.Repeat("s", 513), 0, 1, 1, ""))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := sound()
			tt.change(f)
			path := f.write(t)
			content := readFile(t, path)
			_, err := boltstore.Open(path)
			requireUntouched(t, path, content, err)
			require.ErrorContains(t, err, "boltstore: open "+path+": convert: ")
		})
	}
}
