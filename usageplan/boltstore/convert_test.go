package boltstore_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// version1 makes a copy of the file of version 1 in testdata, with its slot files, and returns its path.
//
// The code of version 1 made it, in a synctest bubble, so from 1 January 2000 on. A ledger in exact mode, with the
// thresholds 80 and 100, took on each of 75 days 10 + day%7 units of a monthly 1000 for ann, and 1 + day%60 units of a
// daily 50 for bob. Every tenth day it extended ann's limit and corrected what she had used. Then it was closed. A
// ledger in leased mode with blocks of 16 took 5 times 2 units for ann, carl, dora and eve. It extended eve's limit and
// corrected what carl had used, which ended their leases. Then the files were copied, as kill -9 leaves them: ann and
// dora have leases of 26 units, of which 10 have been spent, and the entries of this ledger are not folded. The boot id
// in the slot files was replaced by "boot 1".
func version1(t testing.TB) string {
	t.Helper()
	f, err := os.Open("testdata/version1.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, "usage.db")
		}
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		if name := filepath.Base(h.Name); h.Typeflag == tar.TypeReg && name != "version1.txt" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o640))
		}
	}
}

// Leases of ann and dora in that file.
const (
	leaseOfAnn  = 7800531836001858649
	leaseOfDora = 5176925637682908625
)

// ends is what is known of the leases of ann and dora: what they used, and what they still hold.
type ends struct{ annUsed, annHeld, doraUsed, doraHeld int64 }

var (
	known   = ends{10, 0, 10, 0}
	unknown = ends{10, 16, 10, 16}
)

func monthly() ledger.Quota { return ledger.Quota{Limit: 1000, Period: ledger.Monthly} }

func basic(subject string) ledger.Key { return ledger.Key{Plan: "basic", Subject: subject} }

// year2000 is a time on the n-th day of the year 2000.
func year2000(n int) time.Time { return time.Date(2000, 1, 1+n, 0, 0, 0, 0, time.UTC) }

// requireConverted: a ledger over the store knows all that the file of version 1 had.
func requireConverted(t testing.TB, s *boltstore.Store, e ends) {
	t.Helper()
	require.NoError(t, s.Check(t.Context()))
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	var subjects []string
	for key, err := range l.Keys(t.Context(), "basic") {
		require.NoError(t, err)
		subjects = append(subjects, key.Subject)
	}
	require.ElementsMatch(t, []string{"ann", "bob", "carl", "dora", "eve"}, subjects)
	requireDaysOfAnn(t, l, e)
	requireDaysOfBob(t, l)
	requireLastDay(t, l, "carl", ledger.Day{Used: 910, Remaining: 90, Limit: 1000})
	requireLastDay(t, l, "dora", ledger.Day{Used: e.doraUsed, Remaining: 1000 - e.doraUsed - e.doraHeld, Limit: 1000})
	requireLastDay(t, l, "eve", ledger.Day{Used: 10, Remaining: 995, Limit: 1000, Adjustments: 5})
	requireAdjustments(t, l)
}

func daysOf(t testing.TB, l *ledger.Ledger, subject string, q ledger.Quota) (days []ledger.Day) {
	t.Helper()
	for d, err := range l.Usage(t.Context(), basic(subject), q, year2000(0), year2000(75)) {
		require.NoError(t, err)
		days = append(days, d)
	}
	return days
}

func requireDaysOfAnn(t testing.TB, l *ledger.Ledger, e ends) {
	t.Helper()
	var want []ledger.Day
	remaining, extended, month := int64(0), int64(0), time.Month(0)
	for day := range 75 {
		at := year2000(day)
		if at.Month() != month {
			remaining, extended, month = 1000, 0, at.Month()
		}
		used := int64(10 + day%7)
		if day%10 == 3 {
			used -= 2
			remaining += int64(day)
			extended += int64(day)
		}
		remaining -= used
		want = append(want, ledger.Day{Start: at, Used: used, Remaining: remaining, Limit: 1000, Adjustments: extended})
	}
	last := ledger.Day{
		Start: year2000(75), Used: e.annUsed, Remaining: remaining - e.annUsed - e.annHeld, Limit: 1000, Adjustments: extended,
	}
	require.Equal(t, append(want, last), daysOf(t, l, "ann", monthly()))
}

