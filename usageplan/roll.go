package usageplan

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// A roll lists the memberships of a plan in the order of their creation. It is read without a lock, so a page of it
// costs the same whether the plan has 25 members or a million. One goroutine changes it at a time.
//
// A list that is copied for each change would cost as much as the plan has members. A tree would be read without a lock
// only if its nodes were copied. Creation gives an order in which almost every change is at the end, so a slice does.
//
// The slots are sorted by number. A new membership has the highest number, so it is appended: behind what readers of
// the present slice see. One that is replaced keeps its number and so its slot. One that is removed leaves an empty
// slot until half of the slots are empty; then they are copied without these.
type roll struct {
	slots atomic.Pointer[[]slot]
	used  atomic.Int64 // slots with a member
}

type slot struct {
	number uint64
	member atomic.Pointer[member]
}

// all returns the slots for reading. Those that are appended later are not among them.
func (r *roll) all() []slot {
	if s := r.slots.Load(); s != nil {
		return *s
	}
	return nil
}

// find returns the index of the first slot whose number is not below n, and whether it is n.
func find(slots []slot, n uint64) (int, bool) {
	lo, hi := 0, len(slots)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); slots[mid].number < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(slots) && slots[lo].number == n
}

// put adds the membership, or replaces the one of the same number.
func (r *roll) put(m *member) {
	slots := r.all()
	i, found := find(slots, m.number)
	switch {
	case !found && i < len(slots):
		slots = r.insert(i, m.number)
	case !found:
		slots = append(slots, slot{number: m.number})
	}
	if slots[i].member.Swap(m) == nil {
		r.used.Add(1)
	}
	if !found {
		r.slots.Store(&slots)
	}
}

// insert returns a copy of the slots with an empty one at i. That is rare: only a declared member that comes back has a
// low number. Readers keep the slots that they have, without the one that is inserted.
func (r *roll) insert(i int, number uint64) []slot {
	old := r.all()
	slots := make([]slot, len(old)+1, len(old)+len(old)/4+1)
	for j := range old {
		to := j
		if j >= i {
			to++
		}
		slots[to].number = old[j].number
		slots[to].member.Store(old[j].member.Load())
	}
	slots[i].number = number
	return slots
}

// remove empties the slot of the number, if there is one.
func (r *roll) remove(number uint64) {
	slots := r.all()
	i, found := find(slots, number)
	if !found || slots[i].member.Swap(nil) == nil {
		return
	}
	if used := int(r.used.Add(-1)); len(slots)-used > len(slots)/2 {
		r.compact()
	}
}

// compact replaces the slots by a copy without the empty ones.
func (r *roll) compact() {
	old := r.all()
	slots := make([]slot, 0, r.count())
	for i := range old {
		if m := old[i].member.Load(); m != nil {
			slots = append(slots, slot{number: old[i].number})
			slots[len(slots)-1].member.Store(m)
		}
	}
	r.slots.Store(&slots)
}

// count returns how many memberships there are. Any goroutine may call it.
func (r *roll) count() int { return int(r.used.Load()) }

// page returns up to limit memberships with a number below before, newest first, and the number to go on below. Those
// of a number below since are not among them. The number is 0 if there are no more.
func (r *roll) page(before, since uint64, limit int) (members []*member, next uint64) {
	slots := r.all()
	end, _ := find(slots, before)
	for i := end - 1; i >= 0 && slots[i].number > since; i-- {
		m := slots[i].member.Load()
		if m == nil {
			continue
		}
		if len(members) == limit {
			return members, members[limit-1].number
		}
		members = append(members, m)
	}
	return members, 0
}

// byNumber sorts memberships by their creation.
func byNumber(members []*member) {
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.number, b.number) })
}
