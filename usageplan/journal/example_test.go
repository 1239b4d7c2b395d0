package journal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// Two programs share a table of prices. Each follows the journal, and changes the table by a topic of its own.
func ExampleFollow() {
	ctx := context.Background()
	store := journal.Memory(0) // two processes need a store that they share
	follow := func(prices map[string]string) *journal.Topic {
		topic, err := journal.Follow(ctx, store, func(items iter.Seq[journal.Item], reset bool) error {
			if reset {
				clear(prices)
			}
			for it := range items {
				if prices[it.Name] = string(it.Value); it.Gone {
					delete(prices, it.Name)
				}
			}
			return nil
		})
		if err != nil {
			panic(err)
		}
		return topic
	}
	here, there := map[string]string{}, map[string]string{}
	a, b := follow(here), follow(there)

	alice := journal.NewContext(ctx, journal.Origin{Actor: "alice"})
	err := a.Change(alice, "SetPrice", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: "tea", Value: []byte("2.40")}}, nil
	})
	fmt.Println(here, there, err)
	err = b.Refresh(ctx)
	fmt.Println(there, err)
	for c, err := range store.History(ctx, "tea") {
		fmt.Println(c.Revision, c.Operation, c.Actor, err)
	}
	// Output:
	// map[tea:2.40] map[] <nil>
	// map[tea:2.40] <nil>
	// 1 SetPrice alice <nil>
}

// Here, another program has made two changes since this one has read the journal. So the first attempt is a conflict.
func ExampleObserve() {
	ctx := context.Background()
	store := journal.Memory(0)
	conflicts, failures, behind := 0, 0, uint64(0) // a program has counters and a gauge of its metrics here
	observed := journal.Observe(store, func(_ context.Context, e journal.Event) {
		switch {
		case errors.Is(e.Err, journal.ErrBehind):
			conflicts++
		case e.Err != nil:
			failures++
		case e.Operation == "changes":
			behind = max(behind, e.Revision-e.After)
		}
		fmt.Println(e.Operation, e.After, e.Revision, e.Items)
	})
	apply := func(items iter.Seq[journal.Item], _ bool) error {
		for range items { // a program would keep them
		}
		return nil
	}
	here, err := journal.Follow(ctx, observed, apply)
	if err != nil {
		panic(err)
	}
	there, err := journal.Follow(ctx, store, apply)
	if err != nil {
		panic(err)
	}
	tea := func(uint64) ([]journal.Item, error) { return []journal.Item{{Name: "tea", Value: []byte("2.40")}}, nil }
	err = errors.Join(
		there.Change(ctx, "SetPrice", tea), there.Change(ctx, "SetPrice", tea), here.Change(ctx, "SetPrice", tea),
	)
	fmt.Println(conflicts, "conflict,", failures, "failures,", behind, "changes behind,", err)
	// Output:
	// changes 0 0 0
	// append 0 0 0
	// changes 0 2 1
	// append 2 3 1
	// 1 conflict, 0 failures, 2 changes behind, <nil>
}
