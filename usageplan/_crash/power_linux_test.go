package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
	bolt "go.etcd.io/bbolt"
)

const (
	workers  = 16
	keys     = 4
	childEnv = "TALLYGATE_POWER_CHILD"
)

// The sizes of boltstore, whose own are too large for a life of milliseconds, and the boot id of slots. They are nobody's to
// set but a test's, so there is no other way to them.
//
//go:linkname minBytes github.com/tallygate/tallygate/usageplan/boltstore.minBytes
var minBytes int

//go:linkname maxBytes github.com/tallygate/tallygate/usageplan/boltstore.maxBytes
var maxBytes int

//go:linkname bootID github.com/tallygate/tallygate/usageplan/slots.bootID
var bootID func() string

func key(i int) ledger.Key { return ledger.Key{Plan: "crash", Subject: fmt.Sprint("key", i)} }

// quota gives even keys a limit that is reached.
func quota(i int) ledger.Quota {
	return ledger.Quota{Limit: []int64{300, 1 << 40}[i%2], Period: ledger.Monthly}
}

// TestChild is the process on the disk. It goes on after errors, and says which takes were granted.
func TestChild(t *testing.T) {
	arg := os.Getenv(childEnv)
	if arg == "" {
		t.Skip("run by TestPowerCut")
	}
	fields := strings.SplitN(arg, ",", 5)
	exact := fields[0] == "true"
	mapped := !exact && fields[1] == "false" && runtime.GOARCH == "amd64"
	acks := os.NewFile(3, "acks")
	ready(acks)
	if fields[2] == "true" { // a checkpoint every few commits
		minBytes, maxBytes = 2048, 2048
	}
	bootID = func() string { return fields[3] }
	s := untilOpen(func() (*boltstore.Store, error) { return boltstore.Open(fields[4]) })
	config := ledger.Config{Engine: s, Exact: exact, Block: 32}
	if !exact {
		config.Slots = untilOpen(func() (*slots.Slots, error) { return slots.Open(filepath.Dir(fields[4])) })
	}
	l := untilOpen(func() (*ledger.Ledger, error) { return ledger.New(config) })
	var first sync.Once
	for range workers {
		go func() {
			for {
				k := rand.IntN(keys)
				_, err := l.Take(context.Background(), key(k), quota(k), 1)
				switch {
				case err == nil:
					first.Do(func() { mustMap(mapped) })
					if _, err := acks.Write([]byte{byte(k)}); err != nil {
						os.Exit(3)
					}
				case errors.Is(err, ledger.ErrUnavailable):
					time.Sleep(time.Millisecond)
				case !errors.Is(err, ledger.ErrExhausted):
					fmt.Println(err)
					os.Exit(4)
				}
			}
		}()
	}
	select {}
}

// mustMap ends the child if its slot files are mapped and should not be, or the other way round.
func mustMap(want bool) {
	maps, err := os.ReadFile("/proc/self/maps")
	if got := strings.Contains(string(maps), "/spent-"); err != nil || got != want {
		fmt.Println("slot files mapped:", got, err)
		os.Exit(6)
	}
}

func ready(w io.Writer) { _, _ = w.Write([]byte{255}) }

