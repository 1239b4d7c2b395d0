package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// crowd returns a meter with a plan of n members over a journal in memory, and the journal.
func crowd(b *testing.B, n int) (*usageplan.Meter, journal.Journal) {
	j := journal.Memory(0)
	m, err := usageplan.New(usageplan.Config{Ledger: book(b, "memory"), Journal: j})
	check(b, err)
	check(b, m.Import(context.Background(), []usageplan.Plan{plan("basic")}, nil))
	for from := 0; from < n; from += 10_000 {
		members := make([]usageplan.Member, min(10_000, n-from))
		for i := range members {
			id := uint64(from+i) * 0x9e3779b97f & (1<<40 - 1) // each once, in no order
			members[i] = usageplan.Member{Plan: "basic", Client: fmt.Sprintf("%010x", id)}
		}
		check(b, m.AddMembers(context.Background(), members...))
	}
	return m, j
}

// BenchmarkMembersPage: a page of 25 members, from a random place of the list.
func BenchmarkMembersPage(b *testing.B) {
	for _, n := range []int{10_000, scaled(1_000_000)} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			m, _ := crowd(b, n)
			newest := uint64(n/10_000+1) << 24
			for b.Loop() {
				if page, _ := m.Members("basic", rand.Uint64N(newest)+1<<25+25, 25); len(page) == 0 {
					b.Fatal("no members")
				}
			}
		})
	}
}

// BenchmarkImportMembers: 10 000 members in one change, beside those that are there.
func BenchmarkImportMembers(b *testing.B) {
	for _, n := range []int{0, scaled(1_000_000)} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			m, _ := crowd(b, n)
			for i := 0; b.Loop(); i++ {
				members := make([]usageplan.Member, 10_000)
				for j := range members {
					members[j] = usageplan.Member{Plan: "basic", Client: fmt.Sprintf("i%d-%d", i, j)}
				}
				check(b, m.Import(context.Background(), nil, members))
			}
		})
	}
}

// BenchmarkOpenMembers: a process starts and reads its members from a journal in memory; and what they take there.
func BenchmarkOpenMembers(b *testing.B) {
	n := scaled(1_000_000)
	_, j := crowd(b, n)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m, err := usageplan.New(usageplan.Config{Ledger: book(b, "memory"), Journal: j})
		check(b, err)
		b.StopTimer()
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc-before.HeapAlloc))/float64(n), "B/member")
		runtime.KeepAlive(m)
		b.StartTimer()
	}
}
