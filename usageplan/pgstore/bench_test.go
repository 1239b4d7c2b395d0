package pgstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// BenchmarkTake compares the two modes of a ledger with what a program would write by itself: one upsert for each
// decision. 64 goroutines share one key or 64.
//
//	go test -run='^$' -bench=Take -count=6 . >out && benchstat -col /impl out
func BenchmarkTake(b *testing.B) {
	for _, keys := range []int{1, 64} {
		for _, impl := range []struct {
			name string
			make func(b *testing.B) func(ctx context.Context, key string) error
		}{{"exact", exact}, {"leased", leased}, {"upsert", upsert}} {
			b.Run(fmt.Sprintf("keys=%d/impl=%s", keys, impl.name), func(b *testing.B) {
				take := impl.make(b)
				var next atomic.Int64
				b.SetParallelism(32) // times two processors
				b.ReportAllocs()
				b.ResetTimer() // to start the server takes long
				b.RunParallel(func(pb *testing.PB) {
					key := fmt.Sprint("key ", next.Add(1)%int64(keys))
					for pb.Next() {
						if err := take(context.Background(), key); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func exact(b *testing.B) func(context.Context, string) error {
	return ledgerTake(b, ledger.Config{Exact: true})
}

func leased(b *testing.B) func(context.Context, string) error { return ledgerTake(b, ledger.Config{}) }

func ledgerTake(b *testing.B, c ledger.Config) func(context.Context, string) error {
	c.Engine = open(b, benchPool(b), fresh())
	l, err := ledger.New(c)
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	return func(ctx context.Context, key string) error {
		_, err := l.Take(ctx, ledger.Key{Plan: "plan", Subject: key}, ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}, 1)
		return err
	}
}

// upsert counts in a table of its own, and refuses above a limit.
func upsert(b *testing.B) func(context.Context, string) error {
	p, table := benchPool(b), fmt.Sprintf("%q", fresh())
	_, err := p.Exec(context.Background(), "create table "+table+" (key text primary key, used bigint) with (fillfactor = 50)")
	require.NoError(b, err)
	sql := "insert into " + table + ` as t values ($1, 1)
		on conflict (key) do update set used = t.used + 1 where t.used < $2 returning used`
	return func(ctx context.Context, key string) error {
		var used int64
		return p.QueryRow(ctx, sql, key, int64(1)<<40).Scan(&used)
	}
}

// benchPool returns a pool of 16 connections: more made upserts slower on two processors.
func benchPool(b *testing.B) *pgxpool.Pool {
	o := options(b, common(b).url())
	o.MaxConns = 16
	return connect(b, o)
}
