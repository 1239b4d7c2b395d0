package slots

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Mapped tells that the system maps slots.
const Mapped = (runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "freebsd") && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")

// SetBootID makes the machine seem to have been booted anew, until the test ends.
func SetBootID(t testing.TB, id string) {
	old := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = old })
}

// WriteSlots makes the system seem to map no files, until the test ends.
func WriteSlots(t testing.TB) {
	old := mapChunk
	mapChunk = func(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }
	t.Cleanup(func() { mapChunk = old })
}

// SetSync replaces how a file is written back to the disk, until the test ends.
func SetSync(t testing.TB, sync func(*os.File) error) {
	old := syncFile
	syncFile = sync
	t.Cleanup(func() { syncFile = old })
}

// Encode returns a slot in which a number is noted.
func Encode(o ledger.OpenLease, boot string) []byte {
	b, crc := encode(&o, digest(boot))
	put((*copies)(b), o.Spent, crc)
	return b
}

// Decode reads a slot.
func Decode(b []byte, boot string) (ledger.OpenLease, bool) { return decode(b, digest(boot)) }

// Where a slot has its number and its fixed part.
const (
	FixedAt   = fixedAt
	TextAt    = textAt
	ChunkSize = chunkSize
)
