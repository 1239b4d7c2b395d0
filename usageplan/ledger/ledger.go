package ledger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is how a ledger takes.
type Mode uint8

const (
	// Leased reserves blocks in the store and spends them from memory. The zero Mode.
	Leased Mode = iota

	// Exact makes every single decision durable in the store before it is answered.
	Exact
)

// Config makes a [Ledger].
type Config struct {
	// Store keeps the accounts: [NewMemory], boltstore.Open or any engine that passes package ledgertest. Required.
	// It stays the caller's: close it after the ledger. Several ledgers may share it.
	Store Store

	// Mode is [Leased] by default.
	Mode Mode

	// Block is the most that a lease reserves at once, 1 to 2^30 (but always what a single cost needs); 0 takes 16 384. It
	// bounds what a lease holds, and so what a power failure, or a crash over an engine that is no [Noter], wastes: see
	// Bounds. Blocks are sized by demand and shrink near the limit. Exact mode does not use it.
	Block int64

	// Thresholds are the percentages of limit and adjustments, 1 to 127, whose crossing is recorded, once each per account.
	// nil takes 50, 80 and 100; an empty slice none. At most 16. New copies the slice.
	Thresholds []int

	// OnThreshold is told each crossing at least once, with the same ID if again: after a crash, or by another ledger over
	// the store. Calls run in goroutines of their own, several at once (what earlier ledgers left, in one); Close waits for
	// them, so it must not be called there. nil: crossings are recorded only, and told by a later ledger that has one.
	OnThreshold func(Crossing)

	// AllowOverdraw lets a settlement count all it says even past the limit. False counts what is left and forgives the
	// rest. See [Charge.Settle].
	AllowOverdraw bool

	// Timeout is the deadline of the context that each [Store].Apply gets; 0 takes 5 seconds. What a call that ends so has
	// done is unknown: see [ErrUnavailable]. An engine that does not watch its context is not cut short (boltstore looks
	// at it only before it begins).
	Timeout time.Duration
}

// maxBlock bounds Block.
const maxBlock = 1 << 30

func (c Config) validate() error {
	var errs []error
	mistake := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
		}
	}
	store := reflect.ValueOf(c.Store)
	mistake(c.Store == nil || store.Kind() == reflect.Pointer && store.IsNil(), "no store")
	mistake(c.Mode > Exact, "no mode: %d", c.Mode)
	mistake(c.Block < 0 || c.Block > maxBlock, "block %d is not within 0 and 2^30", c.Block)
	mistake(c.Timeout < 0, "timeout %v is negative", c.Timeout)
	mistake(len(c.Thresholds) > 16, "%d thresholds, at most 16", len(c.Thresholds))
	for _, p := range c.Thresholds {
		mistake(p < 1 || p > 127, "threshold %d is not within 1 and 127", p)
	}
	return errors.Join(errs...)
}

// Ledger counts what accounts use. Make one with [New]; the nil and the zero Ledger refuse everything but Close
// with [ErrNotConfigured]. All methods are safe for concurrent use.
type Ledger struct {
	config Config
	began  time.Time
	cells  cells
	group  *group
	slabs  slabs // of charges that no lease has granted

	// ending is held by Close (a channel, because it is held while others work). closing guards the start of background
	// work against it.
	ending  chan struct{}
	closing sync.Mutex
	closed  atomic.Bool
	work    sync.WaitGroup
}

// New returns a ledger over c.Store. It first ends what earlier ledgers left open, if the store can tell ([Recoverer]).
// It reports every mistake of c at once, each wrapping [ErrConfig]; a failure of the store wraps [ErrUnavailable].
func New(c Config) (*Ledger, error) {
	if err := c.validate(); err != nil {
		return nil, &Error{Err: err}
	}
	if c.Thresholds == nil {
		c.Thresholds = []int{50, 80, 100}
	}
	c.Thresholds = slices.Clone(c.Thresholds)
	if c.Block == 0 {
		c.Block = 1 << 14
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	l := &Ledger{config: c, began: time.Now(), ending: make(chan struct{}, 1), group: newGroup(c.Store, c.Timeout)}
	l.cells.init()
	if err := l.recover(context.Background()); err != nil {
		return nil, err
	}
	return l, nil
}

// cell returns the cell of a key after it has checked key and quota.
func (l *Ledger) cell(key Key, q Quota) (*cell, error) {
	if err := l.open(); err != nil {
		return nil, err
	}
	if err := errors.Join(key.validate(), q.Validate()); err != nil {
		return nil, &Error{Err: err}
	}
	return l.cells.make(l, key), nil
}

func (l *Ledger) open() error {
	switch {
	case l == nil || l.config.Store == nil:
		return &Error{Err: ErrNotConfigured}
	case l.closed.Load():
		return &Error{Err: ErrClosed}
	}
	return nil
}

// background runs f in a goroutine that Close waits for; after Close it does not run f and returns false.
func (l *Ledger) background(f func()) bool {
	l.closing.Lock()
	defer l.closing.Unlock()
	if l.closed.Load() {
		return false
	}
	l.work.Go(f)
	return true
}

// Close returns what leases have not spent and waits for callbacks. Afterwards all methods but Settle refuse with
// [ErrClosed]. It does not close the store. After an error, another Close tries again to tell the store what the first
// could not.
func (l *Ledger) Close() error {
	if l == nil || l.config.Store == nil {
		return nil
	}
	l.ending <- struct{}{}
	defer func() { <-l.ending }()
	l.closing.Lock()
	closed := l.closed.Swap(true)
	l.closing.Unlock()
	if closed {
		return l.group.flush(context.Background())
	}
	l.work.Wait()
	return l.endAll(context.Background())
}

// endsPerCommit is how many leases are ended in one commit.
const endsPerCommit = 1000

// endAll ends every lease. What fails is owed, and tried again by the flush.
func (l *Ledger) endAll(ctx context.Context) error {
	_ = l.group.flush(ctx) // an outage that is over holds up nothing
	for cells := range slices.Chunk(slices.Collect(l.cells.all()), endsPerCommit) {
		l.end(ctx, cells)
	}
	return l.group.flush(ctx)
}

// end ends the leases of some cells in one commit. It holds their turns until the store has answered: a refund that came
// before could not give back what a lease has spent and not reported. Nobody else waits for a turn while he holds another.
func (l *Ledger) end(ctx context.Context, cells []*cell) {
	var ops []Op
	for _, c := range cells {
		if c.enter(ctx) != nil {
			continue
		}
		defer c.leave()
		if op, ok := c.end(); ok {
			ops = append(ops, op)
		}
	}
	if len(ops) > 0 {
		_, _ = l.group.all(ctx, ops)
	}
}
