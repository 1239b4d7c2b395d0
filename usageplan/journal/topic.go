package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// A Topic follows a journal and appends to it. The owners of control state, such as apikey and usageplan, have one
// each. It decides nothing, and keeps no item. Make one with [Follow]. It is safe for concurrent use.
type Topic struct {
	journal Journal // nil: changes are not stored
	apply   func(items iter.Seq[Item], reset bool) error

	turn chan struct{} // holds one token, which the goroutine that changes or reads on has put there

	// Only the goroutine that holds the turn writes these. Others read them at any time.
	head      atomic.Uint64             // the revision up to which apply has been called
	behind    atomic.Bool               // the journal may have more than head; never true without a journal
	confirmed atomic.Pointer[time.Time] // what was appended before is applied; nil without a journal

	maxStale time.Duration      // this and the next two are set by Keep
	life     context.Context    // ends with Close
	end      context.CancelFunc // ends life
	running  sync.WaitGroup     // the follower and the attempts

	asking   sync.Mutex // protects the rest
	attempt  *attempt   // the one under way, or nil
	failures int        // since an attempt has succeeded
	failure  error      // the last one, if failures is not 0
	failedAt time.Time  // its time
	pause    time.Duration
}

// Follow returns a topic after it has read the journal to its head. Without a journal (nil), changes are applied, and
// stored nowhere. Follow does not read on by itself later: [Topic.Keep] and [Topic.Refresh] do.
//
// The topic calls apply with the items that have changed, one call at a time. If reset is true, apply also drops every
// item that is not among them. The same name may come more than once; the last one counts. The bytes belong to apply.
// It must read all items unless it returns an error. An error means that an item cannot be read, and that nothing was
// applied: the topic offers the items again at the next change.
//
// The first call is made by Follow itself, and its items come while they are read. If that fails, Follow returns no
// topic. The error is that of apply, or wraps [ErrUnavailable]. After ErrUnavailable, apply may have got a part of the
// items.
func Follow(ctx context.Context, j Journal, apply func(items iter.Seq[Item], reset bool) error) (*Topic, error) {
	t := &Topic{journal: j, apply: apply, turn: make(chan struct{}, 1)}
	if j == nil {
		return t, nil
	}
	if err := t.load(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// load reads the journal for the first time. Unlike catchUp, it passes the items on as they come, so a million of them
// are not in memory twice. If it fails, the topic is not used.
func (t *Topic) load(ctx context.Context) error {
	var failed error
	head, began := uint64(0), time.Now()
	err := t.apply(func(yield func(Item) bool) {
		for c, err := range t.changes(ctx) {
			if err != nil {
				failed = err
				return
			}
			head = c.Revision
			for _, it := range c.Items {
				if !yield(it) {
					return
				}
			}
		}
	}, false)
	t.arrive(head, began)
	return cmp.Or(failed, err)
}

// Change makes one change. It calls decide, which returns the items that the change puts or removes, appends them and
// applies them. next is the revision that the change will have. If another writer was first, Change reads on and calls
// decide again. The items that decide returns are the topic's from then on. Neither decide nor apply may call the
// topic, which would wait for itself.
//
// If decide returns an error, Change returns it as it is, and nothing has changed. If decide returns no items, there is
// nothing to change. Both are decided at the head, as a change is: Change reads on, and decides again if there was
// more. Otherwise a node would say that a plan does not exist which another node has just created, or that a membership
// is gone which it has not seen yet. If the journal does not answer, an error of decide is still returned.
//
// After an error that wraps [ErrUnavailable], it is unknown whether the change was made. If it was, the next Change or
// [Topic.Refresh] applies it. If Refresh does not find it, the request may still be on its way to the store. It then
// fails as soon as any other change is made, because the head has moved. After an error that wraps [ErrTooLarge] or the
// error of ctx, and not ErrUnavailable, nothing has changed.
func (t *Topic) Change(ctx context.Context, operation string, decide func(next uint64) ([]Item, error)) error {
	return t.Record(ctx, func(next uint64) (string, []Item, error) {
		items, err := decide(next)
		return operation, items, err
	})
}

// Record is [Topic.Change] with an operation that decide returns, too. So it can say what has changed: for example,
// "UpdateApiKey: enabled: true → false". One that is too long for a change is cut.
func (t *Topic) Record(
	ctx context.Context, decide func(next uint64) (operation string, items []Item, err error),
) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.release()
	if err := t.catchUp(ctx, nothing); err != nil {
		return err
	}
	for {
		operation, items, err := decide(t.head.Load() + 1)
		if err != nil || len(items) == 0 {
			if more, unread := t.more(ctx); !more {
				return cmp.Or(err, unread)
			}
			continue
		}
		origin, _ := FromContext(ctx)
		c := Change{Time: time.Now().UTC(), Origin: origin, Operation: cut(operation), Items: items}
		refused := t.append(ctx, c)
		if !errors.Is(refused, ErrBehind) {
			return refused
		}
		if more, unread := t.more(ctx); !more {
			return cmp.Or(unread, unavailable(refused)) // the store would refuse it forever
		}
	}
}

// cut returns at most maxName bytes of an operation. It cuts between two characters, and marks the cut.
func cut(operation string) string {
	const mark = "…"
	if len(operation) <= maxName {
		return operation
	}
	n := maxName - len(mark)
	for n > 0 && !utf8.RuneStart(operation[n]) {
		n--
	}
	return operation[:n] + mark
}

// more reads on, and reports whether there was more. The caller must hold the turn.
func (t *Topic) more(ctx context.Context) (bool, error) {
	before := t.head.Load()
	t.behind.Store(t.journal != nil)
	err := t.catchUp(ctx, nothing)
	return err == nil && t.head.Load() > before, err
}

// append stores c and applies it. The caller must hold the turn.
func (t *Topic) append(ctx context.Context, c Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t.behind.Store(t.journal != nil) // until c is applied
	began := time.Now()
	if err := t.store(ctx, c); err != nil {
		return err
	}
	if err := t.apply(slices.Values(c.Items), false); err != nil {
		return unavailable(err)
	}
	t.arrive(t.head.Load()+1, began)
	return nil
}

// store appends c to the journal, if there is one. Its errors wrap ErrBehind or ErrTooLarge if nothing was stored, and
// otherwise ErrUnavailable.
func (t *Topic) store(ctx context.Context, c Change) error {
	if t.journal == nil {
		return nil
	}
	head := t.head.Load()
	revision, err := t.journal.Append(ctx, head, c)
	switch {
	case errors.Is(err, ErrBehind), errors.Is(err, ErrTooLarge):
		return err
	case err != nil:
		return unavailable(err)
	case revision != head+1:
		return unavailable(outOfOrder(revision, head))
	}
	return nil
}

// Refresh reads what other writers have appended, and what this one may have. An error of the store or of apply wraps
// [ErrUnavailable]; the state then stays as it was.
func (t *Topic) Refresh(ctx context.Context) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.release()
	_, err := t.more(ctx)
	return err
}

