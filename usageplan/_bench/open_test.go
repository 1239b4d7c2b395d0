package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// scaled is n with TALLYGATE_HEAVY set, else a tenth; and a hundredth of that with -short, which shows that a benchmark
// runs and measures nothing.
func scaled(n int) int {
	if os.Getenv("TALLYGATE_HEAVY") == "" {
		n /= 10
	}
	return fewer(n)
}

// fewer is n, or with -short a hundredth.
func fewer(n int) int {
	if testing.Short() {
		n /= 100
	}
	return n
}

// BenchmarkOpen opens a file of so many keys: one that was closed, and one that a killed process left with a tail of so
// many MB.
func BenchmarkOpen(b *testing.B) {
	n := scaled(1_000_000)
	for _, tail := range []int{0, 16, 60} {
		b.Run(fmt.Sprintf("keys=%d/tail=%dMB", n, tail), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "usage.db")
			s := openStore(b, path)
			fill(b, s, 0, n, 4096)
			check(b, s.Close())
			if tail > 0 {
				s = openStore(b, path)
				fill(b, s, 0, min(n, tail<<20/100), 4096)
				copied := path + ".copy"
				copyFile(b, path, copied)
				check(b, s.Close())
				path = copied
			}
			info, err := os.Stat(path)
			check(b, err)
			var heap runtime.MemStats
			for b.Loop() {
				s := openStore(b, path)
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&heap)
				b.ReportMetric(float64(heap.HeapAlloc)/(1<<20), "heap-MB")
				b.ReportMetric(float64(info.Size())/float64(n), "file-B/key")
				copyFile(b, path, path+".again")
				check(b, s.Close())
				check(b, os.Rename(path+".again", path))
				b.StartTimer()
			}
		})
	}
}

func copyFile(b *testing.B, from, to string) {
	r, err := os.Open(from)
	check(b, err)
	defer r.Close()
	w, err := os.Create(to)
	check(b, err)
	_, err = io.Copy(w, r)
	check(b, err)
	check(b, w.Close())
}
