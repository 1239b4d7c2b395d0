package fleet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mode is that of a ledger.
type mode struct {
	name  string
	exact bool
	units int64 // how many its nodes share: an exact one asks the store for each
}

var modes = []mode{{"leased", false, 16_000}, {"exact", true, 3_200}}

// units of a mode for a store: dynalite is a slow one.
func units(s server, n int64) int64 {
	if s.place("units").Kind == "dynamo" {
		return n / 4
	}
	return n
}

// TestNeverOver: eight processes want more than there is, of one key and of 64. They get all of it, and never one more.
func TestNeverOver(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		for _, m := range modes {
			for _, keys := range []int{1, 64} {
				t.Run(fmt.Sprintf("%s/keys=%d", m.name, keys), func(t *testing.T) {
					limit := units(s, m.units) / int64(keys)
					f := startFleet(t, spec{
						Place: s.place(fmt.Sprint("over-", m.name, keys)), Exact: m.exact, Timeout: 20 * time.Second,
						Keys: keys, Limit: limit, Workers: 8, Burst: 32, Pause: time.Millisecond,
					}, clocks(8)...)
					total := limit * int64(keys)
					f.exhaust(total, 2*time.Minute)
					time.Sleep(20 * time.Millisecond) // in which nobody gets another one
					f.stop()
					taken, _, err := f.check()
					require.NoError(t, err)
					t.Logf("%d of %d units, %.4f", taken, total, float64(taken)/float64(total))
					require.GreaterOrEqual(t, float64(taken), 0.99*float64(total))
				})
			}
		}
	})
}

// TestKilledNodes: eight processes are killed and replaced, twelve times while they work. No unit is granted twice.
// What leases of the killed held cannot be used, and is not billed. With slots, their successors find it.
func TestKilledNodes(t *testing.T) {
	const kills, keys = 12, 16
	eachBackend(t, func(t *testing.T, s server) {
		for _, m := range append(modes[:2:2], mode{"slots", false, modes[0].units}) {
			t.Run(m.name, func(t *testing.T) {
				limit := units(s, m.units) / keys
				sp := spec{
					Place: s.place("killed-" + m.name), Exact: m.exact, Timeout: 20 * time.Second,
					Keys: keys, Limit: limit, Workers: 4, Burst: 8, Pause: 3 * time.Millisecond,
				}
				if m.name == "slots" {
					sp.Slots = t.TempDir()
				}
				f := startFleet(t, sp, clocks(8)...)
				total := limit * keys
				for k := range int64(kills) {
					f.exhaust(total*(k+1)/(2*kills), 20*time.Second) // all of them while half of the units are left
					f.replace(rand.IntN(len(f.nodes)))
				}
				f.exhaust(total, time.Second) // which is longer than a node refuses from memory
				f.stop()
				taken, held, err := f.check()
				require.NoError(t, err)
				t.Logf("%d of %d units, %.4f; %.1f held for each kill and key",
					taken, total, float64(taken)/float64(total), float64(held)/kills/keys)
			})
		}
	})
}

// TestCheckNotices: a store that now and then confirms a write and does not make it fails the check. The nodes grant
// units of which nothing is known.
func TestCheckNotices(t *testing.T) {
	s := startRedis(t)
	f := startFleet(t, spec{
		Place: s.place("forgets"), Forgets: 20, Exact: true, Timeout: 20 * time.Second,
		Keys: 2, Limit: 500, Workers: 2, Burst: 4, Pause: time.Millisecond,
	}, clocks(2)...)
	f.exhaust(400, 20*time.Second)
	f.stop()
	_, _, err := f.check()
	require.ErrorContains(t, err, "units are lost")
}
