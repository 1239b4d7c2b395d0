package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	bolt "go.etcd.io/bbolt"
)

// bboltUpdate counts in a bucket, one transaction for each decision.
func bboltUpdate(b *testing.B, keys int) take { return bbolt(b, keys, (*bolt.DB).Update) }

// bboltBatch counts in a bucket, by bbolt's own way to share transactions, with its defaults.
func bboltBatch(b *testing.B, keys int) take { return bbolt(b, keys, (*bolt.DB).Batch) }

func bbolt(b *testing.B, keys int, update func(*bolt.DB, func(*bolt.Tx) error) error) take {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "peer.db"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	check(b, err)
	b.Cleanup(func() { check(b, db.Close()) })
	bucket, names := []byte("used"), subjects()
	check(b, db.Update(func(tx *bolt.Tx) error {
		used, err := tx.CreateBucket(bucket)
		for _, name := range names[:keys] {
			err = errors.Join(err, used.Put([]byte(name), make([]byte, 8)))
		}
		return err
	}))
	return func(key int) (granted bool, err error) {
		err = update(db, func(tx *bolt.Tx) error {
			used, name := uint64(0), []byte(names[key])
			if v := tx.Bucket(bucket).Get(name); v != nil {
				used = binary.BigEndian.Uint64(v)
			}
			if granted = used < uint64(quota.Limit); !granted {
				return nil
			}
			return tx.Bucket(bucket).Put(name, binary.BigEndian.AppendUint64(nil, used+1))
		})
		return granted, err
	}
}

// script checks the limit and counts, in one round trip.
var script = goredis.NewScript(`
local used = tonumber(redis.call("GET", KEYS[1]) or "0")
if used + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call("INCRBY", KEYS[1], ARGV[1])
return 1`)

// redis starts a server for the benchmark, without persistence unless args say otherwise.
func redis(args ...string) func(b *testing.B, keys int) take {
	return func(b *testing.B, keys int) take {
		bin, err := exec.LookPath("redis-server")
		if err != nil {
			b.Skip("redis-server is not installed")
		}
		addr := freeAddr(b)
		_, port, _ := net.SplitHostPort(addr)
		dir := b.TempDir()
		cmd := exec.Command(bin, append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", dir}, args...)...)
		check(b, cmd.Start())
		b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		c := goredis.NewClient(&goredis.Options{Addr: addr, PoolSize: 64, MaxRetries: -1})
		b.Cleanup(func() { _ = c.Close() })
		ctx := context.Background()
		for start := time.Now(); c.Ping(ctx).Err() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				b.Fatal("redis-server does not answer")
			}
		}
		check(b, script.Load(ctx, c).Err())
		names, limit := subjects(), strconv.FormatInt(quota.Limit, 10)
		_, err = c.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for _, name := range names[:keys] {
				p.Set(ctx, name, 0, 0)
			}
			return nil
		})
		check(b, err)
		return func(key int) (bool, error) {
			n, err := script.EvalSha(ctx, c, []string{names[key]}, 1, limit).Int()
			return n == 1, err
		}
	}
}

func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(b, err)
	defer l.Close()
	return l.Addr().String()
}
