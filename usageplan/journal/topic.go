package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Topic follows a journal and appends to it. It is what the owners of control state share: it decides nothing, and
// keeps no item. Make one with [Follow]. It is safe for concurrent use.
type Topic struct {
	journal Journal // nil: changes are not stored
	apply   func(items iter.Seq[Item], reset bool) error

	turn   chan struct{} // holds one token, which the goroutine that changes or reads on has taken
	head   uint64        // the revision up to which apply has been called
	behind bool          // the journal may have more than head
}

// Follow returns a topic after it has read the journal to its head. A nil journal stands for none: changes are then
// applied and stored nowhere.
//
// The topic calls apply with the items that have changed, one call at a time. If reset is true, apply also drops every
// item that is not among them. The same name may come more than once; the last one counts. An error of apply means that
// an item cannot be read and that nothing was applied; after it, Follow fails.
func Follow(ctx context.Context, j Journal, apply func(items iter.Seq[Item], reset bool) error) (*Topic, error) {
	t := &Topic{journal: j, apply: apply, turn: make(chan struct{}, 1)}
	if j == nil {
		return t, nil
	}
	return t, t.load(ctx)
}

// load reads the journal for the first time. In contrast to refresh it passes the items on as they come: a million of
// them need no second place in memory. If it fails, the topic is not used.
func (t *Topic) load(ctx context.Context) error {
	var failed error
	err := t.apply(func(yield func(Item) bool) {
		for c, err := range t.journal.Changes(ctx, 0) {
			if err != nil {
				failed = unavailable(err)
				return
			}
			t.head = c.Revision
			for _, it := range c.Items {
				if !yield(it) {
					return
				}
			}
		}
	}, false)
	return errors.Join(failed, err)
}

// Change makes one change. It calls decide, which returns the items that the change puts or removes, appends them and
// applies them. next is the revision that the change will have. If another writer was first, Change reads on and calls
// decide again. An error of decide is returned as it is, and nothing has changed. If decide returns no items, there is
// nothing to change.
//
// An error that wraps [ErrUnavailable] leaves it unknown whether the change was made. If it was, the next Change or
// [Topic.Refresh] applies it.
func (t *Topic) Change(ctx context.Context, operation string, decide func(next uint64) ([]Item, error)) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.release()
	for {
		if err := t.catchUp(ctx); err != nil {
			return err
		}
		items, err := decide(t.head + 1)
		if err != nil || len(items) == 0 {
			return err
		}
		err = t.append(ctx, Change{Time: time.Now().UTC(), Origin: originOf(ctx), Operation: operation, Items: items})
		if !errors.Is(err, ErrBehind) {
			return err
		}
	}
}

// append stores c and applies it. The caller must hold the turn.
func (t *Topic) append(ctx context.Context, c Change) error {
	if err := c.Validate(); err != nil {
		return err
	}
	next := t.head + 1
	if t.journal != nil {
		var err error
		if next, err = t.journal.Append(ctx, t.head, c); err != nil {
			t.behind = true
			if errors.Is(err, ErrBehind) {
				return err
			}
			return unavailable(err)
		}
	}
	if err := t.apply(values(c.Items), false); err != nil {
		t.behind = true // Refresh tries again
		return unavailable(err)
	}
	t.head = next
	return nil
}

// Refresh reads what other writers have appended, and what this one may have.
func (t *Topic) Refresh(ctx context.Context) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.release()
	t.behind = t.journal != nil
	return t.catchUp(ctx)
}

// catchUp reads on if the topic may be behind. It collects the items before it applies them, because they are
// consistent only at the head.
func (t *Topic) catchUp(ctx context.Context) error {
	if !t.behind {
		return nil
	}
	var items []Item
	head, reset := t.head, false
	for c, err := range t.journal.Changes(ctx, t.head) {
		if err != nil {
			return unavailable(err)
		}
		head, reset = c.Revision, reset || c.Snapshot
		items = append(items, c.Items...)
	}
	if len(items) > 0 || reset {
		if err := t.apply(values(items), reset); err != nil {
			return unavailable(err)
		}
	}
	t.head, t.behind = head, false
	return nil
}

// take waits for the turn.
func (t *Topic) take(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("journal: nothing has changed: %w", ctx.Err())
	}
}

func (t *Topic) release() { <-t.turn }

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

func values(items []Item) iter.Seq[Item] {
	return func(yield func(Item) bool) {
		for _, it := range items {
			if !yield(it) {
				return
			}
		}
	}
}
