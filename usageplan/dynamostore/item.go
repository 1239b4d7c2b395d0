package dynamostore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Names of attributes that items of all kinds have. They are short, because the size of an item, by which DynamoDB
// bills, includes them.
const (
	attrPartition = "p" // S
	attrSort      = "s" // B
	attrToken     = "t" // B, see swap
	attrExpires   = "x" // N, Unix time after which DynamoDB may delete the item
)

// item is what DynamoDB keeps: at most 400 KB with the names of its attributes.
type item = map[string]types.AttributeValue

// key returns the key of an item.
func key(p string, s []byte) item {
	return item{attrPartition: text(p), attrSort: blob(s)}
}

// text makes an attribute of text.
func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// blob makes an attribute of bytes. They must not be empty.
func blob(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// number makes an attribute of a number, which DynamoDB takes as text.
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// bytesOf returns an attribute's bytes, or nil if there is none of this type.
func bytesOf(it item, name string) []byte {
	b, ok := it[name].(*types.AttributeValueMemberB)
	if !ok {
		return nil
	}
	return b.Value
}

// numberOf returns an attribute's number, or 0 if there is none of this type. No number that this package writes means
// anything else at 0 than its absence does.
func numberOf(it item, name string) int64 {
	n, ok := it[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	parsed, _ := strconv.ParseInt(n.Value, 10, 64)
	return parsed
}

// newToken returns a token for swap. With 128 random bits, no two writes have the same one.
func newToken() []byte {
	t := make([]byte, 16)
	_, _ = rand.Read(t) // it never fails
	return t
}

// newSender returns the retryer of writes. An answer that there were too many requests says that nothing was done, so
// the write is sent again. After any other error the write may have been made. A second copy would then find that
// another write was first, and could not always tell that this was its own first copy: another process may have written
// after it.
func newSender() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = []retry.IsErrorRetryable{
			retry.NoRetryCanceledError{},
			retry.RetryableErrorCode{Codes: map[string]struct{}{
				"ProvisionedThroughputExceededException": {},
				"RequestLimitExceeded":                   {},
				"ThrottlingException":                    {},
			}},
		}
		o.BaseDelay = 25 * time.Millisecond // that of the client, for DynamoDB
	})
}

// once is the option of each write that depends on what was read. RetryMaxAttempts 0 leaves the number to the retryer.
func (s *Store) once(o *dynamodb.Options) { o.Retryer, o.RetryMaxAttempts = s.sender, 0 }

// swap writes an item if the present one still has the token that was read; nil stands for no item. Otherwise it
// returns the present item, which is empty if there is none. DynamoDB sends it with the refusal, so a writer that was
// too late can decide again without another request. Each write has a new token, so an item that has changed and
// changed back has another token. If a proxy has sent a write twice, the second copy finds its own token: then swap
// says that it has written.
func (s *Store) swap(ctx context.Context, next item, read []byte) (now item, written bool, err error) {
	in := &dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                next,
		ConditionExpression:                 aws.String("attribute_not_exists(p)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if read != nil {
		in.ConditionExpression = aws.String("t = :t")
		in.ExpressionAttributeValues = item{":t": blob(read)}
	}
	_, err = s.client.PutItem(ctx, in, s.once)
	why := refused(err)
	if why == nil {
		return nil, err == nil, err
	}
	if now = why.Item; len(now) == 0 { // there is none, or the server does not send it; both are rare
		if now, err = s.get(ctx, next); err != nil {
			return nil, false, err
		}
	}
	return now, bytes.Equal(bytesOf(now, attrToken), bytesOf(next, attrToken)), nil
}

// refused returns err if it says that a condition does not hold, and otherwise nil.
func refused(err error) *types.ConditionalCheckFailedException {
	why, _ := errors.AsType[*types.ConditionalCheckFailedException](err)
	return why
}

// get reads the item with the key of another, or returns an empty one if there is none.
func (s *Store) get(ctx context.Context, of item) (item, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.table,
		Key:            item{attrPartition: of[attrPartition], attrSort: of[attrSort]},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}
