package ledger_test

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
	"strconv"
	"strings"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// The crash test kills a process under load, again and again, and holds what it had acknowledged against what is found
// in the file. In the child a day lasts 40 ms, so many kills meet a roll-over; and every other child folds, evicts and
// compacts all the time.

const (
	crashWorkers = 16
	crashKeys    = 6
	crashDay     = 40 * time.Millisecond
	crashEnv     = "TALLYGATE_CRASH_CHILD"
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

// crashConfig is for a child that folds every third commit and keeps one key and what is of this second; or one as any.
func crashConfig(folding bool) boltstore.Config {
	if !folding {
		return boltstore.Config{}
	}
	foldEvery, cachedKeys, keptIDs = 3, 1, 4*crashWorkers
	return boltstore.Config{Keep: 1}
}

func crashKey(i int) ledger.Key { return ledger.Key{Plan: "crash", Subject: fmt.Sprint("key", i)} }

// crashQuota gives even keys a limit that is reached each day.
func crashQuota(i int) ledger.Quota {
	return ledger.Quota{Limit: []int64{40, 1 << 40}[i%2], Period: ledger.Daily}
}

// crashTime is the child's clock: epoch is when the test began.
func crashTime(epoch time.Time) time.Time {
	return noon.Add(time.Duration(float64(time.Since(epoch)) / float64(crashDay) * 24 * float64(time.Hour)))
}

// Reports of the child: what, which key, which account.
const (
	reportTaken    = 'T' // a take was granted
	reportSettling = 'S' // the take that was granted is about to be settled to nothing
	reportSettled  = 'R' // it has been
)

type report struct {
	what  byte
	key   int
	start int64
}

const reportSize = 10

func (r report) write(w io.Writer) {
	b := append(make([]byte, 0, reportSize), r.what, byte(r.key))
	if _, err := w.Write(binary.LittleEndian.AppendUint64(b, uint64(r.start))); err != nil { // below PIPE_BUF: whole or not at all
		os.Exit(3)
	}
}

// TestCrashChild is the process that is killed.
func TestCrashChild(t *testing.T) {
	arg := os.Getenv(crashEnv)
	if arg == "" {
		t.Skip("run by TestCrash")
	}
	fields := strings.SplitN(arg, ",", 4)
	mode, _ := strconv.Atoi(fields[0])
	unix, _ := strconv.ParseInt(fields[1], 10, 64)
	epoch := time.Unix(0, unix)
	s, err := boltstore.Open(fields[3], crashConfig(fields[2] == "true"))
	require.NoError(t, err)
	l, err := ledger.New(ledger.Config{Store: s, Mode: ledger.Mode(mode), Block: 64})
	require.NoError(t, err)
	pipe := os.NewFile(3, "reports")
	for w := range crashWorkers {
		go crashWorker(l, epoch, pipe, w)
	}
	select {}
}

func crashWorker(l *ledger.Ledger, epoch time.Time, pipe io.Writer, w int) {
	r := rand.New(rand.NewPCG(uint64(epoch.UnixNano()), uint64(w)))
	for {
		k := r.IntN(crashKeys)
		c, err := l.TakeAt(context.Background(), crashTime(epoch), crashKey(k), crashQuota(k), 1)
		if errors.Is(err, ledger.ErrExhausted) {
			continue
		}
		if err != nil {
			os.Exit(4)
		}
		rep := report{reportTaken, k, c.Balance().Start.Unix()}
		rep.write(pipe)
		if r.IntN(8) > 0 {
			continue
		}
		rep.what = reportSettling
		rep.write(pipe)
		if c.Settle(context.Background(), 0) != nil {
			os.Exit(5)
		}
		rep.what = reportSettled
		rep.write(pipe)
	}
}

type crashAccount struct {
	key   int
	start int64
}

type crashCounts struct{ taken, settling, settled int64 }

// crashFile is how far a file has come: the last record that is folded into the accounts, and the first one in the log.
// Since no child closes its store, each was reached while one was at work.
type crashFile struct{ folded, first uint64 }

func crashLook(t *testing.T, path string) (f crashFile) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		f.folded = binary.BigEndian.Uint64(tx.Bucket([]byte("meta")).Get([]byte("folded")))
		key, _ := tx.Bucket([]byte("log")).Cursor().First()
		f.first = binary.BigEndian.Uint64(key)
		return nil
	}))
	return f
}