func requireDaysOfBob(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	var want []ledger.Day
	for day := range 76 {
		used := int64(1 + day%60)
		if used > 50 || day == 75 {
			used = 0
		}
		want = append(want, ledger.Day{Start: year2000(day), Used: used, Remaining: 50 - used, Limit: 50})
	}
	require.Equal(t, want, daysOf(t, l, "bob", ledger.Quota{Limit: 50, Period: ledger.Daily}))
}

// requireLastDay: the subject used something on the last day only.
func requireLastDay(t testing.TB, l *ledger.Ledger, subject string, want ledger.Day) {
	t.Helper()
	days := daysOf(t, l, subject, monthly())
	want.Start = year2000(75)
	require.Equal(t, want, days[75])
	for _, d := range days[:75] {
		require.Zero(t, d.Used)
	}
}

func requireAdjustments(t testing.TB, l *ledger.Ledger) {
	t.Helper()
	extend := func(day int, n, before int64) ledger.Change {
		return ledger.Change{
			Adjustment: ledger.Adjustment{
				ID: fmt.Sprint("ticket-", day), Delta: n, Reason: "launch week", Actor: "owner",
			},
			Time: year2000(day), Before: before,
		}
	}
	correct := func(day int, id string, before int64) ledger.Change {
		return ledger.Change{
			Adjustment: ledger.Adjustment{ID: id, Delta: -2, Reason: "outage", Actor: "clerk"},
			Time:       year2000(day), Before: before, Correction: true,
		}
	}
	want := map[string][]ledger.Change{
		"ann": {
			extend(3, 3, 0), correct(3, "N5M6ELCO72G63OU5JWI5N4KEXB", 46),
			extend(13, 13, 3), correct(13, "RHDXMF2ZKDKQPTUXM4QLJO3YZF", 180),
			extend(23, 23, 16), correct(23, "V6FTVLBMXZDLIOX5RXZ4QKME74", 302),
			extend(33, 33, 0), correct(33, "PXJ3VUDKJQ2YC2UP42RHOFMCZG", 42),
			extend(43, 43, 33), correct(43, "QR26HP4KVRUURLMGFWPOWBEMGB", 168),
			extend(53, 53, 76), correct(53, "PVYE6VQ4QHWBIOFGPEP5QZ6T7M", 296),
			extend(63, 63, 0), correct(63, "3PGD5A5CBUZYG5S2LTHBIN7NMY", 55),
			extend(73, 73, 63), correct(73, "M4QJDEITRAVCNCNP4GLIMUF73I", 180),
		},
		"bob": nil,
		"carl": {{
			Adjustment: ledger.Adjustment{ID: "QZ7BSDWF437NZKD2D6MG4RDBQW", Delta: 900, Reason: "probe", Actor: "ops"},
			Time:       year2000(75), Before: 10, Correction: true,
		}},
		"dora": nil,
		"eve": {{
			Adjustment: ledger.Adjustment{ID: "ticket-900", Delta: 5, Reason: "gift", Actor: "support/bo"},
			Time:       year2000(75),
		}},
	}
	for subject, changes := range want {
		var got []ledger.Change
		for c, err := range l.Adjustments(t.Context(), basic(subject), year2000(0), year2000(75)) {
			require.NoError(t, err)
			month := time.Date(c.Time.UTC().Year(), c.Time.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
			require.Equal(t, ledger.Account{Key: basic(subject), Start: month.Unix()}, c.Account)
			c.Account, c.Time = ledger.Account{}, c.Time.UTC()
			got = append(got, c)
		}
		require.Equal(t, changes, got, subject)
	}
}

// TestConvert: a file of version 1 opens with everything in it. Its old self is kept. It is converted once.
func TestConvert(t *testing.T) {
	boltstore.SetBootID(t, "boot 1")
	path := version1(t)
	old := readFile(t, path)
	slotFiles := slices.Collect(glob(t, path+".spent.*"))
	var first os.FileInfo
	for range 3 {
		s, err := boltstore.Open(path)
		require.NoError(t, err)
		requireConverted(t, s, known)
		require.NoError(t, s.Close())
		info, err := os.Stat(path)
		require.NoError(t, err)
		if first == nil {
			first = info
		}
		require.True(t, os.SameFile(first, info))
		require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
		require.Equal(t, old, readFile(t, path+".before-rows"))
		want := append([]string{path + ".before-rows", path + ".lock"}, slotFiles...)
		require.Equal(t, want, slices.Collect(glob(t, path+".*")))
	}
}

// TestConvertByLink: it happens where the file is, and the link stays.
func TestConvertByLink(t *testing.T) {
	path, link := linked(t)
	require.NoError(t, os.WriteFile(path, readFile(t, version1(t)), 0o600))
	requireConverted(t, open(t, link), unknown)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
	require.FileExists(t, path+".before-rows")
}

// TestConvertedCrossingIsTold: one that version 1 had not told is told once.
func TestConvertedCrossingIsTold(t *testing.T) {
	path := version1(t)
	s := open(t, path)
	told := make(chan ledger.Crossing, 10)
	for range 2 {
		l, err := ledger.New(ledger.Config{Engine: s, OnThreshold: func(c ledger.Crossing) { told <- c }})
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	close(told)
	crossing := <-told
	require.Equal(t, basic("carl"), crossing.Account.Key)
	require.Equal(t, 80, crossing.Percent)
	require.Empty(t, told, "others have been told, or are of periods long gone")
}

// TestConvertedIDs: an adjustment that version 1 has made is not made again.
func TestConvertedIDs(t *testing.T) {
	l, err := ledger.New(ledger.Config{Engine: open(t, version1(t))})
	require.NoError(t, err)
	defer l.Close()
	b, err := l.Extend(t.Context(), basic("eve"), monthly(), ledger.Adjustment{ID: "ticket-900", Delta: 5})
	require.NoError(t, err)
	require.Zero(t, b.Adjustments)
	_, err = l.Extend(t.Context(), basic("eve"), monthly(), ledger.Adjustment{ID: "ticket-900", Delta: 6})
	require.Error(t, err)
	b, err = l.Extend(t.Context(), basic("eve"), monthly(), ledger.Adjustment{ID: "ticket-901", Delta: 6})
	require.NoError(t, err)
	require.EqualValues(t, 6, b.Adjustments)
}

// TestConvertSpendsSlotsFirst: what the leases of version 1 have spent is exact if the slot files are of this boot.
// Otherwise it is what had been reported, and the rest stays held.
func TestConvertSpendsSlotsFirst(t *testing.T) {
	tests := []struct {
		name   string
		boot   string
		change func(t *testing.T, path string)
		want   ends
	}{
		{"this boot", "boot 1", nil, known},
		{"another boot", "boot 2", nil, unknown},
		{"a boot without id", "", nil, unknown},
		{"a boot without id, then and now", "", func(t *testing.T, path string) { setBoot(t, path, "") }, unknown},
		{
			"slots of leases that have ended", "boot 1",
			func(t *testing.T, path string) {
				changeSlots(t, path, func(lease uint64, spent int64) int64 {
					if lease == leaseOfAnn || lease == leaseOfDora {
						return spent
					}
					return 0
				})
			},
			known,
		},
		{
			"more than was reported", "boot 1",
			func(t *testing.T, path string) { setSlot(t, path, leaseOfAnn, 25); setSlot(t, path, leaseOfDora, 26) },
			ends{25, 0, 26, 0},
		},
		{
			"less, as some came back", "boot 1",
			func(t *testing.T, path string) { setSlot(t, path, leaseOfAnn, 3); setSlot(t, path, leaseOfDora, -4) },
			ends{3, 0, -4, 0},
		},
		{
			"more than was granted", "boot 1",
			func(t *testing.T, path string) { setSlot(t, path, leaseOfAnn, 27) },
			ends{10, 16, 10, 0},
		},
		{
			"damaged headers", "boot 1",
			func(t *testing.T, path string) {
				for name := range glob(t, path+".spent.*") {
					changeFile(t, name, func(b []byte) []byte { b[20]++; return b })
				}
			},
			unknown,
		},
		{
			"torn files", "boot 1",
			func(t *testing.T, path string) {
				for name := range glob(t, path+".spent.*") {
					changeFile(t, name, func(b []byte) []byte { return b[:70] })
				}
			},
			unknown,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			boltstore.SetBootID(t, tt.boot)
			path := version1(t)
			if tt.change != nil {
				tt.change(t, path)
			}
			requireConverted(t, open(t, path), tt.want)
		})
	}
}

// setSlot replaces what a lease has spent, by its slot file.
func setSlot(t *testing.T, path string, lease uint64, spent int64) {
	t.Helper()
	found := 0
	changeSlots(t, path, func(l uint64, old int64) int64 {
		if l != lease {
			return old
		}
		found++
		return spent
	})
	require.Equal(t, 1, found)
}

// changeSlots replaces what each of the four leases in the slot files has spent.
func changeSlots(t *testing.T, path string, f func(lease uint64, spent int64) int64) {
	t.Helper()
	leases := 0
	for name := range glob(t, path+".spent.*") {
		changeFile(t, name, func(b []byte) []byte {
			for slot := b[64:]; len(slot) >= 16; slot = slot[16:] {
				if lease := binary.LittleEndian.Uint64(slot); lease != 0 {
					spent := f(lease, int64(binary.LittleEndian.Uint64(slot[8:])))
					binary.LittleEndian.PutUint64(slot[8:], uint64(spent))
					leases++
				}
			}
			return b
		})
	}
	require.Equal(t, 4, leases)
}

// setBoot replaces the boot id in the headers of the slot files.
func setBoot(t *testing.T, path, id string) {
	t.Helper()
	for name := range glob(t, path+".spent.*") {
		changeFile(t, name, func(b []byte) []byte {
			clear(b[16:60])
			copy(b[16:60], id)
			sum := crc32.Checksum(b[:60], crc32.MakeTable(crc32.Castagnoli))
			binary.LittleEndian.PutUint32(b[60:], sum)
			return b
		})
	}
}

func changeFile(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, f(readFile(t, name)), 0o600))
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return b
}

