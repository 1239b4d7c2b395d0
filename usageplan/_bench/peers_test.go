package bench

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

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

// script checks the limit and counts, in one round trip. The window begins with the first call, and the server forgets
// the key when it ends.
var script = goredis.NewScript(`
local used = tonumber(redis.call("GET", KEYS[1]) or "0")
if used + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call("INCRBY", KEYS[1], ARGV[1])
if used == 0 then redis.call("EXPIRE", KEYS[1], ARGV[3]) end
return 1`)

// redis starts a server for the benchmark.
func redis(args ...string) func(b *testing.B, keys int) take {
	return func(b *testing.B, keys int) take {
		s := redisServer(b, args...)
		b.Cleanup(s.end)
		return evalsha(b, s, keys)
	}
}
