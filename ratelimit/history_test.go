package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// The histories that many goroutines produce must be linearizable: each call takes effect at one instant between its
// beginning and its end, and the bucket's TAT is then what the model says to the unit. Calls carry their readings of a
// clock of this test's, and pause between reading and calling, so that readings are stale when they arrive.

type kind uint8

const (
	take kind = iota
	look
	undo
	setLimit
	setKeyLimit
	clearKeyLimit
)

// A call of kind undo is of a take that the same goroutine has made.
type call struct {
	kind  kind
	key   int
	n     int64
	rule  rule
	taken taken
}

// A rule is a limit of a/b tokens per nanosecond, in lowest terms.
type rule struct{ a, b, burst int64 }

func (r rule) limit() Limit { return Limit{Rate: float64(r.a) * 1e9 / float64(r.b), Burst: r.burst} }

var rules = []rule{{1, 8, 3}, {3, 8, 4}, {5, 8, 2}, {1, 4, 3}, {7, 16, 3}, {2, 3, 4}}

type reply struct {
	outcome
	now   int64 // the reading that decided
	after int64 // a reading after the call
	left  int64 // the TAT after an undo, 0 if nothing came back
}

// model is one bucket, in whole units.
type model struct {
	tat       int64
	mode      mode // in force
	others    mode // in force for all keys that have no limit of their own
	exclusive bool
}

type mode struct {
	rule
	start int64
}

func (m mode) clock(now int64) int64 { return 1 + m.a*max(now-m.start, 0) }

// enter changes to another mode; what is owed stays, rounded up to a unit.
func (m *model) enter(to mode, now int64) {
	debt := max(m.tat-m.mode.clock(now), 0)
	m.tat, m.mode = to.clock(now)+(debt*to.b+m.mode.b-1)/m.mode.b, to
}

// step applies a call, and reports whether its answer is right.
func (m *model) step(c call, got reply) bool {
	clock, cost := m.mode.clock(got.now), c.n*m.mode.b
	level := max(m.tat, clock)
	affordable := level <= clock+m.mode.burst*m.mode.b-cost
	switch c.kind {
	case take:
		if affordable {
			m.tat, level = level+cost, level+cost
		}
		return got.ok() == affordable && max(got.tat, clock) == level
	case look:
		return got.ok() == affordable && max(got.tat, clock) == level
	case undo:
		return m.gives(m.owing(c.taken, clock), got) || m.tat == c.taken.tat && m.gives(m.owingAtLeast(c.taken, clock), got)
	case setLimit:
		m.others = mode{c.rule, got.now}
		if !m.exclusive {
			m.enter(m.others, got.now)
		}
	case setKeyLimit:
		m.exclusive = true
		m.enter(mode{c.rule, got.now}, got.now)
	case clearKeyLimit:
		if m.exclusive {
			m.exclusive = false
			m.enter(m.others, got.now)
		}
	}
	return true
}

// gives reports whether an undo may have answered so if it gives so much back.
func (m *model) gives(back int64, got reply) bool {
	if got.left == 0 { // perhaps a key that has lost its slot
		return back <= 0 || m.tat <= m.mode.clock(got.after)
	}
	// A table does not go below its floor, which is at most the true clock.
	least, most := m.tat-back, max(m.tat-back, min(m.tat, m.mode.clock(got.after)))
	if back <= 0 || got.left < least || got.left > most {
		return false
	}
	m.tat = got.left
	return true
}

// owing is how much of a take is given back: nothing if the limit has changed, and at most what has not flowed back by
// itself.
func (m *model) owing(k taken, clock int64) int64 {
	if k.seg.start != m.mode.start || k.seg.limit != m.mode.limit() {
		return 0
	}
	if m.tat == k.tat {
		return min(k.n*m.mode.b, m.tat-clock)
	}
	return m.owingAtLeast(k, clock)
}

