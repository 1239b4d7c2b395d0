package ledger

import (
	"context"
	"iter"
	"time"
)

// observed is an engine whose calls are told. What else the engine offers (see [Owner]) is asked of the engine itself.
type observed struct {
	Engine
	observer *observer
}

// Update implements [Engine].
func (e observed) Update(ctx context.Context, keys []string, f func(i int, row []byte) ([]byte, error)) error {
	size, start := len(keys), time.Now()
	err := e.Engine.Update(ctx, keys, f)
	e.observer.called(ctx, Event{Operation: "update", Size: size, Duration: time.Since(start)}, err)
	return err
}

// Load implements [Engine].
func (e observed) Load(ctx context.Context, key string) ([]byte, error) {
	start := time.Now()
	row, err := e.Engine.Load(ctx, key)
	e.observer.called(ctx, Event{Operation: "load", Size: 1, Duration: time.Since(start)}, err)
	return row, err
}

// Keys implements [Engine]. It tells of an iteration when it ends, also if the caller ends it. The time that the caller
// takes between two keys says nothing about the engine.
func (e observed) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		told, start := Event{Operation: "keys"}, time.Now()
		var failure error
		for key, err := range e.Engine.Keys(ctx, prefix) {
			if failure = err; err == nil {
				told.Size++
			}
			yielded := time.Now()
			more := yield(key, err)
			told.Duration -= time.Since(yielded)
			if !more {
				break
			}
		}
		told.Duration += time.Since(start)
		e.observer.called(ctx, told, failure)
	}
}

// observedClock is the clock of an engine whose calls are told.
type observedClock struct {
	Clock
	observer *observer
}

// Now implements [Clock].
func (c observedClock) Now(ctx context.Context) (time.Time, error) {
	start := time.Now()
	now, err := c.Clock.Now(ctx)
	c.observer.called(ctx, Event{Operation: "clock", Duration: time.Since(start)}, err)
	return now, err
}
