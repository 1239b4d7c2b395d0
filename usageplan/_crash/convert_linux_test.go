package crash

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The boot id that files of version 1 are compared with.
//
//go:linkname oldBootID github.com/tallygate/tallygate/usageplan/boltstore.bootID
var oldBootID func() string

// version1 are the file of version 1 that boltstore's tests convert, and its slot files.
func version1(t *testing.T) map[string][]byte {
	f, err := os.Open("../boltstore/testdata/version1.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	files := make(map[string][]byte)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		if name := filepath.Base(h.Name); h.Typeflag == tar.TypeReg && name != "version1.txt" {
			files[name], err = io.ReadAll(r)
			require.NoError(t, err)
		}
	}
}

// with has files, synced.
func (d *disk) with(files map[string][]byte) *disk {
	for name, b := range files {
		f := &file{disk: d, cache: slices.Clone(b), platter: slices.Clone(b)}
		d.names[name], d.kept[name] = f, f
	}
	return d
}

// testConversion: whatever the disk has after a life that ended while it converted a file of version 1, that file is there
// by one of two names, as it was; and it can be opened with all that was in it and all that has been acknowledged since.
func testConversion(t *testing.T) {
	old := version1(t)
	known := converted(t, old, "boot 1")
	unknown := converted(t, old, "boot 2")
	require.NotEqual(t, known, unknown)
	for _, tt := range earlyEnds {
		t.Run(tt.name, func(t *testing.T) {
			made := 0
			e := &early{
				t: t, test: "TestCreationChild", kill: tt.kill, skip: 1,
				disk: func() *disk { return newDisk(rand.Uint64(), tt.faults).with(old) },
				look: func(dir string, l lives) {
					path := filepath.Join(dir, "usage.db")
					present, err := os.ReadFile(path)
					require.NoError(t, err)
					if !slices.Equal(present, old["usage.db"]) {
						made++
						kept, err := os.ReadFile(path + ".before-rows")
						require.NoError(t, err)
						require.True(t, slices.Equal(kept, old["usage.db"]), "the old file has changed")
					}
					oldBootID = func() string { return "boot 2" }
					requireCounted(t, path, l)
					got := contents(t, path)
					require.True(t, got == known || got == unknown, got)
				},
			}
			e.run()
			t.Logf("ended before each of %d changes: %d states of the disk, of them %d with the new file", e.changes, e.states, made)
			require.Greater(t, e.changes, 15)
			require.NotZero(t, made)
			require.Equal(t, tt.kill, made == e.states)
		})
	}
}

// converted is what is read from files in a boot.
func converted(t *testing.T, files map[string][]byte, boot string) string {
	dir := t.TempDir()
	for name, b := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	oldBootID = func() string { return boot }
	return contents(t, filepath.Join(dir, "usage.db"))
}

// contents are all days and adjustments of a file that was made in the first months of 2000.
func contents(t *testing.T, path string) string {
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(t, err)
	first := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	last := first.Add(80 * day)
	text := new(strings.Builder)
	for _, subject := range []string{"ann", "bob", "carl", "dora", "eve"} {
		key := ledger.Key{Plan: "basic", Subject: subject}
		for d, err := range l.Usage(t.Context(), key, ledger.Quota{Limit: 1000, Period: ledger.Monthly}, first, last) {
			require.NoError(t, err)
			fmt.Fprintln(text, subject, d)
		}
		for c, err := range l.Adjustments(t.Context(), key, first, last) {
			require.NoError(t, err)
			fmt.Fprintln(text, c)
		}
	}
	require.NoError(t, l.Close())
	require.NoError(t, s.Close())
	return text.String()
}
