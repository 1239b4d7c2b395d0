package usageplan

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The items of the journal. An item is named by what it is about, so the history of a plan or a membership goes on if
// it is deleted and made again:
//
//	"p/" id                    a plan
//	"m/" length plan client    a membership; the length of the plan's id is one byte
//
// A value begins with the version of its form and a byte of flags. Numbers have eight bytes, big endian:
//
//	plan      version flags number created JSON
//	member    version flags number [rate burst] [limit of a day] [of a week] [of a month] [in flight]
//
// A plan is JSON inside, because there are few, and what a plan has grows over time. There may be a million members:
// one without a throttle and limits of its own takes 10 bytes. For example, the client "k1" in the plan "basic",
// created as the second thing of change 3, is the item
//
//	"m/\x05basick1"    01 00 0000000003000001
//
// The order of creation is in the value and not in the name. If it were in the name, a store could append new members
// to its end, which is faster. But then nothing could be found by what it is: neither the history of a member that is
// gone, nor whether two processes mean the same one.
const (
	planPrefix   = "p/"
	memberPrefix = "m/"
	itemVersion  = 1
)

// The flags of a value. What is in brackets is there if its flag is set.
const (
	flagGone     byte = 1 << iota // declared in code and deleted; nothing else follows
	flagThrottle                  // the member has a throttle of its own
	flagDay                       // the member has a limit of its own for the period
	flagWeek
	flagMonth
	flagInFlight // the member has a bound of its own on what runs at once
)

// limitFlags are the flags of limits, in the order of a value.
var limitFlags = [...]struct {
	period ledger.Period
	flag   byte
}{{ledger.Daily, flagDay}, {ledger.Weekly, flagWeek}, {ledger.Monthly, flagMonth}}

// A planItem is a plan in a change: its new version, or the id of a plan that is gone.
type planItem struct {
	Plan
	number uint64 // the place in the order of creation; see draft.number
	gone   bool
}

// A memberItem is a membership in a change: its new version, or the plan and client of one that is gone.
type memberItem struct {
	Member
	number uint64
	gone   bool
}

func planName(id string) string { return planPrefix + id }

func memberName(plan, client string) string {
	return memberPrefix + string([]byte{byte(len(plan))}) + plan + client // a byte is enough for maxPlanID
}

// splitMember returns the plan and the client of a name of memberName without its prefix. The length makes the name
// unambiguous: any byte may occur in an id, so no separator could.
func splitMember(name string) (plan, client string, ok bool) {
	if name == "" || len(name) < 1+int(name[0]) {
		return "", "", false
	}
	end := 1 + int(name[0])
	return name[1:end], name[end:], true
}

// goneItem returns the item that removes what has the name. If it is declared in code, the item stays and says that it
// is gone. Otherwise the next process would find only the declaration.
func goneItem(name string, declared bool) journal.Item {
	if declared {
		return journal.Item{Name: name, Value: []byte{itemVersion, flagGone}}
	}
	return journal.Item{Name: name, Gone: true}
}

func (p *planItem) encode() ([]byte, error) {
	created := uint64(0)
	if !p.Created.IsZero() {
		created = uint64(p.Created.UnixNano()) // validate bounds it
	}
	b := appendNumbers([]byte{itemVersion, 0}, p.number, created)
	text, err := json.Marshal(p.Plan)
	return append(b, text...), err
}

func (m *memberItem) encode() []byte {
	b := appendNumbers([]byte{itemVersion, 0}, m.number)
	if m.Throttle != nil {
		b[1] |= flagThrottle
		b = appendNumbers(b, math.Float64bits(m.Throttle.Rate), uint64(m.Throttle.Burst))
	}
	for _, f := range limitFlags {
		if limit, own := m.Limits[f.period]; own {
			b[1] |= f.flag
			b = appendNumbers(b, uint64(limit))
		}
	}
	if m.InFlight != 0 {
		b[1] |= flagInFlight
		b = appendNumbers(b, uint64(m.InFlight))
	}
	return b
}

