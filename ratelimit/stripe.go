package ratelimit

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// stripes hold at most size tokens each. What they hold or are about to get and what the bucket holds never exceed
// limit.Burst together, and grow by limit.Rate only; each admission takes some away. That is the bound.
//
// It rests on two rules, for a call may be stopped for long at any step. A stripe's tokens become more only by who has it
// locked, and while he carries tokens to it nobody else can: so none carries more than the stripe has room for. And who
// draws tokens to be used later reads the clock while he has the stripe locked: with an earlier reading he would draw what
// has flowed in since then a second time.
type stripes struct {
	limit Limit
	size  int64
	list  []stripe // a power of two of them, or none
}

// maxStripe is the most that a stripe holds: then one call in 64 goes to the bucket, and larger ones gain little.
const maxStripe = 64

// A stripe is apart from its neighbours by 512 bytes: more than the line pairs and streams that processors fetch ahead.
type stripe struct {
	left atomic.Int64
	mu   sync.Mutex // held while left becomes more, and by SetLimit
	_    [496]byte
}

func newStripes(l Limit) *stripes {
	set := &stripes{limit: l}
	n := 1
	for n < runtime.GOMAXPROCS(0) {
		n *= 2
	}
	if set.size = min(l.Burst/4/int64(n), maxStripe); set.size > 0 && !math.IsInf(l.Rate, 1) {
		set.list = make([]stripe, n)
	}
	return set
}

// behind is the limit of the bucket behind the stripes.
func (set *stripes) behind() Limit {
	return Limit{Rate: set.limit.Rate, Burst: set.limit.Burst - set.room()}
}

// room is what the stripes hold at most.
func (set *stripes) room() int64 { return int64(len(set.list)) * set.size }

// stock is what the stripes hold.
func (set *stripes) stock() (tokens int64) {
	for i := range set.list {
		tokens += set.list[i].left.Load()
	}
	return tokens
}

func (set *stripes) mine() *stripe {
	if len(set.list) == 0 {
		return nil
	}
	return &set.list[processor()&(len(set.list)-1)]
}

// spend takes n tokens from this processor's stripe, if they are there.
func (set *stripes) spend(n int64) bool {
	st := set.mine()
	if st == nil || n < 1 {
		return false
	}
	left := st.left.Load()
	return left >= n && st.left.CompareAndSwap(left, left-n)
}

// steal takes n tokens from any one stripe that holds them. Like all that refuses, it writes no shared memory then.
func (set *stripes) steal(n int64) bool {
	for i := range set.list {
		if st := &set.list[i]; st.remove(n, n) == n {
			return true
		}
	}
	return false
}

// lock locks all stripes: the order is always the same, and who has locked one waits for no other.
func (set *stripes) lock() {
	for i := range set.list {
		set.list[i].mu.Lock()
	}
}

func (set *stripes) unlock() {
	for i := range set.list {
		set.list[i].mu.Unlock()
	}
}

// remove takes up to n tokens out of the stripes.
func (set *stripes) remove(n int64) (tokens int64) {
	for i := range set.list {
		tokens += set.list[i].remove(1, n-tokens)
	}
	return tokens
}

// add puts n tokens into the stripes, which are locked and have room for them.
func (set *stripes) add(n int64) {
	for i := range set.list {
		st := &set.list[i]
		n -= st.add(min(n, set.size-st.left.Load()))
	}
}

// remove takes up to n tokens out of the stripe, if there are least.
func (st *stripe) remove(least, n int64) int64 {
	for {
		left := st.left.Load()
		some := min(left, n)
		if some < least {
			return 0
		}
		if st.left.CompareAndSwap(left, left-some) {
			return some
		}
	}
}

// add puts n tokens into the stripe, which is locked and has room for them.
func (st *stripe) add(n int64) int64 {
	if n < 1 {
		return 0
	}
	st.left.Add(n)
	return n
}