// owingAtLeast is what comes back if others may have used what has flowed in since the take. A bucket must assume so if
// an undo has lowered the TAT under later takes, though the TAT is again that of the take.
func (m *model) owingAtLeast(k taken, clock int64) int64 {
	if k.seg.start != m.mode.start || k.seg.limit != m.mode.limit() {
		return 0
	}
	return k.n*m.mode.b - max(clock-m.mode.clock(k.now), 0)
}

func linearizable(first rule) porcupine.Model {
	return porcupine.Model{
		Partition: byKey,
		Init:      func() any { return model{mode: mode{first, 0}, others: mode{first, 0}} },
		Step: func(state, input, output any) (bool, any) {
			m := state.(model)
			ok := m.step(input.(call), output.(reply))
			return ok, m
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %+v", input, output) },
	}
}

// byKey splits a history by key. A change of the limit of all belongs to each.
func byKey(history []porcupine.Operation) (parts [][]porcupine.Operation) {
	byKey := map[int][]porcupine.Operation{}
	for _, op := range history {
		byKey[op.Input.(call).key] = nil
	}
	for key := range byKey {
		for _, op := range history {
			if c := op.Input.(call); c.key == key || c.kind == setLimit {
				byKey[key] = append(byKey[key], op)
			}
		}
		parts = append(parts, byKey[key])
	}
	return parts
}

// A subject is what the calls are made on.
type subject interface {
	call(c call, now int64, clock func() int64) (o outcome, left int64)
}

type bucketSubject struct{ *Bucket }

func (s bucketSubject) call(c call, now int64, clock func() int64) (o outcome, left int64) {
	switch c.kind {
	case take:
		o = s.take(now, c.n)
	case look:
		o = s.look(now, c.n)
	case undo:
		left = s.undo(clock, c.taken)
	default:
		_ = s.setLimit(clock, c.rule.limit())
	}
	return o, left
}

type keyedSubject struct {
	*keyed
	names []fingerprint
}

func (s keyedSubject) call(c call, now int64, clock func() int64) (o outcome, left int64) {
	n := s.names[c.key]
	switch c.kind {
	case take:
		o = s.take(now, n, c.n)
	case look:
		if o = s.look(now, n, c.n); o.verdict == retry {
			o = s.lookSlow(now, n, c.n)
		}
	case undo:
		left = s.undo(clock, n, c.taken)
	case setLimit:
		s.setLimit(clock, c.rule.limit())
	case setKeyLimit:
		s.setKeyLimit(clock, n, c.rule.limit())
	case clearKeyLimit:
		s.clearKeyLimit(clock, n)
	}
	return o, left
}

// record lets goroutines make their calls and returns the history.
func record(s subject, scripts [][]call) []porcupine.Operation {
	var clock, stamps atomic.Int64
	read := func() int64 { return clock.Add(1) }
	histories := make([][]porcupine.Operation, len(scripts))
	var group sync.WaitGroup
	start := make(chan struct{})
	for id, script := range scripts {
		group.Go(func() {
			<-start
			var held []call // undos that may be made, the last take first
			for i, c := range script {
				if c.kind == undo {
					if len(held) == 0 {
						continue
					}
					c, held = held[len(held)-1], held[:len(held)-1]
				}
				op := porcupine.Operation{ClientId: id, Input: c, Call: stamps.Add(1)}
				now := read()
				if i%2 == 0 {
					runtime.Gosched() // the reading grows stale
				}
				got := reply{now: now}
				got.outcome, got.left = s.call(c, now, func() int64 { got.now = read(); return got.now })
				if c.kind == take && got.ok() {
					held = append(held, call{kind: undo, key: c.key, taken: taken{got.outcome, c.n}})
				}
				if got.outcome.seg != nil {
					got.now = got.outcome.now
				}
				got.after = read()
				op.Output, op.Return = got, stamps.Add(1)
				histories[id] = append(histories[id], op)
			}
		})
	}
	close(start)
	group.Wait()
	var history []porcupine.Operation
	for _, h := range histories {
		history = append(history, h...)
	}
	return history
}

func requireLinearizable(t *testing.T, seed uint64, first rule, history []porcupine.Operation) {
	t.Helper()
	if porcupine.CheckOperations(linearizable(first), history) {
		return
	}
	for _, part := range byKey(history) {
		if !porcupine.CheckOperations(linearizable(first), part) {
			for _, op := range part {
				t.Logf("%d: %d to %d: %+v: %+v", op.ClientId, op.Call, op.Return, op.Input, op.Output)
			}
		}
	}
	t.Fatalf("history %d, which begins with %+v, is not linearizable", seed, first)
}

func TestBucketHistoriesAreLinearizable(t *testing.T) {
	for seed := range uint64(heavy(40_000)) {
		r := rand.New(rand.NewPCG(seed, 5))
		first := rules[r.IntN(len(rules))]
		b, err := NewBucket(first.limit())
		require.NoError(t, err)
		scripts := make([][]call, 4)
		for i := range scripts {
			for range 12 {
				c := call{kind: take, n: 1 + r.Int64N(2)}
				switch r.IntN(12) {
				case 0, 1:
					c.kind = undo
				case 2:
					c.kind = look
				case 3:
					c = call{kind: setLimit, rule: rules[r.IntN(len(rules))]}
				}
				scripts[i] = append(scripts[i], c)
			}
		}
		requireLinearizable(t, seed, first, record(bucketSubject{b}, scripts))
	}
}

// Thirteen keys go through the eight slots of one group, so slots change hands all the time.
func TestTableHistoriesAreLinearizable(t *testing.T) {
	const keys = 13
	reused, overflowed := 0, 0
	histories := heavy(40_000)
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 6))
		first := rules[r.IntN(len(rules))]
		k := newKeyed(first.limit(), 5)
		require.Equal(t, 1, k.groups)
		names := make([]fingerprint, keys)
		for i := range names {
			names[i] = fingerprint(r.Uint64() | 1)
		}
		scripts := make([][]call, 4)
		for i := range scripts {
			for range 16 {
				c := call{kind: take, n: 1 + r.Int64N(2), key: min(r.IntN(keys), r.IntN(keys))}
				switch r.IntN(24) {
				case 0, 1, 2, 3:
					c.kind = undo
				case 4, 5:
					c.kind = look
				case 6:
					c.kind, c.rule = setLimit, rules[r.IntN(len(rules))]
				case 7:
					c.kind, c.rule = setKeyLimit, rules[r.IntN(len(rules))]
				case 8:
					c.kind = clearKeyLimit
				}
				scripts[i] = append(scripts[i], c)
			}
		}
		history := record(keyedSubject{k, names}, scripts)
		if k.shards[0].overflow != nil {
			overflowed++ // keys share, which TestOverflowNeverAdmitsMore looks at
			continue
		}
		seen := map[int]bool{}
		for _, op := range history {
			if c := op.Input.(call); c.kind == take && op.Output.(reply).ok() {
				seen[c.key] = true
			}
		}
		if len(seen) > ways {
			reused++
		}
		requireLinearizable(t, seed, first, history)
	}
	t.Logf("%d histories, %d left out for an overflow, %d with more keys than slots", histories, overflowed, reused)
	require.Less(t, overflowed, histories/4)
	require.Greater(t, reused, histories/2)
}

