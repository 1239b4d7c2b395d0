//go:build !windows

package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// TestReplaced: a file that is deleted, moved away or replaced under a running store is noticed at the next commit, and
// nothing is acknowledged until it is back.
func TestReplaced(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"deleted": func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".away")) },
		"replaced": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, os.Rename(path+".copy", path))
		},
		"emptied": func(t *testing.T, path string) {
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			filled(t, path)
			copied, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".copy", copied, 0o600))
			s := open(t, path)
			put(t, s, map[string]string{"a": "1"})
			want := rowsOf(t, s)

			change(t, path)
			for range 2 {
				require.ErrorIs(t, tryPut(s, map[string]string{"a": "2"}), boltstore.ErrReplaced)
			}
			_, err = tryRows(s)
			require.ErrorIs(t, err, boltstore.ErrReplaced)
			_, err = s.Load(t.Context(), "a")
			require.ErrorIs(t, err, boltstore.ErrReplaced)
			require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrReplaced)

			require.NoError(t, os.Rename(path+".away", path))
			got := rowsOf(t, s)
			require.Contains(t, []string{"1", "2"}, got["a"], "the first change went to the file that was away, or nowhere")
			got["a"] = "1"
			require.Equal(t, want, got)
			put(t, s, map[string]string{"a": "3"})
		})
	}
}

// TestOverwritten: so is another content of the same file, as a copy that is restored under a running store.
func TestOverwritten(t *testing.T) {
	for name, overwrite := range map[string]func(t *testing.T, path string, content []byte){
		"anew": func(t *testing.T, path string, content []byte) {
			require.NoError(t, os.WriteFile(path, content, 0o600))
		},
		"in place": func(t *testing.T, path string, content []byte) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(content)
			require.NoError(t, errors.Join(err, f.Close()))
		},
		"while it is in use": func(t *testing.T, path string, content []byte) {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			require.NoError(t, err)
			_, err = boltstore.Open(path)
			require.ErrorIs(t, err, boltstore.ErrLocked)
			_, err = f.Write(content)
			require.NoError(t, errors.Join(err, f.Close()))
		},
	} {
		for _, grants := range []int{1, 50} {
			t.Run(fmt.Sprintf("%s, after %d", name, grants), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "usage.db")
				filled(t, path)
				s := open(t, path)
				older, err := os.ReadFile(path)
				require.NoError(t, err)
				for range grants {
					put(t, s, map[string]string{"subject1": "new"})
				}
				want := rowsOf(t, s)
				newest, err := os.ReadFile(path)
				require.NoError(t, err)

				overwrite(t, path, older)
				for range 3 {
					require.ErrorIs(t, tryPut(s, map[string]string{"subject1": "lost"}), boltstore.ErrReplaced)
					_, err = tryRows(s)
					require.ErrorIs(t, err, boltstore.ErrReplaced)
					require.ErrorIs(t, s.Check(t.Context()), boltstore.ErrReplaced)
				}
				overwrite(t, path, newest)
				require.Equal(t, want, rowsOf(t, s))
				put(t, s, map[string]string{"subject1": "newer"})
				require.NoError(t, s.Check(t.Context()))
			})
		}
	}
}

// TestReplacedFolder: nor is anything acknowledged while the folder of the file is another, or none.
func TestReplacedFolder(t *testing.T) {
	for name, replace := range map[string]func(folder string) error{
		"gone":   func(string) error { return nil },
		"empty":  func(folder string) error { return os.Mkdir(folder, 0o700) },
		"a file": func(folder string) error { return os.WriteFile(folder, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "folder")
			require.NoError(t, os.Mkdir(folder, 0o700))
			s := open(t, filepath.Join(folder, "usage.db"))
			put(t, s, map[string]string{"a": "1"})
			require.NoError(t, os.Rename(folder, folder+".away"))
			require.NoError(t, replace(folder))
			for range 2 {
				require.ErrorIs(t, tryPut(s, map[string]string{"a": "2"}), boltstore.ErrReplaced)
			}
			require.NoError(t, os.RemoveAll(folder))
			require.NoError(t, os.Rename(folder+".away", folder))
			put(t, s, map[string]string{"a": "1"})
		})
	}
}

// TestReplacedAtClose: a store that makes no further commit learns it when it is closed.
func TestReplacedAtClose(t *testing.T) {
	for name, test := range map[string]struct {
		change func(path string) error
		want   error
	}{
		"deleted": {os.Remove, boltstore.ErrReplaced},
		"moved":   {func(path string) error { return os.Rename(path, path+".away") }, boltstore.ErrReplaced},
		"emptied": {func(path string) error { return os.Truncate(path, 0) }, boltstore.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "usage.db")
			s, err := boltstore.Open(path)
			require.NoError(t, err)
			put(t, s, map[string]string{"a": "1"})
			require.NoError(t, test.change(path))
			require.ErrorIs(t, s.Close(), test.want)
			require.NoError(t, s.Close())
			require.ErrorIs(t, tryPut(s, map[string]string{"a": "2"}), boltstore.ErrClosed)
		})
	}
}

// TestLinkedAgain: the file may move if a link leads to it from where it was.
func TestLinkedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	put(t, s, map[string]string{"a": "1"})
	require.NoError(t, os.Rename(path, path+".moved"))
	if err := os.Symlink(path+".moved", path); err != nil {
		t.Skip(err)
	}
	put(t, s, map[string]string{"a": "1"})
	require.NoError(t, s.Check(t.Context()))
}

// TestOverwrittenJournal: nor is a copy from before a change of a journal taken for the file, if the ledger has made no
// commit since.
func TestOverwrittenJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	put(t, s, map[string]string{"a": "1"})
	j := s.Journal("keys", 0)
	appendTo(t, j, 0, "item", "1")
	older := readFile(t, path)
	appendTo(t, j, 1, "item", "2")
	newest := readFile(t, path)
	require.NoError(t, os.WriteFile(path, older, 0o600))
	for range 3 {
		_, err := j.Append(t.Context(), 2, edit("item", "3"))
		require.ErrorIs(t, err, boltstore.ErrReplaced)
		require.ErrorIs(t, new(replica).read(t.Context(), j), boltstore.ErrReplaced)
		require.ErrorIs(t, j.Wait(t.Context(), 0), boltstore.ErrReplaced)
		require.ErrorIs(t, tryPut(s, map[string]string{"a": "2"}), boltstore.ErrReplaced)
	}
	require.NoError(t, os.WriteFile(path, newest, 0o600))
	appendTo(t, j, 2, "item", "3")
	require.Len(t, historyOf(t, j, "item"), 3)
	require.NoError(t, s.Check(t.Context()))
}

// TestReplacedJournal: a change that may have gone to a file which is no longer there is not acknowledged.
func TestReplacedJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usage.db")
	s := open(t, path)
	j := s.Journal("keys", 0)
	appendTo(t, j, 0, "item", "1")
	require.NoError(t, os.Rename(path, path+".away"))
	for range 2 {
		_, err := j.Append(t.Context(), 1, edit("item", "2"))
		require.ErrorIs(t, err, boltstore.ErrReplaced)
	}
	require.NoError(t, os.Rename(path+".away", path))
	_, head := itemsOf(t, j)
	require.Contains(t, []uint64{1, 2}, head)
	appendTo(t, j, head, "item", "3")
}
