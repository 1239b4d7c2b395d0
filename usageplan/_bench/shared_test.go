package bench

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/goredisstore.v9"
	"github.com/ulule/limiter/v3"
	limiterredis "github.com/ulule/limiter/v3/drivers/store/redis"
)

var modes = []string{"leased", "exact"}

// sharedImpl opens an implementation over a server that runs.
type sharedImpl struct {
	name string
	open func(b *testing.B, s *server, keys int) take
}

// BenchmarkRedis: decisions on a server that syncs each write before it answers.
func BenchmarkRedis(b *testing.B) {
	shared(b, redisStore, []sharedImpl{{"evalsha", evalsha}, {"ulule", ulule}, {"throttled", throttledStore}})
}

// BenchmarkPostgres: decisions on a server with the settings of a new installation, so that each commit is synced.
func BenchmarkPostgres(b *testing.B) {
	shared(b, postgresStore, []sharedImpl{{"upsert", upsert}})
}

// shared compares both modes of a ledger with what asks the server for each decision.
func shared(b *testing.B, st store, peers []sharedImpl) {
	s := st.server(b)
	for _, mode := range modes {
		impls := append([]sharedImpl{{"ours", func(b *testing.B, s *server, keys int) take {
			return over(b, ledger.Config{Engine: st.open(b, s), Exact: mode == "exact"}, keys)
		}}}, peers...)
		for _, keys := range []int{1, 64} {
			for _, goroutines := range []int{1, 16, 64} {
				for _, im := range impls {
					name := fmt.Sprintf("mode=%s/keys=%d/goroutines=%d/impl=%s", mode, keys, goroutines, im.name)
					b.Run(name, func(b *testing.B) { spread(b, im.open(b, s, keys), keys, goroutines) })
				}
			}
		}
	}
}

// evalsha counts in a window of a month by a script of its own, in one round trip for each decision.
func evalsha(b *testing.B, s *server, keys int) take {
	c, ctx, prefix := connectRedis(b, s), context.Background(), fresh()
	check(b, script.Load(ctx, c).Err())
	window := int64(31 * 24 * time.Hour / time.Second)
	return made(b, keys, func(key int) (bool, error) {
		n, err := script.EvalSha(ctx, c, []string{prefix + subjects()[key]}, 1, quota.Limit, window).Int()
		return n == 1, err
	})
}

// ulule counts with the Redis store of github.com/ulule/limiter.
func ulule(b *testing.B, s *server, keys int) take {
	st, err := limiterredis.NewStoreWithOptions(connectRedis(b, s), limiter.StoreOptions{Prefix: fresh()})
	check(b, err)
	l := limiter.New(st, limiter.Rate{Period: 31 * 24 * time.Hour, Limit: quota.Limit})
	return made(b, keys, func(key int) (bool, error) {
		c, err := l.Get(context.Background(), subjects()[key])
		return !c.Reached, err
	})
}

// throttledStore limits with the go-redis store of github.com/throttled/throttled. That compares and swaps. By default
// it gives up with an error after ten attempts; here it goes on until it has decided.
func throttledStore(b *testing.B, s *server, keys int) take {
	st, err := goredisstore.NewCtx(connectRedis(b, s), fresh())
	check(b, err)
	never := throttled.RateQuota{MaxRate: throttled.PerSec(1_000_000), MaxBurst: math.MaxInt32}
	l, err := throttled.NewGCRARateLimiterCtx(st, never)
	check(b, err)
	l.SetMaxCASAttemptsLimit(math.MaxInt32)
	return made(b, keys, func(key int) (bool, error) {
		limited, _, err := l.RateLimitCtx(context.Background(), subjects()[key], 1)
		return !limited, err
	})
}

// upsert counts in a table of its own and refuses above the limit, in one statement for each decision.
func upsert(b *testing.B, s *server, keys int) take {
	ctx, p, table := context.Background(), connectPostgres(b, s), fmt.Sprintf("%q", fresh())
	_, err := p.Exec(ctx, "create table "+table+" (key text primary key, used bigint not null) with (fillfactor = 50)")
	check(b, err)
	sql := "insert into " + table + ` as t values ($1, $2)
		on conflict (key) do update set used = t.used + $2 where t.used + $2 <= $3 returning used`
	return made(b, keys, func(key int) (bool, error) {
		var used int64
		err := p.QueryRow(ctx, sql, subjects()[key], int64(1), quota.Limit).Scan(&used)
		return err == nil, err
	})
}

// made returns take after each key has been taken from once, so that all exist when the clock starts.
func made(b *testing.B, keys int, take take) take {
	for key := range keys {
		_, err := take(key)
		check(b, err)
	}
	return take
}
