package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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

// smallLogs has a checkpoint every few commits.
func smallLogs() { minBytes, maxBytes = 2048, 2048 }

// Keys below dailies have monthly quotas and adjustments. The others have daily ones and a clock by which a day takes 40 ms,
// so their accounts move out of the row that a commit writes.
const (
	keys    = 4
	dailies = 2
	fastDay = 40 * time.Millisecond
	day     = 24 * time.Hour
)

func key(i int) ledger.Key { return ledger.Key{Plan: "crash", Subject: fmt.Sprint("key", i)} }

// quota gives even keys a limit that is reached.
func quota(i int) ledger.Quota {
	if i < dailies {
		return ledger.Quota{Limit: []int64{300, 1 << 40}[i%2], Period: ledger.Monthly}
	}
	return ledger.Quota{Limit: []int64{40, 1 << 40}[i%2], Period: ledger.Daily}
}

// clock is what a key's clock says. Fast ones begin at epoch, when the test begins.
func clock(epoch time.Time, key int) time.Time {
	if key < dailies {
		return time.Now()
	}
	return epoch.Add(time.Since(epoch) / fastDay * day)
}

// child is what a process on the disk is told.
type child struct {
	Folder   string
	Exact    bool
	Unmapped bool // the disk maps no slot files
	Small    bool
	Boot     string
	Epoch    time.Time
	Adjusted int // adjustments that have been acknowledged
	Journal  bool
}

// report is what such a process says: what, of which key and period.
type report struct {
	What  byte
	Key   byte
	Start int64
}

const (
	begun    = 'B'
	taken    = 'T' // one unit
	settling = 'S' // the unit is about to be given back
	adjusted = 'A' // the limit was extended by one
)

// TestChild is the process on the disk. It goes on after errors, and says what was granted.
func TestChild(t *testing.T) {
	arg := os.Getenv(childEnv)
	if arg == "" {
		t.Skip("run by TestPowerCut")
	}
	var c child
	require.NoError(t, json.Unmarshal([]byte(arg), &c))
	tell(report{What: begun})
	if c.Small {
		smallLogs()
	}
	bootID = func() string { return c.Boot }
	s := untilOpen(func() (*boltstore.Store, error) { return boltstore.Open(filepath.Join(c.Folder, "usage.db")) })
	config := ledger.Config{Engine: s, Exact: c.Exact, Block: 32}
	if !c.Exact {
		config.Slots = untilOpen(func() (*slots.Slots, error) { return slots.Open(c.Folder) })
	}
	l := untilOpen(func() (*ledger.Ledger, error) { return ledger.New(config) })
	mapped := !c.Exact && !c.Unmapped && runtime.GOARCH == "amd64"
	checkMap := sync.OnceFunc(func() { mustMap(mapped) })
	go c.adjust(l)
	if c.Journal {
		go c.change(s)
	}
	for range workers {
		go func() {
			for {
				c.take(l, rand.IntN(keys), checkMap)
			}
		}()
	}
	select {}
}

var acks = os.NewFile(3, "acks")

func tell(r report) {
	b, _ := binary.Append(nil, binary.LittleEndian, r)
	if _, err := acks.Write(b); err != nil { // below PIPE_BUF: whole or not at all
		os.Exit(3)
	}
}

// take takes one unit, and now and then gives it back.
func (c *child) take(l *ledger.Ledger, k int, granted func()) {
	ref, err := l.Ref(key(k))
	if err != nil {
		os.Exit(8)
	}
	charge, err := ref.TakeAt(context.Background(), clock(c.Epoch, k), quota(k), 1)
	switch {
	case errors.Is(err, ledger.ErrUnavailable):
		time.Sleep(time.Millisecond)
	case errors.Is(err, ledger.ErrExhausted):
	case err != nil:
		fmt.Println(err)
		os.Exit(4)
	default:
		granted()
		r := report{taken, byte(k), charge.Balance().Start.Unix()}
		tell(r)
		if rand.IntN(16) == 0 {
			r.What = settling
			tell(r)
			_ = charge.Settle(context.Background(), 0) // what fails is made good later
		}
	}
}

// adjust extends limits by one again and again. What may have been made in vain, also by a process before this one, it
// repeats by the same name.
func (c *child) adjust(l *ledger.Ledger) {
	for n := c.Adjusted; ; {
		k := n % dailies
		_, err := l.Extend(context.Background(), key(k), quota(k), adjustment(n))
		if err == nil {
			tell(report{adjusted, byte(k), 0})
			n++
		} else if !errors.Is(err, ledger.ErrUnavailable) {
			fmt.Println(err)
			os.Exit(9)
		}
		time.Sleep(time.Millisecond)
	}
}

func adjustment(n int) ledger.Adjustment {
	return ledger.Adjustment{ID: fmt.Sprint("ticket ", n), Delta: 1, Reason: "power", Actor: "rig"}
}

