package journal_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// node is what a program keeps of a topic in these tests: the items themselves.
type node struct {
	*journal.Topic
	items map[string]string
}

func follow(t *testing.T, j journal.Journal) *node {
	n := &node{items: make(map[string]string)}
	var err error
	n.Topic, err = journal.Follow(t.Context(), j, n.apply)
	require.NoError(t, err)
	return n
}

func (n *node) apply(items iter.Seq[journal.Item], reset bool) error {
	if reset {
		clear(n.items)
	}
	for it := range items {
		if it.Gone {
			delete(n.items, it.Name)
		} else {
			n.items[it.Name] = string(it.Value)
		}
	}
	return nil
}

func (n *node) put(ctx context.Context, name, value string) error {
	return n.Change(ctx, "Put", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: name, Value: []byte(n.items[name] + value)}}, nil
	})
}

func TestTheSlowerOfTwoWritersReadsOnAndDecidesAgain(t *testing.T) {
	j := journal.Memory(0)
	a, b := follow(t, j), follow(t, j)
	require.NoError(t, a.put(t.Context(), "x", "a"))
	require.NoError(t, b.put(t.Context(), "x", "b"))
	require.Equal(t, "ab", b.items["x"])
	require.Equal(t, "a", a.items["x"])
	require.NoError(t, a.Refresh(t.Context()))
	require.Equal(t, b.items, a.items)
}