// TakeAll over two buckets that do not refill, while others take from one or undo a take, or a part of it. A call may
// be refused spuriously while another TakeAll is under way, which may hold tokens of its first bucket before those of
// the second; otherwise the answers are those of one instant, and in the end nothing was consumed by what was refused.
func TestTakeAllHistoriesAreLinearizable(t *testing.T) {
	for seed := range uint64(heavy(40_000)) {
		r := rand.New(rand.NewPCG(seed, 7))
		initial := [2]int64{1 + r.Int64N(6), 1 + r.Int64N(6)}
		var buckets [2]Ref
		for i, burst := range initial {
			b, err := NewBucket(Limit{Burst: burst})
			require.NoError(t, err)
			buckets[i] = b.Ref()
			if r.IntN(2) == 0 {
				l, err := New(Config[int]{Limit: Limit{Burst: burst}, MaxKeys: 1 + r.IntN(20)})
				require.NoError(t, err)
				buckets[i] = l.Ref(r.Int())
			}
		}
		scripts := make([][]allCall, 4)
		for i := range scripts {
			for range 8 {
				c := allCall{n: 1 + r.Int64N(2), first: r.IntN(2)}
				switch r.IntN(4) {
				case 0:
					c.single = true
				case 1:
					c.single, c.give = true, true
				}
				scripts[i] = append(scripts[i], c)
			}
		}
		history := recordAll(buckets, scripts)
		require.True(t, porcupine.CheckOperations(allModel(initial), history), "history %d is not linearizable: %+v", seed, history)
		left := initial
		for _, op := range history {
			c := op.Input.(allCall)
			for i := range left {
				if op.Output.(bool) && (!c.single || c.first == i) {
					left[i] -= c.sign() * c.n
				}
			}
		}
		for i := range left {
			require.Equal(t, left[i], buckets[i].Peek(time.Now()).Remaining, "history %d, bucket %d", seed, i)
		}
	}
}

