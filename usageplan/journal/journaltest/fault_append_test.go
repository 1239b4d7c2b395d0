package journaltest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// appendFaults are of what Append stores, and when.
var appendFaults = []fault{
	storing(func(c *journal.Change) { c.Items = c.Items[:max(1, len(c.Items)-1)] }).as("loses the last item", "items"),
	storing(func(c *journal.Change) { c.Time = time.Now() }).as("time of the store", "retention"),
	storing(func(c *journal.Change) { c.Time = c.Time.Truncate(time.Second) }).as("whole seconds", "items"),
	storing(func(c *journal.Change) { c.Origin = journal.Origin{} }).as("nobody made it", "items"),
	storing(func(c *journal.Change) { c.Source, c.Request = c.Request, c.Source }).as("texts mixed up", "items"),
	storing(func(c *journal.Change) { c.Operation = "" }).as("no operation", "items"),
	storing(func(c *journal.Change) {
		for i := range c.Items {
			c.Items[i].Value, _, _ = bytes.Cut(c.Items[i].Value, []byte{0})
		}
	}).as("bytes end at a zero", "items"),
	storing(func(c *journal.Change) {
		c.Items = c.Items[:min(len(c.Items), 9999)]
	}).as("at most 9 999 items", "many items"),
	storing(func(c *journal.Change) {
		for i := range c.Items {
			c.Items[i].Value = c.Items[i].Value[:min(len(c.Items[i].Value), 1<<16-1)]
		}
	}).as("65 535 bytes", "large"),
	naming(strings.ToLower).as("names fold case", "names"),
	naming(func(name string) string { return name[:min(len(name), 255)] }).as("names of 255 bytes", "names"),
	naming(func(name string) string { return strings.ToValidUTF8(name, "?") }).as("names are text", "names"),
	naming(func(name string) string {
		if before, _, ok := strings.Cut(name, "\x00"); ok && before != "" {
			return before
		}
		return name
	}).as("names end at a zero", "names"),

	appending(func(j journal.Journal, ctx context.Context, _ uint64, c journal.Change) (uint64, error) {
		return j.Append(ctx, head(j), c)
	}).as("ErrBehind ignored", "behind"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		return j.Append(ctx, min(after, head(j)), c)
	}).as("ErrBehind ignored above the head", "behind"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		revision, err := j.Append(ctx, after, c)
		if err != nil {
			err = errors.New(err.Error())
		}
		return revision, err
	}).as("errors do not wrap", "behind"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		revision, err := j.Append(ctx, after, c)
		if errors.Is(err, journal.ErrBehind) {
			_, _ = j.Append(ctx, head(j), journal.Change{Items: c.Items[:1]})
		}
		return revision, err
	}).as("half a change that is behind", "behind"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		if len(c.Items) < 5000 {
			return j.Append(ctx, after, c)
		}
		revision, err := j.Append(ctx, after, journal.Change{Items: c.Items[:5000]})
		if err != nil {
			return revision, err
		}
		c.Items = c.Items[5000:]
		return j.Append(ctx, revision, c)
	}).as("two steps", "many items"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		if c.Validate() != nil && len(c.Items) > 0 {
			c = journal.Change{Items: c.Items[:1]}
		}
		return j.Append(ctx, after, c)
	}).as("no bounds", "bounds"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		err := c.Validate()
		if err != nil && len(c.Items) > 0 {
			_, _ = j.Append(ctx, after, journal.Change{Items: c.Items[:1]})
			return 0, err
		}
		return j.Append(ctx, after, c)
	}).as("refused in the middle", "bounds"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		revision, err := j.Append(ctx, after, c)
		slices.Reverse(c.Items)
		return revision, err
	}).as("changes the slice", "ownership"),
	{"keeps the slice", "ownership", over(func(retain time.Duration) journal.Journal { return keeper(retain) })},
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		return j.Append(context.WithoutCancel(ctx), after, c)
	}).as("stores after the context", "ended context"),
	{"compares before it locks", "race", over(func(retain time.Duration) journal.Journal { return racer(retain) })},
	{"writes over another", "writers", over(func(retain time.Duration) journal.Journal { return racer(retain) })},
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		if after == 60 && c.Actor == "" {
			return after + 1, nil
		}
		return j.Append(ctx, after, c)
	}).as("acknowledges what it does not store", "lost"),
	appending(func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
		revision, err := j.Append(ctx, after, c)
		if errors.Is(err, journal.ErrBehind) && after > 20 {
			return after + 1, nil
		}
		return revision, err
	}).as("takes another's change for its own", "lost"),
}

// keeper returns a journal that keeps the callers' items and yields their bytes.
func keeper(retain time.Duration) journal.Journal {
	kept := make(map[string][]byte)
	return &faulty{
		Journal: journal.Memory(retain),
		append: func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
			for _, it := range c.Items {
				kept[fmt.Sprint(after+1, it.Name)] = it.Value
			}
			return j.Append(ctx, after, c)
		},
		changes: func(j journal.Journal, ctx context.Context, after uint64) sequence {
			return each(j.Changes(ctx, after), func(c journal.Change) []journal.Change {
				for i, it := range c.Items {
					if v := kept[fmt.Sprint(c.Revision, it.Name)]; v != nil {
						c.Items[i].Value = bytes.Clone(v)
					}
				}
				return []journal.Change{c}
			})
		},
	}
}

// racer returns a journal that compares the head, and stores a while later without comparing it again.
func racer(retain time.Duration) journal.Journal {
	var mu sync.Mutex
	return &faulty{
		Journal: journal.Memory(retain),
		append: func(j journal.Journal, ctx context.Context, after uint64, c journal.Change) (uint64, error) {
			if after != head(j) {
				return 0, journal.ErrBehind
			}
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if _, err := j.Append(ctx, head(j), c); err != nil {
				return 0, err
			}
			return after + 1, nil
		},
	}
}
