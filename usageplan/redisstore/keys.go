package redisstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/redis/go-redis/v9"
)

// pageSize is how many keys are in one answer of an index. placesAtOnce is how many indexes one request asks. So an
// answer has at most 3 200 keys.
const pageSize, placesAtOnce = 100, 32

// Keys implements [ledger.Engine]. It asks the 256 indexes in eight round trips, and an index again for each further
// 100 keys that it has. It does not read keys without the prefix, however many there are.
//
// That is why there are indexes: SCAN would go through every key of the server, those of other programs too.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for first := 0; first < places; first += placesAtOnce {
			unread := make([]place, placesAtOnce)
			for k := range unread {
				unread[k] = place{s.place(byte(first+k)) + "keys", "[" + prefix}
			}
			for len(unread) > 0 {
				keys, rest, err := s.page(ctx, unread, prefix)
				if err != nil {
					yield("", fmt.Errorf("redisstore: keys: %w", err))
					return
				}
				for _, key := range keys {
					if !yield(key, nil) {
						return
					}
				}
				unread = rest
			}
		}
	}
}

// place is an index that is being read.
type place struct{ index, from string }

// page reads the next keys of each place, and returns the places that may have more.
func (s *Store) page(ctx context.Context, places []place, prefix string) (keys []string, rest []place, err error) {
	if err := s.usable(ctx); err != nil {
		return nil, nil, err
	}
	pipe := s.client.Pipeline()
	answers := make([]*redis.StringSliceCmd, len(places))
	for i, p := range places {
		by := redis.ZRangeBy{Min: p.from, Max: after(prefix), Count: pageSize}
		answers[i] = pipe.ZRangeByLex(ctx, p.index, &by)
	}
	if _, err := pipe.Exec(ctx); err != nil { // one index that cannot be read would hide its keys, so it is an error
		return nil, nil, formatted(err)
	}
	for i, answer := range answers {
		found := answer.Val()
		if keys = append(keys, found...); len(found) == pageSize {
			rest = append(rest, place{places[i].index, "(" + found[pageSize-1]})
		}
	}
	return keys, rest, nil
}

// after returns the end of the range of all keys that begin with the prefix: the first key behind them, which is
// excluded, or "+" if there is none. For "a" and for "a\xff" that is "b", and for "\xff" there is none.
func after(prefix string) string {
	end := []byte(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return "+"
	}
	end[len(end)-1]++
	return "(" + string(end)
}
