package dynamostore

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// maxSkew is how far the clock of this machine and that of DynamoDB may be apart. A machine that is kept right by NTP
// is within milliseconds, and so are those of AWS. Five seconds leave room for a bad moment.
const maxSkew = 5 * time.Second

// Now implements [ledger.Clock]. DynamoDB has no request that returns its time. So Now makes a request that reads
// nothing, and takes the Date of the answer. If it differs from the clock of this machine by more than five seconds,
// the error wraps [ErrClock]. Then a ledger begins no period: one of the two clocks is wrong, and it cannot know which.
// Accounts that have begun go on.
//
// Now returns the end of the second in the Date. The header has no fractions, and the true time may be anywhere in that
// second. With its beginning, a period that has just begun would seem not to have begun yet, and a ledger whose clock
// is right would refuse.
//
// It costs half a read unit. A ledger asks when an account begins, not for each request.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := s.usable(ctx); err != nil {
		return time.Time{}, err
	}
	asked := time.Now()
	// No item has this key. The read need not be consistent, so it costs half as much.
	nothing := key(s.name+":clock", []byte("clock"))
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: nothing})
	if err != nil {
		return time.Time{}, fmt.Errorf("dynamostore: time of the server: %w", err)
	}
	date, ok := middleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return time.Time{}, fmt.Errorf("dynamostore: time of the server: %w: an answer without Date", ErrFormat)
	}
	if by := skew(date, asked, time.Now()); by > maxSkew || by < -maxSkew {
		return time.Time{}, fmt.Errorf("%w, or DynamoDB's is: it is ahead by %v", ErrClock, by)
	}
	return date.Add(time.Second), nil
}

// skew returns the least by which this machine can be ahead of the Date of an answer. It is negative if the machine is
// behind. The Date was made between the question and the answer, at some instant of the second that it names.
//
// Example: asked at 12:00:07.2 and answered at 12:00:07.4, with the Date 12:00:01. DynamoDB's clock was before
// 12:00:02, and this one was at 12:00:07.2 or later. So this one is ahead by more than 5.2 seconds. With the Date
// 12:00:07 it may be right: the skew is 0.
func skew(date, asked, answered time.Time) time.Duration {
	switch ahead, behind := asked.Sub(date.Add(time.Second)), date.Sub(answered); {
	case ahead > 0:
		return ahead
	case behind > 0:
		return -behind
	}
	return 0
}
