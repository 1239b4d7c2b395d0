package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// A Topic follows a journal and appends to it. It is what the owners of control state share: it decides nothing, and
// keeps no item. Make one with [Follow]. It is safe for concurrent use.
type Topic struct {
	journal Journal // nil: changes are not stored
	apply   func(items iter.Seq[Item], reset bool) error

	turn   chan struct{} // holds one token, which the goroutine that changes or reads on has put there
	head   uint64        // the revision up to which apply has been called
	behind bool          // the journal may have more than head; never true without a journal
}

// Follow returns a topic after it has read the journal to its head. A nil journal stands for none: changes are then
// applied and stored nowhere.
//
// The topic calls apply with the items that have changed, one call at a time. If reset is true, apply also drops every
// item that is not among them. The same name may come more than once; the last one counts. The bytes belong to apply.
// It must read all items unless it returns an error. An error means that an item cannot be read, and that nothing was
// applied: the topic offers the items again at the next change.
//
// The first call is made by Follow itself, and its items come while they are read. If that fails, Follow returns no
// topic. The error is that of apply, or wraps [ErrUnavailable]; after the latter, apply may have got a part of them.
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

// load reads the journal for the first time. In contrast to catchUp it passes the items on as they come: a million of
// them need no second place in memory. If it fails, the topic is not used.
func (t *Topic) load(ctx context.Context) error {
	var failed error
	head := uint64(0)
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
	t.head = head
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
// An error that wraps [ErrTooLarge] or that of a context has changed nothing, unless it wraps [ErrUnavailable] too.
// That one leaves it unknown whether the change was made. If it was, the next Change or [Topic.Refresh] applies it. If
// Refresh does not find it, the request may still be on its way to the store. The next change of anyone keeps it out.
func (t *Topic) Change(ctx context.Context, operation string, decide func(next uint64) ([]Item, error)) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.release()
	if err := t.catchUp(ctx); err != nil {
		return err
	}
	for {
		items, err := decide(t.head + 1)
		if err != nil || len(items) == 0 {
			if more, unread := t.more(ctx); !more {
				return cmp.Or(err, unread)
			}
			continue
		}
		origin, _ := FromContext(ctx)
		c := Change{Time: time.Now().UTC(), Origin: origin, Operation: operation, Items: items}
		refused := t.append(ctx, c)
		if !errors.Is(refused, ErrBehind) {
			return refused
		}
		if more, unread := t.more(ctx); !more {
			return cmp.Or(unread, unavailable(refused)) // the store would refuse it for ever
		}
	}
}

// more reads on, and reports whether there was more. The caller must hold the turn.
func (t *Topic) more(ctx context.Context) (bool, error) {
	before := t.head
	t.behind = t.journal != nil
	err := t.catchUp(ctx)
	return err == nil && t.head > before, err
}

// append stores c and applies it. The caller must hold the turn.
func (t *Topic) append(ctx context.Context, c Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t.behind = t.journal != nil // until c is applied
	if err := t.store(ctx, c); err != nil {
		return err
	}
	if err := t.apply(slices.Values(c.Items), false); err != nil {
		return unavailable(err)
	}
	t.head, t.behind = t.head+1, false
	return nil
}

// store appends c to the journal, if there is one. Its errors wrap ErrBehind or ErrTooLarge if nothing was stored, and
// otherwise ErrUnavailable.
func (t *Topic) store(ctx context.Context, c Change) error {
	if t.journal == nil {
		return nil
	}
	revision, err := t.journal.Append(ctx, t.head, c)
	switch {
	case errors.Is(err, ErrBehind), errors.Is(err, ErrTooLarge):
		return err
	case err != nil:
		return unavailable(err)
	case revision != t.head+1:
		return unavailable(outOfOrder(revision, t.head))
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

// catchUp reads on if the topic may be behind. It collects the items before it applies them, because they are
// consistent only at the head. The caller must hold the turn.
func (t *Topic) catchUp(ctx context.Context) error {
	if !t.behind {
		return nil
	}
	var items []Item
	head, reset := t.head, false
	for c, err := range t.changes(ctx) {
		if err != nil {
			return err
		}
		head, reset = c.Revision, reset || c.Snapshot
		items = append(items, c.Items...)
	}
	if len(items) > 0 || reset {
		if err := t.apply(slices.Values(items), reset); err != nil {
			return unavailable(err)
		}
	}
	t.head, t.behind = head, false
	return nil
}

// changes yields what the journal has after the head of the topic. A change that is missing or out of order is an
// error: without this check, a fault of the store would become a wrong state that nobody notices.
func (t *Topic) changes(ctx context.Context) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		last := Change{Revision: t.head}
		first := true
		for c, err := range t.journal.Changes(ctx, t.head) {
			follows := c.Revision == last.Revision+1
			if c.Snapshot {
				follows = first && c.Revision >= t.head || last.Snapshot && c.Revision == last.Revision
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
