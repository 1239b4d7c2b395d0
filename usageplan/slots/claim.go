package slots

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Names of files are prefix, version, life, size of the slots and perhaps unsure.
const (
	prefix  = "spent-"
	version = "1-"
	unsure  = "-unsure"
)

// Claim implements [ledger.Slots]. It reads the files of earlier lives. It may be called again, and then returns the
// same leases until Clear.
func (s *Slots) Claim() ([]ledger.OpenLease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	leases, err := s.claim()
	if err != nil {
		return nil, fmt.Errorf("slots: claim: %w", err)
	}
	return leases, nil
}

// claim reads every file that is not of this life. The caller holds mu. A file of slots whose name this version does
// not know is an error and not skipped, since its leases would stay reserved and nobody would know. Files whose names
// do not begin with prefix are not of this package, or are the lock.
func (s *Slots) claim() (leases []ledger.OpenLease, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	s.claimed = nil
	texts := make(map[string]string)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || strings.HasPrefix(e.Name(), s.life) {
			continue
		}
		size, sure, err := parseName(e.Name())
		if err != nil {
			return nil, err
		}
		// The file is read before it is synced. If the sync then succeeds, nothing had been dropped when it was read.
		name, before := filepath.Join(s.dir, e.Name()), len(leases)
		if leases, err = readFile(name, size, s.boot, leases, texts); err == nil && sure {
			name, err = s.believe(name, leases[before:])
		}
		if err != nil {
			return nil, err
		}
		s.claimed = append(s.claimed, name)
	}
	return leases, nil
}

// parseName takes the name of a file apart. A file is not sure if an earlier Claim has found that the disk lost some of
// it. Examples: "spent-1-ABCDEFGHIJ-128" has slots of 128 bytes, "spent-1-ABCDEFGHIJ-128-unsure" has such slots but no
// number is known.
func parseName(name string) (size int, sure bool, err error) {
	rest, ok := strings.CutPrefix(name, prefix+version)
	if !ok {
		return 0, false, fmt.Errorf("%s is of another version of this package", name)
	}
	rest, isUnsure := strings.CutSuffix(rest, unsure)
	_, text, _ := strings.Cut(rest, "-")
	if size, err = strconv.Atoi(text); err != nil || !slices.Contains(sizes[:], size) {
		return 0, false, fmt.Errorf("%s is no name of a file of slots", name)
	}
	return size, !isUnsure, nil
}

// readFile appends the leases of a file. texts has each plan once, however many leases name it: a million leases of one
// plan do not need a million copies. What follows the last whole slot is of a file that was cut.
func readFile(name string, size int, boot uint64, leases []ledger.OpenLease, texts map[string]string) ([]ledger.OpenLease, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if strings.HasSuffix(name, unsure) {
		// 0 stands for a boot without a name, in which no number is known.
		boot = 0
	}
	b, r := make([]byte, size), bufio.NewReaderSize(f, chunkSize)
	for {
		_, err := io.ReadFull(r, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return leases, nil
		}
		if err != nil {
			return nil, err
		}
		if o, ok := decode(b, boot); ok {
			if texts[o.Account.Plan] == "" {
				texts[o.Account.Plan] = o.Account.Plan
			}
			o.Account.Plan = texts[o.Account.Plan]
			leases = append(leases, o)
		}
	}
}

// believe asks the system whether it could write a file back to the disk. If it could not, it may since have dropped
// what it had, and show what was there before: then no number of the file is known. The system tells of such an error
// once, so the file gets another name, by which the next life knows. It returns the name that the file then has.
//
// Worked example: a slot says 7 and the page is on disk. Notes follow up to 90, and the disk fails to take the page.
// The kernel may drop it, and read it again when asked: the slot says 7, with three copies that agree. Only the error
// of the sync shows that 7 is not exact.
func (s *Slots) believe(name string, leases []ledger.OpenLease) (present string, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return name, err
	}
	failed := syncFile(f)
	if err := f.Close(); failed == nil || err != nil {
		return name, err
	}
	for i := range leases {
		leases[i].Spent, leases[i].Known = 0, false
	}
	return name + unsure, os.Rename(name, name+unsure)
}

// syncFile is a variable because tests cannot break a disk.
var syncFile = (*os.File).Sync

// Clear implements [ledger.Slots]. It removes the files that Claim has read. After an error it may be called again:
// files that are already gone are no error.
func (s *Slots) Clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, name := range s.claimed {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("slots: clear: %w", err)
		}
	}
	s.claimed = nil
	return nil
}
