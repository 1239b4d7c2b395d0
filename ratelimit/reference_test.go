package ratelimit

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heavy is n, or a tenth of it unless the heavy counts are asked for.
func heavy(n int) int {
	if os.Getenv("TALLYGATE_HEAVY") != "" {
		return n
	}
	return n / 10 / lighter
}

// reference is the token bucket in exact arithmetic, all in tokens. Its clock counts what has flowed in since the
// bucket's making; full is the reading at which it will be full.
type reference struct {
	rate, burst *big.Rat // rate per nanosecond
	start       int64
	full        *big.Rat
	// slack is by how much a bucket with TATs may differ: nothing if all was exact, else units in tokens.
	slack *big.Rat
}

func newReference(rate *big.Rat, burst int64, slack *big.Rat) *reference {
	return &reference{rate: rate, burst: new(big.Rat).SetInt64(burst), full: new(big.Rat), slack: slack}
}

func (r *reference) clock(now int64) *big.Rat {
	return new(big.Rat).Mul(r.rate, new(big.Rat).SetInt64(max(now-r.start, 0)))
}

func (r *reference) debt(now int64) *big.Rat {
	d := new(big.Rat).Sub(r.full, r.clock(now))
	if d.Sign() < 0 {
		return new(big.Rat)
	}
	return d
}

// spare is what the bucket holds beyond n tokens, negative if it holds less.
func (r *reference) spare(now, n int64) *big.Rat {
	s := new(big.Rat).Sub(r.burst, r.debt(now))
	return s.Sub(s, new(big.Rat).SetInt64(n))
}

func (r *reference) add(now, n int64) {
	d := r.debt(now)
	if d.Add(d, new(big.Rat).SetInt64(n)); d.Sign() < 0 {
		return // a refund to a bucket that is full
	}
	r.full = d.Add(d, r.clock(now))
}

func (r *reference) setLimit(now int64, rate *big.Rat, burst int64, slack *big.Rat) {
	debt := r.debt(now)
	r.rate, r.burst, r.start, r.full = rate, new(big.Rat).SetInt64(burst), now, debt
	r.slack = slack
}

// debtYears is how long the debt takes to flow back at a rate.
func (r *reference) debtYears(now int64, rate *big.Rat) float64 {
	debt, _ := r.debt(now).Float64()
	perNano, _ := rate.Float64()
	return debt / (perNano + 1e-30) / (365 * 86400 * 1e9)
}

// wait is the shortest time after which the clock has gone on by the given tokens.
func (r *reference) wait(now int64, tokens *big.Rat) time.Duration {
	switch {
	case tokens.Sign() <= 0:
		return 0
	case r.rate.Sign() == 0:
		return Never
	}
	before := big.NewRat(max(r.start-now, 0), 1)
	d := before.Add(before, tokens.Quo(tokens, r.rate))
	n := new(big.Int).Add(d.Num(), d.Denom())
	n.Sub(n, big.NewInt(1)).Div(n, d.Denom())
	return time.Duration(n.Int64())
}

func (r *reference) decision(now, n int64) Decision {
	spare := r.spare(now, n)
	d := Decision{OK: spare.Sign() >= 0, Limit: r.burst.Num().Int64()}
	if d.OK {
		r.add(now, n)
	} else if d.RetryAfter = r.wait(now, spare.Neg(spare)); n > d.Limit {
		d.RetryAfter = Never
	}
	left := r.spare(now, 0)
	if left.Sign() > 0 {
		d.Remaining = new(big.Int).Div(left.Num(), left.Denom()).Int64()
	}
	d.ResetAfter = r.wait(now, r.debt(now))
	return d
}

// exactLimit draws a limit of a/b tokens per nanosecond for a ≤ 16, and exactLimit's rational rate.
func exactLimit(r *rand.Rand) (Limit, *big.Rat) {
	a, b := 1+r.Int64N(16), 1+r.Int64N(1<<r.IntN(50))
	burst := 1 + r.Int64N(1<<r.IntN(60))
	rate := big.NewRat(a, b)
	burst = min(burst, maxBurst/rate.Denom().Int64())
	l := Limit{Rate: float64(a) * 1e9 / float64(b), Burst: burst}
	if l.Rate > maxRate {
		return exactLimit(r)
	}
	if r.IntN(50) == 0 {
		return Limit{Burst: burst}, new(big.Rat)
	}
	return l, rate
}

// anyLimit draws a rate from one a century to 2^40 a second, each magnitude alike.
func anyLimit(r *rand.Rand) (Limit, *big.Rat) {
	for {
		l := Limit{Rate: math.Exp2(-32 + 72*r.Float64()), Burst: 1 + r.Int64N(1<<r.IntN(60))}
		if l.Validate() == nil {
			rate := new(big.Rat).SetFloat64(l.Rate)
			return l, rate.Quo(rate, big.NewRat(1e9, 1))
		}
	}
}

