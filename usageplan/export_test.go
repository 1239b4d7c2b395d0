package usageplan

import "github.com/tallygate/tallygate/usageplan/journal"

// ValidatePlan returns all mistakes in a plan.
var ValidatePlan = Plan.validate

// PrefersHTML reports whether Accept asks for HTML rather than JSON.
var PrefersHTML = prefersHTML

// Decode reads an item and returns what encoding it again gives, and whether the item stands for something gone.
func Decode(it journal.Item) (journal.Item, error) {
	var t table
	var c changeset
	if err := t.read(&c, it); err != nil {
		return journal.Item{}, err
	}
	if len(c.plans) > 0 {
		p := &c.plans[0]
		if p.gone {
			return goneItem(planName(p.ID), !it.Gone), nil
		}
		text, err := p.encode()
		return journal.Item{Name: planName(p.ID), Value: text}, err
	}
	m := &c.members[0]
	if m.gone {
		return goneItem(memberName(m.Plan, m.Client), !it.Gone), nil
	}
	return journal.Item{Name: memberName(m.Plan, m.Client), Value: m.encode()}, nil
}

// A Roll is a roll whose members are their numbers.
type Roll struct{ roll }

func (r *Roll) Put(number uint64) { r.put(&member{number: number}) }

func (r *Roll) Remove(number uint64) { r.remove(number) }

// Page returns the numbers of a page.
func (r *Roll) Page(before, since uint64, limit int) (numbers []uint64, next uint64) {
	members, next := r.page(before, since, limit)
	for _, m := range members {
		numbers = append(numbers, m.number)
	}
	return numbers, next
}

// Slots returns how many slots there are, and how many of them have a member.
func (r *Roll) Slots() (all, used int) { return len(r.all()), r.count() }

// Identities returns how many plans the meter remembers, with those that are gone.
func Identities(m *Meter) (n int) {
	for range m.table.plans.Range {
		n++
	}
	return n
}
