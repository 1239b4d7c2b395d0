package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// linearLimit is so small that a history reaches it again and again.
const linearLimit = 30

// call is an operation of a history: a take of cost units, the settlement of a charge that gives back some, or, with
// neither, the reading of the balance.
type call struct {
	cost, back int64

	// unknown is the number of a take whose answer was lost, from 1. It stands for two operations that may happen or
	// not: the take, and with undo its being given back.
	unknown int
	undo    bool
}

// counter is the state of an account.
type counter struct {
	used  int64
	taken uint64 // the takes without an answer that are counted, a bit for each
}

// counterModel says what an account does if it does one thing after the other. A take is granted if, and only if, there
// is enough. What the answer would have told is not known of a take without one, so two states may follow.
//
// Example: 28 of 30 are used. A take of 2 has lost its answer, and another of 2 is refused. So the first one was
// counted. Its ledger gives it back, and a third take of 2 is granted. The model allows all of that. Had the third been
// granted before, with 30 units used, no order would explain it.
var counterModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{counter{}} },
	Step: func(state, input, output any) []any {
		s, in := state.(counter), input.(call)
		switch {
		case in.unknown != 0:
			return append(s.lost(in), s)
		case in.back > 0:
			s.used -= in.back
			return []any{s}
		case in.cost == 0:
			return only(s, output.(int64) == s.used)
		}
		fits := s.used+in.cost <= linearLimit
		granted := output.(bool)
		if granted {
			s.used += in.cost
		}
		return only(s, granted == fits)
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %v", input, output) },
}).ToModel()

// lost returns the state in which a take without an answer, or its being given back, has happened, if it can.
func (s counter) lost(in call) []any {
	bit := uint64(1) << in.unknown
	switch {
	case !in.undo && s.used+in.cost <= linearLimit:
		s.used, s.taken = s.used+in.cost, s.taken|bit
	case in.undo && s.taken&bit != 0:
		s.used, s.taken = s.used-in.cost, s.taken&^bit
	default:
		return nil
	}
	return []any{s}
}

func only(s counter, possible bool) []any {
	if !possible {
		return nil
	}
	return []any{s}
}

// history is what clients of several ledgers have done with one key. Client i uses ledger i modulo their number.
type history struct {
	key     ledger.Key
	quota   ledger.Quota
	began   time.Time
	mu      sync.Mutex
	ops     []porcupine.Operation
	lost    []porcupine.Operation // without an answer
	unknown int                   // how many takes are
}

// never is when an operation returns of which nobody knows when it has happened.
const never = 1 << 62

// record makes an operation of a call that f makes.
func (h *history) record(client int, in call, f func() (output any, known bool)) {
	op := porcupine.Operation{ClientId: client, Input: in, Call: int64(time.Since(h.began))}
	var known bool
	op.Output, known = f()
	op.Return = int64(time.Since(h.began))
	if !known {
		defer time.Sleep(restAfterFailure)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case known:
		h.ops = append(h.ops, op)
	case in.back > 0:
		h.lost = append(h.lost, op) // the ledger makes it later
	case in.cost > 0:
		h.unknown++
		op.Output = false
		for _, undo := range []bool{false, true} {
			in.unknown, in.undo = h.unknown, undo
			op.Input = in
			h.lost = append(h.lost, op)
		}
	}
}

// all returns the operations, with those whose answer was lost. A ledger clears these up with the next operation that
// reaches the store. So they have happened when the first call of the same ledger returns that began after the failure
// and succeeded.
//
// Example: a take of one ledger fails at 20 ms. A call of another ledger, from 25 to 30 ms, tells nothing about it. A
// call of the same ledger lasts from 80 to 90 ms. So at 90 ms the units of the take are not counted any more.
func (h *history) all(ledgers int) []porcupine.Operation {
	all := slices.Clone(h.ops)
	for i, op := range h.lost {
		failed := op.Return
		op.Return = never
		for _, o := range h.ops {
			if o.ClientId%ledgers == op.ClientId%ledgers && o.Call > failed {
				op.Return = min(op.Return, o.Return)
			}
		}
		op.ClientId = 100 + i // its client has gone on
		all = append(all, op)
	}
	return all
}

// restAfterFailure is longer than a ledger refuses everything after its engine has failed. Without it a client would
// make many calls meanwhile that tell nothing, and a history with many unknown outcomes takes very long to check.
const restAfterFailure = 60 * time.Millisecond