// Position returns the revision up to which the topic has applied the journal. behind says that the journal may have
// more: while a change is stored or read, and after that has failed, until the next Change or Refresh succeeds. What
// others have appended since the topic last read is not known. Without a journal, the revision counts the changes.
// Position waits for nothing, so a gauge may read it often.
func (t *Topic) Position() (revision uint64, behind bool) { return t.head.Load(), t.behind.Load() }

// catchUp reads on if the topic may be behind. It collects the items before it applies them, because they are
// consistent only at the head. It calls heard whenever the store has sent something. The caller must hold the turn.
func (t *Topic) catchUp(ctx context.Context, heard func()) error {
	if !t.behind.Load() {
		return nil
	}
	var items []Item
	head, reset, began := t.head.Load(), false, time.Now()
	for c, err := range t.changes(ctx) {
		if err != nil {
			return err
		}
		heard()
		head, reset = c.Revision, reset || c.Snapshot
		items = append(items, c.Items...)
	}
	if len(items) > 0 || reset {
		if err := t.apply(slices.Values(items), reset); err != nil {
			return unavailable(err)
		}
	}
	t.arrive(head, began)
	return nil
}

func nothing() {}

// arrive notes that everything up to the head of the journal is applied. began is when the call began that has read the
// head, or appended it. What others had appended before that is applied. What they have appended during the call may be
// missing.
func (t *Topic) arrive(head uint64, began time.Time) {
	t.head.Store(head)
	t.behind.Store(false)
	if t.journal != nil {
		t.confirmed.Store(&began)
	}
}

// changes yields what the journal has after the head of the topic.
func (t *Topic) changes(ctx context.Context) iter.Seq2[Change, error] {
	return changesAfter(ctx, t.journal, t.head.Load())
}

// changesAfter yields what a journal has after a revision. A change that is missing or out of order is an error:
// without this check, a fault of the store would become a wrong state that nobody notices.
func changesAfter(ctx context.Context, j Journal, head uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		first, last := true, Change{Revision: head}
		for c, err := range j.Changes(ctx, head) {
			follows := c.Revision == last.Revision+1
			if c.Snapshot {
				follows = first && c.Revision >= head || last.Snapshot && c.Revision == last.Revision
			}
			if err == nil && !follows {
				err = outOfOrder(c.Revision, last.Revision)
			}
			if err != nil {
				yield(Change{}, unavailable(err))
				return
			}
			if !yield(c, nil) {
				return
			}
			last, first = c, false
		}
	}
}

// take waits for the turn.
func (t *Topic) take(ctx context.Context) error {
	err := ctx.Err() // select would choose at random between an ended context and a free turn
	if err == nil {
		select {
		case t.turn <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("journal: nothing was done: %w", err)
}

func (t *Topic) release() { <-t.turn }

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

func outOfOrder(revision, last uint64) error {
	return fmt.Errorf("journal: the store has put revision %d after %d", revision, last)
}