// glob yields the files of a pattern.
func glob(t testing.TB, pattern string) func(func(string) bool) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return slices.Values(names)
}

// TestConvertKeepsEarlierCopies: path.before-rows is never overwritten. An attempt that ended early makes no second
// copy.
func TestConvertKeepsEarlierCopies(t *testing.T) {
	path := version1(t)
	old := readFile(t, path)
	kept, kept2, kept3 := path+".before-rows", path+".before-rows-2", path+".before-rows-3"
	require.NoError(t, os.WriteFile(kept, []byte("somebody's"), 0o600))
	require.NoError(t, os.Link(path, kept2)) // as such an attempt leaves it
	require.NoError(t, os.WriteFile(path+".new-1", []byte("half of a file"), 0o600))
	s := open(t, path)
	requireConverted(t, s, unknown)
	require.NoError(t, s.Close())
	require.Equal(t, "somebody's", string(readFile(t, kept)))
	require.Equal(t, old, readFile(t, kept2))
	require.NoFileExists(t, kept3)
	require.NoFileExists(t, path+".new-1")

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, old, 0o600)) // put back
	requireConverted(t, open(t, path), unknown)
	require.Equal(t, "somebody's", string(readFile(t, kept)))
	require.Equal(t, old, readFile(t, kept2))
	require.Equal(t, old, readFile(t, kept3))
}

