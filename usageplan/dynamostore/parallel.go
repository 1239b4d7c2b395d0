package dynamostore

import (
	"context"
	"sync"
	"sync/atomic"
)

// atOnce is how many requests one call has under way. The throughput of a table is DynamoDB's only bound. The client
// keeps a connection for each request; see the package documentation.
const atOnce = 50

// parallel calls f for 0 to n-1, several at once. After an error, or when ctx has ended, it begins no further call. It
// returns the first error, and only after all calls have returned. So no write goes on after its caller has an answer.
func parallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	if n == 1 { // as for most changes; it needs no goroutine
		return f(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64 // the calls that were begun; each goroutine takes the next one until there is none
	var wg sync.WaitGroup
	for range min(n, atOnce) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx) // the first error, that of the caller's ctx, or nil
}
