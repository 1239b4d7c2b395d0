package sigv4_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// The canonical query has the order of the names and then of the values, however many parameters there are and however
// much they have in common.
func TestQueryIsSortedByNameThenValue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"", "a", "b", "-", ".", "~", "0", "%00", "%01", "%20", "%21", "%C3%BC", "a-", "aaaaaaaa", "aaaaaaaaaaaaaaaa"}
	pick := func() string { return parts[random.IntN(len(parts))] }
	for range 2000 {
		var pairs [][2]string
		shared := strings.Repeat(pick(), random.IntN(5))
		for range random.IntN(80) {
			pair := [2]string{shared + pick() + pick(), pick() + pick()}
			if random.IntN(4) == 0 {
				pair = [2]string{"n" + pick(), shared + pick() + pick()}
			}
			if random.IntN(8) == 0 && len(pairs) > 0 {
				pair = pairs[random.IntN(len(pairs))]
			}
			if pair[0] != "" { // a value without a name is refused
				pairs = append(pairs, pair)
			}
		}
		raw := joinPairs(pairs)
		slices.SortFunc(pairs, func(a, b [2]string) int {
			return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
		})
		canonical, ok := sigv4.CanonicalQuery(raw)
		require.True(t, ok)
		require.Equal(t, joinPairs(pairs), canonical)
	}
}

func joinPairs(pairs [][2]string) string {
	texts := make([]string, len(pairs))
	for i, pair := range pairs {
		texts[i] = pair[0] + "=" + pair[1]
	}
	return strings.Join(texts, "&")
}
