package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// BenchmarkMore: growth from a lease against a take, and what Config.SettleWithin costs.
func BenchmarkMore(b *testing.B) {
	q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
	take := func(within time.Duration) func(b *testing.B) {
		return func(b *testing.B) {
			l := newLedger(b, ledger.Config{SettleWithin: within})
			b.ReportAllocs()
			for b.Loop() {
				c, err := l.Take(b.Context(), key, q, 1)
				if err == nil && within > 0 {
					err = c.Settle(b.Context(), 1)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("impl=take", take(0))
	b.Run("impl=more", func(b *testing.B) {
		l := newLedger(b, ledger.Config{})
		c, err := l.Take(b.Context(), key, q, 1)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := c.More(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=within", take(time.Hour))
}

// BenchmarkObserve: nobody is told, against an Observe that does nothing. A take that a lease grants tells nothing; an
// exact one makes three events.
func BenchmarkObserve(b *testing.B) {
	for _, exact := range []bool{false, true} {
		for _, impl := range []struct {
			name    string
			observe func(context.Context, ledger.Event)
		}{
			{"nil", nil},
			{"empty", func(context.Context, ledger.Event) {}},
		} {
			b.Run(fmt.Sprintf("exact=%t/impl=%s", exact, impl.name), func(b *testing.B) {
				l := newLedger(b, ledger.Config{Exact: exact, Observe: impl.observe})
				q := ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := l.Take(b.Context(), key, q, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStats: its cost does not depend on how many keys there are.
func BenchmarkStats(b *testing.B) {
	for _, keys := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			l := newLedger(b, ledger.Config{})
			for i := range keys {
				_, err := l.Take(b.Context(), ledger.Key{Plan: "p", Subject: strconv.Itoa(i)}, day10, 1)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if l.Stats().Keys != int64(keys) {
					b.Fatal(l.Stats())
				}
			}
		})
	}
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
