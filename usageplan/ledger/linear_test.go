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

// call is an operation of a history: a take (cost), a settlement (back) or an extension (more).
type call struct{ cost, back, more int64 }

type counts struct{ used, limit int64 }

// quotaModel says what a ledger does if it does one thing after the other: a take is granted if, and only if, there is
// enough.
var quotaModel = porcupine.Model{
	Init: func() any { return counts{0, linearLimit} },
	Step: func(state, input, output any) (bool, any) {
		s, in, granted := state.(counts), input.(call), output.(bool)
		if fits := s.used+in.cost <= s.limit; in.cost > 0 && granted != fits {
			return false, s
		}
		if granted {
			s.used += in.cost
		}
		s.used -= in.back
		s.limit += in.more
		return true, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %v", input, output) },
}

const linearLimit = 60

// TestLinearizable: every history of takes, settlements and extensions could have happened one after the other.
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
	record := func(client int, in call, f func() bool) {
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
				var granted bool
				record(client, call{cost: cost}, func() bool {
					var err error
					charge, err = l.TakeAt(t.Context(), noon, k, q, cost)
					granted = err == nil
					return granted
				})
				switch dice := r.IntN(12); {
				case dice < 4 && granted:
					back := 1 + r.Int64N(cost)
					record(client, call{back: back}, func() bool { return charge.Settle(t.Context(), cost-back) == nil })
				case dice == 11:
					more := r.Int64N(9) - 3
					record(client, call{more: more}, func() bool {
						_, err := l.ExtendAt(t.Context(), noon, k, q, ledger.Adjustment{Delta: more})
						return err == nil
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
			ops[i].Output = !ops[i].Output.(bool)
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