// untilOpen tries again while the disk fails; a damaged file ends the child, which the parent notices.
func untilOpen[T any](open func() (T, error)) T {
	for {
		v, err := open()
		if err == nil {
			return v
		}
		if errors.Is(err, boltstore.ErrFormat) || errors.Is(err, boltstore.ErrVersion) {
			fmt.Println(err)
			os.Exit(5)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPowerCut(t *testing.T) {
	cuts := 10
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		cuts = 50
	}
	for _, tt := range []struct {
		name   string
		exact  bool
		faults faults
	}{
		{"exact", true, faults{}},
		{"leased", false, faults{}},
		{"leased, no maps", false, faults{unmapped: true}},
		{"exact, syncs fail", true, faults{syncs: 12}},
		{"leased, syncs fail", false, faults{syncs: 12}},
		{"exact, writes are short", true, faults{writes: 50}},
		{"leased, writes are short", false, faults{writes: 50}},
		{"leased, no maps, writes are short", false, faults{writes: 500, unmapped: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := &rig{t: t, exact: tt.exact, rand: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(seed, tt.faults)}
			for r.cuts < cuts {
				r.life()
			}
			t.Logf("%d power cuts, %d kills without one, %d failed syncs, %d short writes, %d acknowledged: none lost, none over the limit, no file unreadable",
				r.cuts, r.kills, r.failed, r.short, r.acknowledged)
			t.Logf("%d of the cuts met lives that had ended a checkpoint, up to record %d", r.checkpoints, r.first)
			require.NotZero(t, r.checkpoints)
			require.Equal(t, tt.faults.syncs > 0, r.failed > 0)
			require.Equal(t, tt.faults.writes > 0, r.short > 0)
		})
	}
	t.Run("creation", testCreation)
	t.Run("of the disk alone", testGone)
}

// rig is a machine that loses power again and again.
type rig struct {
	t     *testing.T
	exact bool
	rand  *rand.Rand
	disk  *disk

	acked        [keys]int64
	acknowledged int
	lives        int64 // kills and cuts
	cuts, kills  int
	failed       int // syncs
	short        int // writes

	first       uint64 // record that was not in the rows after the last cut
	checkpoints int    // cuts that met a life which had ended one
}

// life is from power on to power off. The process may be killed and started again meanwhile, on the same page cache.
func (r *rig) life() {
	dir, unmount := mount(r.t, r.disk)
	defer unmount()
	for r.rand.IntN(3) == 0 {
		r.process(dir, func() {})
		r.kills++
		r.check(r.disk.contents())
	}
	var next *disk
	r.process(dir, func() { next = r.disk.powerCut() })
	r.cuts++
	r.failed += r.disk.failed
	r.short += r.disk.short
	r.disk = next
	if first := r.check(next.contents()); first > r.first {
		r.first = first
		r.checkpoints++
	}
}

// process runs the child until it is killed, after end has been called.
func (r *rig) process(dir string, end func()) {
	in, out, err := os.Pipe()
	require.NoError(r.t, err)
	defer in.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%t,%t,%t,boot %d,%s", childEnv, r.exact, r.disk.unmapped, r.lives%2 == 0, r.cuts, filepath.Join(dir, "usage.db")))
	child.ExtraFiles = []*os.File{out}
	printed := new(strings.Builder)
	child.Stdout, child.Stderr = printed, printed
	require.NoError(r.t, child.Start())
	require.NoError(r.t, out.Close())
	first := true
	for reader := bufio.NewReader(in); ; {
		b, err := reader.ReadByte()
		if err != nil {
			break
		}
		if first {
			first = false
			time.AfterFunc(time.Duration(20+r.rand.IntN(150))*time.Millisecond, func() {
				end()
				_ = child.Process.Kill()
			})
		}
		if b < keys {
			r.acked[b]++
			r.acknowledged++
		}
	}
	err = child.Wait()
	require.EqualError(r.t, err, "signal: killed", "%s", printed)
	r.lives++
}

// check reads the file on a good disk, as the next process would, and returns the first record that is not in the rows.
func (r *rig) check(files map[string][]byte) (first uint64) {
	if len(files["usage.db"]) == 0 {
		require.Zero(r.t, r.acknowledged, "the file is gone")
		return 0
	}
	path := filepath.Join(r.t.TempDir(), "usage.db")
	require.NoError(r.t, os.WriteFile(path, files["usage.db"], 0o600))
	first = look(r.t, path)
	s, err := boltstore.Open(path)
	require.NoError(r.t, err)
	defer s.Close()
	require.NoError(r.t, s.Check(r.t.Context()))
	l, err := ledger.New(ledger.Config{Engine: s})
	require.NoError(r.t, err)
	defer l.Close()
	for k := range keys {
		const more = 1 << 30 // so that what is counted past the limit would show
		b, err := l.Extend(r.t.Context(), key(k), quota(k), ledger.Adjustment{Delta: more})
		require.NoError(r.t, err)
		counted := b.Limit + more - b.Remaining
		require.GreaterOrEqual(r.t, counted, r.acked[k], "acknowledged and lost: key %d", k)
		require.LessOrEqual(r.t, counted, b.Limit, "over the limit: key %d", k)
		require.LessOrEqual(r.t, b.Used, r.acked[k]+r.lives*workers, "billed more than was in flight: key %d", k)
	}
	return first
}

// look reads from the state of a file which record is the first that is not in the rows.
func look(t *testing.T, path string) (first uint64) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		first = binary.BigEndian.Uint64(tx.Bucket([]byte("meta")).Get([]byte("state"))[4:])
		return nil
	}))
	return first
}

// TestRigNotices: a disk that lies about syncs makes the check fail; so the check can.
func TestRigNotices(t *testing.T) {
	d := newDisk(1, faults{})
	f := &file{disk: d}
	d.names["x"], d.kept["x"] = f, f
	f.change(write{0, []byte("synced")})
	require.Zero(t, f.sync())
	f.change(write{0, []byte("NOT")})
	lost := false
	for range 50 {
		lost = lost || string(d.powerCut().contents()["x"]) == "synced"
	}
	require.True(t, lost, "what was not synced is sometimes lost")
	d.faults.syncs = 1
	require.NotZero(t, f.sync())
	d.faults.syncs = 0
	require.Zero(t, f.sync(), "as on ext4")
	for range 50 {
		require.Equal(t, "synced", string(d.powerCut().contents()["x"]), "pages of a failed sync count as clean and are lost")
	}
}
