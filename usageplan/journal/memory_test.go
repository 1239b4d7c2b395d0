package journal_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

func TestValidateHoldsTheBounds(t *testing.T) {
	items := func(n int) []journal.Item {
		items := make([]journal.Item, n)
		for i := range items {
			items[i].Name = strings.Repeat("n", 1+i)[:1+i%1000] + strings.Repeat("m", i/1000)
		}
		return items
	}
	value := make([]byte, 1<<20)
	large := func(n int, first []byte) []journal.Item {
		items := items(n)
		for i := range items {
			items[i].Value = value[:len(value)-len(items[i].Name)]
		}
		items[0].Value = first
		return items
	}
	long := strings.Repeat("x", 1201)
	one := items(1)
	for name, c := range map[string]struct {
		change journal.Change
		right  bool
	}{
		"no items":            {journal.Change{}, false},
		"one item":            {journal.Change{Items: one}, true},
		"10 000 items":        {journal.Change{Items: items(10_000)}, true},
		"10 001 items":        {journal.Change{Items: items(10_001)}, false},
		"no name":             {journal.Change{Items: []journal.Item{{}}}, false},
		"name of 1 200 bytes": {journal.Change{Items: []journal.Item{{Name: long[1:]}}}, true},
		"name of 1 201 bytes": {journal.Change{Items: []journal.Item{{Name: long}}}, false},
		"a name twice":        {journal.Change{Items: []journal.Item{{Name: "x"}, {Name: "y"}, {Name: "x"}}}, false},
		"1 MiB":               {journal.Change{Items: []journal.Item{{Name: "x", Value: value}}}, true},
		"1 MiB and a byte":    {journal.Change{Items: []journal.Item{{Name: "x", Value: append(value, 0)}}}, false},
		"64 MiB":              {journal.Change{Items: large(64, value[:1<<20-1])}, true},
		"64 MiB and a byte":   {journal.Change{Items: large(64, value)}, false},
		"operation":           {journal.Change{Items: one, Operation: long[1:]}, true},
		"long operation":      {journal.Change{Items: one, Operation: long}, false},
		"long actor":          {journal.Change{Items: one, Origin: journal.Origin{Actor: long}}, false},
		"long source":         {journal.Change{Items: one, Origin: journal.Origin{Source: long}}, false},
		"long request":        {journal.Change{Items: one, Origin: journal.Origin{Request: long}}, false},
	} {
		err := c.change.Validate()
		if c.right {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, journal.ErrTooLarge, name)
		}
	}
}

// Retentions of 0 and below are the default: a program that computes one wrongly keeps its audit log.
func TestMemoryKeepsRecordsFor400DaysByDefault(t *testing.T) {
	for _, retain := range []time.Duration{0, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			j := journal.Memory(retain)
			n := follow(t, j)
			require.NoError(t, n.put(t.Context(), "x", "1"))
			history := func() (count int) {
				require.NoError(t, n.put(t.Context(), "y", "1"))
				for range j.History(t.Context(), "x") {
					count++
				}
				return count
			}
			time.Sleep(400 * 24 * time.Hour)
			require.Equal(t, 1, history())
			time.Sleep(time.Nanosecond)
			require.Zero(t, history())
			require.Equal(t, "1", follow(t, j).items["x"])
		})
	}
}

func TestMemoryWakesAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.Memory(0)
		woken := make(chan error, 10)
		for range cap(woken) {
			go func() { woken <- j.Wait(t.Context(), 1) }()
		}
		n := follow(t, j)
		require.NoError(t, n.put(t.Context(), "x", "1"))
		synctest.Wait()
		require.Empty(t, woken, "the head is 1")
		require.NoError(t, n.put(t.Context(), "x", "1"))
		for range cap(woken) {
			require.NoError(t, <-woken)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.ErrorIs(t, j.Wait(ctx, 2), context.DeadlineExceeded)
	})
}
