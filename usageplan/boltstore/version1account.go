package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Kinds of entries of version 1.
const (
	readEntry = iota
	chargeEntry
	trueUpEntry
	refundEntry
	reserveEntry
	reportEntry
	returnEntry
	extendEntry
	correctEntry
	tellEntry

	inForceFlag = 0x40 // of a true-up: its limit is the one in force
	kindMask    = 0x3f
)

// account1 is an account of version 1.
type account1 struct {
	ledger.Imported
	start   int64
	leases  []lease1
	applied []ledger.Change // adjustments of which only id, kind and amount are known
}

// lease1 is an open lease.
type lease1 struct {
	id                  uint64
	day, granted, spent int64
}

// entry is one change of an account.
type entry struct {
	kind    byte
	inForce bool
	account string

	granted, day, time, limit, min, spent int64 // of an adjustment, min is what it changed from

	lease             uint64
	crossed           [2]uint64
	id, reason, actor string
}

func (e *entry) change() ledger.Change {
	return ledger.Change{
		Adjustment: ledger.Adjustment{ID: e.id, Delta: e.granted, Reason: e.reason, Actor: e.actor},
		Time:       time.Unix(e.time, 0), Correction: e.kind == correctEntry, Before: e.min,
	}
}

func (e *entry) knowsLimit() bool {
	switch e.kind {
	case readEntry, chargeEntry, reserveEntry, extendEntry, correctEntry:
		return true
	}
	return e.kind == trueUpEntry && e.inForce
}

// replay makes the change of an entry.
func (a *account1) replay(e *entry) error {
	d := a.on(e.day)
	newest := a.Days[len(a.Days)-1].Day
	if e.knowsLimit() {
		a.Limit = e.limit
	}
	if e.knowsLimit() && e.day == newest || d.Limit == 0 { // a day that is over keeps its limit
		d.Limit = a.Limit
	}
	switch e.kind {
	case chargeEntry, trueUpEntry, correctEntry:
		a.use(d, e.granted, 0)
	case refundEntry:
		a.use(d, -e.granted, 0)
	case extendEntry:
		a.Adjustments += e.granted
		d.Adjustments += e.granted
	case tellEntry:
		a.Told[e.granted>>6&1] |= 1 << (e.granted & 63)
	case reserveEntry, reportEntry, returnEntry:
		if err := a.lease(d, e); err != nil {
			return err
		}
	}
	a.Crossed[0] |= e.crossed[0]
	a.Crossed[1] |= e.crossed[1]
	return nil
}

// lease makes the change of an entry of a lease.
func (a *account1) lease(d *day1, e *entry) error {
	i := slices.IndexFunc(a.leases, func(l lease1) bool { return l.id == e.lease })
	if i < 0 && e.kind != reserveEntry {
		return fmt.Errorf("%w: entry of a lease that is not open", ErrFormat)
	}
	if i < 0 {
		i = len(a.leases)
		a.leases = append(a.leases, lease1{id: e.lease, day: e.day})
	}
	l := &a.leases[i]
	a.use(d, 0, l.spent-e.spent)
	l.spent = e.spent
	switch e.kind {
	case reserveEntry:
		l.granted += e.granted
		a.use(d, e.granted, e.granted)
	case returnEntry:
		a.use(d, -e.granted, -e.granted)
		a.leases = slices.Delete(a.leases, i, i+1)
	}
	return nil
}

// endLeases ends what a process has left open. If it is known what was spent, the rest is returned; more than was granted
// cannot have been: then the file was put back from an older copy. Otherwise the rest stays counted, as held.
func (a *account1) endLeases(spent map[uint64]int64) {
	for _, l := range a.leases {
		if n, known := spent[l.id]; known && n <= l.granted {
			d := a.on(l.day)
			a.use(d, 0, l.spent-n)
			a.use(d, n-l.granted, n-l.granted)
		}
	}
}

// day1 is a day of an account.
type day1 = struct{ Day, Limit, Adjustments, Used, Held int64 }

func (a *account1) use(d *day1, used, held int64) {
	a.Used += used
	a.Held += held
	d.Used += used
	d.Held += held
}

