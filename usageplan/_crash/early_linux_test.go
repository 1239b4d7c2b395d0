package crash

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// early ends the life of a process before each change that it makes on its disk: by a power cut; or by a kill, after which
// the next process finds what this one has left, not all of it synced, does all of its work, and then the power goes.
type early struct {
	t    *testing.T
	test string                    // the process
	env  []string                  // of it
	disk func() *disk              // at first
	kill bool                      // first
	skip int                       // so many changes at most, by chance, from one end to the next
	most int                       // so many changes are looked at; 0 if all
	once bool                      // a process before that nobody ends leaves its pages to this one
	look func(dir string, l lives) // at what a power cut may leave

	changes, states int
}

// lives are what processes had acknowledged, one after the other, before the power went.
type lives struct {
	acked []int
	done  bool // the last one had done all of its work
}

const (
	earlyEnv = "TALLYGATE_EARLY_CHILD"
	lifeEnv  = "TALLYGATE_EARLY_LIFE"
)

// What a process says.
const (
	earlyAck  = 1 // of one step
	earlyDone = 2 // and the process has nothing left to do
)

func (e *early) run() {
	for at := 1; e.most == 0 || at <= e.most; at += 1 + rand.IntN(e.skip) {
		if e.endAt(at) {
			return
		}
		e.changes++
	}
}

// endAt ends a process before its n-th change, and reports whether it was done by then.
func (e *early) endAt(n int) (done bool) {
	d := e.disk()
	dir, unmount := mount(e.t, d)
	defer unmount()
	var l lives
	if e.once {
		acked, _ := e.process(d, dir, 1, nil)
		l.acked = append(l.acked, acked)
	}
	acked, done := e.process(d, dir, len(l.acked)+1, func(child *os.Process, change int) bool {
		if e.kill && change == n {
			_ = child.Kill()
			return true // what follows, the system writes back
		}
		d.cut = d.cut || change >= n && !e.kill
		return d.cut
	})
	l.acked, l.done = append(l.acked, acked), done
	if e.kill && !done {
		acked, l.done = e.process(d, dir, 2, nil)
		require.True(e.t, l.done, "the next process")
		l.acked = append(l.acked, acked)
	}
	e.cuts(d, l)
	return done
}

// process runs the test. stop tells before which change it ends; the disk is locked then.
func (e *early) process(d *disk, dir string, life int, stop func(child *os.Process, change int) bool) (acked int, done bool) {
	in, out, err := os.Pipe()
	require.NoError(e.t, err)
	defer in.Close()
	child := exec.Command(os.Args[0], "-test.run=^"+e.test+"$")
	child.Env = append(os.Environ(), append(e.env, earlyEnv+"="+dir, fmt.Sprint(lifeEnv, "=", life))...)
	child.ExtraFiles = []*os.File{out}
	printed := new(strings.Builder)
	child.Stdout, child.Stderr = printed, printed
	d.mu.Lock() // until the child is known
	require.NoError(e.t, child.Start())
	d.made, d.stop = 0, nil
	if stop != nil {
		d.stop = func(n int) bool { return stop(child.Process, n) }
	}
	d.mu.Unlock()
	require.NoError(e.t, out.Close())
	for said := bufio.NewReader(in); !done; {
		b, err := said.ReadByte()
		if err != nil {
			break
		}
		if done = b == earlyDone; !done {
			acked++
		}
	}
	_ = child.Process.Kill()
	if err := child.Wait(); !done && err.Error() != "signal: killed" {
		require.EqualError(e.t, err, "exit status 7", "%s", printed) // an error was told, nothing worse
	}
	return acked, done
}

// said is the process's side.
func said(what byte) { _, _ = acks.Write([]byte{what}) }

// failed ends a process that has met an error.
func failed(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(7)
	}
}

// cuts looks at what a power cut may leave.
func (e *early) cuts(d *disk, l lives) {
	n := 4
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		n = 10
	}
	seen := make(map[[32]byte]bool)
	for range n {
		files := d.powerCut().contents()
		sum := sumOf(files)
		if seen[sum] {
			continue
		}
		seen[sum] = true
		e.states++
		dir := e.t.TempDir()
		for name, b := range files {
			require.NoError(e.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		}
		e.look(dir, l)
		require.NoError(e.t, os.RemoveAll(dir))
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
