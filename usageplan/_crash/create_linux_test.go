package crash

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
)

const createEnv = "TALLYGATE_CREATE_CHILD"

// count adds to a row of its own and returns what is in it then.
func count(ctx context.Context, s *boltstore.Store, n uint64) (total uint64, err error) {
	err = s.Update(ctx, []string{"count"}, func(_ int, row []byte) ([]byte, error) {
		if total = n; row != nil {
			total += binary.BigEndian.Uint64(row)
		}
		return binary.BigEndian.AppendUint64(nil, total), nil
	})
	return total, err
}

// TestCreationChild makes a file and counts in it, once.
func TestCreationChild(t *testing.T) {
	path := os.Getenv(createEnv)
	if path == "" {
		t.Skip("run by TestPowerCut")
	}
	s, err := boltstore.Open(path)
	if err == nil {
		_, err = count(t.Context(), s, 1)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(7)
	}
	_, _ = os.NewFile(3, "acks").Write([]byte{1})
	select {} // without closing
}

// testCreation ends a life before each change that creating a file makes on its disk, whether by a power cut, or by a
// kill after which the next process finds what this one has left, not all of it synced, and then the power goes.
// Whatever the disk has then, a file can be opened, or none is there and one is made; and what has been acknowledged is
// in it.
func testCreation(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kill   bool
		faults faults
		old    []byte // a file of version 1, which is converted
	}{
		{"power cuts", false, faults{}, nil},
		{"power cuts, no links", false, faults{unlinked: true}, nil},
		{"kills", true, faults{}, nil},
		{"kills, no links", true, faults{unlinked: true}, nil},
		{"power cuts of a conversion", false, faults{}, version1(t)},
		{"kills of a conversion", true, faults{}, version1(t)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			c := &creation{t: t, disk: newDisk(seed, tt.faults), old: tt.old}
			c.placeOld()
			for at := 1; !c.at(at, tt.kill); at++ {
				require.Less(t, at, 200)
				c.disk = newDisk(seed+uint64(at), tt.faults)
				c.placeOld()
			}
			t.Logf("ended before each of %d changes: %d states of the disk, of them %d without the file", c.points, c.states, c.absent)
			require.Greater(t, c.points, 15)
			require.Greater(t, c.states, c.points)
			require.Less(t, c.absent, c.states)
			require.Equal(t, tt.kill || tt.old != nil, c.absent == 0, "the next process makes the file durable")
		})
	}
}

// version1 is the file of version 1 that package boltstore has for its tests.
func version1(t *testing.T) []byte {
	f, err := os.Open("../boltstore/testdata/version1.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		require.NoError(t, err)
		if path.Base(h.Name) == "usage.db" {
			b, err := io.ReadAll(r)
			require.NoError(t, err)
			return b
		}
	}
}

type creation struct {
	t    *testing.T
	disk *disk
	old  []byte

	points, states, absent int
}

// placeOld puts the file that is to be converted on the disk.
func (c *creation) placeOld() {
	if c.old == nil {
		return
	}
	f := &file{disk: c.disk}
	c.disk.names["usage.db"], c.disk.kept["usage.db"] = f, f
	f.change(write{0, c.old})
	require.Zero(c.t, f.sync())
}

// at ends the life of a process before its n-th change, and reports whether the process had done all it is to do before
// that.
func (c *creation) at(n int, kill bool) (done bool) {
	dir, unmount := mount(c.t, c.disk)
	defer unmount()
	path := filepath.Join(dir, "usage.db")
	done = c.process(path, func(child *os.Process, change int) bool {
		if change == n && kill {
			_ = child.Kill()
		}
		c.disk.cut = c.disk.cut || change >= n && !kill
		return change >= n
	})
	acked, lives := done, uint64(1)
	if !done {
		c.points++
		if kill {
			require.True(c.t, c.process(path, nil), "the next process")
			acked, lives = true, 2
		}
	}
	c.images(acked, lives)
	return done
}

// process runs the child, and reports whether it has acknowledged. stop tells before which change it ends; the disk is
// locked then.
func (c *creation) process(path string, stop func(child *os.Process, change int) bool) (acked bool) {
	in, out, err := os.Pipe()
	require.NoError(c.t, err)
	defer in.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestCreationChild$")
	child.Env = append(os.Environ(), createEnv+"="+path)
	child.ExtraFiles = []*os.File{out}
	printed := new(strings.Builder)
	child.Stdout, child.Stderr = printed, printed
	c.disk.mu.Lock() // until the child is known
	require.NoError(c.t, child.Start())
	c.disk.made, c.disk.stop = 0, nil
	if stop != nil {
		c.disk.stop = func(n int) bool { return stop(child.Process, n) }
	}
	c.disk.mu.Unlock()
	require.NoError(c.t, out.Close())
	n, _ := in.Read(make([]byte, 1))
	_ = child.Process.Kill()
	if err := child.Wait(); n == 0 && err.Error() != "signal: killed" {
		require.EqualError(c.t, err, "exit status 7", "%s", printed) // an error was told, nothing worse
	}
	return n == 1
}

// images opens what a power cut may leave.
func (c *creation) images(acked bool, lives uint64) {
	n := 10
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		n = 60
	}
	seen := make(map[[32]byte]bool)
	for range n {
		files := c.disk.powerCut().contents()
		if sum := sumOf(files); !seen[sum] {
			seen[sum] = true
			c.states++
			c.image(files, acked, lives)
		}
	}
}

func sumOf(files map[string][]byte) (sum [32]byte) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d ", name, len(files[name]))
		h.Write(files[name])
	}
	h.Sum(sum[:0])
	return sum
}

func (c *creation) image(files map[string][]byte, acked bool, lives uint64) {
	dir := c.t.TempDir()
	for name, b := range files {
		require.NoError(c.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	_, found := files["usage.db"]
	if !found {
		c.absent++
		require.False(c.t, acked, "the file is gone")
	}
	for used := range uint64(2) { // opens, and opens again
		s, err := boltstore.Open(filepath.Join(dir, "usage.db"))
		require.NoError(c.t, err)
		ann, err := s.Load(c.t.Context(), "k\x00\x05basicann")
		require.NoError(c.t, err)
		require.Equal(c.t, c.old != nil, len(ann) > 0, "converted")
		total, err := count(c.t.Context(), s, 10)
		require.NoError(c.t, err)
		before := total - 10*(used+1)
		require.LessOrEqual(c.t, before, lives, "more than was asked for")
		require.True(c.t, before >= 1 || !acked, "acknowledged and lost")
		require.NoError(c.t, s.Check(c.t.Context()))
		require.NoError(c.t, s.Close())
	}
}
