package fleet

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// witness is what one life of a node tells its parent. It is memory that a file backs, so it outlives kill -9: the
// pages belong to the system and not to the process.
//
// Each call is noted before it begins, and its outcome after it has ended. So a node that is killed leaves at most one
// call without an outcome for each of its goroutines. Such a call may have been granted or not, and the parent allows
// both. All others are known exactly.
//
// Example: begun is 100, granted 90 and refused 8. Two calls were under way when the node was killed, so the store
// counts 90 to 92 units.
type witness struct {
	ready atomic.Int64 // the ledger has been made
	cells [maxKeys]cell
}

// maxKeys is the most keys that a fleet has.
const maxKeys = 64

// cell is what the calls for one key came to.
type cell struct {
	begun, refused atomic.Int64
	failed         atomic.Int64    // the store was not available
	granted        [2]atomic.Int64 // in the period of spec.Midnight, and in the next one
	settling       atomic.Int64    // of those granted, those to be given back
	settled        atomic.Int64    // of those, the ones that the ledger has confirmed
}

// counts are the sums of cells.
type counts struct {
	begun, refused, failed, settling, settled int64
	granted                                   [2]int64
}

func (c *counts) add(o *cell) {
	// What a call ends with is read before what it begins with, so that none seems to have ended before it began.
	c.settled += o.settled.Load()
	c.settling += o.settling.Load()
	for i := range c.granted {
		c.granted[i] += o.granted[i].Load()
	}
	c.refused += o.refused.Load()
	c.failed += o.failed.Load()
	c.begun += o.begun.Load()
}

// taken is how many calls were granted.
func (c *counts) taken() int64 { return c.granted[0] + c.granted[1] }

// openCalls is how many calls have no outcome.
func (c *counts) openCalls() int64 { return c.begun - c.taken() - c.refused - c.failed }

// mapWitness makes the file if it is not there, and maps it until the test ends.
func mapWitness(t testing.TB, name string) *witness {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer f.Close()
	size := int(unsafe.Sizeof(witness{}))
	require.NoError(t, f.Truncate(int64(size)))
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(b)) })
	return (*witness)(unsafe.Pointer(&b[0]))
}
