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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

const (
	workers  = 16
	keys     = 4
	childEnv = "TALLYGATE_POWER_CHILD"
)

// The sizes of boltstore, whose own are too large for a life of milliseconds. They are nobody's to set but a test's, so
// there is no other way to them.
//
//go:linkname foldEvery github.com/tallygate/tallygate/usageplan/boltstore.foldEvery
var foldEvery uint64

//go:linkname cachedKeys github.com/tallygate/tallygate/usageplan/boltstore.cachedKeys
var cachedKeys int

//go:linkname keptIDs github.com/tallygate/tallygate/usageplan/boltstore.keptIDs
var keptIDs int

// config is for a child that folds every third commit and keeps one key and what is of this second, beside the ids of
// all that may be in flight; or one as any.
func config(folding bool) boltstore.Config {
	if !folding {
		return boltstore.Config{}
	}
	foldEvery, cachedKeys, keptIDs = 3, 1, 4*workers
	return boltstore.Config{Keep: 1}
}

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
	fields := strings.SplitN(arg, ",", 4)
	mode, _ := strconv.Atoi(fields[0])
	mapped := mode == int(ledger.Leased) && fields[1] == "false" && runtime.GOARCH == "amd64"
	acks := os.NewFile(3, "acks")
	ready(acks)
	settings := config(fields[2] == "true")
	s := untilOpen(func() (*boltstore.Store, error) { return boltstore.Open(fields[3], settings) })
	l := untilOpen(func() (*ledger.Ledger, error) {
		return ledger.New(ledger.Config{Store: s, Mode: ledger.Mode(mode), Block: 32})
	})
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
	if got := strings.Contains(string(maps), ".spent."); err != nil || got != want {
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
		mode   ledger.Mode
		faults faults
	}{
		{"exact", ledger.Exact, faults{}},
		{"leased", ledger.Leased, faults{}},
		{"leased, no maps", ledger.Leased, faults{unmapped: true}},
		{"exact, syncs fail", ledger.Exact, faults{syncs: 12}},
		{"leased, syncs fail", ledger.Leased, faults{syncs: 12}},
		{"exact, writes are short", ledger.Exact, faults{writes: 50}},
		{"leased, writes are short", ledger.Leased, faults{writes: 50}},
		{"leased, no maps, writes are short", ledger.Leased, faults{writes: 500, unmapped: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := &rig{t: t, mode: tt.mode, rand: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(seed, tt.faults)}
			for r.cuts < cuts || r.compacted == 0 && r.cuts < 10*cuts { // what is to be compacted has to be a second old
				r.life()
			}
			t.Logf("%d power cuts, %d kills without one, %d failed syncs, %d short writes, %d acknowledged: none lost, none over the limit, no file unreadable",
				r.cuts, r.kills, r.failed, r.short, r.acknowledged)
			t.Logf("%d of the cuts met lives that had folded, up to record %d; %d that had compacted, up to %d", r.folded, r.last.folded, r.compacted, r.last.first)
			require.NotZero(t, r.folded)
			require.NotZero(t, r.compacted)
			require.Equal(t, tt.faults.syncs > 0, r.failed > 0)
			require.Equal(t, tt.faults.writes > 0, r.short > 0)
		})
	}
	t.Run("creation", testCreation)
	t.Run("of the disk alone", testGone)
}

// rig is a machine that loses power again and again.
type rig struct {
	t    *testing.T
	mode ledger.Mode
	rand *rand.Rand
	disk *disk

	acked        [keys]int64
	acknowledged int
	lives        int64 // kills and cuts
	cuts, kills  int
	failed       int // syncs
	short        int // writes

	last              extent // after the last cut
	folded, compacted int    // cuts
}

// extent is how far a file has come: the last record that is folded into the accounts, and the first one in the log.
// Since no child closes its store, each was reached while one was at work.
type extent struct{ folded, first uint64 }

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
	anotherBoot(next)
	r.count(r.check(next.contents()))
}

// count notes what a cut has met.
func (r *rig) count(x extent) {
	if x.folded > r.last.folded {
		r.folded++
	}
	if x.first > max(1, r.last.first) {
		r.compacted++
	}
	r.last = x
}

// anotherBoot changes the boot id in the headers of slot files, which is what a boot does.
func anotherBoot(d *disk) {
	for name, f := range d.names {
		if strings.Contains(name, ".spent.") && len(f.cache) > 20 {
			f.cache[20] ^= 1
		}
	}
}

// process runs the child until it is killed, after end has been called.
func (r *rig) process(dir string, end func()) {
	in, out, err := os.Pipe()
	require.NoError(r.t, err)
	defer in.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%t,%t,%s", childEnv, r.mode, r.disk.unmapped, r.lives%2 == 0, filepath.Join(dir, "usage.db")))
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

// check reads the files on a good disk, as the next process would.
func (r *rig) check(files map[string][]byte) (x extent) {
	if len(files["usage.db"]) == 0 {
		require.Zero(r.t, r.acknowledged, "the file is gone")
		return x
	}
	path := filepath.Join(r.t.TempDir(), "usage.db")
	require.NoError(r.t, os.WriteFile(path, files["usage.db"], 0o600))
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(r.t, err)
	defer s.Close()
	x = look(r.t, files["usage.db"])
	for k := range keys {
		for state, err := range s.Accounts(r.t.Context(), key(k), 0, 1<<40) {
			require.NoError(r.t, err)
			require.GreaterOrEqual(r.t, state.Used, r.acked[k], "acknowledged and lost: key %d", k)
			require.LessOrEqual(r.t, state.Used, quota(k).Limit, "over the limit: key %d", k)
			require.LessOrEqual(r.t, state.Used-state.Held, r.acked[k]+r.lives*workers, "billed more than was in flight: key %d", k)
		}
	}
	return x
}

// look reads how far a file has come, which is one that can be read.
func look(t *testing.T, file []byte) (x extent) {
	path := filepath.Join(t.TempDir(), "usage.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		x.folded = binary.BigEndian.Uint64(tx.Bucket([]byte("meta")).Get([]byte("folded")))
		if key, _ := tx.Bucket([]byte("log")).Cursor().First(); key != nil {
			x.first = binary.BigEndian.Uint64(key)
		}
		return nil
	}))
	return x
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
