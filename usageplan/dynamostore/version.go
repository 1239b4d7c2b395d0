package dynamostore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// A version is what a change made of an item. The last version of each item is its state, so a snapshot need not read
// the log. The versions whose records still count are the item's history.
//
//	r, c  the revision of the change, and the encoded change with this item alone, without its bytes
//	d     a plus sign and the bytes, because an attribute of bytes is never empty here
//	n     in place of d, how many parts an item of more than 300 KB has
//
// The version of an item that is gone has neither d nor n.
const attrValue = "d"

// versionKey begins with a digest, because a name may be longer than a sort key. The versions of an item are in the
// order of their revisions, so the one before "revision 1<<63" is the last.
func (l *topicLog) versionKey(name string, revision uint64) item {
	return l.itemKey("v", name, revision)
}

// valueKeys are those of the parts of a large item.
func (l *topicLog) valueKeys(name string, revision uint64, parts int) []item {
	keys := make([]item, parts)
	for i := range keys {
		keys[i] = l.itemKey("c", name, revision, uint64(i))
	}
	return keys
}

// itemKey returns the key of a version or a part: a letter, the digest of the item's name, and numbers. All of one item
// are in one place, in the order of the numbers, so one query reads them.
func (l *topicLog) itemKey(letter, name string, numbers ...uint64) item {
	digest := sha256.Sum256([]byte(name))
	sort := append([]byte(letter), digest[:]...)
	for _, n := range numbers {
		sort = binary.BigEndian.AppendUint64(sort, n)
	}
	return key(l.place(int(digest[0])), sort)
}

// version returns the version of an item of a change, and the parts of a large one.
func (l *topicLog) version(c journal.Change, it journal.Item) (v item, value []item) {
	v = l.versionKey(it.Name, c.Revision)
	c.Items = []journal.Item{{Name: it.Name, Gone: it.Gone}}
	encoded, _ := c.AppendBinary(nil) // it never fails
	v[attrRevision], v[attrContent] = number(int64(c.Revision)), blob(encoded)
	switch {
	case it.Gone:
	case len(it.Value) < partSize:
		v[attrValue] = blob(slices.Concat([]byte("+"), it.Value))
	default:
		content := split(it.Value)
		value = withContent(l.valueKeys(it.Name, c.Revision, len(content)), content)
		v[attrParts] = number(int64(len(value)))
	}
	return v, value
}

// parseVersion returns the change of a version, with the one item, without bytes. They are in d or in the parts.
func parseVersion(v item) (journal.Change, error) {
	c, err := decode(bytesOf(v, attrContent))
	if err == nil && len(c.Items) != 1 {
		err = fmt.Errorf("%w: version of revision %d", ErrFormat, c.Revision)
	}
	if err != nil {
		return c, err
	}
	c.Items[0].Value = nil
	return c, nil
}

// itemsBytes is about how many bytes one page of a snapshot has. A page may read up to a megabyte of versions behind
// its end, which the next page reads again. So it is several times as large.
const itemsBytes = 4 << 20

// Items reads the versions of one place, or some of them. The versions of an item come in the order of their revisions,
// so only the last one before another item counts.
func (l *topicLog) Items(ctx context.Context, from string) (items []journal.Item, next string, err error) {
	from = cmp.Or(from, "\x00v") // the number of a place, and a sort key
	place, size := int(from[0]), 0
	var last item
	pass := func() error {
		it, err := l.item(ctx, last)
		if err == nil && !it.Gone {
			items, size = append(items, it), size+len(it.Name)+len(it.Value)
		}
		return err
	}
	for v, err := range l.store.query(ctx, rangeQuery(key(l.place(place), []byte(from[1:])), key("", []byte("w")))) {
		if err == nil && last != nil && !sameItem(v, last) {
			err = pass()
		}
		if err != nil || size >= itemsBytes {
			return items, from[:1] + string(bytesOf(v, attrSort)), err
		}
		last = v
	}
	if last != nil {
		err = pass()
	}
	if place++; place < places {
		next = string(rune(place)) + "v"
	}
	return items, next, err
}

// sameItem reports whether two versions are of one item: then their keys differ only in the revision.
func sameItem(v, w item) bool {
	const n = 1 + sha256.Size
	a, b := bytesOf(v, attrSort), bytesOf(w, attrSort)
	return len(a) > n && len(b) > n && string(a[:n]) == string(b[:n])
}

// item returns the item of a version. If its parts are missing, a later change has replaced the item meanwhile, and the
// version was deleted. Then item takes the last version, which must be a later one; otherwise parts are lost.
func (l *topicLog) item(ctx context.Context, v item) (journal.Item, error) {
	for {
		c, err := parseVersion(v)
		if err != nil {
			return journal.Item{}, err
		}
		it, parts := c.Items[0], int(numberOf(v, attrParts))
		if it.Gone {
			return it, nil
		}
		if value := bytesOf(v, attrValue); len(value) > 0 {
			it.Value = value[1:]
			return it, nil
		}
		it.Value, err = l.content(ctx, l.valueKeys(it.Name, c.Revision, parts))
		if !errors.Is(err, errDropped) {
			return it, err
		}
		later, err := l.lastVersion(ctx, it.Name)
		if err != nil {
			return it, err
		}
		if later == nil || numberOf(later, attrRevision) == numberOf(v, attrRevision) {
			return it, fmt.Errorf("%w: %q has lost parts of revision %d", ErrFormat, it.Name, c.Revision)
		}
		v = later
	}
}

// lastVersion returns the last version of an item, or nil if there is none.
func (l *topicLog) lastVersion(ctx context.Context, name string) (item, error) {
	in := rangeQuery(l.versionKey(name, 0), l.versionKey(name, 1<<63))
	in.ScanIndexForward, in.Limit = aws.Bool(false), aws.Int32(1)
	for v, err := range l.store.query(ctx, in) {
		return v, err
	}
	return nil, nil
}
