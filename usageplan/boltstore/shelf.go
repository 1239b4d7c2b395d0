package boltstore

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/tallygate/tallygate/usageplan/ledger"
	bolt "go.etcd.io/bbolt"
)

// shelf is the accounts of one key, at least the newest two.
type shelf struct {
	key     ledger.Key
	next    *shelf // whose key has the same hash
	history ledger.History
	dirty   []*ledger.State // that differ from their rows
	used    uint64          // number of folds before its last use

	room [3]*ledger.State // for history and dirty, so that they need no memory elsewhere
}

func newShelf(k ledger.Key) *shelf {
	sh := &shelf{key: k}
	sh.history, sh.dirty = sh.room[:0:2], sh.room[2:2]
	return sh
}

// isNewest reports whether no account of the key is newer than one of start.
func (sh *shelf) isNewest(start int64) bool {
	n := len(sh.history)
	return n == 0 || sh.history[n-1].Start <= start
}

// fetch reads the row of an older account.
func (sh *shelf) fetch(view func(func(*bolt.Tx) error) error, a ledger.Account) error {
	i, ok := slices.BinarySearchFunc(sh.history, a.Start, func(s *ledger.State, start int64) int { return cmp.Compare(s.Start, start) })
	if ok {
		return nil
	}
	return view(func(tx *bolt.Tx) error {
		value := tx.Bucket(accountBucket).Get(accountKey(nil, a))
		if value == nil {
			return nil
		}
		s, err := readState(value)
		if err == nil {
			sh.history = slices.Insert(sh.history, i, s)
		}
		return err
	})
}

// newestTwo reads the rows of the newest accounts.
func (sh *shelf) newestTwo(tx *bolt.Tx) error {
	prefix := keyPrefix(nil, sh.key)
	c := tx.Bucket(accountBucket).Cursor()
	behind := append(bytes.Clone(prefix), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	back := c.Prev
	if key, _ := c.Seek(behind); key == nil {
		back = c.Last
	}
	for key, value := back(); bytes.HasPrefix(key, prefix) && len(key) == len(prefix)+8 && len(sh.history) < 2; key, value = c.Prev() {
		s, err := readState(value)
		if err != nil {
			return err
		}
		sh.history = slices.Insert(sh.history, 0, s)
	}
	return nil
}

// evict forgets all but the newest two accounts. None may differ from its row.
func (sh *shelf) evict() {
	if n := len(sh.history); n > 2 {
		sh.history = append(sh.room[:0:2], sh.history[n-2:]...) // more than two are not in room
	}
}

// shelves finds shelves by the hash of their keys: in less memory than by the keys, and with less work between two
// waits for it.
type shelves struct {
	seed  maphash.Seed
	first map[uint64]*shelf // of those with one hash
	n     int
}

func newShelves() shelves {
	return shelves{seed: maphash.MakeSeed(), first: make(map[uint64]*shelf)}
}

func (ss *shelves) hash(k *ledger.Key) uint64 {
	return bits.RotateLeft64(maphash.String(ss.seed, k.Plan), 32) ^ maphash.String(ss.seed, k.Subject)
}

// of returns the shelf of k among sh and those after it.
func (sh *shelf) of(k *ledger.Key) *shelf {
	for sh != nil && sh.key != *k {
		sh = sh.next
	}
	return sh
}

func (ss *shelves) get(k *ledger.Key) *shelf { return ss.first[ss.hash(k)].of(k) }

func (ss *shelves) put(hash uint64, sh *shelf) {
	sh.next, ss.first[hash] = ss.first[hash], sh
	ss.n++
}

// keep forgets the shelves of which wanted says no.
func (ss *shelves) keep(wanted func(*shelf) bool) {
	for hash, sh := range ss.first {
		var kept *shelf
		for next := sh; next != nil; {
			sh, next = next, next.next
			if wanted(sh) {
				sh.next, kept = kept, sh
			} else {
				ss.n--
			}
		}
		if kept == nil {
			delete(ss.first, hash)
		} else {
			ss.first[hash] = kept
		}
	}
}
