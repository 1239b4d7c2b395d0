package boltstore

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// unpack makes a copy of the file of version 1 in testdata, with its slot files, and returns its path and what the program
// that made it said it holds.
//
// That program ran two lives of a ledger over the store of version 1, in a synctest bubble, so from 1 January 2000 on. The
// first, in exact mode with the thresholds 80 and 100, took on each of 75 days 10 + day%7 units of a monthly 1000 for ann and
// 1 + day%60 of a daily 50 for bob, extended ann's limit every tenth day ("ticket-N", by owner) and corrected what she had
// used by -2 (by clerk), and was closed. The second, in leased mode with blocks of 16, took 5 times 2 units for ann, carl,
// dora and eve, extended eve's limit by 5 and corrected carl's usage by 900, which ended their leases. Then the files were
// copied, as kill -9 leaves them: with leases of ann and dora, of which 10 units are spent, and entries that are not folded.
// The boot id in the slot files was replaced by "boot 1".
func unpack(t *testing.T) (path, said string) {
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
			break
		}
		require.NoError(t, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(h.Name)), b, 0o640))
	}
	b, err := os.ReadFile(filepath.Join(dir, "version1.txt"))
	require.NoError(t, err)
	return filepath.Join(dir, "usage.db"), string(b)
}

func setBootID(t *testing.T, id string) {
	old := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = old })
}

// TestReadVersion1: all accounts, days and adjustments are read as the old code read them.
func TestReadVersion1(t *testing.T) {
	path, want := unpack(t)
	want = regexp.MustCompile(` leases \[.*`).ReplaceAllString(want, "")
	require.Equal(t, want, version1Text(t, path, nil))

	setBootID(t, "boot 1")
	known := spent(path)
	require.Len(t, known, 4, "two of them have been ended")
	want = strings.NewReplacer(
		"adjustments 136 used 218 held 16", "adjustments 136 used 202 held 0",
		"adjustments 0 used 26 held 16", "adjustments 0 used 10 held 0", // of dora, and of a day of each
	).Replace(want)
	require.Equal(t, want, version1Text(t, path, known))
	setBootID(t, "boot 2")
	require.Empty(t, spent(path))
}

func version1Text(t *testing.T, path string, spent map[uint64]int64) string {
	db, err := openFile(path, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	require.NoError(t, err)
	defer db.close()
	var keys []string
	require.NoError(t, db.view(func(tx *bolt.Tx) error {
		return readVersion1(tx, spent, func(accounts []ledger.Imported) error {
			var b strings.Builder
			changes := ""
			for _, a := range accounts {
				fmt.Fprintf(&b, "%s %d limit %d adjustments %d used %d held %d crossed %v told %v\n",
					a.Account.Subject, a.Account.Start, a.Limit, a.Adjustments, a.Used, a.Held, a.Crossed, a.Told)
				for _, d := range a.Days {
					fmt.Fprintf(&b, "  day %d limit %d adjustments %d used %d held %d\n", d.Day, d.Limit, d.Adjustments, d.Used, d.Held)
				}
				for _, c := range a.Changes {
					kind := map[bool]string{true: "correct", false: "extend"}[c.Correction]
					changes += fmt.Sprintf("  %s %d from %d at %d by %s because %s id %s\n", kind, c.Delta, c.Before, c.Time.Unix(), c.Actor, c.Reason, c.ID)
				}
			}
			keys = append(keys, b.String()+changes)
			return nil
		})
	}))
	slices.Sort(keys)
	return strings.Join(keys, "")
}

// TestConvert: a file of version 1 is opened, keeps its old self and its permissions, and a ledger over it knows all that the
// old one did.
func TestConvert(t *testing.T) {
	setBootID(t, "boot 1")
	path, _ := unpack(t)
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 2 {
		s, err := Open(path)
		require.NoError(t, err)
		require.NoError(t, s.Check(t.Context()))
		requireAnn(t, s)
		require.NoError(t, s.Close())
	}
	kept, err := os.ReadFile(path + ".before-rows")
	require.NoError(t, err)
	require.Equal(t, old, kept)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	names, err := filepath.Glob(path + ".*")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{path + ".before-rows", path + ".lock"}, names)

	require.NoError(t, os.WriteFile(path, old, 0o640)) // put back
	s, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	again, err := os.ReadFile(path + ".before-rows-2")
	require.NoError(t, err)
	require.Equal(t, old, again)
	kept, err = os.ReadFile(path + ".before-rows")
	require.NoError(t, err)
	require.Equal(t, old, kept)
}

func requireAnn(t *testing.T, s *Store) {
	t.Helper()
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(t, err)
	ann := ledger.Key{Plan: "basic", Subject: "ann"}
	var keys []string
	for key, err := range l.Keys(t.Context(), "basic") {
		require.NoError(t, err)
		keys = append(keys, key.Subject)
	}
	require.ElementsMatch(t, []string{"ann", "bob", "carl", "dora", "eve"}, keys)
	from, to := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2000, 3, 17, 0, 0, 0, 0, time.UTC)
	var reasons []string
	for c, err := range l.Adjustments(t.Context(), ann, from, to) {
		require.NoError(t, err)
		reasons = append(reasons, fmt.Sprintf("%s %d: %s", c.Actor, c.Delta, c.Reason))
	}
	require.Len(t, reasons, 16)
	require.Equal(t, []string{"owner 3: launch week", "clerk -2: outage", "owner 13: launch week"}, reasons[:3])
	q := ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	total, days := int64(0), 0
	for d, err := range l.Usage(t.Context(), ann, q, from, to) {
		require.NoError(t, err)
		total += d.Used
		days++
	}
	want := int64(10 - 8*2) // what the second life spent, and the corrections
	for day := range 75 {
		want += int64(10 + day%7)
	}
	require.Equal(t, want, total)
	require.Positive(t, days)
	require.NoError(t, l.Close())
}

// TestConvertedHalfway: whatever an earlier conversion has left, the file opens, and no copy is overwritten or made twice.
func TestConvertedHalfway(t *testing.T) {
	path, _ := unpack(t)
	require.NoError(t, os.WriteFile(path+".new-1", []byte("half of a file"), 0o600))
	require.NoError(t, os.WriteFile(path+".before-rows", []byte("somebody's"), 0o600))
	require.NoError(t, os.Link(path, path+".before-rows-2"))
	s, err := Open(path)
	require.NoError(t, err)
	requireAnnAny(t, s)
	require.NoError(t, s.Close())
	b, err := os.ReadFile(path + ".before-rows")
	require.NoError(t, err)
	require.Equal(t, "somebody's", string(b))
	_, err = os.Stat(path + ".before-rows-3")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// requireAnnAny is requireAnn where it does not matter whether the slots were believed.
func requireAnnAny(t *testing.T, s *Store) {
	t.Helper()
	require.NoError(t, s.Check(t.Context()))
	row, err := s.Load(t.Context(), "k\x00\x05basicann")
	require.NoError(t, err)
	require.NotEmpty(t, row)
}
