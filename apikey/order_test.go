package apikey

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func numbered(number uint64, name string) *record {
	return pack(&state{number: number, key: Key{ID: fmt.Sprintf("%010d", number), Name: name}})
}

func collect(o *order, before uint64) []uint64 {
	numbers := []uint64{}
	for r := range o.newest(before) {
		numbers = append(numbers, r.lasting.number)
	}
	return numbers
}

// TestOrderIsASortedMap drives an order and a map with the same random operations, in batches: appended and out of
// order, replaced, removed and put again.
func TestOrderIsASortedMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		o, model := newOrder(), map[uint64]*record{}
		universe := 1 + rng.Uint64N(300)
		for range 300 {
			batch := map[uint64]bool{}
			for range rng.IntN(10) {
				n := 1 + rng.Uint64N(universe)
				if batch[n] {
					continue // apply puts each number once
				}
				batch[n] = true
				if rng.IntN(2) == 0 {
					model[n] = numbered(n, "")
					o.put(model[n])
				} else if old := o.find(n); old != nil {
					o.remove(old)
					delete(model, n)
				}
			}
			o.merge()
			want := slices.AppendSeq([]uint64{}, maps.Keys(model))
			slices.Sort(want)
			slices.Reverse(want)
			require.Equal(t, want, collect(o, 0))
			before := 1 + rng.Uint64N(universe)
			require.Equal(t, slices.DeleteFunc(slices.Clone(want), func(n uint64) bool { return n >= before }), collect(o, before))
			for n := range universe + 2 {
				require.Same(t, model[n], o.find(n))
			}
			s := o.filled()
			require.Equal(t, len(s)-len(model), o.deleted)
			require.LessOrEqual(t, maxDeletedPart*(len(s)-len(model)), len(s), "a reader skips few of deleted keys")
		}
	}
}

// A record that is removed in the batch that has put it is not merged.
func TestOrderForgetsWhatIsPending(t *testing.T) {
	o := newOrder()
	a, b := numbered(1, ""), numbered(2, "")
	o.put(a)
	o.put(b)
	o.remove(a)
	o.merge()
	require.Equal(t, []uint64{2}, collect(o, 0))
}

// TestReadersPageDuringWrites reads while keys are appended, inserted, replaced and removed: what stays is always there,
// and in order.
func TestReadersPageDuringWrites(t *testing.T) {
	o := newOrder()
	for n := uint64(1); n <= 50; n++ {
		o.put(numbered(100*n, ""))
	}
	o.merge()
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				last, stay := ^uint64(0), 0
				for r := range o.newest(0) {
					if r.lasting.number >= last {
						t.Error("not in order")
						return
					}
					if last = r.lasting.number; last%100 == 0 && last <= 5000 {
						stay++
					}
				}
				if stay != 50 {
					t.Errorf("%d of 50", stay)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range uint64(2000) {
		n := 5001 + i
		if i%3 == 0 {
			n = 1 + rng.Uint64N(5000)
		}
		r := numbered(n, "")
		o.put(r)
		o.merge()
		if n%100 != 0 {
			o.remove(r)
		}
	}
	done.Store(true)
	readers.Wait()
}
