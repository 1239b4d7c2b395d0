package ratelimit

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func drawNames(n int, seed uint64) []fingerprint {
	r := rand.New(rand.NewPCG(seed, 8))
	names := make([]fingerprint, n)
	for i := range names {
		names[i] = fingerprint(r.Uint64() | 1)
	}
	return names
}

// slots are what the table has, and owed in how many of them is a debt at a given time.
func (k *keyed) slots(now int64) (slots, owed, overflown int) {
	for i := range k.shards {
		sh := &k.shards[i]
		if t := sh.table.Load(); t != nil {
			slots += len(t.groups) * ways
			for slot := range len(t.groups) * ways {
				if t.tat(slot).Load() > t.seg.at(now) && t.tag(slot).Load() != 0 {
					owed++
				}
			}
		}
		if sh.overflow != nil {
			overflown++
		}
	}
	return slots, owed, overflown
}

func TestGroupIsTwoCacheLines(t *testing.T) {
	require.EqualValues(t, 128, unsafe.Sizeof(group{}))
	require.EqualValues(t, 16, unsafe.Sizeof(group{}[0]), "four slots, each with its tag, fill a line")
}

// MaxKeys keys find room, all but one in ten thousand, and for a million keys at 24 bytes each or less.
func TestTableHoldsMaxKeys(t *testing.T) {
	for _, keys := range []int{1, 2, 10, 100, 3000, 100_000, heavy(10_000_000)} {
		k := newKeyed(Limit{Burst: 5}, keys)
		shared := 0
		for _, n := range drawNames(keys, uint64(keys)) {
			if k.take(0, n, 5).verdict != granted {
				shared++
			}
		}
		slots, owed, _ := k.slots(0)
		require.LessOrEqual(t, shared, keys/10_000)
		require.LessOrEqual(t, keys-owed, keys/10_000, "%d keys", keys)
		if keys >= 1_000_000 {
			require.LessOrEqual(t, float64(slots*16)/float64(keys), 24.0, "%d keys", keys)
		}
	}
}

// On the way to MaxKeys the table is at most three times as large as its keys are.
func TestTableGrowsWithItsKeys(t *testing.T) {
	k := newKeyed(Limit{Burst: 5}, 1_000_000)
	for i, n := range drawNames(heavy(1_000_000), 9) {
		k.take(0, n, 5)
		if i > 20_000 && i%5000 == 0 {
			slots, _, _ := k.slots(0)
			require.LessOrEqual(t, float64(slots*16)/float64(i), 48.0, "%d keys", i)
		}
	}
}

// Keys that come and go need no more slots than are owed at a time, and nobody sweeps.
func TestFullBucketsMakeRoom(t *testing.T) {
	k := newKeyed(Limit{Rate: 1, Burst: 10}, 100_000)
	now := int64(0)
	names := drawNames(200_000, 10)
	for i, n := range names {
		now += int64(time.Second) / 1000 // a thousand a second, each at rest after one second
		require.Equal(t, granted, k.take(now, n, 1).verdict)
		if i == len(names)/2 {
			slots, _, _ := k.slots(now)
			require.Less(t, slots, 8000)
		}
	}
	slots, owed, overflown := k.slots(now)
	require.Less(t, slots, 8000)
	require.InDelta(t, 1000, owed, 2)
	require.Zero(t, overflown)
}

// A client that rotates keys beyond MaxKeys cannot make the table grow, and shares buckets that admit no more than any
// other. Keys that were there before keep their own.
func TestOverflowNeverAdmitsMore(t *testing.T) {
	const burst, maxKeys = 4, 1000
	k := newKeyed(Limit{Rate: 1, Burst: burst}, maxKeys)
	old := drawNames(50, 11)
	for _, n := range old {
		require.Equal(t, granted, k.take(0, n, burst-1).verdict)
	}
	admitted, shared := map[fingerprint]int64{}, 0
	names := drawNames(heavy(1_000_000), 12)
	for _, n := range names {
		for range 2 {
			o := k.take(1, n, 1)
			if o.ok() {
				admitted[n]++
			}
			if o.verdict == grantedShared {
				shared++
			}
		}
	}
	slots, owed, _ := k.slots(1)
	require.LessOrEqual(t, slots, k.groups*ways*len(k.shards))
	require.Greater(t, owed, maxKeys*9/10)
	require.Positive(t, shared)
	require.LessOrEqual(t, shared, burst*overflows*len(k.shards), "all that the overflow buckets hold")
	for _, n := range old {
		require.True(t, k.take(1, n, 1).ok(), "an old key's last token")
		require.False(t, k.take(1, n, 1).ok())
	}
	// When slots fall free, a key takes what it owes in its overflow bucket along: nobody gets more than burst + rate ×
	// Δ.
	later := int64(1 + 2*time.Second)
	for _, n := range names[len(names)-2000:] {
		for k.take(later, n, 1).ok() {
			admitted[n]++
		}
	}
	for print, n := range admitted {
		require.LessOrEqual(t, n, int64(burst+2), "key %x", print)
	}
}