// An allCall takes n from both buckets, or from the first one alone, or gives back to that what its goroutine has
// taken.
type allCall struct {
	n            int64
	first        int
	single, give bool
	excused      bool // another TakeAll ran at the same time
}

func (c allCall) sign() int64 {
	if c.give {
		return -1
	}
	return 1
}

// do makes the call, for a goroutine that holds some receipts for each bucket.
func (c *allCall) do(buckets [2]Ref, held *[2][]Receipt) bool {
	mine, other := &held[c.first], &held[1-c.first]
	switch {
	case c.give:
		if len(*mine) == 0 {
			return false
		}
		last := len(*mine) - 1
		r := (*mine)[last]
		*mine, c.n = (*mine)[:last], min(c.n, r.n)
		r.Undo(c.n)
		return true
	case c.single:
		r := buckets[c.first].Take(time.Now(), c.n)
		if r.ok() {
			*mine = append(*mine, r)
		}
		return r.Decision().OK
	default:
		var receipts [2]Receipt
		_, ok := TakeAll(time.Now(), c.n, []Ref{buckets[c.first], buckets[1-c.first]}, receipts[:])
		if ok {
			*mine, *other = append(*mine, receipts[0]), append(*other, receipts[1])
		}
		return ok
	}
}

func recordAll(buckets [2]Ref, scripts [][]allCall) (history []porcupine.Operation) {
	var stamps atomic.Int64
	histories := make([][]porcupine.Operation, len(scripts))
	var group sync.WaitGroup
	start := make(chan struct{})
	for id, script := range scripts {
		group.Go(func() {
			var held [2][]Receipt
			<-start
			for _, c := range script {
				op := porcupine.Operation{ClientId: id, Call: stamps.Add(1)}
				done := c.do(buckets, &held)
				if c.give && !done {
					continue
				}
				op.Input, op.Output, op.Return = c, done, stamps.Add(1)
				histories[id] = append(histories[id], op)
			}
		})
	}
	close(start)
	group.Wait()
	for _, h := range histories {
		history = append(history, h...)
	}
	for i := range history {
		c := history[i].Input.(allCall)
		for j := range history {
			other := history[j].Input.(allCall)
			if i != j && !other.single && history[j].Call < history[i].Return && history[i].Call < history[j].Return {
				c.excused = true
			}
		}
		history[i].Input = c
	}
	return history
}

func allModel(initial [2]int64) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(state, input, output any) (bool, any) {
			left, c := state.([2]int64), input.(allCall)
			if !output.(bool) {
				return c.excused || left[c.first] < c.n || !c.single && left[1-c.first] < c.n, left
			}
			left[c.first] -= c.sign() * c.n
			if !c.single {
				left[1-c.first] -= c.n
			}
			return left[0] >= 0 && left[1] >= 0, left
		},
	}
}
