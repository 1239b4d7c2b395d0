package ledger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const dayLong = 86400

// life is a ledger life over rows, with the batch that it has sent last.
type life struct {
	*rows
	number uint64
	last   *batch
	outs   []outcome
	traces map[Key]*trace
}

func (l *life) send(t *testing.T, ops ...op) []outcome {
	t.Helper()
	l.number++
	l.last = &batch{ops: l.traced(ops), number: l.number}
	outs, errs, err := l.apply(t.Context(), l.last)
	require.NoError(t, err)
	require.Nil(t, errs)
	l.outs = slices.Clone(outs)
	return l.outs
}

// again repeats the last batch.
func (l *life) again(t *testing.T) []outcome {
	t.Helper()
	b := *l.last
	b.repeat = true
	outs, errs, err := l.apply(t.Context(), &b)
	require.NoError(t, err)
	require.Nil(t, errs)
	return slices.Clone(outs)
}

// traced returns ops with what the life knows of their rows.
func (l *life) traced(ops []op) []op {
	for i := range ops {
		k := ops[i].account.Key
		if l.traces[k] == nil {
			l.traces[k] = new(trace)
		}
		ops[i].trace = l.traces[k]
	}
	return ops
}

// newLife is a life that keeps history for ever.
func newLife(e Engine, format uint8) *life {
	l := &life{rows: newRows(e, rand.Uint64(), format), traces: make(map[Key]*trace)}
	l.keep = 1 << 40
	return l
}

// scene makes random operations on a few keys in the course of time.
type scene struct {
	*rand.Rand
	keys   []Key
	now    int64
	length int64 // of a period
	leases uint64
	ids    int
	open   []op // reserves that were granted, with held and spent
}

func newScene(seed uint64) *scene {
	s := &scene{Rand: rand.New(rand.NewPCG(seed, 16)), now: 1_700_000_000 / dayLong * dayLong}
	for i := range 1 + s.IntN(3) {
		s.keys = append(s.keys, Key{[]string{"a", "ab", "a"}[i], []string{"b", "", "bc"}[i] + "s"})
	}
	s.length = []int64{1, 1, 7, 31}[s.IntN(4)] * dayLong
	return s
}

func (s *scene) account(at int64) (Account, int64) {
	return Account{s.keys[s.IntN(len(s.keys))], at / s.length * s.length}, at / dayLong * dayLong
}

func (s *scene) op() op {
	at := s.now
	k := []kind{
		read, charge, charge, charge, charge, trueUp, trueUp, refund, refund, reserve, reserve, giveBack, giveBack,
		extend, correct, setRemaining, tell, tell, grow, grow,
	}[s.IntN(20)]
	if !k.current() || s.IntN(20) == 0 { // late
		at -= s.Int64N(1 + []int64{0, dayLong, 5 * dayLong, 70 * dayLong}[s.IntN(4)])
	}
	o := op{kind: k, time: s.now, limit: []int64{50, 100, 100, 100, 120}[s.IntN(5)], want: s.Int64N(20)}
	o.account, o.day = s.account(at)
	switch k {
	case charge:
		o.min = o.want * s.Int64N(2)
	case trueUp:
		o.force, o.inForce = s.IntN(3) == 0, s.IntN(3) == 0
	case grow:
		o.min, o.inForce = o.want, s.IntN(3) == 0
	case reserve, giveBack:
		o.need = s.Int64N(20) * s.Int64N(2)
		s.lease(&o)
	case extend, correct:
		o.want -= 8
		fallthrough
	case setRemaining:
		s.ids++
		o.id, o.reason, o.actor = fmt.Sprint("id", s.ids-s.IntN(1+s.IntN(4))), "why", "who"
	case tell:
		o.want = []int64{50, 80, 100}[s.IntN(3)]
	}
	if s.IntN(4) > 0 {
		o.thresholds = []int{50, 80, 100}
	}
	return o
}

// lease makes o one for a lease that is open, or a new one, or one that nobody knows.
func (s *scene) lease(o *op) {
	if i := s.IntN(len(s.open) + 1); i < len(s.open) {
		l := &s.open[i]
		o.account, o.day, o.lease, o.held = l.account, l.day, l.lease, l.held
		o.spent = l.spent + s.Int64N(max(0, l.held-l.spent)+1)
		l.spent = o.spent
		if o.kind == giveBack {
			s.open = slices.Delete(s.open, i, i+1)
		}
		return
	}
	s.leases++
	o.lease = s.leases
	o.held = s.Int64N(10) / 9
}

