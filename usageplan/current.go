package usageplan

import (
	"context"
	"fmt"
	"time"
)

// current returns the present time, once the plans and members are as fresh as Config.MaxStale asks for. The age comes
// before the plan is looked up: what is found then is not older.
func (m *Meter) current(ctx context.Context, q *Request) (time.Time, error) {
	now := time.Now()
	if m.topic.Fresh(now) {
		return now, nil
	}
	if err := m.topic.Renew(ctx); err != nil {
		return time.Time{}, m.refusal(fmt.Errorf("%w: %w", ErrStale, err), q)
	}
	return time.Now(), nil // it may have waited
}

// Close ends the goroutine of Config.Follow and the reading of requests, and waits for them. Call it before the store
// of Config.Journal is closed. The meter goes on with the plans that it has. Under a Config.MaxStale it soon refuses
// every request. Close may be called more than once, and always returns nil. It does not close Config.Ledger.
func (m *Meter) Close() error {
	if m.configured() != nil {
		return nil
	}
	return m.topic.Close()
}
