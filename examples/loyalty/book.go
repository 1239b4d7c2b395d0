package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// openLedger opens the quota ledger in a folder, which it makes if there is none, or in a temporary one if none is named,
// and returns what closes it.
func openLedger(dir string) (*ledger.Ledger, func() error, error) {
	remove := func() error { return nil }
	if dir == "" {
		temporary, err := os.MkdirTemp("", "loyalty-")
		if err != nil {
			return nil, nil, err
		}
		dir, remove = temporary, func() error { return os.RemoveAll(temporary) }
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"), boltstore.Config{})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	book, err := ledger.New(ledger.Config{Store: store})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close(), remove())
	}
	return book, func() error { return errors.Join(book.Close(), store.Close(), remove()) }, nil
}
