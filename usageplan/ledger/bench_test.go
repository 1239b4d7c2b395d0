package ledger_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

func BenchmarkTake(b *testing.B) {
	b.Run("impl=floor", func(b *testing.B) {
		epoch := time.Now()
		for b.Loop() {
			_ = time.Since(epoch)
		}
	})
	b.Run("impl=ours", func(b *testing.B) {
		l := newLedger(b, ledger.Config{})
		q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.Take(b.Context(), key, q, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRefusal: an exhausted key is refused from memory, without asking the engine.
func BenchmarkRefusal(b *testing.B) {
	for _, exact := range []bool{false, true} {
		b.Run(fmt.Sprintf("exact=%t", exact), func(b *testing.B) {
			l := newLedger(b, ledger.Config{Exact: exact, Stale: time.Hour})
			q := ledger.Quota{Limit: 1, Period: ledger.Monthly}
			if _, err := l.Take(b.Context(), key, q, 1); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Take(b.Context(), key, q, 1); !errors.Is(err, ledger.ErrExhausted) {
					b.Fatal(err)
				}
			}
		})
	}
}