func TestUndoGivesBackSharedTokens(t *testing.T) {
	k := newKeyed(Limit{Burst: 5}, 1)
	for _, n := range drawNames(1000, 13) {
		o := k.take(0, n, 1)
		if o.verdict != grantedShared {
			continue
		}
		k.undo(func() int64 { return 0 }, n, taken{o, 1})
		require.Equal(t, o.tat-1, k.lookSlow(0, n, 1).tat)
		return
	}
	t.Error("nothing was shared")
}

// Any number of changes of the limit, while the table is asked or not, leaves what is owed as it is.
func TestDebtOutlivesChangesOfTheLimit(t *testing.T) {
	k := newKeyed(Limit{Rate: 1, Burst: 10}, 10_000)
	names := drawNames(5000, 14)
	for _, n := range names {
		require.True(t, k.take(0, n, 10).ok())
	}
	r := rand.New(rand.NewPCG(1, 15))
	for range 200 {
		limit, _ := anyLimit(r)
		limit.Burst = 10
		if limit.Validate() == nil {
			k.setLimit(func() int64 { return 0 }, limit)
		}
		if n := names[r.IntN(len(names))]; r.IntN(2) == 0 {
			require.False(t, k.take(0, n, 1).ok())
		}
	}
	k.setLimit(func() int64 { return 0 }, Limit{Rate: 1, Burst: 10})
	for _, n := range names {
		d := k.lookSlow(0, n, 1).decision(1)
		require.InDelta(t, time.Second, d.RetryAfter, 1e7, "a hundredth of a token for 200 roundings")
		require.False(t, d.OK)
	}
}

// At 10^12 tokens a second the clock reaches its horizon after 53 days. Buckets that are asked at any time after it,
// also long after, are right.
func TestTableOutlivesItsHorizon(t *testing.T) {
	const day = int64(24 * time.Hour)
	k := newKeyed(Limit{Rate: 1e12, Burst: 1e15}, 100)
	names := drawNames(20, 16)
	now := int64(0)
	for _, pause := range []int64{0, 20 * day, 40 * day, 52 * day, 54 * day, 1, 500 * day, 3000 * day} {
		now += pause
		for _, n := range names {
			require.True(t, k.take(now, n, 1e15).ok(), "after %d days", now/day)
			require.False(t, k.take(now, n, 1).ok())
			require.EqualValues(t, 1000*time.Second, k.look(now, n, 1).decision(1).ResetAfter)
		}
		now += int64(1000 * time.Second)
	}
	k.setKeyLimit(func() int64 { return now }, names[0], Limit{Rate: 1e12, Burst: 1e15})
	now += 100 * day
	late := k.take(now, names[0], 1e15)
	require.True(t, late.ok())
	require.False(t, k.take(now, names[0], 1).ok())
	require.Zero(t, k.undo(func() int64 { return now + 60*day }, names[0], taken{late, 5}), "it has flowed back")
}

// Goroutines that take, change limits and set keys apart at once get no more in all than their buckets hold.
func TestConcurrentTakesStayWithinEachBucket(t *testing.T) {
	const burst = 20
	k := newKeyed(Limit{Burst: burst}, 500)
	names := drawNames(300, 17)
	var mu sync.Mutex
	admitted := map[fingerprint]int64{}
	var group sync.WaitGroup
	for id := range 8 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(id), 18))
			mine, held := map[fingerprint]int64{}, map[fingerprint][]taken{}
			now := func() int64 { return 0 }
			for range heavy(200_000) {
				n := names[r.IntN(len(names))]
				switch r.IntN(400) {
				case 0:
					k.setLimit(now, Limit{Burst: burst})
				case 1:
					k.setKeyLimit(now, n, Limit{Burst: burst})
				case 2:
					k.clearKeyLimit(now, n)
				case 3, 4, 5:
					if last := len(held[n]) - 1; last >= 0 {
						if k.undo(now, n, held[n][last]) != 0 { // else the limit has changed since
							mine[n]--
						}
						held[n] = held[n][:last]
					}
				default:
					if o := k.take(0, n, 1); o.ok() {
						mine[n]++
						held[n] = append(held[n], taken{o, 1})
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for print, n := range mine {
				admitted[print] += n
			}
		})
	}
	group.Wait()
	_, _, overflown := k.slots(0)
	require.Zero(t, overflown)
	for _, n := range names {
		left := k.lookSlow(0, n, 1).decision(1).Remaining
		require.EqualValues(t, burst, admitted[n]+left)
	}
}

func TestFingerprintIsNeverZero(t *testing.T) {
	l, err := New(Config[int]{Limit: Limit{Burst: 1}})
	require.NoError(t, err)
	for i := range 1000 {
		require.NotZero(t, l.fingerprint(i))
	}
	require.NotEqual(t, l.fingerprint(1), l.fingerprint(2))
	require.Equal(t, l.fingerprint(math.MaxInt), l.fingerprint(math.MaxInt))
}
