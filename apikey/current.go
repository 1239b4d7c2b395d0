package apikey

import (
	"context"
	"fmt"
	"time"
)

// keep makes the topic keep up with other nodes, as [Config] says. It is the last step of New, because it may start a
// goroutine. It does nothing if the journal could not be read.
func (v *Verifier) keep(maxStale time.Duration, follow bool) error {
	if v.topic == nil {
		return nil
	}
	v.bounded = maxStale > 0
	if err := v.topic.Keep(maxStale, follow); err != nil {
		return fmt.Errorf("apikey: Config: %w", err)
	}
	return nil
}

// current returns the present time, once the keys are as fresh as Config.MaxStale asks for. The age comes before the
// lookup: what is found then is not older.
func (v *Verifier) current(ctx context.Context) (int64, *Error) {
	now := time.Now()
	if !v.bounded || v.topic.Fresh(now) {
		return now.UnixNano(), nil
	}
	if err := v.topic.Renew(ctx); err != nil {
		return 0, &Error{Err: fmt.Errorf("%w: %w", ErrStale, err)}
	}
	return time.Now().UnixNano(), nil // it may have waited
}

// Close ends the goroutine of [Config].Follow and the reading of requests, and waits for them. Call it before the store
// of the Journal is closed. The verifier goes on with the keys that it has. Under a [Config].MaxStale it soon refuses
// every request. Close may be called more than once, and always returns nil.
func (v *Verifier) Close() error {
	if v == nil || v.topic == nil {
		return nil
	}
	return v.topic.Close()
}