// drawTime goes on by about what the bucket needs for some tokens, now and then far ahead or back, but not beyond the
// horizon.
func drawTime(r *rand.Rand, now int64, b *Bucket) int64 {
	s := b.contents.Load().seg
	l, last := s.limit, s.start+int64(min(s.span, 1<<60))
	token := 1e9 / max(l.Rate, 1e-6)
	switch step := r.Float64() * token * float64(1+r.Int64N(min(l.Burst, 1000))); r.IntN(10) {
	case 0:
		return max(now-int64(min(step, 1e17)), 0)
	case 1:
		return now
	case 2:
		return min(now+int64(min(step*1000, 1e17)), last)
	default:
		return min(now+int64(min(step, 1e17)), last)
	}
}

func drawTokens(r *rand.Rand, l Limit) int64 {
	switch r.IntN(6) {
	case 0:
		return l.Burst
	case 1:
		return 1 + r.Int64N(l.Burst)
	case 2:
		return min(l.Burst, math.MaxInt64-1) + 1
	default:
		return 1 + r.Int64N(min(l.Burst, 5))
	}
}

// A bucket of an exact rate decides as the reference does, and reports the same to the token and the nanosecond.
func TestExactRatesEqualTheReference(t *testing.T) {
	for seed := range uint64(heavy(10_000)) {
		equalsTheReference(t, fmt.Sprint("seed ", seed), rand.New(rand.NewPCG(seed, 1)))
	}
}

// takeAndUndo takes n tokens and gives back none of them, or some, at once. It returns how many stay taken.
func takeAndUndo(r *rand.Rand, b *Bucket, now, n int64) (d Decision, taken int64) {
	receipt := Receipt{b.Ref(), takenOf(b.take(now, n), n)}
	d = receipt.Decision()
	if n > 0 && d.OK && r.IntN(5) == 0 {
		back := 1 + r.Int64N(n)
		receipt.undo(func() int64 { return now }, back)
		n -= back
	}
	return d, n
}

// bucketSince makes a bucket, and returns the instant of its making, to the nanosecond.
func bucketSince(t *testing.T, limit Limit) (*Bucket, time.Time) {
	t.Helper()
	b, err := NewBucket(limit)
	require.NoError(t, err)
	return b, b.epoch
}

func takenOf(o outcome, n int64) taken { return taken{o, n} }

func equalsTheReference(t *testing.T, name string, r *rand.Rand) {
	t.Helper()
	limit, rate := exactLimit(r)
	b, _ := bucketSince(t, limit)
	ref := newReference(rate, limit.Burst, nil)
	if limit.Rate > 0 {
		require.Equal(t, rate.Denom().Int64(), b.contents.Load().seg.scale, "%v is exact", limit)
	}
	for now, step := int64(0), 0; step < 40; step++ {
		now = drawTime(r, now, b)
		n := drawTokens(r, limit)
		context := fmt.Sprintf("%s step %d: %v at %d, n %d", name, step, limit, now, n)
		got, taken := takeAndUndo(r, b, now, n)
		require.Equal(t, ref.decision(now, n), got, context)
		if got.OK {
			ref.add(now, taken-n) // the decision has taken n
		}
	}
}

// A bucket of any rate, through changes of the limit too, is at most 5/4 of a unit from the reference, and one more for
// each change, where a unit is what flows in in 1 to 2 ns, or one token above 10^9 a second.
func TestAnyRateStaysWithinAUnitOfTheReference(t *testing.T) {
	for seed := range uint64(heavy(10_000)) {
		staysByTheReference(t, fmt.Sprint("seed ", seed), rand.New(rand.NewPCG(seed, 2)))
	}
}

func staysByTheReference(t *testing.T, name string, r *rand.Rand) {
	t.Helper()
	draw := func() (Limit, *big.Rat) {
		if r.IntN(3) == 0 {
			return exactLimit(r)
		}
		return anyLimit(r)
	}
	limit, rate := draw()
	b, _ := bucketSince(t, limit)
	slack := func() *big.Rat { return big.NewRat(5, 4*b.contents.Load().seg.scale) }
	ref := newReference(rate, limit.Burst, slack())
	for now, step := int64(0), 0; step < 40; step++ {
		now = drawTime(r, now, b)
		n := drawTokens(r, limit)
		context := fmt.Sprintf("%s step %d: %v at %d, n %d", name, step, limit, now, n)
		switch r.IntN(12) {
		case 0:
			next, nextRate := draw()
			if ref.debtYears(now, nextRate) > 4 {
				continue // more than is carried over
			}
			limit, rate = next, nextRate
			was := ref.slack
			require.NoError(t, b.setLimit(func() int64 { return now }, limit))
			ref.setLimit(now, rate, limit.Burst, nil)
			ref.slack = new(big.Rat).Add(was, slack())
			ref.slack.Add(ref.slack, big.NewRat(1, b.contents.Load().seg.scale))
			continue
		}
		spare := ref.spare(now, n)
		peek := b.look(now, 1).decision(1)
		got, taken := takeAndUndo(r, b, now, n)
		require.True(t, n != 1 || peek.OK == got.OK && peek.RetryAfter == got.RetryAfter, context)
		if got.OK {
			require.True(t, spare.Add(spare, ref.slack).Sign() >= 0, context)
			ref.add(now, taken)
		} else if n <= limit.Burst {
			require.True(t, spare.Sub(spare, ref.slack).Sign() < 0, context)
		}
	}
}

