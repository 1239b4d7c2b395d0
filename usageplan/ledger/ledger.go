package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config makes a [Ledger].
type Config struct {
	// Engine keeps the rows: [NewMemory], a store of package boltstore, redisstore, pgstore or dynamostore, or any
	// engine that passes package enginetest. Required. It stays the caller's: close it after the ledger. Several
	// ledgers may share it.
	Engine Engine

	// Slots keeps what was spent of open leases, so that a process that is killed wastes nothing: slots.Open. It serves
	// one ledger at a time. It stays the caller's: close it after the ledger. nil keeps nothing. Exact mode does not
	// use it. Where other ledgers of the process take from the same keys of an [Owner], make the one with slots first.
	Slots Slots

	// Exact makes every single decision durable in the engine before it is answered. Otherwise the ledger reserves
	// blocks of units in the engine and spends them from memory. New refuses an engine that says it does not make
	// writes durable: see [Durable].
	Exact bool

	// Block is the most that a lease reserves at once, 1 to 2^30 (but always what a single cost needs); 0 takes 16 384.
	// It bounds what a lease holds, and so what a power failure, or a crash without Slots, wastes: see Bounds. Blocks
	// are sized by demand and shrink near the limit. Exact mode does not use it.
	Block int64

	// Stale bounds how long a key that is exhausted is refused from memory, without a look at what other ledgers have
	// changed. What this ledger changes counts at once. 0 takes a second; below 0, the engine is asked each time.
	Stale time.Duration

	// Keep is how long closed days and their adjustments are kept, at least; 0 takes 400 days.
	Keep time.Duration

	// Format is the version of the rows that are written, 1 or 2; 0 takes 1. All versions are read. Set a higher one
	// when every ledger over the engine can read it. See Formats.
	Format int

	// Thresholds are the percentages of limit and adjustments, 1 to 127, whose crossing is recorded, once each per
	// account. nil takes 50, 80 and 100; an empty slice none. At most 16. New copies the slice.
	Thresholds []int

	// OnThreshold is told each crossing at least once, with the same ID if again: after a crash, or by another ledger
	// over the engine. Calls run in separate goroutines, several at once (what earlier ledgers left, in one); Close
	// waits for them, so it must not be called there. nil: crossings are recorded only, and told by a later ledger that
	// has one.
	OnThreshold func(Crossing)

	// OnLoss is told that the engine has lost data of a key: a write that it had confirmed is not there any more, as
	// after a restored backup or a failover. It is told once for each loss that this ledger notices, with the account
	// that it was using. Units that it had admitted from a lease which the engine does not know any more are counted
	// again. Calls run as those of OnThreshold. A loss that Close notices is told before Close returns; one that a
	// settlement notices after that, by the next Close. nil tells nobody.
	OnLoss func(Account)

	// Observe is told what the ledger does with its engine: see [Event]. Nil tells nobody. A take that a lease grants
	// makes no event, so it costs nothing there.
	//
	// It runs on the goroutine whose call has asked the engine, before that call returns, and of a commit on that of
	// one of the callers. So it must be quick. Several goroutines call it at once, and the order of two commits may be
	// another there. It must not use the ledger: its caller may hold what that would wait for. A loss is told where
	// OnLoss is.
	//
	// A panic of Observe is not caught. If it comes in a take, what the engine has granted stays counted.
	//
	// The context is the caller's, but a commit is for many callers: its events get a background context.
	Observe func(context.Context, Event)

	// AllowOverdraw lets a settlement count all it says even past the limit. False counts what is left and forgives the
	// rest. See [Charge.Settle].
	AllowOverdraw bool

	// SettleWithin bounds how long after its Take a charge may grow and be settled, by the monotonic clock; 0 sets no
	// bound. A [Charge.More] or Settle that comes later is refused with [ErrTooLate], and what was taken stays counted.
	// The next call of the ledger, of whatever key, then tells Observe an "unsettled" [Event], once for each such charge:
	// so a request that died is seen. Every method is such a call, Close too, but not Stats and not Ref. Where there may
	// be no requests for hours, a timer that calls [Ledger.Balance] has it told sooner. Set SettleWithin to more than the
	// longest request takes, and only where every charge is settled, also with the units that it has.
	// Each charge then allocates once, and the ledger keeps about 130 bytes for each that is open.
	SettleWithin time.Duration

	// Timeout is the deadline of the context that each commit in the engine gets; 0 takes 5 seconds. What a call that
	// ends so has done is unknown: see [ErrUnavailable]. An engine that does not watch its context is not cut short
	// (boltstore looks at it only before it begins). When an engine begins to hang, takes wait for up to a Timeout: see
	// Failure in the package documentation.
	Timeout time.Duration
}

