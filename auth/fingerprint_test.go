package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two tokens whose fingerprints have the same place in the map are told apart by the rest of the fingerprint.
func TestCollidingFingerprintsAreToldApart(t *testing.T) {
	mine, other := fingerprint{index: 7, sum: [32]byte{31: 1}}, fingerprint{index: 7, sum: [32]byte{31: 2}}
	rawMine, rawOther := fingerprint{index: 7, raw: "a.b.c"}, fingerprint{index: 7, raw: "a.b.d"}
	for _, pair := range [][2]fingerprint{{mine, other}, {other, mine}, {rawMine, rawOther}} {
		c := newCache(1<<20, false)
		token := newClaimSet("")
		c.put(pair[0], token, &key{}, nil)
		require.Same(t, token, c.get(&pair[0]).token)
		require.Nil(t, c.get(&pair[1]))

		c.put(pair[1], newClaimSet(""), &key{}, nil) // replaces the first entry
		require.Nil(t, c.get(&pair[0]))
		require.NotNil(t, c.get(&pair[1]))
		require.Len(t, c.shards[7].entries, 1)
		require.Equal(t, entryCost+len(pair[1].raw), c.shards[7].size)
	}
}
