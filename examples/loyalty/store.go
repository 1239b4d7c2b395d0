package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// A store is what the program keeps: keys, plans and quotas in one file, and the secrets by which values of keys are
// stored in another.
type store struct {
	quotas      *ledger.Ledger
	keys, plans journal.Journal
	pepper      apikey.Secret
	sealer      *apikey.Sealer // nil without -seal
	Close       func() error   // also removes a temporary folder
}

// openStore opens the store in the folder dir, which it makes if it does not exist. If dir is empty, it uses a
// temporary folder.
func openStore(dir string, seal bool) (s store, err error) {
	remove := func() error { return nil }
	if dir == "" {
		temporary, err := os.MkdirTemp("", "loyalty-")
		if err != nil {
			return s, err
		}
		dir, remove = temporary, func() error { return os.RemoveAll(temporary) }
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	file, err := boltstore.Open(filepath.Join(dir, "usage.db")) // from here on, no other process uses the folder
	if err != nil {
		return s, errors.Join(err, remove())
	}
	spent, err := slots.Open(filepath.Join(dir, "slots")) // so that kill -9 wastes nothing of an open lease
	if err != nil {
		return s, errors.Join(err, file.Close(), remove())
	}
	s.keys, s.plans = file.Journal("keys", 0), file.Journal("plans", 0)
	s.quotas, err = ledger.New(ledger.Config{Engine: file, Slots: spent})
	if err == nil {
		if err = s.readSecrets(dir, seal); err != nil {
			err = errors.Join(err, s.quotas.Close())
		}
	}
	if err != nil {
		return store{}, errors.Join(err, spent.Close(), file.Close(), remove())
	}
	s.Close = func() error { return errors.Join(s.quotas.Close(), spent.Close(), file.Close(), remove()) }
	return s, nil
}

// lengthSecret is the length of the pepper and of the sealing key in bytes.
const lengthSecret = 32

// readSecrets reads the pepper and the sealing key, and makes them if there are none. A real service keeps them in a
// secret store, away from the file of the keys: with both, one can read the values that were sealed.
func (s *store) readSecrets(dir string, seal bool) error {
	path := filepath.Join(dir, "secrets")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text = make([]byte, 2*lengthSecret)
		_, _ = rand.Read(text) // never fails
		if err = s.holdsNoKeys(); err == nil {
			err = writeWhole(path, text)
		}
	}
	if err == nil && len(text) != 2*lengthSecret {
		err = fmt.Errorf("%s has %d bytes, want %d", path, len(text), 2*lengthSecret)
	}
	if err != nil {
		return err
	}
	s.pepper = apikey.Secret(text[:lengthSecret])
	if seal {
		s.sealer, err = apikey.NewSealer(apikey.Secret(text[lengthSecret:]))
	}
	return err
}

// holdsNoKeys returns an error if there are keys. Under a new pepper none of them would be found.
func (s *store) holdsNoKeys() error {
	for _, err := range s.keys.Changes(context.Background(), 0) {
		return cmp.Or(err, errors.New("there are keys, but the file of their secrets is missing"))
	}
	return nil
}

// writeWhole writes a file so that a crash leaves all of it or none.
func writeWhole(path string, text []byte) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !os.IsPermission(err) {
		return err // Windows cannot sync a folder and says so
	}
	return nil
}
