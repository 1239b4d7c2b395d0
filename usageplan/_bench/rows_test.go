package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/boltstore"
)

// rowKey and row are about what a ledger in exact mode keeps of a customer.
func rowKey(i int) string { return fmt.Sprintf("k\x00\x05basiccustomer-%07d", i) }

func someRow(n int) []byte {
	row := make([]byte, n)
	for i := range row {
		row[i] = byte(rand.Uint32())
	}
	return row
}

const rowSize = 62

func openStore(b *testing.B, path string) *boltstore.Store {
	s, err := boltstore.Open(path)
	check(b, err)
	return s
}

// fill gives keys rows, in Updates of so many keys.
func fill(b *testing.B, s *boltstore.Store, from, to, each int) {
	for ; from < to; from += each {
		keys := make([]string, min(each, to-from))
		for i := range keys {
			keys[i] = rowKey(from + i)
		}
		change(b, s, keys)
	}
}

func change(b *testing.B, s *boltstore.Store, keys []string) {
	check(b, s.Update(context.Background(), keys, func(int, []byte) ([]byte, error) { return someRow(rowSize), nil }))
}

// BenchmarkUpdate is one commit of 64 rows, among so many keys; checkpoints are included.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{64, fewer(100_000), scaled(1_000_000)} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s := openStore(b, filepath.Join(b.TempDir(), "usage.db"))
			defer s.Close()
			fill(b, s, 0, n, 4096)
			names := make([]string, n)
			for i := range names {
				names[i] = rowKey(i)
			}
			for b.Loop() {
				keys := names
				if n > 64 {
					keys = sample(names)
				}
				change(b, s, keys)
			}
		})
	}
}

func sample(names []string) []string {
	at := rand.IntN(len(names) - 64)
	keys := make([]string, 64)
	for i := range keys {
		keys[i] = names[(at+i*7919)%len(names)]
	}
	return keys
}

// BenchmarkWorstCommit is the longest of 20 000 commits of 64 rows after so many rows have changed. With fewer, there
// would be no whole checkpoint of these.
func BenchmarkWorstCommit(b *testing.B) {
	for _, n := range []int{fewer(100_000), scaled(1_000_000)} {
		b.Run(fmt.Sprintf("dirty=%d", n), func(b *testing.B) {
			s := openStore(b, filepath.Join(b.TempDir(), "usage.db"))
			defer s.Close()
			fill(b, s, 0, n, 4096)
			var times []time.Duration
			for b.Loop() {
				for range fewer(20_000) {
					keys := make([]string, 64)
					at := rand.IntN(n)
					for i := range keys {
						keys[i] = rowKey((at + i*7919) % n)
					}
					start := time.Now()
					change(b, s, keys)
					times = append(times, time.Since(start))
				}
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(times[len(times)-1].Microseconds()), "worst-us")
		})
	}
}
