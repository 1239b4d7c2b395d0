package journal

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// past is what a journal tells of its changes, as far as it has records of them.
type past struct {
	head   uint64
	values map[string][]byte   // of the items that are there
	names  map[string]struct{} // of all items, also of those that are gone

	records map[uint64]*Change // with all their items, in the order of the names, without bytes
	first   uint64             // the oldest record
	last    map[string]uint64  // the newest record of an item, if it has any
}

// read returns the past of a journal. It looks for the given names too.
//
// A change that is read may leave out items which later changes have changed again. A history does not. So read asks
// for the history of each item, and makes the records of these.
func read(ctx context.Context, j Journal, names map[string]struct{}) (*past, error) {
	p := &past{
		values: make(map[string][]byte), names: make(map[string]struct{}),
		records: make(map[uint64]*Change), last: make(map[string]uint64),
	}
	snapshot, err := p.readItems(ctx, j)
	if err != nil || p.head == 0 {
		return p, err
	}
	if r, is := j.(recorder); is {
		return p, cmp.Or(p.readRecords(r.Records(ctx)), p.complete())
	}
	maps.Copy(p.names, names)
	if snapshot {
		if err := p.readNames(ctx, j); err != nil {
			return nil, err
		}
	}
	for name := range p.names {
		if err := p.readRecords(j.History(ctx, name)); err != nil {
			return nil, err
		}
	}
	return p, p.complete()
}

// recorder is a [Journal] that yields all records that it has, with all items of each, without bytes. To read the
// history of each item costs more: if a change had 1 000 items, a store may read its record 1 000 times.
type recorder interface {
	Records(ctx context.Context) iter.Seq2[Change, error]
}

// readItems reads the items, and reports whether they came as a snapshot.
func (p *past) readItems(ctx context.Context, j Journal) (snapshot bool, err error) {
	for c, err := range changesAfter(ctx, j, 0) {
		if err != nil {
			return false, err
		}
		snapshot, p.head = snapshot || c.Snapshot, c.Revision
		for _, it := range c.Items {
			p.names[it.Name] = struct{}{}
			if p.values[it.Name] = it.Value; it.Gone {
				delete(p.values, it.Name)
			}
		}
	}
	return snapshot, nil
}

// readNames reads the names that a snapshot leaves out: those of items that are gone. The changes name each item that
// has a record, with its last change. So it reads them as far back as their records go.
func (p *past) readNames(ctx context.Context, j Journal) error {
	after, err := p.oldest(ctx, j)
	if err != nil {
		return err
	}
	for c, err := range changesAfter(ctx, j, after) {
		if err != nil {
			return err
		}
		for _, it := range c.Items {
			p.names[it.Name] = struct{}{}
		}
	}
	return nil
}

// oldest returns the lowest revision, but 0, after which the journal yields changes and no snapshot. It tries the
// middle of those that are possible.
func (p *past) oldest(ctx context.Context, j Journal) (uint64, error) {
	low, high := uint64(1), p.head // after the head there is nothing, and so no snapshot
	for low < high {
		middle := low + (high-low)/2
		snapshot := false
		for c, err := range changesAfter(ctx, j, middle) {
			if err != nil {
				return 0, err
			}
			snapshot = c.Snapshot
			break
		}
		if snapshot {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

// readRecords adds what changes have of items to the records of these changes.
func (p *past) readRecords(changes iter.Seq2[Change, error]) error {
	for c, err := range changes {
		if err != nil {
			return unavailable(err)
		}
		if c.Revision > p.head {
			return differs("a journal has changed while it was read")
		}
		record := p.records[c.Revision]
		if record == nil {
			record = &Change{Time: c.Time, Origin: c.Origin, Operation: c.Operation}
			p.records[c.Revision] = record
		}
		for _, it := range c.Items {
			record.Items = append(record.Items, Item{Name: it.Name, Gone: it.Gone})
			p.last[it.Name], p.names[it.Name] = max(p.last[it.Name], c.Revision), struct{}{}
		}
	}
	return nil
}

// complete sorts the items of the records. It returns an error unless there is a record of each revision from the
// oldest to the head.
func (p *past) complete() error {
	p.first = p.head + 1
	for revision, record := range p.records {
		p.first = min(p.first, revision)
		slices.SortFunc(record.Items, func(x, y Item) int { return cmp.Compare(x.Name, y.Name) })
	}
	if n := uint64(len(p.records)); n == 0 || n != p.head-p.first+1 {
		return unavailable(fmt.Errorf("journal: %d records of the revisions %d to %d", n, p.first, p.head))
	}
	return nil
}

// sorted returns the names of the items in order.
func (p *past) sorted() []string { return slices.Sorted(maps.Keys(p.names)) }
