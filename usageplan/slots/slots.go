package slots

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tallygate/tallygate/usageplan/internal/filelock"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var (
	// ErrLocked says that another process, or another Slots of this one, has the folder open.
	ErrLocked = errors.New("slots: the folder is in use by another ledger")

	// ErrClosed is returned after Close.
	ErrClosed = errors.New("slots: closed")
)

// Slots are the files in one folder. It implements [ledger.Slots]. Its methods are safe for concurrent use.
//
// mu guards the files and their lists. Each slot has a mutex too. A goroutine that needs both takes mu first. A Note
// takes only that of its slot, so notes of different leases do not wait for each other.
type Slots struct {
	dir  string
	life string // how the names of this life's files begin
	boot uint64
	lock *os.File

	mu      sync.Mutex
	files   [len(sizes)]*file // nil until the first lease needs it
	claimed []string          // files that Clear removes
	closed  bool
}

var _ ledger.Slots = (*Slots)(nil)

// bootID is a variable because tests cannot reboot.
var bootID = systemBootID

// Open opens the slots in a folder, and makes the folder if there is none. It must be on a local disk. One ledger uses
// it at a time: a second Open, by any process, fails with [ErrLocked]. Close lets go of it, and so does the end of the
// process.
func Open(dir string) (*Slots, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	f, err := filelock.Take(filepath.Join(dir, "lock"), ErrLocked)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %s", err, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("slots: lock: %w", err)
	}
	// A random name for each life: files of earlier lives wait to be claimed, and must not be overwritten.
	return &Slots{dir: dir, life: prefix + version + rand.Text()[:10], boot: digest(bootID()), lock: f}, nil
}

// Open implements [ledger.Slots]. A full disk is an error here, and not later. Plan and subject have 1 to 512 bytes.
// When it returns, the slot is in the file, so the ledger may reserve the lease.
func (s *Slots) Open(lease ledger.OpenLease) (ledger.Slot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	made, err := s.open(&lease)
	if err != nil {
		return nil, fmt.Errorf("slots: open: %w", err)
	}
	return made, nil
}

// open makes a slot in the file with the smallest slots that the names fit in. It makes that file if this life has none
// yet. The caller holds mu.
func (s *Slots) open(lease *ledger.OpenLease) (*slot, error) {
	plan, subject := len(lease.Account.Plan), len(lease.Account.Subject)
	if plan == 0 || subject == 0 || plan > maxText || subject > maxText {
		return nil, fmt.Errorf("plan of %d bytes, subject of %d: each needs 1 to %d", plan, subject, maxText)
	}
	// The largest size has room for two texts of maxText, so this ends.
	i := 0
	for textAt+plan+subject > sizes[i] {
		i++
	}
	if s.files[i] == nil {
		f, err := createFile(filepath.Join(s.dir, s.life+"-"+strconv.Itoa(sizes[i])), sizes[i])
		if err != nil {
			return nil, err
		}
		s.files[i] = f
	}
	made, err := s.files[i].begin(lease, s.boot)
	if err != nil {
		return nil, err
	}
	made.slots = s
	return made, nil
}

// Close lets go of the folder. It leaves what was noted of leases that are still open, for the next life to claim. From
// then on Note returns [ErrClosed]: close the ledger first. Every further Close returns nil.
func (s *Slots) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	for _, f := range s.files {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	// The lock comes last. Before, another ledger could claim a lease whose number still changes.
	if err := errors.Join(append(errs, s.lock.Close())...); err != nil {
		return fmt.Errorf("slots: close: %w", err)
	}
	return nil
}
