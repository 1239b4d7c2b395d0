package slots_test

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

const (
	killEnv  = "TALLYGATE_SLOTS_KILLED"
	killKeys = 8
)

// witness is what a child tells its parent, by memory that outlives it: per key, what it is about to note and what a
// note has answered. Zero is no lease.
type witness [killKeys]struct{ lease, begun, noted atomic.Int64 }

func mapWitness(t *testing.T, name string) *witness {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(int64(unsafe.Sizeof(witness{}))))
	b, err := syscall.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(witness{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(b)) })
	return (*witness)(unsafe.Pointer(&b[0]))
}

// TestKilledAtAnyTime: processes are killed while they open, note and free. What the next life claims of a lease is
// what a note has answered, or what was being noted; never less and never more.
func TestKilledAtAnyTime(t *testing.T) {
	lives := 20
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		lives = 250
	}
	for _, kind := range []string{"mapped", "written"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			between := 0
			for range lives {
				between += killOnce(t, kind, dir)
			}
			t.Logf("%d lives, %d notes were under way", lives, between)
		})
	}
}

// killOnce kills a child and compares what the slots tell with what the child has witnessed. It returns how many notes
// the kill has interrupted.
func killOnce(t *testing.T, kind, dir string) (between int) {
	name := filepath.Join(t.TempDir(), "witness")
	w := mapWitness(t, name)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), killEnv+"="+kind, "DIR="+dir, "WITNESS="+name)
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool { return w[killKeys-1].noted.Load() > 0 }, time.Minute, time.Millisecond, "the child does not start")
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())

	// A child that the other subtest starts also has the lock until it runs its own program, and on a busy machine that
	// may be long after the Close below. So no child is started while the lock is held here.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	s, err := slots.Open(dir)
	require.NoError(t, err)
	found := make(map[uint64]ledger.OpenLease)
	for _, o := range claim(t, s) {
		found[o.ID] = o
	}
	for i := range w {
		id, begun, noted := w[i].lease.Load(), w[i].begun.Load(), w[i].noted.Load()
		if id == 0 {
			continue // none, or being opened or freed
		}
		o, ok := found[uint64(id)]
		require.True(t, ok, "lease %d is not claimed", id)
		require.True(t, o.Known)
		require.Equal(t, lease(int(id)).Account, o.Account)
		require.True(t, o.Spent == noted || o.Spent == begun, "lease %d: got %d, want %d or %d", id, o.Spent, noted, begun)
		if begun != noted {
			between++
		}
	}
	require.NoError(t, s.Clear())
	require.NoError(t, s.Close())
	return between
}

// TestKilledChild opens, notes and frees until it is killed, in a goroutine for each key.
func TestKilledChild(t *testing.T) {
	kind, ok := os.LookupEnv(killEnv)
	if !ok {
		t.Skip("started by TestKilledAtAnyTime")
	}
	if kind == "written" {
		slots.WriteSlots(t)
	}
	w := mapWitness(t, os.Getenv("WITNESS"))
	s, err := slots.Open(os.Getenv("DIR"))
	require.NoError(t, err)
	for i := range w {
		go func() {
			for id := int64(i + 1); ; id += killKeys {
				o := lease(int(id))
				o.ID = uint64(id)
				slot, err := s.Open(o)
				if err != nil {
					panic(err)
				}
				w[i].begun.Store(0)
				w[i].noted.Store(0)
				w[i].lease.Store(id)
				for range rand.IntN(3000) + 1 {
					n := int64(binary.LittleEndian.Uint16([]byte{byte(rand.Uint32()), byte(rand.Uint32())})) + 1
					w[i].begun.Store(n)
					if err := slot.Note(n); err != nil {
						panic(err)
					}
					w[i].noted.Store(n)
				}
				w[i].lease.Store(0)
				slot.Free()
			}
		}()
	}
	select {}
}

// TestLockedByAnotherProcess: the folder of a process is refused while it lives, and is free when it was killed.
func TestLockedByAnotherProcess(t *testing.T) {
	dir, name := t.TempDir(), filepath.Join(t.TempDir(), "witness")
	w := mapWitness(t, name)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
	child.Env = append(os.Environ(), killEnv+"=mapped", "DIR="+dir, "WITNESS="+name)
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool { return w[0].noted.Load() > 0 }, time.Minute, time.Millisecond)
	_, err := slots.Open(dir)
	require.ErrorIs(t, err, slots.ErrLocked)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.NotEmpty(t, claim(t, open(t, dir)))
}