// learn takes in the outcome of a reservation.
func (s *scene) learn(o *op, out *outcome) {
	if o.kind != reserve {
		return
	}
	i := slices.IndexFunc(s.open, func(l op) bool { return l.lease == o.lease })
	if i >= 0 {
		s.open[i].held += out.granted
	} else if out.granted > 0 {
		l := *o
		l.held = out.granted
		s.open = append(s.open, l)
	}
}

// requireModel compares all that rows can tell of a key with the model.
func requireModel(t *testing.T, r *rows, m model, k Key) {
	t.Helper()
	var got []accountDays
	for a, err := range r.usage(t.Context(), k, -1<<40, 1<<40) {
		require.NoError(t, err)
		got = append(got, accountDays{a.totals, slices.Clone(a.days)})
	}
	var want []accountDays
	var changes []Change
	if m[k] != nil {
		for _, a := range m[k].accounts {
			want = append(want, accountDays{a.sum(), a.days})
			for _, c := range a.changes[max(0, len(a.changes)-rememberedChanges):] {
				old := change(c)
				changes = append(changes, old.export(Account{k, a.start}))
			}
		}
	}
	require.Equal(t, want, got)
	var found []Change
	for c, err := range r.adjustments(t.Context(), k, 0, 1<<40) {
		require.NoError(t, err)
		found = append(found, c)
	}
	require.Equal(t, changes, found)
}

// TestRowsAreAsTheModel makes random operations by two lives in turn, some of which are repeated as if the answer had
// been lost, and compares each outcome with the model's, and now and then everything.
func TestRowsAreAsTheModel(t *testing.T) {
	for seed := range seeds(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			e, m, s := NewMemory(), model{}, newScene(seed)
			lives := []*life{newLife(e, 1), newLife(e, 2)}
			for step := range 150 {
				i := s.IntN(len(lives))
				l := lives[i]
				switch s.IntN(12) {
				case 0: // a restart
					lives[i] = newLife(e, uint8(1+s.IntN(2)))
					continue
				case 1:
					s.now += s.Int64N(2 * s.length)
				case 2:
					s.now += s.Int64N(dayLong)
				}
				ops := make([]op, 1+s.IntN(1+s.IntN(8)))
				for i := range ops {
					ops[i] = s.op()
				}
				outs := l.send(t, ops...)
				for i := range ops {
					want := m.apply(&ops[i])
					require.Equal(t, want, outs[i], "step %d, op %d: %+v", step, i, ops[i])
				}
				for i := range ops {
					s.learn(&ops[i], &outs[i])
				}
				if other := lives[s.IntN(len(lives))]; other.last != nil && s.IntN(3) == 0 {
					requireRepeated(t, other, other.again(t), m)
				}
				if s.IntN(10) == 0 {
					for _, k := range s.keys {
						requireModel(t, l.rows, m, k)
					}
				}
			}
			for _, k := range s.keys {
				requireModel(t, lives[0].rows, m, k)
			}
		})
	}
}

// requireRepeated: a repeated operation tells what it told the first time, if it made something, and makes nothing. One
// that was refused may be decided anew.
func requireRepeated(t *testing.T, l *life, outs []outcome, m model) {
	t.Helper()
	for i, out := range outs {
		o, first := &l.last.ops[i], l.outs[i]
		switch {
		case !o.kind.sequenced() || first.replayed || first.forgotten:
		case first.granted > 0 || o.kind == refund && !first.refused || o.kind == giveBack && !first.refused && !first.gone:
			require.True(t, out.replayed, "op %d: %+v: %+v, then %+v", i, o, first, out)
			require.Equal(t, first.granted, out.granted)
		}
		if out.replayed || out.forgotten {
			continue
		}
		want := m.apply(o)
		require.Equal(t, want, out, "op %d decided anew: %+v", i, o)
	}
	l.outs = outs
}

// TestLivesInParallel: what concurrent lives are told adds up, while others read.
func TestLivesInParallel(t *testing.T) {
	e := NewMemory()
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			l := newLife(e, 1)
			for i := range 300 {
				at := func(o *op) {
					o.account.Start += int64(i/20) * dayLong
					o.day, o.limit, o.want = o.account.Start, 50, 3
				}
				for _, out := range l.send(t, with(charge, at), with(charge, at), with(trueUp, at)) {
					granted.Add(out.granted)
				}
				for a, err := range l.usage(t.Context(), someKey, 0, 1<<40) {
					require.NoError(t, err)
					require.LessOrEqual(t, a.used, int64(50))
				}
			}
		})
	}
	wg.Wait()
	var used int64
	for a, err := range newLife(e, 1).usage(t.Context(), someKey, 0, 1<<40) {
		require.NoError(t, err)
		used += a.used
	}
	require.Equal(t, granted.Load(), used)
	require.EqualValues(t, 15*50, used)
}