// mustMap ends the child if its slot files are mapped and should not be, or the other way round.
func mustMap(want bool) {
	maps, err := os.ReadFile("/proc/self/maps")
	if got := strings.Contains(string(maps), "/spent-"); err != nil || got != want {
		fmt.Println("slot files mapped:", got, err)
		os.Exit(6)
	}
}

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
		name    string
		exact   bool
		faults  faults
		journal bool
	}{
		{"exact", true, faults{}, false},
		{"leased", false, faults{}, false},
		{"leased, no maps", false, faults{unmapped: true}, false},
		{"exact, syncs fail", true, faults{unsynced: 12}, false},
		{"leased, syncs fail", false, faults{unsynced: 12}, false},
		{"exact, writes are short", true, faults{writes: 50}, false},
		{"leased, writes are short", false, faults{writes: 50}, false},
		{"leased, no maps, writes are short", false, faults{writes: 500, unmapped: true}, false},
		{"exact, beside a journal", true, faults{}, true},
		{"leased, beside a journal, syncs fail", false, faults{unsynced: 12}, true},
		{"exact, beside a journal, writes are short", true, faults{writes: 50}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := &rig{t: t, exact: tt.exact, rand: rand.New(rand.NewPCG(seed, 1)), disk: newDisk(seed, tt.faults), epoch: time.Now(), counts: map[account]*counts{}, journal: tt.journal}
			for r.cuts < cuts {
				r.life()
			}
			t.Logf("%d power cuts, %d kills without one, %d failed syncs, %d short writes, %d acknowledged: none lost, none over the limit, no file unreadable",
				r.cuts, r.kills, r.failed, r.short, r.acknowledged)
			t.Logf("%d of the cuts met lives that had ended a checkpoint, up to record %d", r.checkpoints, r.first)
			require.NotZero(t, r.checkpoints)
			t.Logf("%d changes of a journal", r.head)
			require.Equal(t, tt.journal, r.head > 0)
			require.Equal(t, tt.faults.unsynced > 0, r.failed > 0)
			require.Equal(t, tt.faults.writes > 0, r.short > 0)
		})
	}
	t.Run("creation", testCreation)
	t.Run("conversion", testConversion)
	t.Run("steps", testSteps)
	t.Run("steps after a failed sync", testFailedSync)
	t.Run("steps of a journal", testJournalSteps)
	t.Run("of the disk alone", testGone)
}

// rig is a machine that loses power again and again.
type rig struct {
	t     *testing.T
	exact bool
	rand  *rand.Rand
	disk  *disk
	epoch time.Time

	counts       map[account]*counts
	acknowledged int
	adjusted     int
	lives        int64 // kills and cuts
	cuts, kills  int
	failed       int // syncs
	short        int // writes
	wasted       [dailies]int64

	journal bool
	head    uint64 // of the journal

	first       uint64 // record that was not in the rows after the last cut
	checkpoints int    // cuts that met a life which had ended one
}

type account struct {
	key   int
	start int64
}

type counts struct{ taken, settling int64 }

// life is from power on to power off. The process may be killed and started again meanwhile, on the same page cache.
func (r *rig) life() {
	dir, unmount := mount(r.t, r.disk)
	defer unmount()
	for r.rand.IntN(3) == 0 {
		r.process(dir, func() {})
		r.kills++
		r.check(r.disk.contents(), false)
	}
	var next *disk
	r.process(dir, func() { next = r.disk.powerCut() })
	r.cuts++
	r.failed += r.disk.failed
	r.short += r.disk.short
	r.disk = next
	if first := r.check(next.contents(), true); first > r.first {
		r.first = first
		r.checkpoints++
	}
}

// boot names the time between two power cuts.
func (r *rig) boot() string { return fmt.Sprint("boot ", r.cuts) }

// process runs the child until it is killed, after end has been called.
func (r *rig) process(dir string, end func()) {
	in, out, err := os.Pipe()
	require.NoError(r.t, err)
	defer in.Close()
	arg, err := json.Marshal(child{dir, r.exact, r.disk.unmapped, r.lives%2 == 0, r.boot(), r.epoch, r.adjusted, r.journal})
	require.NoError(r.t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childEnv+"="+string(arg))
	child.ExtraFiles = []*os.File{out}
	printed := new(strings.Builder)
	child.Stdout, child.Stderr = printed, printed
	require.NoError(r.t, child.Start())
	require.NoError(r.t, out.Close())
	for reader := bufio.NewReader(in); ; {
		var said report
		if binary.Read(reader, binary.LittleEndian, &said) != nil {
			break
		}
		if said.What == begun {
			time.AfterFunc(time.Duration(20+r.rand.IntN(150))*time.Millisecond, func() {
				end()
				_ = child.Process.Kill()
			})
		}
		r.hear(said)
	}
	err = child.Wait()
	require.EqualError(r.t, err, "signal: killed", "%s", printed)
	r.lives++
}

func (r *rig) hear(said report) {
	if said.What == appended {
		r.head = uint64(said.Start)
		return
	}
	a := account{int(said.Key), said.Start}
	if r.counts[a] == nil {
		r.counts[a] = new(counts)
	}
	switch said.What {
	case taken:
		r.counts[a].taken++
		r.acknowledged++
	case settling:
		r.counts[a].settling++
	case adjusted:
		r.adjusted++
	}
}

