package redislimit

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
)

// TestBatchKeepsItsTerms: a limit that changes when a call is about to be made changes nothing about that call. The
// script could not count with an infinite rate, and its failure would be an outage for all buckets.
func TestBatchKeepsItsTerms(t *testing.T) {
	l := newLimiter(Config{Namespace: "test", Nodes: 1}, nil, false)
	defer l.Close()
	limits := []ratelimit.Limit{{Rate: math.Inf(1)}, {Rate: 2e6, Burst: 5}}
	g := l.groups.lock("g", l.lanes)
	buckets, err := g.find(&l.config, nil, []string{"unlimited", "limited"}, limits)
	require.NoError(t, err)
	c := newCall(g, buckets, false)
	b := &g.lane.batch
	b.reset()
	b.add(c, 0)
	for i, k := range buckets {
		k.change(l.config.terms(limits[1-i]))
	}
	g.mu.Unlock()
	b.encode()
	require.Len(t, b.keys, 1)
	require.Equal(t, appendNumbers(nil, 1, 2, 1, 0, 0, 1, 1, 0), b.input)
	b.answer = answer(appendNumbers(nil, 1, 0, 0.5)) // no token
	b.settle()
	require.Equal(t, 1, b.verdict(c), "the one that was asked has refused")
	require.False(t, buckets[0].denied > 0 || buckets[1].denied > 0)
}
