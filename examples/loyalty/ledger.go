package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// openLedger opens the quota ledger in the folder dir, which it makes if it does not exist. If dir is empty, it uses a
// temporary folder. It returns the ledger and a function that closes it and removes the temporary folder.
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
	store, err := boltstore.Open(filepath.Join(dir, "usage.db"))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	spent, err := slots.Open(filepath.Join(dir, "slots")) // so that kill -9 wastes nothing of an open lease
	if err != nil {
		return nil, nil, errors.Join(err, store.Close(), remove())
	}
	quotas, err := ledger.New(ledger.Config{Engine: store, Slots: spent})
	if err != nil {
		return nil, nil, errors.Join(err, spent.Close(), store.Close(), remove())
	}
	return quotas, func() error { return errors.Join(quotas.Close(), spent.Close(), store.Close(), remove()) }, nil
}
