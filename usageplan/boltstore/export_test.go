package boltstore

import (
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// SetBootID makes the machine seem to have been booted anew, until the test ends.
func SetBootID(t testing.TB, id string) {
	old := bootID
	bootID = func() string { return id }
	t.Cleanup(func() { bootID = old })
}

// EncodeState and DecodeState are the code of rows.
func EncodeState(s *ledger.State) []byte              { return appendState(nil, s) }
func DecodeState(value []byte) (*ledger.State, error) { return readState(value) }

// EncodeRecord and DecodeRecord are the code of log records.
func EncodeRecord(unix int64, entries []ledger.Entry) []byte {
	b := beginRecord(nil, unix)
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return seal(b)
}

func DecodeRecord(value []byte) (unix int64, entries []ledger.Entry, err error) {
	unix, err = readRecord(value, func(_ int, r *raw) error {
		e, err := r.entry(0)
		entries = append(entries, e)
		return err
	})
	return unix, entries, err
}

// Seal appends the checksum.
func Seal(b []byte) []byte { return seal(b) }
