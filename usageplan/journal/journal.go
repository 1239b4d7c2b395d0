package journal

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// A Journal is a log of changes with a head: the revision of its latest change, or 0 if it has none. It is safe for
// concurrent use, also by several processes if its store is. Two journals of one store know nothing of each other.
//
// A journal keeps the bytes of each item that is there, whatever the age of its change. It keeps the record of a change
// for as long as the retention that it was opened with, counted from [Change].Time. Later calls of Append drop the
// records that are older, in the order of their revisions, perhaps a few at each call. The name of an item that is gone
// is forgotten with the record of its removal.
type Journal interface {
	// Append makes c durable as the change after the revision after, and returns its revision, which is after + 1. If
	// the head is not after, it stores nothing and returns an error that wraps [ErrBehind]. A change is stored whole or
	// not at all. The journal sets c.Revision and ignores c.Snapshot. It neither changes nor keeps the slice of items
	// and their bytes.
	//
	// A change has 1 to 10 000 items with distinct names. A name has 1 to 1 200 bytes of any value. An item has at most
	// 1 MiB, and all of a change together have at most 64 MiB. The operation and each text of the origin have at most
	// 1 200 bytes. Otherwise nothing is stored, and the error wraps [ErrTooLarge].
	//
	// If ctx has ended before the call, nothing is stored. After any other error, the change may have been stored or
	// not. Only Changes tells. ErrBehind promises that nothing was stored. So a store that sends a change again because
	// an answer was lost must not return the ErrBehind of the second answer.
	Append(ctx context.Context, after uint64, c Change) (uint64, error)

	// Changes yields every change after the revision after in order, at least up to the head that the journal has when
	// the iteration begins. Of an item that several of them have changed, all but the last may be left out; a change
	// may have no items then. So a reader has a consistent state when the iteration is over, and not always before.
	//
	// If the records of some of these changes are gone, it yields a snapshot first: changes with Snapshot set that
	// together hold every item there is. The reader drops every item that is not among them. The changes of a snapshot
	// all have the same revision, after or above, and the changes that follow go on from there. An item may be newer
	// than that; the changes that follow then repeat it. A journal may also yield a snapshot where that costs less, for
	// example after revision 0. A snapshot without items is one change.
	//
	// An error ends the sequence. It is an error if after is above the head: the reader has not followed this journal.
	// It is one too if records that were still to come are dropped meanwhile. The caller may use the journal while it
	// iterates, and may stop at any time. What is yielded belongs to the caller.
	Changes(ctx context.Context, after uint64) iter.Seq2[Change, error]

	// Wait returns nil when the head is above after, and an error when ctx has ended or the store is closed.
	Wait(ctx context.Context, after uint64) error

	// History yields the changes of an item, newest first, as far back as their records are kept. Each has the name of
	// the item as its only item, without bytes, and Gone says whether the change removed it. The journal answers it
	// also for an item that is gone. The rules of Changes on errors, use and ownership hold here too.
	History(ctx context.Context, item string) iter.Seq2[Change, error]
}

// A Change is one step of a journal. Its time is read back in UTC, and to the millisecond at least.
type Change struct {
	Revision  uint64    // set by the journal
	Time      time.Time // when it was decided, by the writer's clock; zero is older than any retention
	Origin              // who made it
	Operation string    // what was done, such as "CreateApiKey", or with what has changed: "UpdateApiKey: enabled: true → false"
	Items     []Item
	Snapshot  bool // it is a part of a snapshot; see [Journal].Changes
}

// An Item is a named part of the control state, as it is after a change.
type Item struct {
	Name  string
	Value []byte // nil if Gone, and in a history; else not nil when it is read
	Gone  bool   // the change removed the item, if it was there
}

// The bounds of a change; see [Journal].Append.
const (
	maxItems = 10_000
	maxName  = 1_200 // also of the operation and of each text of the origin
	maxValue = 1 << 20
	maxBytes = 64 << 20
)

// Validate returns an error that wraps [ErrTooLarge] unless c is within the bounds of [Journal].Append. Stores call it.
func (c Change) Validate() error {
	if len(c.Items) == 0 || len(c.Items) > maxItems {
		return fmt.Errorf("%w: %d items", ErrTooLarge, len(c.Items))
	}
	if n := max(len(c.Operation), len(c.Actor), len(c.Source), len(c.Request)); n > maxName {
		return fmt.Errorf("%w: an operation or origin of %d bytes", ErrTooLarge, n)
	}
	names, total := make(map[string]struct{}, len(c.Items)), 0
	for i, it := range c.Items {
		if it.Name == "" || len(it.Name) > maxName || len(it.Value) > maxValue {
			return fmt.Errorf("%w: item %d: a name of %d bytes, %d bytes", ErrTooLarge, i, len(it.Name), len(it.Value))
		}
		if _, twice := names[it.Name]; twice {
			return fmt.Errorf("%w: item %d has the name of another", ErrTooLarge, i)
		}
		names[it.Name] = struct{}{}
		total += len(it.Name) + len(it.Value)
	}
	if total > maxBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, total)
	}
	return nil
}
