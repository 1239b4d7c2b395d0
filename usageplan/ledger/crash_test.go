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
	"syscall"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
	bolt "go.etcd.io/bbolt"
)

// The crash test kills a process under load, again and again, and holds what it had acknowledged against what is found
// in the file. In the child a day lasts 40 ms, so many kills meet a roll-over; and every other child has checkpoints
// all the time.

const (
	crashWorkers = 16
	crashKeys    = 6
	crashDay     = 40 * time.Millisecond
	crashEnv     = "TALLYGATE_CRASH_CHILD"
)

// The limits of boltstore, whose own are too large for a life of milliseconds. They are nobody's to set but a test's,
// so there is no other way to them.
//
//go:linkname maxBytes github.com/tallygate/tallygate/usageplan/boltstore.maxBytes
var maxBytes int

// openCrash opens the engine and the slots of a child. Its checkpoints are small ones, or the usual.
func openCrash(t *testing.T, dir string, small bool) (*boltstore.Store, *slots.Slots) {
	if small {
		maxBytes = 4 << 10 // eight commits
	}
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	require.NoError(t, err)
	files, err := slots.Open(filepath.Join(dir, "slots"))
	require.NoError(t, err)
	return store, files
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
	reportTaken    = 'T' // a take, or one unit more, was granted
	reportSettling = 'S' // one unit is about to be given back
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
	unix, _ := strconv.ParseInt(fields[1], 10, 64)
	epoch := time.Unix(0, unix)
	store, files := openCrash(t, fields[3], fields[2] == "true")
	l, err := ledger.New(ledger.Config{Engine: store, Slots: files, Exact: fields[0] == "true", Block: 64})
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
		if r.IntN(4) == 0 {
			switch err := c.More(context.Background(), 1); {
			case err == nil:
				rep.write(pipe)
			case !errors.Is(err, ledger.ErrExhausted):
				os.Exit(6)
			}
		}
		if r.IntN(8) > 0 {
			continue
		}
		rep.what = reportSettling
		rep.write(pipe)
		if r.IntN(2) == 0 {
			err = c.More(context.Background(), -1)
		} else {
			err = c.Settle(context.Background(), c.Units()-1)
		}
		if err != nil {
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

// crashLook returns the number of the oldest record in the logs of a file. It rises with each checkpoint. Since no
// child closes its store, that was while one was at work.
//
// A child that the other subtest starts also has the file's lock until it runs its own program, and on a busy machine
// that may be long after the Close here. So no child is started while the file is open.
func crashLook(t *testing.T, dir string) (first uint64) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	db, err := bolt.Open(filepath.Join(dir, "usage.db"), 0o600, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		first = binary.BigEndian.Uint64(tx.Bucket([]byte("meta")).Get([]byte("state"))[4:])
		return nil
	}))
	return first
}

func TestCrash(t *testing.T) {
	kills := 12
	if heavy() {
		kills = 220
	}
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			epoch := time.Now()
			counts := make(map[crashAccount]*crashCounts)
			acknowledged, checkpoints, was := 0, 0, uint64(1)
			// On a busy machine a life may be over after one commit. Then more of them make a checkpoint and a roll-over.
			n := 0
			for ; n < kills || n < 20*kills && (checkpoints == 0 || len(counts) <= 2*crashKeys); n++ {
				acknowledged += crashOnce(t, dir, exact, n%2 == 0, epoch, counts)
				if is := crashLook(t, dir); is > was {
					checkpoints++
					was = is
				}
			}
			excess := crashCheck(t, dir, counts)
			require.LessOrEqual(t, excess, int64(n*crashWorkers), "counted but not acknowledged: more than were in flight")
			require.Greater(t, len(counts), 2*crashKeys, "no roll-over")
			require.NotZero(t, checkpoints, "no life has had a checkpoint")
			t.Logf("%d kills, %d acknowledged in %d accounts, none lost, none over the limit; %d in flight counted", n, acknowledged, len(counts), excess)
			t.Logf("%d lives had checkpoints, up to record %d", checkpoints, was)
		})
	}
}

// crashOnce runs the child, kills it and adds its reports to counts.
func crashOnce(t *testing.T, dir string, exact, small bool, epoch time.Time, counts map[crashAccount]*crashCounts) (n int) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%t,%d,%t,%s", crashEnv, exact, epoch.UnixNano(), small, dir))
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
func crashCheck(t *testing.T, dir string, counts map[crashAccount]*crashCounts) (excess int64) {
	s, files := openCrash(t, dir, false)
	t.Cleanup(func() { require.NoError(t, errors.Join(s.Close(), files.Close())) })
	l, err := ledger.New(ledger.Config{Engine: s, Slots: files})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for k := range crashKeys {
		for state, err := range ledger.Accounts(t.Context(), s, crashKey(k)) {
			require.NoError(t, err)
			c := counts[crashAccount{k, state.Start}]
			if c == nil {
				c = new(crashCounts)
			}
			require.GreaterOrEqual(t, state.Used, c.taken-c.settling, "acknowledged and lost: key %d, account %d", k, state.Start)
			require.LessOrEqual(t, state.Used, crashQuota(k).Limit, "over the limit: key %d, account %d", k, state.Start)
			require.Zero(t, state.Held, "units wasted by a crash")
			require.Zero(t, state.Leases)
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
