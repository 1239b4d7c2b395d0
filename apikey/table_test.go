package apikey

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// newTestRecord returns a record whose digest begins with hash and is else told apart by n.
func newTestRecord(hash, n uint64) *record {
	r := &record{text: fmt.Sprintf("%010d", n)}
	binary.LittleEndian.PutUint64(r.digest[:], hash)
	binary.LittleEndian.PutUint64(r.digest[8:], n)
	return r
}

func (r *record) same(other *record) bool { return r.digest == other.digest }

// TestTableIsAMap drives a table and a map with the same random operations. The hashes collide much.
func TestTableIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		table := newTable(func(r *record) uint64 { return r.digest.hash() })
		model := map[digest]*record{}
		universe := 1 + rng.Uint64N(300)
		for range 3000 {
			n := rng.Uint64N(universe)
			r := newTestRecord(n%7<<61, n)
			switch rng.IntN(5) {
			case 0, 1:
				table.put(r, r.same)
				model[r.digest] = r
			case 2, 3:
				table.remove(r.digest.hash(), r.same)
				delete(model, r.digest)
			}
			require.Same(t, model[r.digest], table.find(r.digest.hash(), r.same))
			require.Equal(t, len(model), table.size())
		}
		got := map[digest]*record{}
		for r := range table.all() {
			require.NotContains(t, got, r.digest)
			got[r.digest] = r
		}
		require.Equal(t, model, got)
		for r := range table.all() {
			require.NotNil(t, r)
			break // an early end is no panic
		}
	}
}

// A table in which records are added and removed all the time does not grow: growing leaves removed ones out.
func TestTableStaysSmall(t *testing.T) {
	table := newTable(func(r *record) uint64 { return r.digest.hash() })
	grown, last := 0, table.slots.Load()
	for n := range uint64(100_000) {
		if now := table.slots.Load(); now != last {
			grown, last = grown+1, now
		}
		r := newTestRecord(n*0x9e3779b97f4a7c15, n)
		table.put(r, r.same)
		if n >= 100 {
			old := newTestRecord((n-100)*0x9e3779b97f4a7c15, n-100)
			table.remove(old.digest.hash(), old.same)
		}
	}
	require.Equal(t, 100, table.size())
	require.LessOrEqual(t, len(*table.slots.Load()), 512)
	require.LessOrEqual(t, grown, 2500, "a table is rebuilt once for many puts")
}

// TestReadersFindWhatStaysDuringWrites looks up records that stay while others come and go and the table grows: each is
// always found.
func TestReadersFindWhatStaysDuringWrites(t *testing.T) {
	table := newTable(func(r *record) uint64 { return r.digest.hash() })
	var stay []*record
	for n := range uint64(50) {
		r := newTestRecord(n%5<<61, n)
		stay = append(stay, r)
		table.put(r, r.same)
	}
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				for _, r := range stay {
					if table.find(r.digest.hash(), r.same) == nil {
						t.Error("a record was missed")
						return
					}
				}
			}
		})
	}
	for n := uint64(50); n < 5_000; n++ {
		r := newTestRecord(n%64<<58, n)
		table.put(r, r.same)
		if n%8 != 0 {
			table.remove(r.digest.hash(), r.same)
		}
	}
	done.Store(true)
	readers.Wait()
}

// A record that is removed just after a reader has found it is still returned, and not what stands in its slot then.
func TestFindReturnsWhatItHasFound(t *testing.T) {
	table := newTable(func(r *record) uint64 { return r.digest.hash() })
	want := newTestRecord(7, 1)
	table.put(want, want.same)
	got := table.find(7, func(r *record) bool {
		table.remove(7, want.same)
		return r == want
	})
	require.Same(t, want, got)
	require.Nil(t, table.find(7, want.same))
}
