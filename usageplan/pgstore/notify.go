package pgstore

import (
	"context"
	"sync"
	"time"
)

// channel is the name of the notifications of a change in some journal. A notification contains the schema.
const channel = "tallygate"

// Notifications can get lost, for example when a connection breaks. So Wait also asks for the head from time to time.
// It asks more often if there are no notifications, as behind a pooler. Tests change pollMissed.
var pollMissed = time.Second

const (
	pollPooled  = 250 * time.Millisecond
	listenAgain = time.Second // after an error
)

// watch returns a channel that is closed when a journal may have changed. The first call makes the store listen.
func (s *Store) watch(ctx context.Context) (<-chan struct{}, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if !s.pooled {
		s.listen.Do(func() { go s.listening() })
	}
	return s.bell.rung(), nil
}

// await returns when the bell has rung or it is time to ask again. It returns an error if ctx or the store has ended.
func (s *Store) await(ctx context.Context, rung <-chan struct{}) error {
	poll := pollMissed
	if s.pooled {
		poll = pollPooled
	}
	select {
	case <-rung:
	case <-time.After(poll):
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return ErrClosed
	}
	return nil
}

// listening rings the bell at each notification until the store is closed.
func (s *Store) listening() {
	for s.life.Err() == nil {
		_ = s.hear() // until it listens again, Wait asks by itself, and returns the errors
		select {
		case <-time.After(listenAgain):
		case <-s.life.Done():
		}
	}
}

// hear listens on a connection that it takes out of the pool, so that the pool can make another in its place. A
// connection that listens must not go back: it would collect notifications that no call reads.
//
// It rings as soon as it listens, because it was not notified of a change before that. All namespaces of a database
// have one channel, and each store ignores the notifications of other namespaces.
func (s *Store) hear() error {
	pooled, err := s.pool.Acquire(s.life)
	if err != nil {
		return err
	}
	c := pooled.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	if _, err := c.Exec(s.life, "listen "+channel); err != nil {
		return err
	}
	s.bell.ring() // for what came before
	for {
		n, err := c.WaitForNotification(s.life)
		if err != nil {
			return err
		}
		if n.Payload == s.schema {
			s.bell.ring()
		}
	}
}

// bell wakes all calls of Wait at once. One connection listens for all topics, so a ring does not say which of them has
// changed. Each call of Wait then asks for its own head.
type bell struct {
	mu   sync.Mutex
	wake chan struct{} // closed when the bell rings; nil if no call has asked for it since the last ring
}

// rung returns a channel that the next ring closes.
func (b *bell) rung() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}
