package bench

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// scaled is n with TALLYGATE_HEAVY set, else a tenth.
func scaled(n int) int {
	if os.Getenv("TALLYGATE_HEAVY") == "" {
		n /= 10
	}
	return n
}

// BenchmarkOpen opens a file of a million accounts, closed in good order.
func BenchmarkOpen(b *testing.B) {
	n := scaled(1_000_000)
	b.Run(fmt.Sprintf("accounts=%d/impl=ours", n), func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "usage.db")
		s := filled(b, path, n, n)
		check(b, s.Close())
		opened(b, path)
	})
}

// BenchmarkRecover opens a file of ten million entries that was not closed.
func BenchmarkRecover(b *testing.B) {
	n := scaled(10_000_000)
	b.Run(fmt.Sprintf("entries=%d/impl=ours", n), func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "usage.db")
		s := filled(b, path, 1000, n)
		defer s.Close()
		copied := filepath.Join(b.TempDir(), "copy.db")
		copyFile(b, path, copied)
		opened(b, copied)
	})
}

// filled makes a file with entries of charges, spread over accounts, in commits of 4096.
func filled(b *testing.B, path string, accounts, entries int) *boltstore.Store {
	s, err := boltstore.Open(path, boltstore.Config{})
	check(b, err)
	ops := make([]ledger.Op, 0, 4096)
	for i := range entries {
		ops = append(ops, ledger.Op{
			ID: fmt.Sprintf("QJ4ZK2M7XW3TY-%x", i), Kind: ledger.KindCharge, Day: 1_700_006_400, Time: 1_700_010_000,
			Account: ledger.Account{Key: ledger.Key{Plan: "basic", Subject: fmt.Sprintf("customer-%d", i%accounts)}, Start: 1_700_006_400},
			Limit:   quota.Limit, Want: 1, Min: 1,
		})
		if len(ops) == cap(ops) || i == entries-1 {
			_, err := s.Apply(b.Context(), ops)
			check(b, err)
			ops = ops[:0]
		}
	}
	return s
}

func opened(b *testing.B, path string) {
	b.ReportAllocs()
	for b.Loop() {
		s, err := boltstore.Open(path, boltstore.Config{})
		check(b, err)
		b.StopTimer()
		check(b, s.Close())
		b.StartTimer()
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