// FuzzBucket lets the fuzzer draw what the two tests above draw at random: limits, instants with steps back, and calls.
func FuzzBucket(f *testing.F) {
	for seed := range uint64(8) {
		tape := make([]byte, 2000)
		_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(tape)
		f.Add(tape)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		equalsTheReference(t, "exact", rand.New(newTape(bytes)))
		staysByTheReference(t, "any", rand.New(newTape(bytes)))
	})
}

// A tape is a source of numbers that are read from bytes, and go on at random.
type tape struct {
	bytes []byte
	after rand.Source
}

func newTape(bytes []byte) *tape { return &tape{bytes, rand.NewPCG(uint64(len(bytes)), 9)} }

func (t *tape) Uint64() uint64 {
	if len(t.bytes) < 8 {
		return t.after.Uint64()
	}
	n := binary.LittleEndian.Uint64(t.bytes)
	t.bytes = t.bytes[8:]
	return n
}

// Over no window, from one admission to another, does a bucket admit more than burst + rate × Δ: exactly so at exact
// rates, and to 5/4 of a unit at any other.
func TestNoWindowAdmitsMoreThanTheBound(t *testing.T) {
	type admission struct{ at, n int64 } // at the instant at which its call has read the clock
	for seed := range uint64(heavy(3000)) {
		r := rand.New(rand.NewPCG(seed, 3))
		limit, rate := exactLimit(r)
		exact := seed%2 == 0
		if !exact {
			limit, rate = anyLimit(r)
		}
		b, start := bucketSince(t, limit)
		var admitted []admission
		now := int64(0)
		for range 80 {
			now = drawTime(r, now, b)
			n := drawTokens(r, limit)
			if b.Ref().Take(start.Add(time.Duration(now)), n).Decision().OK {
				admitted = append(admitted, admission{now, n})
			}
		}
		slices.SortFunc(admitted, func(a, b admission) int { return cmp.Compare(a.at, b.at) })
		slack := new(big.Rat)
		if !exact {
			slack.SetFrac64(5, 4*b.contents.Load().seg.scale)
		}
		for i := range admitted {
			sum := new(big.Int)
			for j := i; j < len(admitted); j++ {
				sum.Add(sum, big.NewInt(admitted[j].n))
				bound := new(big.Rat).Mul(rate, big.NewRat(admitted[j].at-admitted[i].at, 1))
				bound.Add(bound, big.NewRat(limit.Burst, 1)).Add(bound, slack)
				require.True(t, new(big.Rat).SetInt(sum).Cmp(bound) <= 0, "seed %d: %v admits %v from %d to %d", seed, limit, sum, admitted[i].at, admitted[j].at)
			}
		}
	}
}

// The RetryAfter of a refusal is right: after it the same call succeeds, a nanosecond earlier it does not. At rates
// that are not exact a nanosecond is less than a unit, and the same holds.
func TestRetryAfterSuffices(t *testing.T) {
	for seed := range uint64(heavy(10_000)) {
		r := rand.New(rand.NewPCG(seed, 4))
		limit, _ := anyLimit(r)
		if seed%2 == 0 {
			limit, _ = exactLimit(r)
		}
		b, start := bucketSince(t, limit)
		now := drawTime(r, 0, b)
		at := start.Add(time.Duration(now))
		require.True(t, b.Ref().Take(at, limit.Burst).Decision().OK)
		n := 1 + r.Int64N(limit.Burst)
		d := b.Ref().Take(at, n).Decision()
		require.False(t, d.OK)
		if limit.Rate == 0 {
			require.Equal(t, Never, d.RetryAfter)
			continue
		}
		require.Equal(t, b.Ref().Take(at, limit.Burst).Decision().RetryAfter, d.ResetAfter)
		require.False(t, b.Ref().Take(at.Add(d.RetryAfter-1), n).Decision().OK, "seed %d: %v, n %d, %v", seed, limit, n, d)
		require.True(t, b.Ref().Take(at.Add(d.RetryAfter), n).Decision().OK, "seed %d: %v, n %d, %v", seed, limit, n, d)
	}
}