// maxBlock bounds Block.
const maxBlock = 1 << 30

// validate reports every mistake of c at once, so that a caller does not find them one by one.
func (c Config) validate() error {
	var errs []error
	mistake := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, &Error{Err: fmt.Errorf("%w: "+format, append([]any{errConfig}, args...)...)})
		}
	}
	mistake(isNil(c.Engine), "no engine, as NewMemory returns")
	mistake(c.Slots != nil && isNil(c.Slots), "slots are a nil pointer")
	mistake(c.Block < 0 || c.Block > maxBlock, "block %d is not within 0 and 2^30", c.Block)
	mistake(c.Keep < 0, "keep %v is negative", c.Keep)
	mistake(c.Format < 0 || c.Format > lastFormat, "format %d is not within 0 and %d", c.Format, lastFormat)
	mistake(c.SettleWithin < 0, "settle within %v is negative", c.SettleWithin)
	mistake(c.Timeout < 0, "timeout %v is negative", c.Timeout)
	mistake(len(c.Thresholds) > 16, "%d thresholds, at most 16", len(c.Thresholds))
	for _, p := range c.Thresholds {
		mistake(p < 1 || p > 127, "threshold %d is not within 1 and 127", p)
	}
	return errors.Join(errs...)
}

// isNil reports whether an interface holds nothing, or a nil pointer.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}

// withDefaults returns c with what its zero values stand for.
func (c Config) withDefaults() Config {
	if c.Thresholds == nil {
		c.Thresholds = []int{50, 80, 100}
	}
	c.Thresholds = slices.Clone(c.Thresholds)
	c.Block = cmp.Or(c.Block, 1<<14)
	c.Stale = cmp.Or(c.Stale, time.Second)
	c.Keep = cmp.Or(c.Keep, 400*24*time.Hour)
	c.Format = cmp.Or(c.Format, 1)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	return c
}

