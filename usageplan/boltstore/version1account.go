package boltstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tallygate/tallygate/usageplan/internal/past"
)

// account1 is an account of version 1. Day by day it is as package past wants it. What version 1 had in addition is
// used up on the way: leases end, and ids without an entry become changes.
type account1 struct {
	past.Account
	leases  []lease1
	applied []past.Change // of its last 256 adjustments, id, kind and amount
}

// lease1 is an open lease. All of it counts on one day. granted is the sum of its reservations, spent what was last
// reported of it. Both are in the day: granted as used, and granted - spent as held.
type lease1 struct {
	id                  uint64
	day, granted, spent int64
}

// parseAccount reads the name of an account:
//
//	2  length of the plan, big endian
//	   plan
//	2  length of the subject
//	   subject
//	8  start, big endian, its highest bit flipped
//
// So the accounts of a key stand next to each other in the bucket, ascending by start.
func parseAccount(name []byte) (a account1, err error) {
	in := values{b: name}
	a.Plan, a.Subject = in.part(), in.part()
	a.Start = int64(binary.BigEndian.Uint64(in.take(8)) ^ 1<<63) // so negative ones sort first
	return a, in.end()
}

// read reads the row of an account, whose name has been read. A row has, all as varints if nothing else is said:
//
//	start, limit, adjustments, used, held
//	crossed and told, each of two words
//	number of days, and for each: day, limit, adjustments, used, held
//	number of leases, and for each: id (8 bytes), day, granted, spent
//	number of adjustments that are remembered, and for each: id (text), amount
//	for each of these adjustments its kind (1 byte)
//
// Days are relative to the start. read takes only a row that agrees with itself: the start is that of the name, and the
// sums are those of the days.
func (a *account1) read(sealed []byte) error {
	in, err := openValue(sealed)
	if err != nil {
		return err
	}
	start := in.int()
	var sums past.Day
	for _, n := range [...]*int64{&a.Limit, &sums.Adjustments, &sums.Used, &sums.Held} {
		*n = in.int()
	}
	for _, n := range [...]*uint64{&a.Crossed[0], &a.Crossed[1], &a.Told[0], &a.Told[1]} {
		*n = in.uint()
	}
	for range in.count() {
		a.Days = append(a.Days, past.Day{
			Day: a.Start + in.int(), Limit: in.int(), Adjustments: in.int(), Used: in.int(), Held: in.int(),
		})
	}
	for range in.count() {
		a.leases = append(a.leases, lease1{in.fixed(), a.Start + in.int(), in.int(), in.int()})
	}
	for range in.count() {
		a.applied = append(a.applied, past.Change{ID: string(in.text()), Delta: in.int()})
	}
	for i := range a.applied {
		if len(in.b) > 0 { // the first rows of version 1 had no kinds
			a.applied[i].Correction = in.byte() == correct1
		}
	}
	if err := in.end(); err != nil {
		return err
	}
	if start != a.Start || !a.addsUp(sums) {
		return fmt.Errorf("%w: account of %q at %d", ErrFormat, a.Subject, a.Start)
	}
	return nil
}

// addsUp reports whether the days ascend and have these sums.
func (a *account1) addsUp(sums past.Day) bool {
	for i, d := range a.Days {
		if i > 0 && d.Day <= a.Days[i-1].Day {
			return false
		}
		sums.Adjustments -= d.Adjustments
		sums.Used -= d.Used
		sums.Held -= d.Held
	}
	return sums == past.Day{}
}

// replay makes the change of an entry, as version 1 did when it opened a file. It decides nothing: the entry says what
// was granted. Entries come in the order in which they happened, and none twice.
func (a *account1) replay(e *entry1) error {
	if len(a.Days) == 0 {
		a.Limit = e.limit
	}
	d := a.on(a.Start + e.day)
	if e.knowsLimit() { // the others know only the limit of the time when their request was admitted
		a.Limit = e.limit
	}
	if e.knowsLimit() && d.Day == a.Days[len(a.Days)-1].Day || d.Limit == 0 { // a day that is over keeps its limit
		d.Limit = a.Limit
	}
	for i := range e.crossed {
		a.Crossed[i] |= e.crossed[i]
	}
	switch e.kind {
	case reserve1, report1, return1:
		return a.replayLease(d, e)
	case tell1:
		a.Told[e.granted>>6&1] |= 1 << (e.granted & 63)
	}
	d.Used += e.used()
	d.Adjustments += e.adjustments()
	return nil
}

// replayLease makes the change of an entry of a lease, on the lease and on its day.
//
// Worked example, of one lease:
//
//	entry                    granted  used  held
//	reserve 100, spent 0         100   100   100
//	reserve 50, spent 30         150   150   120
//	return 40, spent 110         110   110     0
//
// The second line adds 50 to what is held and takes 30 out, which are known to be spent. The third one gives 40 back,
// and all that is left is spent.
func (a *account1) replayLease(d *past.Day, e *entry1) error {
	i := slices.IndexFunc(a.leases, func(l lease1) bool { return l.id == e.lease })
	switch {
	case i < 0 && e.kind == reserve1:
		i = len(a.leases)
		a.leases = append(a.leases, lease1{id: e.lease, day: d.Day})
	case i < 0:
		return fmt.Errorf("%w: entry of a lease that is not open", ErrFormat)
	}
	l := &a.leases[i]
	l.granted += e.used()
	d.Used += e.used()
	d.Held += e.used() + l.spent - e.spent
	l.spent = e.spent
	if e.kind == return1 {
		a.leases = slices.Delete(a.leases, i, i+1)
	}
	return nil
}

// endLeases ends the leases that a process has left open. Where it is known what was spent, the rest is given back. It
// cannot be more than was granted: then the file has been put back from an older copy. Otherwise what has not been
// reported as spent stays counted, as held: admit too little rather than too much, and bill too little.
//
// Example: 100 granted, 30 reported, so used is 100 and held 70. If the slot says 60, then 40 go back: used is 60, held
// 0. If nobody knows, used stays 100 and held 70, which leaves 30 to bill.
func (a *account1) endLeases(spent map[uint64]int64) {
	for _, l := range a.leases {
		if n, known := spent[l.id]; known && n <= l.granted {
			d := a.on(l.day)
			d.Used -= l.granted - n
			d.Held -= l.granted - l.spent
		}
	}
}

// addForgotten puts before the adjustments those of which the log has no entry any more. They are known by their ids,
// so that they are not made again, but nobody knows who made them, why and when. The period's start stands for the
// time.
func (a *account1) addForgotten() {
	logged := make(map[string]struct{}, len(a.Changes))
	for _, c := range a.Changes {
		logged[c.ID] = struct{}{}
	}
	forgotten := slices.DeleteFunc(a.applied, func(c past.Change) bool {
		_, ok := logged[c.ID]
		return ok
	})
	for i := range forgotten {
		forgotten[i].Time = a.Start
	}
	a.Changes = append(forgotten, a.Changes...)
}

// on returns a day, which it makes if need be. The pointer holds until the next call. It looks from the end, as most
// changes are of the last day.
func (a *account1) on(day int64) *past.Day {
	i := len(a.Days)
	for ; i > 0 && a.Days[i-1].Day >= day; i-- {
		if a.Days[i-1].Day == day {
			return &a.Days[i-1]
		}
	}
	a.Days = slices.Insert(a.Days, i, past.Day{Day: day})
	return &a.Days[i]
}