// on returns a day, which it makes if need be. The pointer holds until the next call.
func (a *account1) on(day int64) *day1 {
	i := len(a.Days)
	for ; i > 0 && a.Days[i-1].Day >= day; i-- {
		if a.Days[i-1].Day == day {
			return &a.Days[i-1]
		}
	}
	a.Days = slices.Insert(a.Days, i, day1{Day: day})
	return &a.Days[i]
}

// changes returns the adjustments: those that the log has whole, after those of which the account remembers only the id.
func (a *account1) changes(whole []ledger.Change) (all []ledger.Change) {
	for _, c := range a.applied {
		if !slices.ContainsFunc(whole, func(w ledger.Change) bool { return w.ID == c.ID }) {
			c.Time = time.Unix(a.start, 0)
			all = append(all, c)
		}
	}
	return append(all, whole...)
}

// parseAccount reads the name of a row: plan and subject, each after its length, and the start.
func parseAccount(name []byte) (a ledger.Account, err error) {
	r := values{b: name}
	for _, part := range [...]*string{&a.Plan, &a.Subject} {
		if len(r.b) < 2 || len(r.b)-2 < int(binary.BigEndian.Uint16(r.b)) {
			return a, fmt.Errorf("%w: name of an account", ErrFormat)
		}
		n := 2 + int(binary.BigEndian.Uint16(r.b))
		*part, r.b = string(r.b[2:n]), r.b[n:]
	}
	if len(r.b) != 8 {
		return a, fmt.Errorf("%w: name of an account", ErrFormat)
	}
	a.Start = int64(binary.BigEndian.Uint64(r.b) ^ 1<<63)
	return a, nil
}

// values takes a value apart; after the first mistake it gives zeros and keeps the error.
type values struct {
	b   []byte
	err error
}

// open1 begins to read a value, which ends with its CRC-32C.
func open1(sealed []byte) (*values, error) {
	n := len(sealed) - sumSize
	if n < 0 || crc32.Checksum(sealed[:n], castagnoli) != storedSum(sealed) {
		return nil, fmt.Errorf("%w: checksum", ErrFormat)
	}
	return &values{b: sealed[:n]}, nil
}

// take returns the next n bytes, nil if there are not so many.
func (r *values) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err, r.b = fmt.Errorf("%w: short value", ErrFormat), nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *values) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.take(uint64(max(n, 0)))
	if n <= 0 {
		r.take(1 << 62)
	}
	return v
}

func (r *values) int() int64 {
	v := r.uint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *values) fixed() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *values) text() string { return string(r.take(r.uint())) }

// count reads how many items follow, each of at least one byte.
func (r *values) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.take(n)
		return 0
	}
	return int(n)
}

func (r *values) entry() (e entry) {
	kind := r.byte()
	e.kind, e.inForce = kind&kindMask, kind&inForceFlag != 0
	e.account = r.text()
	var want int64
	for _, n := range [...]*int64{&e.granted, &e.day, &e.time, &e.limit, &want, &e.min, &e.spent} {
		*n = r.int()
	}
	e.lease, e.crossed = r.fixed(), [2]uint64{r.uint(), r.uint()}
	e.id, e.reason, e.actor = r.text(), r.text(), r.text()
	a, err := parseAccount([]byte(e.account))
	if r.err == nil {
		r.err = err
	}
	e.day += a.Start
	e.time += e.day
	return e
}

func (r *values) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// readAccount1 reads a row.
func readAccount1(sealed []byte) (a account1, err error) {
	r, err := open1(sealed)
	if err != nil {
		return a, err
	}
	for _, n := range [...]*int64{&a.start, &a.Limit, &a.Adjustments, &a.Used, &a.Held} {
		*n = r.int()
	}
	for _, n := range [...]*uint64{&a.Crossed[0], &a.Crossed[1], &a.Told[0], &a.Told[1]} {
		*n = r.uint()
	}
	for range r.count() {
		a.Days = append(a.Days, day1{a.start + r.int(), r.int(), r.int(), r.int(), r.int()})
	}
	for range r.count() {
		a.leases = append(a.leases, lease1{r.fixed(), a.start + r.int(), r.int(), r.int()})
	}
	for range r.count() {
		a.applied = append(a.applied, ledger.Change{Adjustment: ledger.Adjustment{ID: r.text(), Delta: r.int()}})
	}
	for i := range a.applied {
		if len(r.b) > 0 { // older rows lack the kinds
			a.applied[i].Correction = r.byte() == correctEntry
		}
	}
	return a, r.err
}
