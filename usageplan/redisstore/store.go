package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Causes, for [errors.Is].
var (
	// ErrClosed: the store has been closed, or it is the zero Store, which was never opened.
	ErrClosed = errors.New("redisstore: store is closed")

	// ErrFormat: a row or a record is not as this package writes it. It is damaged, or another program has written it.
	ErrFormat = errors.New("redisstore: value is damaged or not of this package")

	// ErrWeak: the server may lose what it has confirmed, or its settings cannot be read. See the package documentation
	// for the settings, and [Config].AllowWeakDurability.
	ErrWeak = errors.New("redisstore: server may lose what it has confirmed")
)

// Store is a [ledger.Engine], a [ledger.Clock] and a [ledger.Durable] on a Redis server, which any number of processes
// may share. Make one with [Open]. It is safe for concurrent use.
type Store struct {
	client    redis.UniversalClient
	name      string // the namespace
	allowWeak bool

	remembered remembered

	closed chan struct{} // nil in the zero Store
	close  sync.Once
}

var (
	_ ledger.Engine  = (*Store)(nil)
	_ ledger.Clock   = (*Store)(nil)
	_ ledger.Durable = (*Store)(nil)
)

// Open returns a store over c.Client. It writes nothing, but asks each server for its settings. The error joins every
// mistake of c, of the client's options and of the servers' settings. It wraps [ErrWeak] if a server keeps nothing on
// disk, or does not tell whether it does. A server that does not answer is an error too.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.validate(ctx); err != nil {
		return nil, err
	}
	return &Store{
		client: c.Client, name: c.Namespace, allowWeak: c.AllowWeakDurability, closed: make(chan struct{}),
	}, nil
}

// usable returns an error unless the store is open and ctx has not ended.
func (s *Store) usable(ctx context.Context) error {
	if s.closed == nil {
		return ErrClosed
	}
	select {
	case <-s.closed:
		return ErrClosed
	default:
		return ctx.Err()
	}
}

// formatted adds [ErrFormat] to an error of the server that says that a key has a value of another type. Only another
// program can have written such a value under a name of the store.
func formatted(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// clockScript is a script because TIME has no key: a Cluster would ask any of its nodes, and their clocks differ. A
// script is sent to the node of its key.
const clockScript = "return redis.call('TIME')"

// Now implements [ledger.Clock]. It returns the time of the server; in a Cluster, that of one fixed slot's node.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := s.usable(ctx); err != nil {
		return time.Time{}, err
	}
	parts, err := s.client.Eval(ctx, clockScript, []string{s.name + ":{clock}"}).Int64Slice()
	if err == nil && len(parts) != 2 {
		err = ErrFormat
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("redisstore: time of the server: %w", err)
	}
	return time.Unix(parts[0], parts[1]*1000), nil
}

// Close ends the store: later calls fail with [ErrClosed]. The client stays open, as it is the caller's. Close always
// returns nil. The store may be closed already, zero or nil.
func (s *Store) Close() error {
	if s != nil && s.closed != nil {
		s.close.Do(func() { close(s.closed) })
	}
	return nil
}
