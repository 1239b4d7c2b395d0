package pgstore

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"
)

// pageSize is how many keys one request reads. The longest ones make 1.2 MB.
const pageSize = 1000

// It need not leave out rows without a value: only an Update that has not ended has such rows, and no other transaction
// sees them.
const pageOfKeys = `select key from schema.rows where key >= $1 and key < $2 order by key limit $3`

// Keys implements [ledger.Engine]. It reads pages of 1 000 keys by the index, and no keys without the prefix. It holds
// no connection during a yield, so the loop may call the store even if the pool has only one connection.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for from, more := []byte(prefix), true; more; {
			keys, err := query(ctx, s, pgx.RowTo[[]byte], pageOfKeys, from, after(prefix), pageSize)
			if err != nil {
				yield("", fmt.Errorf("pgstore: keys: %w", err))
				return
			}
			for _, key := range keys {
				if !yield(string(key), nil) {
					return
				}
			}
			if more = len(keys) == pageSize; more {
				from = append(keys[pageSize-1], 0) // the least key above the last one
			}
		}
	}
}

// lastKey is above every key of 1 to 1 200 bytes.
var lastKey = []byte(strings.Repeat("\xff", 1201))

// after returns the end of the range of all keys that begin with the prefix: the first key behind them. For "a" and for
// "a\xff" that is "b", and for "\xff" it is lastKey. There is always an end, so the server uses the index with one
// statement for all prefixes.
func after(prefix string) []byte {
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return lastKey
	}
	end[len(end)-1]++
	return end
}
