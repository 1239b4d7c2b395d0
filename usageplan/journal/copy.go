package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Copy appends all changes of one journal to another: for example those of a file to a database that several machines
// share, or back. The copy has every item. It has the history that the source has: who made each change, when and by
// which operation. Changes keep their revisions, so later changes have higher ones. Packages apikey and usageplan rely
// on that, because they number what they create by revisions.
//
// The target must be empty, or have the first changes of the same copy. So Copy can be called again after an error or a
// kill, with the same journals. It then goes on, and appends nothing twice. Before Copy returns nil, it has compared
// all items and records of both journals. Until then, nobody may use the target: an item that was changed several times
// is empty there until its last change has come, because no journal keeps what it was before.
//
// Stop the writers of the source before. If they go on, Copy returns an error, and can be called again.
//
// A source has dropped the records that are older than its retention. Of these changes, only the items are known. The
// copy gets as many changes without a time. It drops their records at once, and so it does with all that are older than
// its own retention.
//
// Copy holds both journals in memory. It reads the history of each item, unless the journal yields all its records, as
// those of package boltstore and of [New] do. It makes one call of Append for each revision of the source, also for
// those that have no record.
//
// Causes: [ErrDiffers]; [ErrUnavailable]; [ErrTooLarge] if the items without records need more changes than there were.
func Copy(ctx context.Context, to, from Journal) error {
	if to == nil || from == nil {
		return errors.New("journal: a copy needs two journals")
	}
	source, err := read(ctx, from, nil)
	if err != nil {
		return err
	}
	p, err := newPlan(source)
	if err != nil {
		return err
	}
	target, err := read(ctx, to, source.names)
	if err == nil {
		err = p.check(target)
	}
	if err != nil {
		return err
	}
	for revision := target.head + 1; revision <= source.head; revision++ {
		if err := appendAt(ctx, to, revision, p.change(revision)); err != nil {
			return err
		}
	}
	return p.verify(ctx, to, from)
}

// appendAt appends a change that must get the revision.
func appendAt(ctx context.Context, to Journal, revision uint64, c Change) error {
	got, err := to.Append(ctx, revision-1, c)
	switch {
	case errors.Is(err, ErrBehind):
		return differs("somebody else has appended to the target: %w", err)
	case err != nil:
		return unavailable(err)
	case got != revision:
		return unavailable(outOfOrder(got, revision-1))
	}
	return nil
}

func differs(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDiffers}, args...)...)
}

// verify returns an error unless the target has all changes of the source, and the source has no more by now.
func (p *plan) verify(ctx context.Context, to, from Journal) error {
	target, err := read(ctx, to, p.names)
	if err != nil {
		return err
	}
	if target.head != p.head {
		return differs("the target ends with revision %d, the source with %d", target.head, p.head)
	}
	if err := p.check(target); err != nil {
		return err
	}
	for _, err := range changesAfter(ctx, from, p.head) {
		if err != nil {
			return err
		}
		return differs("the source has changed meanwhile; copy again")
	}
	return nil
}

// plan is what the changes of a copy are.
type plan struct {
	*past
	early  [][]Item // the items that have no record, as they are put by the first changes
	filler []Item   // the items of the other changes that stand for dropped records
}

// newPlan puts the items whose last changes have no records into the first changes of the copy. Usually few changes are
// needed for that. A change needs an item, so the other changes without records remove one: an item of the first
// record. That record then puts or removes it, so it does not matter what was done to it before.
//
// Example: the source is at revision 7 and has dropped the records 1 to 4. Items a and b have not been changed since,
// and 5 and 7 have put c. The copy puts a and b in revision 1, removes c in 2 to 4, puts an empty c in 5, and in 7 the
// c that the source has.
func newPlan(source *past) (*plan, error) {
	p := &plan{past: source}
	size := maxBytes + 1
	for _, name := range source.sorted() {
		value, there := source.values[name]
		if _, told := source.last[name]; told || !there {
			continue
		}
		if size += len(name) + len(value); size > maxBytes || len(p.early[len(p.early)-1]) == maxItems {
			p.early, size = append(p.early, nil), len(name)+len(value)
		}
		part := &p.early[len(p.early)-1]
		*part = append(*part, Item{Name: name, Value: value})
	}
	if source.head > 0 {
		p.filler = []Item{{Name: source.records[source.first].Items[0].Name, Gone: true}}
		if uint64(len(p.early)) >= source.first {
			return nil, fmt.Errorf("%w: the items of the %d changes without records", ErrTooLarge, source.first-1)
		}
	}
	return p, nil
}

// change returns what the copy has at a revision. The bytes of an item are those of its last change, and empty before.
func (p *plan) change(revision uint64) Change {
	record, told := p.records[revision]
	switch {
	case !told && revision <= uint64(len(p.early)):
		return Change{Items: p.early[revision-1]}
	case !told:
		return Change{Items: p.filler}
	}
	c := *record
	c.Items = slices.Clone(c.Items)
	for i, it := range c.Items {
		switch {
		case it.Gone:
		case p.last[it.Name] == revision:
			c.Items[i].Value = p.values[it.Name]
		default:
			c.Items[i].Value = []byte{}
		}
	}
	return c
}

// check returns an error unless the target has the first changes of the copy, and the items that are there after them.
// It may have dropped records of its own. What the source cannot tell any more is not compared: the bytes of an item
// that it has changed again, and records that it may have dropped since they were copied.
func (p *plan) check(target *past) error {
	if target.head > p.head {
		return differs("the target is at revision %d, the source at %d", target.head, p.head)
	}
	for revision, got := range target.records {
		dropped := revision < p.first && target.head >= p.first
		if want := p.change(revision); !dropped && !isSame(got, &want) {
			return differs("revision %d", revision)
		}
	}
	at := p.revisionsAt(target.head)
	for name, revision := range at {
		value, there := target.values[name]
		if !there || p.last[name] <= revision && !bytes.Equal(value, p.values[name]) {
			return differs("item %q", name)
		}
	}
	if len(target.values) > len(at) {
		return differs("%d items, and the source had %d", len(target.values), len(at))
	}
	return nil
}

// revisionsAt returns the items that are there when a copy has come to a revision, each with that of its last change.
func (p *plan) revisionsAt(head uint64) map[string]uint64 {
	at := make(map[string]uint64)
	for revision := uint64(1); revision <= head; revision++ {
		for _, it := range p.change(revision).Items {
			if at[it.Name] = revision; it.Gone {
				delete(at, it.Name)
			}
		}
	}
	return at
}

// isSame reports whether two changes have the same record. Stores keep times to the millisecond at least.
func isSame(a, b *Change) bool {
	return a.Time.Sub(b.Time).Abs() < time.Millisecond && a.Origin == b.Origin && a.Operation == b.Operation &&
		slices.EqualFunc(a.Items, b.Items, func(x, y Item) bool { return x.Name == y.Name && x.Gone == y.Gone })
}
