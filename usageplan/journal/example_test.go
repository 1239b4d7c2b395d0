package journal_test

import (
	"context"
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
