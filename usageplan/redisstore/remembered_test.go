package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// TestRemembered: an Update begins with the row that its store has written last. If another store has changed it since,
// f is called again with the present row, also where it writes nothing.
func TestRemembered(t *testing.T) {
	c, namespace := client(t, options(start(t).addr)), fresh()
	s, other := open(t, c, namespace), open(t, c, namespace)
	for name, next := range map[string][]byte{"written": []byte("next"), "left": nil, "deleted": {}} {
		require.NoError(t, s.Update(t.Context(), []string{name}, write("old")))
		for _, want := range [][]string{{"old", "new"}, {"new"}} {
			require.NoError(t, other.Update(t.Context(), []string{name}, write("new")))
			var seen []string
			require.NoError(t, s.Update(t.Context(), []string{name}, func(_ int, row []byte) ([]byte, error) {
				seen = append(seen, string(row))
				return next, nil
			}))
			require.Equal(t, want, seen, "%s: what others have changed is not remembered", name)
		}
	}
}

// TestErrorOnRememberedRow: an error of f for a row that is only remembered ends an Update only if the row is still so.
// Otherwise f is called again, with the present row.
func TestErrorOnRememberedRow(t *testing.T) {
	c, namespace := client(t, options(start(t).addr)), fresh()
	s, other := open(t, c, namespace), open(t, c, namespace)
	refused := errors.New("it is full")
	for _, tt := range []struct {
		present []byte // nil if nobody has changed the row
		calls   []string
		err     error
	}{
		{nil, []string{"full"}, refused},
		{[]byte("room"), []string{"full", "room"}, nil},
		{[]byte{}, []string{"full", ""}, nil},
		{[]byte("full"), []string{"full", "full"}, refused}, // it has changed, and changed back
	} {
		require.NoError(t, s.Update(t.Context(), []string{"k"}, write("full")))
		if tt.present != nil {
			require.NoError(t, other.Update(t.Context(), []string{"k"}, write(string(tt.present))))
		}
		var calls []string
		err := s.Update(t.Context(), []string{"k"}, func(_ int, row []byte) ([]byte, error) {
			calls = append(calls, string(row))
			if string(row) == "full" {
				return nil, refused
			}
			return []byte("taken"), nil
		})
		require.ErrorIs(t, err, tt.err)
		require.Equal(t, tt.calls, calls)
	}
}

// TestRememberedRowsAreNeverTheLast: whatever two stores and the loss of data do, the last call of f in an Update that
// returns nil has seen the present row of each key. An Update that returns an error of f has as well.
func TestRememberedRowsAreNeverTheLast(t *testing.T) {
	c, namespace := client(t, options(start(t).addr)), fresh()
	stores := []*redisstore.Store{open(t, c, namespace), open(t, c, namespace)}
	keys, refused := []string{"a", "b", "c", "d"}, errors.New("refused")
	model, backup := make(map[string]string), state{}
	for range 3000 {
		switch rand.IntN(50) {
		case 0: // all data is lost
			require.NoError(t, c.FlushAll(t.Context()).Err())
			clear(model)
		case 1: // an older state comes back, with the versions that its rows had
			model = backup.restore(t, c)
		case 2:
			backup = save(t, c, model)
		}
		wants := []string{"leave", "write", "write", "delete", "refuse"}
		seen, plan := make(map[string]string), make(map[string]string)
		for _, k := range keys {
			plan[k] = wants[rand.IntN(len(wants))]
		}
		next, mine := fmt.Sprint(rand.Uint32()), keys[:1+rand.IntN(len(keys))]
		last := ""
		err := stores[rand.IntN(2)].Update(t.Context(), mine, func(i int, row []byte) ([]byte, error) {
			last = mine[i]
			seen[last] = string(row)
			switch plan[last] {
			case "write":
				return []byte(next), nil
			case "delete":
				return []byte{}, nil
			case "refuse":
				return nil, refused
			}
			return nil, nil
		})
		if err != nil {
			require.ErrorIs(t, err, refused)
			require.Equal(t, model[last], seen[last], "the refusal was decided on the present row")
			continue // and nothing has been written: f has been called for all keys before the first write
		}
		for _, k := range mine {
			require.Equal(t, model[k], seen[k])
			switch plan[k] {
			case "write":
				model[k] = next
			case "delete":
				delete(model, k)
			}
		}
	}
}

// state is what a server has: its strings, and the rows that they stand for.
type state struct{ raw, rows map[string]string }

func save(t *testing.T, c *redis.Client, rows map[string]string) state {
	raw := make(map[string]string)
	for _, name := range c.Keys(t.Context(), "*:r:*").Val() {
		raw[name] = c.Get(t.Context(), name).Val()
	}
	return state{raw, maps.Clone(rows)}
}

// restore gives the server its former strings, as a failover to a replica that lags behind does, and returns the rows.
func (s state) restore(t *testing.T, c *redis.Client) (rows map[string]string) {
	require.NoError(t, c.FlushAll(t.Context()).Err())
	for name, value := range s.raw {
		require.NoError(t, c.Set(t.Context(), name, value, 0).Err())
	}
	rows = make(map[string]string)
	maps.Copy(rows, s.rows)
	return rows
}

// TestRememberedByManyAtOnce: Updates of one store at the same time lose nothing of each other, though each begins with
// what another has written.
func TestRememberedByManyAtOnce(t *testing.T) {
	s := open(t, client(t, options(start(t).addr)), fresh())
	const callers, each = 8, 50
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				if err := s.Update(context.Background(), []string{"k"}, func(_ int, row []byte) ([]byte, error) {
					return append(bytes.Clone(row), 'x'), nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	row, err := s.Load(t.Context(), "k")
	require.NoError(t, err)
	require.Len(t, row, callers*each)
}

// TestRememberedIsBounded: a store remembers 8 MiB at most, with what small rows take in addition to their bytes. A row
// that is written again and again drives no other out.
func TestRememberedIsBounded(t *testing.T) {
	const most = 8 << 20
	for _, size := range []int{8, 60_000} {
		n, size := redisstore.Remembered(3*most/(size+100), size, 1)
		require.LessOrEqual(t, size+100*n, most)
		require.GreaterOrEqual(t, size+100*n, most/2-60_110)
	}
	n, _ := redisstore.Remembered(10, 60_000, 1000)
	require.Equal(t, 10, n)
}
