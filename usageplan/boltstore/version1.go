package boltstore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"math/bits"
	"slices"

	"github.com/tallygate/tallygate/usageplan/internal/past"
	bolt "go.etcd.io/bbolt"
)

// Version 1 kept accounts, and a log of what had changed them. A record of the log has the entries of one commit. Now
// and then the log was folded into the accounts: "folded" in the bucket meta is the last record that they have. Old
// records were dropped, and base has what they had added up to.
//
// Example: of records 1 to 90 the first 40 were dropped, and folded is 80. Then base has the sums of 1 to 40, the log
// has 41 to 90, and the accounts are as they were after 80. To bring them up to date, 81 to 90 are replayed.
var (
	accountBucket = []byte("accounts")
	entryBucket   = []byte("log")
	baseBucket    = []byte("base")

	foldedKey = []byte("folded")
)

// version1 reads a file of version 1. It reads the log once and then the accounts in their order. Of the log it keeps
// only where the entries stand that it needs then: those that the accounts lack, and adjustments, of which an account
// has no more than the id. That is 24 bytes for each. It is used by one goroutine within one transaction of bbolt, and
// what it reads is valid only there.
type version1 struct {
	accounts, log, base *bolt.Bucket

	folded uint64
	spent  map[uint64]int64    // of leases
	fresh  map[string]struct{} // accounts without a row

	seed   maphash.Seed
	places []entryPlace

	// unproved is zero if each account is the sum of its base and entries. It adds up hash(account) × amount, with a
	// plus for accounts and a minus for entries. So it takes no memory for each account, and with hashes that nobody
	// can foresee the errors of several accounts do not cancel each other out.
	//
	// Example: an account with hash 7 and used 30, base 10 and entries 15 and 5, gives 210 - 70 - 105 - 35 = 0. If the
	// file shows an older copy of its row, with used 25, it gives -35.
	unproved uint64
}

// entryPlace is where an entry stands in the log. The account's hash is enough to sort by: the reader of the entry
// compares the name.
type entryPlace struct {
	account uint64 // hash
	record  uint64
	at      uint32 // in the record
}

func (p entryPlace) compareAccount(hash uint64) int { return cmp.Compare(p.account, hash) }

// readVersion1 calls each with the accounts of each key, oldest first. Leases that were left open are ended, with spent
// as what is known to have been spent of them. The slice that each gets is used again.
//
// Damage is found on the way or at the end, when each has already had most of the accounts. So the caller must throw
// away what it made of them if this returns an error.
func readVersion1(tx *bolt.Tx, spent map[uint64]int64, each func([]past.Account) error) error {
	v := version1{spent: spent, fresh: make(map[string]struct{}), seed: maphash.MakeSeed()}
	if err := v.begin(tx); err != nil {
		return err
	}
	if err := v.readBase(); err != nil {
		return err
	}
	if err := v.readLog(); err != nil {
		return err
	}
	if err := v.readAccounts(each); err != nil {
		return err
	}
	if v.unproved != 0 {
		return fmt.Errorf("%w: accounts are not the sums of their entries", ErrFormat)
	}
	return nil
}

// begin finds the buckets. A file of version 1 has each of them, even if nothing is in it.
func (v *version1) begin(tx *bolt.Tx) error {
	v.accounts, v.log, v.base = tx.Bucket(accountBucket), tx.Bucket(entryBucket), tx.Bucket(baseBucket)
	folded := tx.Bucket(metaBucket).Get(foldedKey)
	if v.accounts == nil || v.log == nil || v.base == nil || len(folded) != 8 {
		return fmt.Errorf("%w: a part of version 1 is missing", ErrFormat)
	}
	v.folded = binary.BigEndian.Uint64(folded)
	return nil
}

// hash differs in each conversion, as the seed does. It never leaves the process.
func (v *version1) hash(account []byte) uint64 { return maphash.Bytes(v.seed, account) }

// weigh is what an account's sums are in unproved. The two sums have different factors, so that an error of one does
// not cancel the opposite error of the other. All of it is modulo 2^64, so sums that overflow still cancel out.
func weigh(hash uint64, used, adjustments int64) uint64 {
	return hash*uint64(used) + bits.ReverseBytes64(hash)*uint64(adjustments)
}

// readBase takes what dropped records had added up to out of unproved.
func (v *version1) readBase() error {
	return v.base.ForEach(func(account, sealed []byte) error {
		in, err := openValue(sealed)
		if err != nil {
			return err
		}
		v.unproved -= weigh(v.hash(account), in.int(), in.int())
		return in.end()
	})
}

