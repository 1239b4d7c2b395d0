package usageplan

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// A changeset is what a change does to plans and members: each of them once, in its last form. A draft is one before it
// is stored; what the journal yields becomes one before it is visible. So both are looked up and applied in the same
// way.
//
// A journal may yield a name several times, for example a member that was added and removed since this process has read
// the last time. Only the last form may become visible: requests would otherwise see a member that is gone already.
type changeset struct {
	plans   []planItem
	members []memberItem

	// planAt has the index of a plan by its id. latest has the index of a client's last entry in members; before leads
	// from there to the one before it. This is smaller than a list for each client, of which there may be a million.
	// For example, if members has the clients a, b, a, then latest is {a: 2, b: 1}, and before is [-1, -1, 0].
	planAt map[string]int
	latest map[string]int
	before []int // for each of members; -1 is the end
}

func (c *changeset) addPlan(p planItem) {
	if c.planAt == nil {
		c.planAt = make(map[string]int)
	}
	if i, again := c.planAt[p.ID]; again {
		c.plans[i] = p
		return
	}
	c.planAt[p.ID] = len(c.plans)
	c.plans = append(c.plans, p)
}

func (c *changeset) addMember(m memberItem) {
	if again := c.member(m.Plan, m.Client); again != nil {
		*again = m
		return
	}
	if c.latest == nil {
		c.latest = make(map[string]int)
	}
	c.before = append(c.before, c.last(m.Client))
	c.latest[m.Client] = len(c.members)
	c.members = append(c.members, m)
}

// last returns the index of the client's last entry in members, or -1.
func (c *changeset) last(client string) int {
	if i, has := c.latest[client]; has {
		return i
	}
	return -1
}

// plan returns the change's entry for the plan, or nil.
func (c *changeset) plan(id string) *planItem {
	if i, found := c.planAt[id]; found {
		return &c.plans[i]
	}
	return nil
}

// member returns the change's entry for the membership, or nil.
func (c *changeset) member(plan, client string) *memberItem {
	for m := range c.of(client) {
		if m.Plan == plan {
			return m
		}
	}
	return nil
}

// of yields the entries for the client's memberships, the latest first. Few clients are in more than one or two plans,
// so a search along them needs no index by plan.
func (c *changeset) of(client string) iter.Seq[*memberItem] {
	return func(yield func(*memberItem) bool) {
		for i := c.last(client); i >= 0; i = c.before[i] {
			if !yield(&c.members[i]) {
				return
			}
		}
	}
}

// apply makes visible what the journal has. The topic calls it, one call at a time; see [journal.Follow]. It reads all
// items before it changes anything, so that an item which it cannot read leaves the meter as it was. Its errors have no
// cause, in contrast to those of the plan that an item holds: it is not the caller's change that is invalid.
func (m *Meter) apply(items iter.Seq[journal.Item], reset bool) error {
	var c changeset
	for it := range items {
		if err := m.table.read(&c, it); err != nil {
			return fmt.Errorf("item %q: %v", clip(it.Name), err)
		}
	}
	if reset {
		m.table.addMissing(&c)
	}
	return m.table.apply(&c)
}

// read adds an item to c. An item that is gone leaves nothing in the journal, so what is declared in code counts again,
// as it does in a process that starts after the removal. The deletion of a declared plan or member is not such an item:
// it stays in the journal and says that it is gone; see goneItem.
func (t *table) read(c *changeset, it journal.Item) error {
	if id, is := strings.CutPrefix(it.Name, planPrefix); is {
		if it.Gone {
			c.addPlan(t.declaredPlan(id))
			return nil
		}
		p, err := decodePlan(id, it.Value)
		if err == nil {
			c.addPlan(p)
		}
		return err
	}
	name, is := strings.CutPrefix(it.Name, memberPrefix)
	plan, client, ok := splitMember(name)
	if !is || !ok {
		return errors.New("is neither a plan nor a member: is the Journal that of something else?")
	}
	if it.Gone {
		c.addMember(t.declaredMember(plan, client))
		return nil
	}
	k, err := decodeMember(plan, client, it.Value)
	if err == nil {
		c.addMember(k)
	}
	return err
}

// declaredPlan returns the plan as the configuration declares it, or an entry for one that is gone.
func (t *table) declaredPlan(id string) planItem {
	if p, is := t.declaredPlans[id]; is {
		return p
	}
	return planItem{Plan: Plan{ID: id}, gone: true}
}

// declaredMember returns the membership as the configuration declares it, or an entry for one that is gone.
func (t *table) declaredMember(plan, client string) memberItem {
	if m, is := t.declaredMembers[membership{plan, client}]; is {
		return m
	}
	return memberItem{Member: Member{Plan: plan, Client: client}, gone: true}
}

// addMissing completes a changeset that has every item of the journal: what is declared and not among them is as it was
// declared, and everything else is gone.
//
// The declarations come first, because the table does not show all of them. For example, a declared member was deleted,
// and a process whose code does not declare it has added it and removed it again. The journal then has nothing about
// it, and neither has the table of a process that has read the deletion. But a process that starts now has the member.
func (t *table) addMissing(c *changeset) {
	for id, p := range t.declaredPlans {
		if c.plan(id) == nil {
			c.addPlan(p)
		}
	}
	for k, m := range t.declaredMembers {
		if c.member(k.plan, k.client) == nil {
			c.addMember(m)
		}
	}
	for id := range t.plans.Range {
		if id := id.(string); c.plan(id) == nil {
			c.addPlan(t.declaredPlan(id))
		}
	}
	for client, list := range t.members.Range {
		for _, m := range list.([]*member) {
			if c.member(m.Plan, client.(string)) == nil {
				c.addMember(t.declaredMember(m.Plan, m.Client))
			}
		}
	}
}