func TestCrash(t *testing.T) {
	kills := 12
	if heavy() {
		kills = 220
	}
	for name, mode := range map[string]ledger.Mode{"leased": ledger.Leased, "exact": ledger.Exact} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "usage.db")
			epoch := time.Now()
			counts := make(map[crashAccount]*crashCounts)
			acknowledged, n := 0, 0
			was, folds := crashFile{first: 1}, crashFile{}
			for n < kills || folds.first == 0 && n < 10*kills { // what is to be compacted has to be a second old
				acknowledged += crashOnce(t, path, mode, n%2 == 0, epoch, counts)
				n++
				is := crashLook(t, path)
				folds.folded += min(1, is.folded-was.folded)
				folds.first += min(1, is.first-was.first)
				was = is
			}
			excess := crashCheck(t, path, counts)
			require.LessOrEqual(t, excess, int64(n*crashWorkers), "counted but not acknowledged: more than were in flight")
			require.Greater(t, len(counts), 2*crashKeys, "no roll-over")
			require.NotZero(t, folds.folded, "no life has folded")
			require.NotZero(t, folds.first, "no life has compacted")
			t.Logf("%d kills, %d acknowledged in %d accounts, none lost, none over the limit; %d in flight counted", n, acknowledged, len(counts), excess)
			t.Logf("%d lives folded, up to record %d; %d compacted, up to %d", folds.folded, was.folded, folds.first, was.first)
		})
	}
}

// crashOnce runs the child, kills it and adds its reports to counts.
func crashOnce(t *testing.T, path string, mode ledger.Mode, folding bool, epoch time.Time, counts map[crashAccount]*crashCounts) (n int) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d,%t,%s", crashEnv, mode, epoch.UnixNano(), folding, path))
	child.ExtraFiles = []*os.File{w}
	out := new(strings.Builder)
	child.Stdout, child.Stderr = out, out
	require.NoError(t, child.Start())
	require.NoError(t, w.Close())
	var once bool
	in := bufio.NewReaderSize(r, 1<<16)
	for b := make([]byte, reportSize); ; n++ {
		if _, err := io.ReadFull(in, b); err != nil {
			break
		}
		if !once { // it is at work
			once = true
			time.AfterFunc(time.Duration(2+rand.IntN(40))*time.Millisecond, func() { _ = child.Process.Kill() })
		}
		a := crashAccount{int(b[1]), int64(binary.LittleEndian.Uint64(b[2:]))}
		c := counts[a]
		if c == nil {
			c = new(crashCounts)
			counts[a] = c
		}
		switch b[0] {
		case reportTaken:
			c.taken++
		case reportSettling:
			c.settling++
		case reportSettled:
			c.settled++
		}
	}
	_ = child.Process.Kill()
	err = child.Wait()
	require.EqualError(t, err, "signal: killed", "%s", out)
	return n
}

// crashCheck opens the file as the next process would, and compares every account.
func crashCheck(t *testing.T, path string, counts map[crashAccount]*crashCounts) (excess int64) {
	s := openBolt(t, path)
	l, err := ledger.New(ledger.Config{Store: s})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for k := range crashKeys {
		for state, err := range s.Accounts(t.Context(), crashKey(k), 0, 1<<40) {
			require.NoError(t, err)
			c := counts[crashAccount{k, state.Start}]
			if c == nil {
				c = new(crashCounts)
			}
			require.GreaterOrEqual(t, state.Used, c.taken-c.settling, "acknowledged and lost: key %d, account %d", k, state.Start)
			require.LessOrEqual(t, state.Used, crashQuota(k).Limit, "over the limit: key %d, account %d", k, state.Start)
			require.Zero(t, state.Held, "units wasted by a crash")
			require.Empty(t, state.Leases)
			excess += max(0, state.Used-(c.taken-c.settled))
			found := *c
			found.taken = -1 // seen
			counts[crashAccount{k, state.Start}] = &found
		}
	}
	for a, c := range counts {
		require.Equal(t, int64(-1), c.taken, "account %v is not found", a)
	}
	require.NoError(t, s.Check(t.Context()))
	return excess
}

func openBolt(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
