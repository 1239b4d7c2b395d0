package dynamostore

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// errDropped says that a record or a part is not there any more, because an Append has dropped it.
var errDropped = errors.New("records were dropped while they were read")

// pageBytes is about how many bytes of changes one page has.
const pageBytes = 1 << 20

// Page reads the settled changes from the log, and the last one from the head, because it may be unsettled. If it
// returns no changes, the reader reads a snapshot. A snapshot has only what is settled, because it reads versions.
// After revision 0 a snapshot is less to read than all changes.
func (l *topicLog) Page(ctx context.Context, after uint64, all bool) (_ uint64, changes []journal.Change, err error) {
	h, err := l.head(ctx)
	switch {
	case err != nil || after >= h.revision:
		return h.revision, nil, err
	case all:
		after = max(after, h.first-1)
	case after+1 < h.first || after == 0 && h.settledTo() > 0:
		return h.settledTo(), nil, nil
	}
	// Records may be deleted while they are read. The changes that were read before that are right.
	changes, err = l.changes(ctx, after, h, all)
	if all {
		withoutBytes(changes)
	}
	if errors.Is(err, errDropped) && len(changes) > 0 {
		err = nil // the next page begins with what is missing
	} else if errors.Is(err, errDropped) && after < h.settledTo() {
		return h.settledTo(), nil, nil
	}
	return h.revision, changes, err
}

// settledTo returns the last revision that is settled: that of the head, or the one before it. See step 2 in
// journal.go.
func (h head) settledTo() uint64 {
	if h.settled {
		return h.revision
	}
	return h.revision - 1
}

// changes reads the next changes after a revision up to the head. If all is true, the first ones may be missing: an
// Append deletes old records before the head says so, and a reader of all records takes those that are left.
func (l *topicLog) changes(ctx context.Context, after uint64, h head, all bool) (changes []journal.Change, err error) {
	size := 0
	// add reads the change of the next record. after is the revision that was read last, so a gap shows.
	add := func(r record) error {
		mayMiss := all && len(changes) == 0
		if r.revision != after+1 && !mayMiss {
			return errDropped
		}
		c, err := l.change(ctx, r)
		switch {
		case errors.Is(err, errDropped) && mayMiss:
			after, err = r.revision, nil
		case err == nil:
			changes, after, size = append(changes, c), r.revision, size+len(r.inline)+r.parts*partSize
		}
		return err
	}
	if after+1 < h.revision {
		for r, err := range l.records(ctx, rangeQuery(l.logKey(after+1), l.logKey(h.revision-1))) {
			if err == nil {
				err = add(r)
			}
			if err != nil || size >= pageBytes {
				return changes, err
			}
		}
	}
	return changes, add(h.record)
}

// withoutBytes keeps only the names of items. The bytes were read too, because a part of a change has both.
func withoutBytes(changes []journal.Change) {
	for _, c := range changes {
		for i := range c.Items {
			c.Items[i].Value = nil
		}
	}
}

// change returns the change of a record.
func (l *topicLog) change(ctx context.Context, r record) (journal.Change, error) {
	rest, err := l.content(ctx, l.partKeys(r))
	if err != nil {
		return journal.Change{}, err
	}
	return decode(slices.Concat(r.inline, rest))
}

// content returns the bytes of all items with these keys, in this order, or errDropped if one is missing. BatchGetItem
// returns items in any order. So content finds each by its sort key, which is unique among the parts of a change or of
// an item.
func (l *topicLog) content(ctx context.Context, keys []item) ([]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	items, err := l.store.getEach(ctx, keys)
	if err != nil {
		return nil, err
	}
	found := make(map[string][]byte, len(items))
	for _, it := range items {
		found[string(bytesOf(it, attrSort))] = bytesOf(it, attrContent)
	}
	contents := make([][]byte, len(keys))
	for i, key := range keys {
		if contents[i] = found[string(bytesOf(key, attrSort))]; contents[i] == nil {
			return nil, errDropped
		}
	}
	return slices.Concat(contents...), nil
}

// historySize is how many changes one page of a history has.
const historySize = 1000

// History takes a request for the head, and one for each megabyte.
func (l *topicLog) History(ctx context.Context, name string, before uint64) (changes []journal.Change, err error) {
	h, err := l.head(ctx)
	if err == nil && h.revision > h.settledTo() && (before == 0 || before > h.revision) {
		changes, err = l.unsettled(ctx, h, name)
	}
	last := min(before-1, h.settledTo()) // before is 0 for the newest: then before-1 is the largest uint64
	if err != nil || last < h.first || h.revision == 0 {
		return changes, err
	}
	// The versions before h.first may still be there, but they are no history any more: their records were retired.
	in := rangeQuery(l.versionKey(name, h.first), l.versionKey(name, last))
	in.ProjectionExpression, in.ScanIndexForward = aws.String(attrContent), aws.Bool(false)
	for v, err := range l.store.query(ctx, in) {
		var c journal.Change
		if err == nil {
			c, err = parseVersion(v)
		}
		if err != nil {
			return nil, err
		}
		if changes = append(changes, c); len(changes) == historySize {
			break
		}
	}
	return changes, nil
}

// unsettled returns the last change if it is one of the item. As long as a change is unsettled, only the head is sure
// to have it.
func (l *topicLog) unsettled(ctx context.Context, h head, name string) ([]journal.Change, error) {
	c, err := l.change(ctx, h.record)
	i := slices.IndexFunc(c.Items, func(it journal.Item) bool { return it.Name == name })
	if err != nil || i < 0 {
		return nil, err
	}
	c.Items = []journal.Item{{Name: name, Gone: c.Items[i].Gone}}
	return []journal.Change{c}, nil
}
