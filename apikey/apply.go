package apikey

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// A key has a number: the revision of the change that created it, then 24 bits of its index in that change. So numbers
// ascend with creation, on every node alike. Its item is named by the number, as 8 bytes, big-endian.
//
// A key of [Config].Keys is in no journal. It gets a low number, with revision 0, by its place in Keys. When it is
// changed, it gets an item that is named by its id, because its place may be another one in the next process. When it
// is deleted, the item stays and says so: if the item went, the next process would declare the key again.
//
// 24 bits are enough for the 10 000 items of a change, and for what a program declares. 40 bits of revisions last for
// centuries.
const (
	indexBits  = 24
	firstAdded = 1 << indexBits // the lowest number that is not low
	lengthName = 8
)

// itemName returns the name of the item of a key.
func itemName(number uint64, id string) string {
	if number < firstAdded {
		return id
	}
	return string(binary.BigEndian.AppendUint64(nil, number))
}

// A named key has an item that is named by its id, or will get one when it is changed.
type named struct {
	number uint64
	stored bool // the journal has the item
}

// nameOf returns what is known of the key of the given id. A new one gets the next low number.
func (v *Verifier) nameOf(id string) *named {
	n := v.named[id]
	if n == nil {
		n = &named{number: uint64(len(v.named) + 1)}
		v.named[id] = n
	}
	return n
}

// follow reads the journal to its head and adds the declared keys. The error joins all mistakes.
func (v *Verifier) follow(j journal.Journal, declared []Entry) error {
	v.named = make(map[string]*named, len(declared))
	for _, e := range declared {
		v.nameOf(e.Key.ID)
	}
	var errs []error
	var err error
	switch v.topic, err = journal.Follow(context.Background(), j, v.apply); {
	case errors.Is(err, errPepper):
		errs = append(errs, failed(err))
	case err != nil:
		errs = append(errs, fmt.Errorf("apikey: the journal cannot be read: %w", err))
	}
	errs = append(errs, v.distinct())
	for i, e := range declared {
		if err := v.declare(e); err != nil {
			errs = append(errs, placed(err, fmt.Sprintf("Keys[%d]", i)))
		}
	}
	v.keys.order.merge()
	return errors.Join(errs...)
}

// placed returns err with the place after the name of the package. New joins such errors, one a line.
func placed(err error, place string) error {
	e, is := errors.AsType[*Error](err)
	if !is {
		return fmt.Errorf("apikey: %s: %w", place, err)
	}
	at := *e
	at.Err = fmt.Errorf("%s: %w", place, e.Err)
	return &at
}

// distinct returns an error if two keys of the journal have the same value. Verifiers decide so that this cannot be, so
// something else has written to the journal, and it would be a matter of chance whose value it is. A journal that is
// read on is not checked: there, a key that is only declared here may have the value, and loses it.
func (v *Verifier) distinct() error {
	for r := range v.keys.order.newest(0) {
		if v.keys.byDigest(&r.digest) != r {
			return fmt.Errorf("%w: another key has the value of key %s as well", errDamaged, r.id())
		}
	}
	return nil
}

// declare adds a declared key, without storing it. If the journal has the key, it only validates the entry.
func (v *Verifier) declare(e Entry) error {
	if e.Key.ID == "" {
		return invalid("a declared key needs an ID")
	}
	n, r := v.nameOf(e.Key.ID), v.keys.byID(e.Key.ID)
	if n.stored || r != nil && r.lasting.number >= firstAdded {
		return cmp.Or(e.Key.validate(), v.acceptable(e.Value))
	}
	s, err := v.admit(e, time.Now().UTC())
	if err != nil {
		return err
	}
	s.number = n.number
	v.keys.put(pack(&s))
	return nil
}

// apply makes items of the journal visible. It reads all of them before it changes anything, so that an item which
// cannot be read leaves the keys as they are. While it runs, both the old and the new values of a key are accepted.
// When it has returned, only the new ones are. The topic makes one call at a time.
//
// A value may have moved from one key to another, and the items may come in either order. So first each key gets its
// current value, from whichever key has it, and a key gives up only values that are still its own. Then the earlier
// values follow, as far as no key has them by now.
//
// With reset, it drops the keys that have no item. Keys with a low number stay: they are declared, or have an item that
// nobody removes.
func (v *Verifier) apply(items iter.Seq[journal.Item], reset bool) error {
	if reset {
		v.marked = false // until it is among the items; to put it twice would do no harm
	}
	records, err := v.read(items)
	if err != nil {
		return err
	}
	if reset {
		records = append(records, v.missing(records)...)
	}
	v.keys.reserve(len(records))
	for _, r := range records {
		if !r.deleted {
			v.keys.put(r)
		} else if old := v.keys.order.find(r.lasting.number); old != nil {
			v.keys.remove(old)
		}
	}
	for _, r := range records {
		if !r.deleted {
			v.keys.putEarlier(r)
		}
	}
	v.keys.order.merge()
	return nil
}

// read returns a record for each item, in the order of their numbers, so that new keys can be appended to the order. If
// an item comes more than once, the last one counts, so the sort must be stable. A key that was deleted has a record
// that says so.
func (v *Verifier) read(items iter.Seq[journal.Item]) ([]*record, error) {
	var records []*record
	now := time.Now()
	for it := range items {
		r, err := v.readItem(it, now)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	slices.SortStableFunc(records, byNumber)
	last := records[:0]
	for i, r := range records {
		if i+1 == len(records) || r.lasting.number != records[i+1].lasting.number {
			last = append(last, r)
		}
	}
	return last, nil
}

func byNumber(a, b *record) int { return cmp.Compare(a.lasting.number, b.lasting.number) }

// readItem returns the record of an item. An id never changes, so an item with another one is damaged.
func (v *Verifier) readItem(it journal.Item, now time.Time) (*record, error) {
	number, err := v.readName(it)
	if err != nil {
		return nil, err
	}
	var s state
	exists := !it.Gone && it.Name != markName
	if exists {
		s, exists, err = decode(it.Value, now)
	}
	if err != nil {
		return nil, err
	}
	if !exists {
		return &record{lasting: &lasting{number: number}, deleted: true}, nil
	}
	old := v.keys.order.find(number)
	if number < firstAdded && s.key.ID != it.Name || old != nil && s.key.ID != old.id() {
		return nil, fmt.Errorf("%w: the item of another key has the id %s", errDamaged, s.key.ID)
	}
	s.number = number
	return pack(&s), nil
}

// readName returns the number of the key of an item. An item that only records the deletion of a key, for History, has
// the number 0, which no key has, and so has the mark.
func (v *Verifier) readName(it journal.Item) (uint64, error) {
	switch {
	case it.Name == markName:
		return 0, v.readMark(it)
	case len(it.Name) == lengthName:
		if number := binary.BigEndian.Uint64([]byte(it.Name)); number >= firstAdded {
			return number, nil
		}
	case validID(it.Name) && it.Gone && v.named[it.Name] == nil:
		return 0, nil
	case validID(it.Name):
		n := v.nameOf(it.Name)
		n.stored = true
		return n.number, nil
	}
	return 0, fmt.Errorf("%w: its name is %q", errDamaged, clip(it.Name))
}

// missing returns records that delete the keys of the journal that are not in records, which are in the order of their
// numbers.
func (v *Verifier) missing(records []*record) (deleted []*record) {
	for r := range v.keys.order.newest(0) {
		if r.lasting.number < firstAdded {
			break
		}
		if _, found := slices.BinarySearchFunc(records, r, byNumber); !found {
			deleted = append(deleted, &record{lasting: r.lasting, deleted: true})
		}
	}
	return deleted
}
