package dynamostore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// How many items one request may read and write, by
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html and
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html. A request that writes may
// have 16 MB. Smaller requests are better: several run at the same time, and each ends sooner.
const (
	readSize   = 100
	writeSize  = 25
	writeBytes = 1 << 20
)

// getEach returns the items with these keys, in any order. Keys without an item are left out.
func (s *Store) getEach(ctx context.Context, keys []item) (all []item, err error) {
	chunks := slices.Collect(slices.Chunk(keys, readSize))
	var mu sync.Mutex
	err = parallel(ctx, len(chunks), func(ctx context.Context, n int) error {
		items, err := s.getSome(ctx, chunks[n])
		mu.Lock()
		defer mu.Unlock()
		all = append(all, items...)
		return err
	})
	return all, err
}

// getSome reads up to 100 items. DynamoDB may return a part of them and the keys of the rest: an answer has at most 16
// MB, and a table under load may have no throughput left. getSome asks for the rest at once after an answer with items.
// It pauses only after an answer without any, which shows that the throughput is used up.
func (s *Store) getSome(ctx context.Context, keys []item) (all []item, err error) {
	request := map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for len(request) > 0 {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: request})
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, items := range out.Responses {
			all = append(all, items...)
		}
		if request = out.UnprocessedKeys; len(request) > 0 && len(all) == before {
			pause(ctx)
		}
	}
	return all, nil
}

// putEach writes items, whatever is there. It may write some of them more than once.
func (s *Store) putEach(ctx context.Context, items []item) error {
	return s.writeEach(ctx, items, func(it item) types.WriteRequest {
		return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
	})
}

// deleteEach deletes the items with these keys. A key without an item is no error.
func (s *Store) deleteEach(ctx context.Context, keys []item) error {
	return s.writeEach(ctx, keys, func(it item) types.WriteRequest {
		return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: it}}
	})
}

// writeEach makes a write of each item. The writes have no conditions, so they must be right in any order and if
// another process makes the same ones.
func (s *Store) writeEach(ctx context.Context, items []item, make func(item) types.WriteRequest) error {
	chunks := requests(items)
	return parallel(ctx, len(chunks), func(ctx context.Context, n int) error {
		var writes []types.WriteRequest
		for _, it := range chunks[n] {
			writes = append(writes, make(it))
		}
		return s.writeSome(ctx, writes)
	})
}

// requests divides items into requests of at most writeSize items and about writeBytes bytes. A single item may have
// more.
func requests(items []item) (list [][]item) {
	first, bytes := 0, 0 // of the request that is being filled
	for i, it := range items {
		size := 0 // of the attributes of bytes; the others are short
		for name := range it {
			size += len(bytesOf(it, name))
		}
		if i-first == writeSize || i > first && bytes+size > writeBytes {
			list, first, bytes = append(list, items[first:i]), i, 0
		}
		bytes += size
	}
	if first < len(items) {
		list = append(list, items[first:])
	}
	return list
}

// writeSome makes up to 25 writes. It repeats those for which DynamoDB had no throughput. That is safe also for writes
// that have been made, because they depend on nothing that was read.
func (s *Store) writeSome(ctx context.Context, writes []types.WriteRequest) error {
	request := map[string][]types.WriteRequest{s.table: writes}
	for {
		if err := s.usable(ctx); err != nil {
			return err
		}
		out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: request})
		if err != nil {
			return err
		}
		if request = out.UnprocessedItems; len(request) == 0 {
			return nil
		}
		pause(ctx)
	}
}

// pause waits a little, so that DynamoDB has throughput again. It is short, because the ledger's Timeout bounds it all.
// After it the caller asks usable, which sees that ctx has ended.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(25 * time.Millisecond):
	}
}