// work makes calls by way of one ledger.
func (h *history) work(t *testing.T, l *ledger.Ledger, client, calls int) {
	for range calls {
		if rand.IntN(4) == 0 {
			h.record(client, call{}, func() (any, bool) {
				b, err := l.Balance(t.Context(), h.key, h.quota)
				return b.Used, err == nil
			})
			continue
		}
		cost := 1 + rand.Int64N(4)
		var charge ledger.Charge
		var granted bool
		h.record(client, call{cost: cost}, func() (any, bool) {
			var err error
			charge, err = l.Take(t.Context(), h.key, h.quota, cost)
			granted = err == nil
			return granted, granted || errors.Is(err, ledger.ErrExhausted)
		})
		if granted && rand.IntN(3) > 0 {
			back := 1 + rand.Int64N(cost)
			h.record(client, call{back: back}, func() (any, bool) {
				return nil, charge.Settle(t.Context(), cost-back) == nil
			})
		}
	}
}

// histories returns how many of them are checked.
func histories() int {
	if heavy() {
		return 20
	}
	return 5
}

// maxUnknown is in how many takes without an answer a history is checked. The number of orders that explain it grows by
// powers: with 14 of them a check took more than a minute.
const maxUnknown = 6

// TestLinearizable: two exact ledgers over one server, each with a client of its own, are as one counter with a bound.
// That holds also while connections break and answers are lost: what has lost its answer has happened or not.
func TestLinearizable(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		for _, cutting := range []bool{false, true} {
			t.Run(fmt.Sprintf("cuts=%t", cutting), func(t *testing.T) {
				p, all := behind(t, s.place(fmt.Sprint("linear-", cutting)))
				ledgers := []*ledger.Ledger{exactLedger(t, p), exactLedger(t, p)}
				checked, lost := 0, 0
				for n := 0; checked < histories() && n < 4*histories(); n++ {
					h := oneHistory(t, ledgers, fmt.Sprint(n), func() {
						if cutting {
							all[rand.IntN(len(all))].cutWrite.Store(true)
						}
					})
					all.each(func(p *proxy) { p.cutWrite.Store(false) })
					if h.unknown > maxUnknown {
						continue
					}
					got := porcupine.CheckOperationsTimeout(counterModel, h.all(len(ledgers)), 10*time.Second)
					require.NotEqual(t, porcupine.Illegal, got, "history %d is not linearizable", n)
					if got == porcupine.Ok {
						checked, lost = checked+1, lost+h.unknown
					}
				}
				t.Logf("%d histories, %d answers to takes were lost", checked, lost)
				require.NotZero(t, checked)
				for _, l := range ledgers {
					require.NoError(t, l.Close())
				}
			})
		}
	})
}

// oneHistory has four clients work. fault is called a few times meanwhile.
func oneHistory(t *testing.T, ledgers []*ledger.Ledger, subject string, fault func()) *history {
	h := &history{
		key: ledger.Key{Plan: "history", Subject: subject}, began: time.Now(),
		quota: (&spec{Limit: linearLimit, Midnight: time.Now().Add(12 * time.Hour).Unix()}).quota(0),
	}
	var wg sync.WaitGroup
	for client := range 4 {
		wg.Go(func() { h.work(t, ledgers[client%len(ledgers)], client, 40) })
	}
	wg.Go(func() {
		for range 2 {
			time.Sleep(20 * time.Millisecond)
			fault()
		}
	})
	wg.Wait()
	return h
}

// exactLedger asks the store also where it remembers that a key was exhausted, as the other ledger may have given
// something back.
func exactLedger(t *testing.T, p place) *ledger.Ledger {
	t.Helper()
	engine, err := p.open(t.Context())
	require.NoError(t, err)
	l, err := ledger.New(ledger.Config{Engine: engine, Exact: true, Stale: -1, Timeout: 10 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestModelNotices: a history with one wrong answer is refused.
func TestModelNotices(t *testing.T) {
	for name, wrong := range map[string]func(op *porcupine.Operation) bool{
		"a take": func(op *porcupine.Operation) bool {
			granted, is := op.Output.(bool)
			op.Output = !granted
			return is
		},
		"a balance": func(op *porcupine.Operation) bool {
			used, is := op.Output.(int64)
			op.Output = used + linearLimit + 1
			return is
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Exact: true, Stale: -1})
			require.NoError(t, err)
			h := oneHistory(t, []*ledger.Ledger{l}, "wrong", func() {})
			require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(counterModel, h.ops, 20*time.Second))
			for i := range h.ops {
				if op := h.ops[i]; wrong(&op) {
					h.ops[i] = op
					break
				}
			}
			require.Equal(t, porcupine.Illegal, porcupine.CheckOperationsTimeout(counterModel, h.ops, 20*time.Second))
		})
	}
}
