package redisstore

import (
	"crypto/sha256"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A row is one string on the server, and its place is one of 256 by a digest of the key. A place has an index: a sorted
// set of the keys that have rows there. The place is the hash tag of both names, so in a Cluster they are on one node,
// and one script changes both in one step. For the key "k" in the namespace "gateway":
//
//	gateway:{5f}:r:k    version, 8 bytes; row
//	gateway:{5f}:keys   k, and each other key of this place
//
// The tag comes before the key. So braces in a key mean nothing: the server takes the first pair of them.
//
// 256 places spread the rows over all nodes of a Cluster, and are few enough for Keys to ask all of them.
const places = 256

// rowName returns where a key's row is, and where its place has its index.
func (s *Store) rowName(key string) (row, index string) {
	at := s.place(sha256.Sum256([]byte(key))[0])
	return at + "r:" + key, at + "keys"
}

func (s *Store) place(n byte) string { return fmt.Sprintf("%s:{%02x}:", s.name, n) }

// versionSize is the size of the version before a row, in bytes. Each write gives the row a new version, a random
// number. So a row that has changed and changed back has another version, and a write that expects the first one fails.
// A counter would begin again when a row is deleted and made again.
const versionSize = 8

// swapScript writes a row if it has not changed since it was read. Otherwise it returns the present row, so a writer
// that was too late needs no further request to decide again.
//
//	KEYS  the row, the index of its place
//	ARGV  the version that was read, or nothing; the new version and row; the key
//
// A row that is deleted leaves its version for an hour. A request may have read "no row" before another writer made and
// deleted the row. When it arrives late, it finds the version, and does not bring the row back. GETRANGE reads only the
// version of a row.
const swapScript = `
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return redis.call('GET', KEYS[1]) end
if #ARGV[2] > 8 then
	if redis.call('STRLEN', KEYS[1]) <= 8 then redis.call('ZADD', KEYS[2], 0, ARGV[3]) end
	redis.call('SET', KEYS[1], ARGV[2])
else
	redis.call('ZREM', KEYS[2], ARGV[3])
	redis.call('SET', KEYS[1], ARGV[2], 'EX', 3600)
end
return 1`

var swapHash = redis.NewScript(swapScript).Hash()

// once is a command that the client sends once. Otherwise the client would send it again after a lost answer, by its
// defaults up to three times. If the first copy was executed, the second one would be too late: f would see what its
// own Update has written, as if another writer had been faster. In a Cluster the client still follows a redirection,
// because no node has executed anything then.
type once struct{ *redis.Cmd }

// NoRetry implements [redis.Cmder].
func (once) NoRetry() bool { return true }
