package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Store is what a server has to do for a journal. [New] makes a [Journal] of it, and does what is the same for all
// servers. A store reads one page at a time, of a size that it chooses, and keeps nothing between two calls. It is safe
// for concurrent use. Its errors need not name the journal, because New does.
//
// What it returns belongs to the caller.
type Store interface {
	// Append makes c durable if the head is c.Revision-1, and otherwise returns an error that wraps [ErrBehind]. The
	// rules of [Journal].Append hold, and c is within its bounds. Append then also drops records whose time is
	// before oldest: the lowest revisions first, all or a few at each call, but never the record of c.
	Append(ctx context.Context, c Change, oldest time.Time) error

	// Page returns the head, and the next changes after a revision, as they are at one instant. If all is false, each
	// change has those of its items that no later change has changed, with their bytes. If all is true, it has all its
	// items, without bytes.
	//
	// There are no changes if after is the head. Otherwise, if the first one is not after+1, records are gone. With all
	// false, the reader then reads Items, as a snapshot of the head. So a store may also return no changes where a
	// snapshot is better. With all true, the changes simply begin with the oldest record.
	Page(ctx context.Context, after uint64, all bool) (head uint64, changes []Change, err error)

	// Items returns a page of the items that are there, with their bytes, and where the next page begins. from is ""
	// for the first page, and otherwise the next of the page before. next is "" after the last page. Two pages may be
	// of different instants, and an item may come twice, but each item that is there from the first page to the last
	// one is on a page.
	Items(ctx context.Context, from string) (items []Item, next string, err error)

	// History returns the next changes of an item before a revision, or the newest ones if before is 0. Their order and
	// form are those of [Journal].History. There are none before the oldest record.
	History(ctx context.Context, item string, before uint64) ([]Change, error)

	// Wait is [Journal].Wait.
	Wait(ctx context.Context, after uint64) error
}

// New returns the journal that s keeps. The errors of s get the name as their beginning, such as `redisstore: journal
// "keys"`. Records are kept for retain; 0 or less stands for 400 days.
//
// The journal also has a method Records, with which [Copy] reads the history at less cost.
func New(name string, retain time.Duration, s Store) Journal {
	if retain <= 0 {
		retain = 400 * 24 * time.Hour
	}
	return &paged{name, retain, s}
}

type paged struct {
	name   string
	retain time.Duration
	store  Store
}

func (p *paged) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

func (p *paged) Append(ctx context.Context, after uint64, c Change) (uint64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	c.Revision, c.Snapshot = after+1, false
	if err := p.store.Append(ctx, c, time.Now().Add(-p.retain)); err != nil {
		return 0, p.failed(err)
	}
	return c.Revision, nil
}

func (p *paged) Wait(ctx context.Context, after uint64) error {
	return p.failed(p.store.Wait(ctx, after))
}

// errStopped ends a sequence whose reader has stopped.
var errStopped = errors.New("stopped")

// sequence yields what read passes on. Each iteration calls read again. If the caller stops, pass returns errStopped,
// so that read needs no other way to stop.
func (p *paged) sequence(read func(pass func(...Change) error) error) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		err := read(func(changes ...Change) error {
			for _, c := range changes {
				if !yield(c, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(Change{}, p.failed(err))
		}
	}
}

// Changes implements [Journal]. A page leaves out the items that later changes have changed. The reader needs those
// changes to have all items, so the sequence ends only when a page says that the reader has come to the head.
//
// After revision 0 it yields a snapshot, unless one page has all changes. A snapshot has each item once, so there is
// less to read.
func (p *paged) Changes(ctx context.Context, after uint64) iter.Seq2[Change, error] {
	return p.sequence(func(pass func(...Change) error) error {
		for at, begun := after, false; ; begun = true {
			head, changes, err := p.store.Page(ctx, at, false)
			if err != nil {
				return err
			}
			n := len(changes)
			dropped := n == 0 || changes[0].Revision != at+1
			switch {
			case at == head:
				return nil
			case at > head:
				return fmt.Errorf("revision %d has been read, but the head is %d: "+
					"changes are lost, or this is another journal", at, head)
			case dropped && begun:
				return fmt.Errorf("records after %d were dropped while they were read", at)
			case dropped, at == 0 && changes[n-1].Revision < head:
				at, err = head, p.snapshot(ctx, head, pass)
			default:
				at, err = changes[n-1].Revision, pass(changes...)
			}
			if err != nil {
				return err
			}
		}
	})
}

// snapshot passes on every item there is, as changes of a revision. The pages may be of later instants. That does no
// harm: the reader also reads each change after the revision, which repeats the items that a page had too early.
func (p *paged) snapshot(ctx context.Context, revision uint64, pass func(...Change) error) error {
	for from, passed := "", false; ; {
		items, next, err := p.store.Items(ctx, from)
		if err == nil && (len(items) > 0 || next == "" && !passed) { // there may be no items at all
			err, passed = pass(Change{Revision: revision, Snapshot: true, Items: items}), true
		}
		if err != nil || next == "" {
			return err
		}
		from = next
	}
}

// Records yields all records, with all items of each, without bytes. [Copy] looks for this method.
func (p *paged) Records(ctx context.Context) iter.Seq2[Change, error] {
	return p.sequence(func(pass func(...Change) error) error {
		for after := uint64(0); ; {
			_, records, err := p.store.Page(ctx, after, true)
			if err != nil || len(records) == 0 {
				return err
			}
			last := records[len(records)-1].Revision
			if last <= after {
				return outOfOrder(last, after) // a damaged store would be read forever
			}
			if err := pass(records...); err != nil {
				return err
			}
			after = last
		}
	})
}

func (p *paged) History(ctx context.Context, item string) iter.Seq2[Change, error] {
	return p.sequence(func(pass func(...Change) error) error {
		for before := uint64(0); ; {
			changes, err := p.store.History(ctx, item, before)
			if err != nil || len(changes) == 0 {
				return err
			}
			last := changes[len(changes)-1].Revision
			if before > 0 && last >= before {
				return outOfOrder(last, before)
			}
			if err := pass(changes...); err != nil {
				return err
			}
			before = last
		}
	})
}
