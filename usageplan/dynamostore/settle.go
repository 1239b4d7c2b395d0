package dynamostore

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// settleLast settles the last change if its writer has not. That writer may still be at it; both write the same.
func (l *topicLog) settleLast(ctx context.Context, h head) error {
	if h.settled || h.revision == 0 {
		return nil
	}
	c, err := l.change(ctx, h.record)
	if err == nil {
		err = l.settle(ctx, h.record, c)
	}
	return err
}

// settle enters a change into the log, and what it made of each item into the versions. All processes would write the
// same items, so two of them may do it, also at the same time.
//
// The order matters, as the process may end anywhere: first the values, then the versions that lead to them, then the
// record and the head, which say that the versions are there. If the head does not say so, the next process does all of
// it again.
func (l *topicLog) settle(ctx context.Context, r record, c journal.Change) error {
	var versions, values []item
	for _, it := range c.Items {
		v, value := l.version(c, it)
		versions, values = append(versions, v), append(values, value...)
	}
	if err := l.store.putEach(ctx, values); err != nil {
		return err
	}
	if err := l.store.putEach(ctx, versions); err != nil {
		return err
	}
	return l.enter(ctx, r)
}

// enter makes the log's record of a change whose versions are there. Then it says in the head that the change is
// settled, if it still is the last one.
func (l *topicLog) enter(ctx context.Context, r record) error {
	_, err := l.store.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &l.store.table, Item: r.item(l.logKey(r.revision)),
	})
	if err != nil {
		return err
	}
	_, err = l.store.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &l.store.table, Key: l.headKey(), UpdateExpression: aws.String("set z = :z"),
		ConditionExpression: aws.String("t = :t"),
		ExpressionAttributeValues: item{
			":t": blob(r.token), ":z": &types.AttributeValueMemberBOOL{Value: true},
		},
	})
	if refused(err) != nil {
		return nil // a later change is the head, so its writer has settled this one
	}
	return err
}

// retire moves the first record that counts past those whose time is before oldest, but never past h itself. It
// takes ten at most, so that no call has much to do.
//
// It deletes records before h becomes the head. If h never becomes the head, the old one still says that these records
// count, and a reader that needs them gets a snapshot. In the other order, records would stay forever if the process
// ended in between.
func (l *topicLog) retire(ctx context.Context, h *head, oldest int64) error {
	if h.first == 0 {
		h.first, h.firstTime = h.revision, h.time
	}
	if h.first == h.revision || h.firstTime >= oldest {
		return nil
	}
	in := rangeQuery(l.logKey(h.first), l.logKey(h.revision-1))
	in.Limit = aws.Int32(11) // ten to retire, and the first one that stays
	retired := 0
	for r, err := range l.records(ctx, in) {
		if err != nil {
			return err
		}
		h.first, h.firstTime = r.revision, r.time
		if r.time >= oldest || retired == 10 {
			return nil
		}
		if err := l.forget(ctx, r); err != nil {
			return err
		}
		retired++
	}
	h.first, h.firstTime = h.revision, h.time // all records before h were too old
	return nil
}

// forget deletes a retired record, and the versions that its change has replaced. The records of these versions were
// retired before, so no history needs them.
func (l *topicLog) forget(ctx context.Context, r record) error {
	c, err := l.change(ctx, r)
	if errors.Is(err, errDropped) {
		return nil // another Append is about to delete the record, and has done the rest
	}
	if err != nil {
		return err
	}
	err = parallel(ctx, len(c.Items), func(ctx context.Context, i int) error {
		return l.forgetBefore(ctx, c, c.Items[i])
	})
	if err != nil {
		return err
	}
	return l.store.deleteEach(ctx, append(l.partKeys(r), l.logKey(r.revision)))
}

// lingers is how long the version of an item that is gone stays after the record of its removal. A process may be
// stopped while it settles an earlier change of the item. If it goes on within this time, it does not bring the item
// back: the version that says "gone" is still the last one.
const lingers = 30 * 24 * time.Hour

// forgetBefore deletes the versions of an item that a change has replaced. If it has removed the item, its own version
// is left to the time to live.
func (l *topicLog) forgetBefore(ctx context.Context, c journal.Change, it journal.Item) error {
	in := rangeQuery(l.versionKey(it.Name, 0), l.versionKey(it.Name, c.Revision-1))
	in.ProjectionExpression = aws.String("p, s, r, n") // the keys, and what names the parts
	var keys []item
	for old, err := range l.store.query(ctx, in) {
		if err != nil {
			return err
		}
		keys = append(keys, l.valueKeys(it.Name, uint64(numberOf(old, attrRevision)), int(numberOf(old, attrParts)))...)
		keys = append(keys, item{attrPartition: old[attrPartition], attrSort: old[attrSort]})
	}
	if err := l.store.deleteEach(ctx, keys); err != nil || !it.Gone {
		return err
	}
	v, _ := l.version(c, it)
	v[attrExpires] = number(time.Now().Add(lingers).Unix())
	return l.store.putEach(ctx, []item{v})
}
