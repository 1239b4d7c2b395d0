package dynamostore

import (
	"context"
	"errors"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Causes, for [errors.Is].
var (
	// ErrClosed: the store has been closed, or it is the zero Store, which was never opened.
	ErrClosed = errors.New("dynamostore: store is closed")

	// ErrFormat: an item is not as this package writes it. It is damaged, or another program has written it.
	ErrFormat = errors.New("dynamostore: item is damaged or not of this package")

	// ErrClock: the clock of this machine and that of DynamoDB differ by more than five seconds. Set this one right.
	ErrClock = errors.New("dynamostore: clock of this machine is wrong")

	// ErrTable: the table is missing, or it is not one that a store can use. The message says what is wrong.
	ErrTable = errors.New("dynamostore: table cannot be used")
)

// Store is a [ledger.Engine] and a [ledger.Clock] in a DynamoDB table, which any number of processes may share. It has
// journals too. Make one with [Open]. The zero Store fails with [ErrClosed]. It is safe for concurrent use.
//
// It is not a [ledger.Durable], as there is nothing to ask: a write that DynamoDB has confirmed is durable, and no
// setting of a table changes that
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html).
type Store struct {
	client *dynamodb.Client
	table  string      // its name or its ARN
	name   string      // the namespace
	sender aws.Retryer // of writes that depend on what was read; see once

	closed chan struct{} // closed by Close; nil in the zero Store
	close  sync.Once     // a channel can be closed only once
}

var (
	_ ledger.Engine = (*Store)(nil)
	_ ledger.Clock  = (*Store)(nil)
)

// usable returns an error unless the store is open and ctx has not ended. It is asked before each request, so a call
// that makes many of them ends soon after Close.
func (s *Store) usable(ctx context.Context) error {
	if s == nil || s.closed == nil {
		return ErrClosed
	}
	select {
	case <-s.closed:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// Close ends the store: later calls fail with [ErrClosed]. The client stays the caller's. Close always returns nil. The
// store may be closed already, zero or nil.
func (s *Store) Close() error {
	if s != nil && s.closed != nil {
		s.close.Do(func() { close(s.closed) })
	}
	return nil
}
