package bench

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// BenchmarkRefuse: a key that is exhausted is refused by 64 goroutines. The store is asked once a second.
func BenchmarkRefuse(b *testing.B) {
	for _, st := range stores {
		b.Run("store="+st.name, func(b *testing.B) {
			s := st.server(b)
			for _, mode := range modes {
				b.Run(fmt.Sprintf("mode=%s/impl=ours", mode), func(b *testing.B) {
					refuse(b, ledger.Config{Engine: st.open(b, s), Exact: mode == "exact"})
				})
			}
		})
	}
}

func refuse(b *testing.B, c ledger.Config) {
	l, err := ledger.New(c)
	check(b, err)
	b.Cleanup(func() { check(b, l.Close()) })
	key, few := ledger.Key{Plan: "basic", Subject: "customer"}, ledger.Quota{Limit: 3, Period: ledger.Monthly}
	take := func() error {
		_, err := l.Take(context.Background(), key, few, 1)
		return err
	}
	for range few.Limit {
		check(b, take())
	}
	spread(b, func(int) (bool, error) {
		if err := take(); !errors.Is(err, ledger.ErrExhausted) {
			return false, fmt.Errorf("not refused: %w", err)
		}
		return true, nil
	}, 1, 64)
}
