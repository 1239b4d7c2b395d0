package journal_test

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// discard is an apply that keeps nothing.
func discard(items iter.Seq[journal.Item], _ bool) error {
	for range items {
	}
	return nil
}

func some(first, n int) []journal.Item {
	items := make([]journal.Item, n)
	for i := range items {
		items[i] = journal.Item{Name: fmt.Sprintf("%08d", first+i), Value: make([]byte, 90)}
	}
	return items
}

// BenchmarkChange measures what a change costs apart from a store on disk: without a journal, with one in memory, and
// with one whose uses are told.
func BenchmarkChange(b *testing.B) {
	for name, j := range map[string]journal.Journal{
		"none": nil, "memory": journal.Memory(1), "observed": journal.Observe(journal.Memory(1), discardEvent),
	} {
		for _, n := range []int{1, 10_000} {
			b.Run(fmt.Sprintf("journal=%s/items=%d", name, n), func(b *testing.B) {
				topic, err := journal.Follow(b.Context(), j, discard)
				if err != nil {
					b.Fatal(err)
				}
				items := some(0, n)
				decide := func(uint64) ([]journal.Item, error) { return items, nil }
				for b.Loop() {
					if err := topic.Change(b.Context(), "Put", decide); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkFollow reads 100 000 items from memory.
func BenchmarkFollow(b *testing.B) {
	j := journal.Memory(0)
	for i := range uint64(10) {
		if _, err := j.Append(context.Background(), i, journal.Change{Items: some(int(i)*10_000, 10_000)}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := journal.Follow(b.Context(), j, discard); err != nil {
			b.Fatal(err)
		}
	}
}