// check reads the files on a good disk, as the next process would, and returns the first record that is not in the rows.
func (r *rig) check(files map[string][]byte, cut bool) (first uint64) {
	if len(files["usage.db"]) == 0 {
		require.Zero(r.t, r.acknowledged+r.adjusted+int(r.head), "the file is gone")
		return 0
	}
	dir := r.t.TempDir()
	for name, content := range files {
		require.NoError(r.t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	first = look(r.t, filepath.Join(dir, "usage.db"))
	s, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	require.NoError(r.t, err)
	defer s.Close()
	require.NoError(r.t, s.Check(r.t.Context()))
	config := ledger.Config{Engine: s, Exact: r.exact}
	if !r.exact {
		bootID = r.boot
		if r.disk.writes > 0 { // the disk may have refused a page, which it tells the next process; the copy does not
			bootID = func() string { return "" }
		}
		files, err := slots.Open(dir)
		require.NoError(r.t, err)
		defer files.Close()
		config.Slots = files
	}
	l, err := ledger.New(config)
	require.NoError(r.t, err)
	defer l.Close()
	for k := range dailies {
		r.checkMonth(l, k, cut)
	}
	for k := dailies; k < keys; k++ {
		r.checkDays(l, k)
	}
	if r.journal {
		r.checkJournal(s)
	}
	return first
}

// checkMonth compares the account of a key. Its adjustments are made in order, and one may be made but not acknowledged.
func (r *rig) checkMonth(l *ledger.Ledger, k int, cut bool) {
	const more = 1 << 30 // so that what is counted past the limit would show
	b, err := l.Extend(r.t.Context(), key(k), quota(k), ledger.Adjustment{Delta: more})
	require.NoError(r.t, err)
	var total counts
	for a, c := range r.counts {
		if a.key == k {
			total.taken += c.taken
			total.settling += c.settling
		}
	}
	limit := b.Limit + b.Adjustments - more
	counted := limit + more - b.Remaining
	require.GreaterOrEqual(r.t, counted, total.taken-total.settling, "acknowledged and lost: key %d", k)
	require.LessOrEqual(r.t, counted, limit, "over the limit: key %d", k)
	require.LessOrEqual(r.t, b.Used, total.taken+r.lives*workers, "billed more than was in flight: key %d", k)
	r.checkWaste(k, counted-b.Used, cut)

	made := (r.adjusted + dailies - 1 - k) / dailies
	require.Contains(r.t, []int64{int64(made), int64(made + 1)}, b.Adjustments-more, "adjustments: key %d", k)
	var ids []string
	for c, err := range l.Adjustments(r.t.Context(), key(k), time.Unix(0, 0), time.Now()) {
		require.NoError(r.t, err)
		if c.Delta == 1 {
			require.Equal(r.t, "power by rig", c.Reason+" by "+c.Actor)
			ids = append(ids, c.ID)
		}
	}
	made = int(b.Adjustments - more)
	require.GreaterOrEqual(r.t, len(ids), min(made, 255), "256, and one was of this check")
	require.LessOrEqual(r.t, len(ids), made)
	for i, id := range ids {
		require.Equal(r.t, adjustment((made-len(ids)+i)*dailies+k).ID, id)
	}
}

// checkWaste: a kill wastes nothing if the disk is sound.
func (r *rig) checkWaste(k int, held int64, cut bool) {
	if !cut && r.disk.unsynced == 0 && r.disk.writes == 0 {
		require.Equal(r.t, r.wasted[k], held, "wasted by a kill: key %d", k)
	}
	r.wasted[k] = held
}

// checkDays compares the days of a key, of which each is an account, as far back as they are kept.
func (r *rig) checkDays(l *ledger.Ledger, k int) {
	now := clock(r.epoch, k)
	from, billed := now.Add(-390*day), int64(0)
	if from.Before(r.epoch) {
		from = r.epoch
	}
	for d, err := range l.Usage(r.t.Context(), key(k), quota(k), from, now) {
		require.NoError(r.t, err)
		c := r.counts[account{k, d.Start.Unix()}]
		if c == nil {
			c = new(counts)
		}
		require.GreaterOrEqual(r.t, quota(k).Limit-d.Remaining, c.taken-c.settling, "acknowledged and lost: key %d, %v", k, d.Start)
		require.LessOrEqual(r.t, d.Used, quota(k).Limit, "over the limit: key %d, %v", k, d.Start)
		billed += max(0, d.Used-c.taken)
	}
	require.LessOrEqual(r.t, billed, r.lives*workers, "billed more than was in flight: key %d", k)
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
	d.unsynced = 1
	require.NotZero(t, f.sync())
	d.unsynced = 0
	require.Zero(t, f.sync(), "as on ext4")
	for range 50 {
		require.Equal(t, "synced", string(d.powerCut().contents()["x"]), "pages of a failed sync count as clean and are lost")
	}
}
