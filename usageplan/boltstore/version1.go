package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// Version 1 kept accounts, and a log of entries that were folded into them now and then. Open converts such a file once:
//
//  1. It makes the rows in a file path.new-*, which it syncs.
//  2. It gives the old file a second name, path.before-rows. If that is another file's, it takes path.before-rows-2, and so on.
//  3. It gives the new file the name path, in one step.
//
// Whenever that ends early, the file at path is the old one or the new one, and whole.

// Buckets of version 1. The log has one record for each commit. Accounts has each account as of the record that folded
// names.
var (
	accountBucket = []byte("accounts")
	entryBucket   = []byte("log")
	foldedKey     = []byte("folded")
)

// convertRows is how many rows one transaction of the new file has. They are not in order, so a small one would write most
// pages of the file again and again.
const convertRows = 1 << 16

// convert puts a file of this version in the place of one of version 1.
func convert(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp, err := initialised(path, info.Mode().Perm())
	if err == nil {
		err = convertInto(temp, path)
	}
	if err == nil {
		err = keep(path, info)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		if temp != "" {
			_ = os.Remove(temp)
		}
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	removeSlots(path)
	return nil
}

// keep gives the file at path a second name that no other file has, and makes that durable.
func keep(path string, info os.FileInfo) error {
	for i := 1; ; i++ {
		name := path + ".before-rows"
		if i > 1 {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		err := os.Link(path, name)
		if there, statErr := os.Stat(name); errors.Is(err, fs.ErrExist) && statErr == nil && os.SameFile(info, there) {
			err = nil // an earlier conversion has come to here
		}
		if err == nil {
			return syncDir(filepath.Dir(path))
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
}

// convertInto fills the file at temp, which has no rows, with what the one at path has.
func convertInto(temp, path string) (err error) {
	old, err := openFile(path, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	if err != nil {
		return err
	}
	defer old.close()
	o := options()
	o.NoSync = true // until the end: nobody uses the file before
	db, err := openFile(temp, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	into := converter{db: db, tail: tail{state: state{first: 1}}}
	err = old.view(func(tx *bolt.Tx) error { return readVersion1(tx, spent(path), into.key) })
	if err == nil {
		err = into.flush()
	}
	if err == nil {
		err = guard(db.bolt.Sync)
	}
	return err
}

// converter writes rows to a new file, many in one transaction.
type converter struct {
	db *database
	tail
	waiting []change
}

// key writes the rows of a key, whose accounts these are.
func (c *converter) key(accounts []ledger.Imported) error {
	err := ledger.Import(accounts, func(key string, row []byte) error {
		c.waiting = append(c.waiting, change{key, row})
		return nil
	})
	if err == nil && len(c.waiting) >= convertRows {
		err = c.flush()
	}
	return err
}

func (c *converter) flush() error {
	slices.SortFunc(c.waiting, func(x, y change) int { return cmp.Compare(x.key, y.key) })
	return c.db.update(func(tx *bolt.Tx) error {
		for _, row := range c.waiting {
			if err := c.writeRow(tx.Bucket(rowBucket), []byte(row.key), row.row); err != nil {
				return err
			}
		}
		c.waiting = c.waiting[:0]
		return c.state.put(tx)
	})
}

// unfolded is what the log has of an account: the entries that its row lacks, and all adjustments.
type unfolded struct {
	entries []entry
	changes []ledger.Change
}

// readVersion1 calls each with the accounts of each key. Leases that were left open are ended, as the next ledger over
// version 1 would have done: spent says of some what was spent of them.
func readVersion1(tx *bolt.Tx, spent map[uint64]int64, each func([]ledger.Imported) error) error {
	meta, accounts, log := tx.Bucket(metaBucket), tx.Bucket(accountBucket), tx.Bucket(entryBucket)
	if accounts == nil || log == nil || len(meta.Get(foldedKey)) != 8 {
		return fmt.Errorf("%w: no accounts", ErrFormat)
	}
	later, err := readEntries(log, binary.BigEndian.Uint64(meta.Get(foldedKey)))
	if err != nil {
		return err
	}
	var key []ledger.Imported
	add := func(name, sealed []byte) error {
		a, err := later[string(name)].account(name, sealed, spent)
		delete(later, string(name))
		if err == nil && len(key) > 0 && key[0].Account.Key != a.Account.Key {
			err = each(key)
			key = key[:0]
		}
		key = append(key, a)
		return err
	}
	names := slices.SortedFunc(maps.Keys(later), func(x, y string) int { return cmp.Compare(x, y) })
	err = accounts.ForEach(func(name, sealed []byte) error {
		for len(names) > 0 && names[0] < string(name) { // accounts that have no row yet
			if err := add([]byte(names[0]), nil); err != nil {
				return err
			}
			names = names[1:]
		}
		if len(names) > 0 && names[0] == string(name) {
			names = names[1:]
		}
		return add(name, sealed)
	})
	for _, name := range names {
		if err == nil {
			err = add([]byte(name), nil)
		}
	}
	if err == nil && len(key) > 0 {
		err = each(key)
	}
	return err
}

// readEntries reads the log.
func readEntries(log *bolt.Bucket, folded uint64) (map[string]*unfolded, error) {
	later := make(map[string]*unfolded)
	err := log.ForEach(func(number, sealed []byte) error {
		r, err := open1(sealed)
		if err != nil {
			return err
		}
		r.int() // the time of the commit
		for len(r.b) > 0 {
			e := r.entry()
			isNew, adjusts := bytes.Compare(number, numberKey(folded)) > 0, e.kind == extendEntry || e.kind == correctEntry
			if !isNew && !adjusts {
				continue
			}
			u := later[e.account]
			if u == nil {
				u = new(unfolded)
				later[e.account] = u
			}
			if isNew {
				u.entries = append(u.entries, e)
			}
			if adjusts {
				u.changes = append(u.changes, e.change())
			}
		}
		return r.err
	})
	return later, err
}

// account returns an account with the row sealed (nil: none), brought up to date.
func (u *unfolded) account(name, sealed []byte, spent map[uint64]int64) (a ledger.Imported, err error) {
	var s account1
	if sealed != nil {
		if s, err = readAccount1(sealed); err != nil {
			return a, err
		}
	}
	if u == nil {
		u = new(unfolded)
	}
	for i := range u.entries {
		if err := s.replay(&u.entries[i]); err != nil {
			return a, err
		}
	}
	s.endLeases(spent)
	a = s.Imported
	if a.Account, err = parseAccount(name); err != nil {
		return a, err
	}
	a.Changes = s.changes(u.changes)
	for i := range a.Changes {
		a.Changes[i].Account = a.Account
	}
	return a, nil
}
