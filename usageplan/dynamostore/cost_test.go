package dynamostore_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestKeysCostWhatTheyYield: Keys asks each of the 16 places once, however many other keys there are.
func TestKeysCostWhatTheyYield(t *testing.T) {
	o := options(common(t).addr)
	sent := o.HTTPClient.(*http.Client).Transport.(*transport)
	e := open(t, client(o), fresh())
	write := func(keys []string, row []byte) {
		require.NoError(t, e.Update(t.Context(), keys, func(int, []byte) ([]byte, error) { return row, nil }))
	}
	var many, few []string
	for n := range 300 {
		many = append(many, fmt.Sprint("many ", n))
	}
	for n := range 10 {
		few = append(few, fmt.Sprint("few ", n))
	}
	write(many, make([]byte, 10_000)) // 3 MB: all of them would take another page of some places
	write(few, []byte("row"))
	sent.sent("Query")
	var got []string
	for key, err := range e.Keys(t.Context(), "few") {
		require.NoError(t, err)
		got = append(got, key)
	}
	require.ElementsMatch(t, few, got)
	require.EqualValues(t, 16, sent.sent("Query"))
}

// TestUpdateCostsAReadForAHundredKeysAndAWriteForEach holds what the package documentation says.
func TestUpdateCostsAReadForAHundredKeysAndAWriteForEach(t *testing.T) {
	o := options(common(t).addr)
	sent := o.HTTPClient.(*http.Client).Transport.(*transport)
	e := open(t, client(o), fresh())
	keys := make([]string, 250)
	for n := range keys {
		keys[n] = fmt.Sprint(n)
	}
	for range 2 { // the rows are made, and then changed
		sent.sent("BatchGetItem")
		sent.sent("PutItem")
		require.NoError(t, e.Update(t.Context(), keys, func(i int, _ []byte) ([]byte, error) {
			return [][]byte{[]byte("row"), nil}[i%2], nil
		}))
		require.EqualValues(t, 3, sent.sent("BatchGetItem"))
		require.EqualValues(t, 125, sent.sent("PutItem"))
	}
}

// TestDecisionsShareWrites: requests of many goroutines for one key cost far fewer writes than decisions, in exact mode
// too. The figures of the package documentation are what it logs.
func TestDecisionsShareWrites(t *testing.T) {
	for _, c := range []struct {
		exact           bool
		keys, decisions int
		most            int64 // writes: some times what was seen, as a busy machine makes more and smaller commits
	}{
		{exact: true, keys: 1, decisions: 2000, most: 1000},
		{exact: true, keys: 64, decisions: 2000, most: 2100},
		{keys: 1, decisions: 64_000, most: 200},
		{keys: 64, decisions: 64_000, most: 4000},
	} {
		o := options(common(t).addr)
		sent := o.HTTPClient.(*http.Client).Transport.(*transport)
		config := ledger.Config{Engine: open(t, client(o), fresh()), Exact: c.exact, Timeout: 20 * time.Second}
		l, err := ledger.New(config)
		require.NoError(t, err)
		sent.sent("PutItem")
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Go(func() {
				for n := g; n < c.decisions; n += 64 {
					key := ledger.Key{Plan: "plan", Subject: fmt.Sprint((g + n/64) % c.keys)}
					if _, err := l.Take(t.Context(), key, ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}, 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		writes := sent.sent("PutItem")
		t.Logf("exact %v, %d keys: %d writes for %d decisions", c.exact, c.keys, writes, c.decisions)
		require.LessOrEqual(t, writes, c.most)
		require.NoError(t, l.Close())
	}
}
