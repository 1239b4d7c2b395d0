package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// call is an operation of a history: a take or growth (cost, or as little as least), a settlement (back) or an extension
// (more).
type call struct{ cost, least, back, more int64 }

type counts struct{ used, limit int64 }

// quotaModel says what a ledger does if it does one thing after the other: a take and growth are granted if, and only
// if, there is enough, and TakeUpTo takes all that there is, up to what it asks for.
var quotaModel = porcupine.Model{
	Init: func() any { return counts{0, linearLimit} },
	Step: func(state, input, output any) (bool, any) {
		s, in, granted := state.(counts), input.(call), output.(int64)
		fits := min(in.cost, s.limit-s.used)
		if fits < in.least {
			fits = 0
		}
		if in.cost > 0 && granted != fits {
			return false, s
		}
		s.used += granted - in.back
		s.limit += in.more
		return true, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %v", input, output) },
}

const linearLimit = 60

// TestLinearizable: every history of takes, growth, settlements and extensions could have happened one after the other.
func TestLinearizable(t *testing.T) {
	histories := 20
	if heavy() {
		histories = 200
	}
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		for engine, store := range map[string]func(t *testing.T) ledger.Engine{
			"memory": func(*testing.T) ledger.Engine { return ledger.NewMemory() },
			"bolt":   func(t *testing.T) ledger.Engine { return openBolt(t, filepath.Join(t.TempDir(), "usage.db")) },
		} {
			t.Run(name+"/"+engine, func(t *testing.T) {
				l := newLedger(t, ledger.Config{Engine: store(t), Exact: exact, Block: 8})
				n := histories
				if engine == "bolt" {
					n /= 4 // each of its calls takes a disk's time
				}
				for h := range n {
					k := ledger.Key{Plan: "history", Subject: fmt.Sprint(h)}
					require.True(t, porcupine.CheckOperations(quotaModel, history(t, l, k)), "history %d is not linearizable", h)
				}
			})
		}
	}
}

// history runs clients against one key.
func history(t *testing.T, l *ledger.Ledger, k ledger.Key) (ops []porcupine.Operation) {
	const clients, calls = 6, 40
	q := ledger.Quota{Limit: linearLimit, Period: ledger.Monthly}
	epoch := time.Now()
	var mu sync.Mutex
	record := func(client int, in call, f func() int64) {
		op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(epoch))}
		op.Output = f()
		op.Return = int64(time.Since(epoch))
		mu.Lock()
		defer mu.Unlock()
		ops = append(ops, op)
	}
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(client), rand.Uint64()))
			for range calls {
				cost := 1 + r.Int64N(4)
				var charge ledger.Charge
				if least := 1 + r.Int64N(cost); r.IntN(2) == 0 {
					record(client, call{cost: cost, least: least}, func() int64 {
						charge, _ = l.TakeUpToAt(t.Context(), noon, k, q, least, cost)
						return charge.Units()
					})
				} else {
					record(client, call{cost: cost, least: cost}, func() int64 {
						charge, _ = l.TakeAt(t.Context(), noon, k, q, cost)
						return charge.Units()
					})
				}
				if units := charge.Units(); units > 0 && r.IntN(2) == 0 {
					more := 1 + r.Int64N(3)
					record(client, call{cost: more, least: more}, func() int64 {
						_ = charge.MoreAt(t.Context(), noon, more)
						return charge.Units() - units
					})
				}
				switch dice, units := r.IntN(12), charge.Units(); {
				case dice < 4 && units > 0:
					back := 1 + r.Int64N(units)
					record(client, call{back: back}, func() int64 {
						require.NoError(t, charge.Settle(t.Context(), units-back))
						return 0
					})
				case dice < 6 && units > 0:
					back := 1 + r.Int64N(units)
					record(client, call{back: back}, func() int64 {
						require.NoError(t, charge.More(t.Context(), -back))
						return 0
					})
				case dice == 11:
					more := r.Int64N(9) - 3
					record(client, call{more: more}, func() int64 {
						_, err := l.ExtendAt(t.Context(), noon, k, q, ledger.Adjustment{Delta: more})
						require.NoError(t, err)
						return 0
					})
				}
			}
		})
	}
	wg.Wait()
	return ops
}

// TestModelNotices: the check can fail.
func TestModelNotices(t *testing.T) {
	l := newLedger(t, ledger.Config{Block: 8})
	ops := history(t, l, key)
	for i := range ops {
		if ops[i].Input.(call).cost > 0 {
			ops[i].Output = ops[i].Output.(int64) ^ 1
			break
		}
	}
	require.False(t, porcupine.CheckOperations(quotaModel, ops))
}

func openBolt(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
