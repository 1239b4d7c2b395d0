package dynamostore

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Keys implements [ledger.Engine]. It asks the 16 places one after the other, and a place again for each further
// megabyte. It does not read keys without the prefix, however many there are. DynamoDB sends only the keys, but bills
// the reading of their rows.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for n := range byte(places) {
			for it, err := range s.query(ctx, keysQuery(s.place(n), prefix)) {
				if err != nil {
					yield("", fmt.Errorf("dynamostore: keys: %w", err))
					return
				}
				// The prefix is compared once more for one that was longer than a sort key.
				if key := keyOf(it); strings.HasPrefix(key, prefix) && !yield(key, nil) {
					return
				}
			}
		}
	}
}

// keysQuery finds the keys of a place that begin with the prefix. The sort key of a long key has only its first cutAt
// bytes, so a longer prefix is cut too. That may find other keys as well, which Keys leaves out.
func keysQuery(place, prefix string) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		KeyConditionExpression:    aws.String("p = :p"),
		ExpressionAttributeValues: item{":p": text(place)},
		FilterExpression:          aws.String("attribute_exists(d)"), // rows that were deleted have none
		ProjectionExpression:      aws.String("s, k"),
	}
	if prefix = prefix[:min(len(prefix), cutAt)]; prefix != "" {
		*in.KeyConditionExpression += " and begins_with(s, :s)"
		in.ExpressionAttributeValues[":s"] = blob([]byte(prefix))
	}
	return in
}

// keyOf returns the key of a row. A long one has its own attribute, as its sort key is cut.
func keyOf(it item) string {
	if long := bytesOf(it, attrLongKey); long != nil {
		return string(long)
	}
	return string(bytesOf(it, attrSort))
}

// query yields the items that in finds, as they are when their page is read. A page has at most a megabyte of items. It
// is read consistently, which costs twice as much: a reader that missed a confirmed change would use an old key or
// plan.
func (s *Store) query(ctx context.Context, in *dynamodb.QueryInput) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		in.TableName, in.ConsistentRead, in.ExclusiveStartKey = &s.table, aws.Bool(true), nil
		for more := true; more; more = len(in.ExclusiveStartKey) > 0 {
			err := s.usable(ctx)
			var out *dynamodb.QueryOutput
			if err == nil {
				out, err = s.client.Query(ctx, in)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, it := range out.Items {
				if !yield(it, nil) {
					return
				}
			}
			in.ExclusiveStartKey = out.LastEvaluatedKey
		}
	}
}