// TestConvertWithoutLinks: where a file system has none, path.before-rows is a copy.
func TestConvertWithoutLinks(t *testing.T) {
	boltstore.WithoutLinks(t)
	path := version1(t)
	old := readFile(t, path)
	require.NoError(t, os.WriteFile(path+".before-rows", []byte("somebody's"), 0o600))
	requireConverted(t, open(t, path), unknown)
	require.Equal(t, "somebody's", string(readFile(t, path+".before-rows")))
	require.Equal(t, old, readFile(t, path+".before-rows-2"))
	info, err := os.Stat(path + ".before-rows-2")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	require.Empty(t, slices.Collect(glob(t, path+".new-*")))
}

const convertEnv, stepEnv = "TALLYGATE_CONVERT_CHILD", "TALLYGATE_CONVERT_STEP"

// TestConvertChild converts a file, and kills itself after a number of steps.
func TestConvertChild(t *testing.T) {
	path := os.Getenv(convertEnv)
	if path == "" {
		t.Skip("run by TestConvertKilled")
	}
	last, err := strconv.Atoi(os.Getenv(stepEnv))
	require.NoError(t, err)
	boltstore.SetBootID(t, "boot 1")
	steps := 0
	boltstore.AtEachStep(func() {
		if steps++; steps == last {
			self, err := os.FindProcess(os.Getpid())
			require.NoError(t, err)
			_ = self.Kill()
			select {}
		}
	})
	acks := os.NewFile(3, "acks")
	_, _ = acks.WriteString("begun\n")
	if _, err := boltstore.Open(path); err != nil {
		fmt.Println(err)
		os.Exit(5)
	}
	_, _ = acks.WriteString("done\n")
	select {}
}

