package journal

import (
	"context"
	"errors"
	"iter"
	"time"
)

// A Journal is a log of changes with a head: the revision of its latest change, or 0 if it has none. It is safe for
// concurrent use, also by several processes if its store is. Two journals of one store know nothing of each other.
type Journal interface {
	// Append makes c durable as the change after the revision after, and returns its revision, which is after + 1. If
	// the head is not after, it stores nothing and returns an error that wraps [ErrBehind]. The journal sets c.Revision
	// and ignores c.Snapshot. It keeps neither the slice of items nor their bytes.
	//
	// A change has 1 to 10 000 items with distinct names. A name has 1 to 1 200 bytes of any value. An item has at most
	// 1 MiB, and all of a change together have at most 64 MiB. Otherwise the error wraps [ErrTooLarge].
	//
	// After any other error, the change may have been stored or not. Only Changes tells.
	Append(ctx context.Context, after uint64, c Change) (uint64, error)

	// Changes yields the changes after the revision after, up to the head, in their order. Of an item that several of
	// them have changed, all but the last may be left out. So a reader has a consistent state when the iteration is
	// over, and not always before.
	//
	// If the records of some of these changes are gone, it yields a snapshot first: changes with Snapshot set that
	// together hold every item there is. The reader drops every item that is not among them. The changes of a snapshot
	// all have the same revision. An item may be newer than that; the changes that follow then repeat it. A journal may
	// also yield a snapshot where that costs less, for example after revision 0. A snapshot without items is one change.
	//
	// An error ends the sequence. The caller may use the journal while it iterates, and may stop at any time. What is
	// yielded belongs to the caller.
	Changes(ctx context.Context, after uint64) iter.Seq2[Change, error]

	// Wait returns nil when the head is above after, and an error when ctx has ended or the store is closed.
	Wait(ctx context.Context, after uint64) error

	// History yields the changes of an item, newest first, as far back as the retention goes. Each has the name of the
	// item as its only item, without bytes, and Gone says whether the change removed it. The journal answers it also
	// for an item that is gone.
	History(ctx context.Context, item string) iter.Seq2[Change, error]
}

// A Change is one step of a journal.
type Change struct {
	Revision  uint64    // set by the journal
	Time      time.Time // when it was decided, by the writer's clock, in UTC
	Origin              // who made it
	Operation string    // what was done, such as "CreateApiKey"
	Items     []Item
	Snapshot  bool // it is a part of a snapshot; see [Journal].Changes
}

// An Item is a named part of the control state, as it is after a change.
type Item struct {
	Name  string
	Value []byte // nil if Gone, and in a history
	Gone  bool   // the change removed the item
}

// Causes, for [errors.Is].
var (
	// ErrBehind: the writer has not seen the head of the journal. Nothing was stored.
	ErrBehind = errors.New("journal: the writer is behind the head")

	// ErrTooLarge: a change has more items or bytes than the contract allows, or none. Nothing was stored.
	ErrTooLarge = errors.New("journal: not a change of 1 to 10 000 items and 64 MiB")

	// ErrUnavailable: the store has not answered. It is unknown whether the change was made.
	ErrUnavailable = errors.New("journal: the store has not answered")
)

// The bounds of a change; see [Journal].Append.
const (
	maxItems = 10_000
	maxName  = 1_200
	maxValue = 1 << 20
	maxBytes = 64 << 20
)

// Validate returns an error that wraps [ErrTooLarge] unless c is within the bounds of [Journal].Append. Stores call it.
func (c Change) Validate() error {
	if len(c.Items) == 0 || len(c.Items) > maxItems {
		return ErrTooLarge
	}
	names, total := make(map[string]struct{}, len(c.Items)), 0
	for _, it := range c.Items {
		if it.Name == "" || len(it.Name) > maxName || len(it.Value) > maxValue {
			return ErrTooLarge
		}
		names[it.Name] = struct{}{}
		total += len(it.Name) + len(it.Value)
	}
	if len(names) < len(c.Items) || total > maxBytes {
		return ErrTooLarge
	}
	return nil
}