// durable asks the engine whether it keeps what exact mode promises. It is asked after all other mistakes have been
// looked for, because the answer may be a round trip to a server.
func (c Config) durable() error {
	d, tells := c.Engine.(Durable)
	if !tells || !c.Exact {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	if err := d.Durable(ctx); err != nil {
		return fmt.Errorf("%w: exact mode needs an engine that makes writes durable: %w", errConfig, err)
	}
	return nil
}

// How the parts work together:
//
//	Ledger     has the configuration and the counters, and ends the leases
//	counter    has what is known of one key: its turn, its lease, its account
//	committer  makes one batch of the operations that many callers want
//	rows       makes a batch on the rows of the engine, in the rounds of a pass
//	record     is a row, decoded: it decides, remembers answers, and moves what is too much
//	Engine     keeps the rows
//
// A take that the lease grants stays in the counter. Every other operation goes down to the engine, and its answer
// comes back by the same way.

// Ledger counts what accounts use. Make one with [New]; the nil and the zero Ledger refuse everything but Close
// with [ErrNotConfigured]. All methods are safe for concurrent use.
type Ledger struct {
	config    Config
	began     time.Time
	counters  counters
	rows      *rows
	committer *committer
	idle      idleLeases
	slabs     slabs // of charges that no lease has granted
	unsettled unsettledCharges
	leases    openLeases

	// ending is held by Close (a channel, because it is held while others work). closing guards the start of background
	// work against it, and late: what Close calls at its end.
	ending  chan struct{}
	closing sync.Mutex
	closed  atomic.Bool
	work    sync.WaitGroup
	late    []func()
}

// New returns a ledger over c.Engine. It first ends the leases that earlier ledgers left open in c.Slots. It reports
// every mistake of c at once, each wrapping [ErrInvalid]; a failure of the engine or the slots wraps [ErrUnavailable].
// In exact mode the error of an engine's Durable wraps ErrInvalid too.
func New(c Config) (*Ledger, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if err := c.durable(); err != nil {
		return nil, &Error{Err: err}
	}
	l := &Ledger{config: c, began: time.Now(), ending: make(chan struct{}, 1)}
	l.rows = newRows(c.Engine, l.newID(), uint8(l.config.Format))
	l.rows.keep = int64(l.config.Keep / time.Second)
	l.committer = newCommitter(l, l.rows)
	l.unsettled.init(l)
	l.observe()
	l.counters.init()
	if err := l.endRecovered(context.Background()); err != nil {
		return nil, err
	}
	if err := l.tellRecovered(context.Background()); err != nil {
		return nil, err
	}
	return l, nil
}

// observe has the calls of the engine and the commits told, if Config.Observe is set.
func (l *Ledger) observe() {
	if l.config.Observe == nil {
		return
	}
	o := &observer{tell: l.config.Observe}
	l.committer.observer = o
	l.rows.engine = observed{l.rows.engine, o}
	if l.rows.clock != nil {
		l.rows.clock = observedClock{l.rows.clock, o}
	}
}

// newID returns a number that no other lease or life of a ledger has. On an [Owner] it begins with the number of the
// present opening of the store.
func (l *Ledger) newID() uint64 {
	if owner, ok := l.config.Engine.(Owner); ok {
		return uint64(owner.Owner())<<32 | uint64(rand.Uint32())
	}
	return rand.Uint64()
}

// counter returns the counter of a key after it has checked key and quota. No counter is made for a key that is not
// valid: it would stay.
func (l *Ledger) counter(key Key, q Quota) (*counter, error) {
	if err := l.check(key, q); err != nil {
		return nil, err
	}
	return l.counters.make(l, key), nil
}

// check returns an error unless l may be used, and key and quota are valid.
func (l *Ledger) check(key Key, q Quota) error {
	if err := l.open(); err != nil {
		return err
	}
	if err := errors.Join(key.validate(), q.Validate()); err != nil {
		return &Error{Err: err}
	}
	return nil
}

// open returns an error unless l may be used. A ledger that is closed while a call is under way lets it end: where that
// matters, enterOpen looks again.
func (l *Ledger) open() error {
	switch {
	case l == nil || l.config.Engine == nil:
		return &Error{Err: errNoLedger}
	case l.closed.Load():
		return &Error{Err: ErrUnavailable, Cause: errClosed}
	}
	return nil
}

// background runs f in a goroutine that Close waits for; after Close it does not run f and returns false. The lock
// makes the two exclude each other: either Close sees the goroutine, or background sees that the ledger is closed.
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
// [ErrUnavailable]. It does not close the engine. After an error, another Close tries again to tell the engine what the
// first could not.
func (l *Ledger) Close() error {
	if l == nil || l.config.Engine == nil {
		return nil
	}
	l.ending <- struct{}{}
	defer func() { <-l.ending }()
	defer l.callLate()
	l.tellUnsettled(context.Background())
	l.closing.Lock()
	closed := l.closed.Swap(true)
	l.closing.Unlock()
	if closed {
		return l.committer.flush(context.Background())
	}
	l.work.Wait()
	return l.endAll(context.Background())
}

// endsPerCommit is how many leases are ended in one commit.
const endsPerCommit = 1000

// endAll ends every lease. What fails goes to the outbox, and is tried again by the flush.
func (l *Ledger) endAll(ctx context.Context) error {
	_ = l.committer.flush(ctx) // an outage that is over holds up nothing
	for counters := range slices.Chunk(slices.Collect(l.counters.all()), endsPerCommit) {
		l.end(ctx, counters)
	}
	return l.committer.flush(ctx)
}

// end ends the leases of some counters in one commit. It holds their turns until the engine has answered: a refund that
// came before could not give back what a lease has spent and not reported. No other goroutine waits for a turn while it
// holds another.
func (l *Ledger) end(ctx context.Context, counters []*counter) {
	var ops []op
	for _, c := range counters {
		if c.enter(ctx) != nil {
			continue
		}
		defer c.leave()
		if _, o, ok := c.end(); ok {
			ops = append(ops, o)
		}
	}
	if len(ops) > 0 {
		_, _ = l.committer.all(ctx, ops)
	}
}