// killedAtStep runs a conversion that kills itself after a step, or is killed after a while. It reports whether the
// conversion had come to its end before.
func killedAtStep(t *testing.T, path string, step int, after time.Duration) (done bool) {
	t.Helper()
	env := []string{convertEnv + "=" + path, stepEnv + "=" + strconv.Itoa(step)}
	killed := run(t, "^TestConvertChild$", env, after, func(line string) { done = done || line == "done\n" })
	require.True(t, killed)
	return done
}

// requireOpens: the file opens with everything in it, and nothing lies about but one copy of the old one.
func requireOpens(t *testing.T, path string) {
	t.Helper()
	boltstore.SetBootID(t, "boot 1")
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	requireConverted(t, s, known)
	require.NoError(t, s.Close())
	require.Equal(t, []string{path + ".before-rows"}, slices.Collect(glob(t, path+".before-rows*")))
	require.Empty(t, slices.Collect(glob(t, path+".new-*")))
}

// TestConvertKilled: kill -9 after any step leaves a file that opens, also where earlier attempts had been killed
// before.
func TestConvertKilled(t *testing.T) {
	const long = 5 * time.Second // until a conversion that is not killed is done
	again := version1(t)
	step := 1
	for ; ; step++ {
		path := version1(t)
		if killedAtStep(t, path, step, time.Second/2) {
			break
		}
		requireOpens(t, path)
		killedAtStep(t, again, step, long)
	}
	require.Greater(t, step, 6, "made, filled twice or more, synced, kept, renamed")
	requireOpens(t, again)
}

// TestConvertKilledAnytime: so does kill -9 at any instant.
func TestConvertKilledAnytime(t *testing.T) {
	lives := 15
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		lives = 150
	}
	for range lives {
		path := version1(t)
		killedAtStep(t, path, 0, time.Duration(rand.IntN(12_000))*time.Microsecond)
		requireOpens(t, path)
	}
}

// TestConvertDamaged: a file of version 1 with a flipped bit is refused and stays as it is, unless nobody refers to the
// byte. The two pages of bbolt's metas are left out: without the newer one the file is as before its last commit.
func TestConvertDamaged(t *testing.T) {
	boltstore.SetBootID(t, "boot 1")
	stride := 997
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		stride = 251
	}
	good := readFile(t, version1(t))
	refused := 0
	for at := 2*os.Getpagesize() + rand.IntN(stride); at < len(good); at += stride {
		path := version1(t)
		bad := bytes.Clone(good)
		bad[at] ^= 1 << rand.IntN(8)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		s, err := boltstore.Open(path)
		if err == nil {
			requireConverted(t, s, known)
			require.NoError(t, s.Close())
			continue
		}
		refused++
		requireUntouched(t, path, bad, err)
	}
	require.Positive(t, refused)
}

// requireUntouched: a file was refused as damaged, and nothing was changed.
func requireUntouched(t testing.TB, path string, content []byte, err error) {
	t.Helper()
	require.ErrorIs(t, err, boltstore.ErrFormat)
	require.Equal(t, content, readFile(t, path))
	require.Empty(t, slices.Collect(glob(t, path+".before-rows*")))
	require.Empty(t, slices.Collect(glob(t, path+".new-*")))
}
