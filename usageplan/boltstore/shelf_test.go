package boltstore

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestSameHash: keys whose hashes are the same are told apart. (No two such keys are known, since the hash is seeded.)
func TestSameHash(t *testing.T) {
	ss := newShelves()
	var shelves []*shelf
	for _, k := range []ledger.Key{{Plan: "p", Subject: "a"}, {Plan: "p", Subject: "b"}, {Plan: "q", Subject: "a"}} {
		shelves = append(shelves, newShelf(k))
		ss.put(7, shelves[len(shelves)-1])
	}
	ss.put(8, newShelf(ledger.Key{Plan: "p", Subject: "c"}))
	for i, unwanted := range []*shelf{nil, shelves[1], shelves[2], shelves[0]} {
		ss.keep(func(sh *shelf) bool { return sh != unwanted })
		require.Equal(t, 4-i, ss.n)
		for _, sh := range shelves {
			got := ss.first[7].of(&sh.key)
			if sh == unwanted {
				require.Nil(t, got)
			} else if got != nil {
				require.Same(t, sh, got)
			}
		}
	}
	require.Nil(t, ss.first[8].of(&ledger.Key{Plan: "p", Subject: "a"}))
	require.Len(t, ss.first, 1, "a hash without shelves takes no memory")
}