// readLog reads all records, none of which may be missing. The first may have any number up to folded+1, as older ones
// were dropped: were it greater, changes would be in neither the accounts nor the log. At the end the places are in the
// order of accounts, and those of an account as they happened.
func (v *version1) readLog() error {
	next := uint64(0)
	err := v.log.ForEach(func(key, sealed []byte) error {
		if len(key) != 8 {
			return fmt.Errorf("%w: number of a record", ErrFormat)
		}
		number := binary.BigEndian.Uint64(key)
		if next == 0 && number > v.folded+1 || next != 0 && number != next {
			return fmt.Errorf("%w: records before %d are missing", ErrFormat, number)
		}
		next = number + 1
		return v.readRecord(number, sealed)
	})
	slices.SortFunc(v.places, func(x, y entryPlace) int {
		return cmp.Or(cmp.Compare(x.account, y.account), cmp.Compare(x.record, y.record), cmp.Compare(x.at, y.at))
	})
	return err
}

// readRecord reads the entries of a commit. What the accounts have of it is taken out of unproved; for the others it
// notes which accounts have no row yet. It reads each entry to its end, so account can read it again without a check.
func (v *version1) readRecord(number uint64, sealed []byte) error {
	in, err := openValue(sealed)
	if err != nil {
		return err
	}
	size := len(in.b)
	in.int() // the time of the commit
	for len(in.b) > 0 {
		at := uint32(size - len(in.b))
		e := in.entry()
		hash := v.hash(e.account)
		// The accounts have what was folded. Only the newer entries are to be replayed, but adjustments are needed from
		// all.
		if number <= v.folded {
			v.unproved -= weigh(hash, e.used(), e.adjustments())
		} else if v.accounts.Get(e.account) == nil {
			v.fresh[string(e.account)] = struct{}{}
		}
		if number > v.folded || e.adjusts() {
			v.places = append(v.places, entryPlace{hash, number, at})
		}
	}
	return in.end()
}

// readAccounts reads the accounts in the order of their names. So those of a key come one after another, oldest first.
// An account that began after the last fold has no row, only entries. Its name is merged into the order.
//
// Example: rows of A and C, and entries of B, which is fresh. Before C is read, all fresh names below C are: A, B, C.
func (v *version1) readAccounts(each func([]past.Account) error) error {
	var key []past.Account
	read := func(name, sealed []byte) error {
		a, err := v.account(name, sealed)
		if err != nil {
			return err
		}
		// Names begin with plan and subject. So when those of another key come, this one has no more accounts.
		if len(key) > 0 && (key[0].Plan != a.Plan || key[0].Subject != a.Subject) {
			err = each(key)
			key = key[:0]
		}
		key = append(key, a)
		return err
	}
	fresh := slices.Sorted(maps.Keys(v.fresh))
	readFresh := func(until []byte) (err error) {
		for ; err == nil && len(fresh) > 0 && (until == nil || fresh[0] < string(until)); fresh = fresh[1:] {
			err = read([]byte(fresh[0]), nil)
		}
		return err
	}
	err := v.accounts.ForEach(func(name, sealed []byte) error {
		if err := readFresh(name); err != nil {
			return err
		}
		return read(name, sealed)
	})
	if err == nil {
		err = readFresh(nil)
	}
	if err == nil && len(key) > 0 {
		err = each(key)
	}
	return err
}

// account returns an account as it was in the end. It has a row, or entries in the log, or both; sealed is nil if it
// has no row. First the row is read, then what it lacks is replayed, and at last the leases end, as nobody holds them
// any more.
func (v *version1) account(name, sealed []byte) (past.Account, error) {
	hash := v.hash(name)
	a, err := parseAccount(name)
	if err == nil && sealed != nil {
		err = a.read(sealed)
	}
	if err != nil {
		return past.Account{}, err
	}
	// Before the replay: unproved compares the row with what had been folded into it.
	for _, d := range a.Days {
		v.unproved += weigh(hash, d.Used, d.Adjustments)
	}
	// Without entries, i is where they would be, and the loop ends at once.
	i, _ := slices.BinarySearchFunc(v.places, hash, entryPlace.compareAccount)
	for ; i < len(v.places) && v.places[i].account == hash; i++ {
		p := v.places[i]
		in := values{b: v.log.Get(numberKey(p.record))[p.at:]} // readRecord has read it
		e := in.entry()
		if !bytes.Equal(e.account, name) {
			continue // another account has the same hash
		}
		if p.record > v.folded {
			if err := a.replay(&e); err != nil {
				return past.Account{}, err
			}
		}
		if e.adjusts() {
			a.Changes = append(a.Changes, e.change(a.Start))
		}
	}
	a.addForgotten()
	a.endLeases(v.spent)
	return a.Account, nil
}
