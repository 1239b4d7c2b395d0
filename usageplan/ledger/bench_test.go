package ledger_test

import (
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