func appendNumbers(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// decodePlan reads the value of a plan's item. It accepts only what encode and goneItem write. The JSON is read as
// strictly as a file of [Load], mistakes in the plan included. So a newer program may add a part to plans without a new
// version of the form: an older program does not know the name, and says so.
func decodePlan(id string, value []byte) (planItem, error) {
	r := newValue(value, flagGone)
	if r.has(flagGone) {
		return planItem{Plan: Plan{ID: id}, gone: true}, r.finish()
	}
	p := planItem{number: r.number()}
	created := r.number()
	if r.err != nil {
		return planItem{}, r.err
	}
	if err := json.Unmarshal(r.rest, &p.Plan); err != nil {
		return planItem{}, err
	}
	if p.ID != id {
		return planItem{}, fmt.Errorf("holds the plan %q", clip(p.ID))
	}
	if created > 0 {
		p.Created = time.Unix(0, int64(created)).UTC()
	}
	return p, nil
}

// decodeMember reads the value of a member's item. It accepts only what encode and goneItem write. Whether the limits
// fit the plan's quotas cannot be seen here, because the plan may not be there yet; a change checks it.
func decodeMember(plan, client string, value []byte) (memberItem, error) {
	r := newValue(value, flagGone|flagThrottle|flagDay|flagWeek|flagMonth|flagInFlight)
	m := memberItem{Member: Member{Plan: plan, Client: client}}
	if r.has(flagGone) {
		m.gone = true
		return m, r.finish()
	}
	m.number = r.number()
	if r.has(flagThrottle) {
		m.Throttle = &ratelimit.Limit{Rate: math.Float64frombits(r.number()), Burst: int64(r.number())}
	}
	for _, f := range limitFlags {
		if !r.has(f.flag) {
			continue
		}
		if m.Limits == nil {
			m.Limits = make(map[ledger.Period]int64)
		}
		m.Limits[f.period] = int64(r.number())
	}
	if r.has(flagInFlight) {
		m.InFlight = r.atOnce()
	}
	if err := r.finish(); err != nil {
		return memberItem{}, err
	}
	return m, m.validate()
}

// A value is what is left to read of an item's bytes. After an error, all that it reads is zero.
type value struct {
	flags byte
	rest  []byte
	err   error
}

// newValue reads the version and the flags. A version or a flag that is not known is an error, because a newer program
// has written it, and what it means must not be ignored.
func newValue(b []byte, known byte) *value {
	switch {
	case len(b) < 2:
		return &value{err: errLength}
	case b[0] != itemVersion:
		return &value{err: fmt.Errorf("has the form %d, and this program knows %d alone", b[0], itemVersion)}
	case b[1]&^known != 0 || b[1]&flagGone != 0 && b[1] != flagGone:
		return &value{err: fmt.Errorf("has the flags %08b, which this program does not know", b[1])}
	}
	return &value{flags: b[1], rest: b[2:]}
}

var errLength = errors.New("has a wrong length")

func (v *value) has(flag byte) bool { return v.flags&flag != 0 }

func (v *value) number() uint64 {
	if v.err == nil && len(v.rest) < 8 {
		v.err = errLength
	}
	if v.err != nil {
		return 0
	}
	n := binary.BigEndian.Uint64(v.rest)
	v.rest = v.rest[8:]
	return n
}

// atOnce reads how many requests may run at once. 0 would be no bound of its own, and the flag says that there is one.
func (v *value) atOnce() int {
	n := v.number()
	if v.err == nil && (n == 0 || n > maxInFlight) {
		v.err = fmt.Errorf("lets %d requests run at once, not 1 to %d", n, maxInFlight)
	}
	return int(n)
}

// finish returns the first error, and one if something is left.
func (v *value) finish() error {
	if v.err == nil && len(v.rest) > 0 {
		return errLength
	}
	return v.err
}
