package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// growWith runs a ledger over each engine, leased and exact in turn, whose charges grow, shrink and are settled in any
// order, some of them on the day after. In the end the rows tell what the charges have taken, in each period, and never
// more than the quota.
//
// The days are of the past, so an engine that is a [ledger.Clock] lets them begin.
func growWith(t *testing.T, engines []ledger.Engine) {
	for _, period := range []ledger.Period{ledger.Daily, ledger.Monthly} {
		g := &growth{
			key: ledger.Key{Plan: "growth", Subject: fmt.Sprint("period ", period)}, taken: make(map[time.Time]int64),
			quota: ledger.Quota{Limit: 100, Period: period}, first: time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC),
		}
		var wg sync.WaitGroup
		for i, e := range engines {
			wg.Go(func() {
				if err := g.node(t.Context(), e, i%2 == 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		counted, err := g.counted(t.Context(), engines[0])
		if err != nil || !maps.Equal(counted, g.taken) {
			t.Errorf("period %v: counted %v, taken %v, %v", period, counted, g.taken, err)
		}
		for start, n := range counted {
			if n > g.quota.Limit {
				t.Errorf("period of %v: counted %d of %d", start, n, g.quota.Limit)
			}
		}
	}
}

// growth is what the callers of some ledgers know.
type growth struct {
	key   ledger.Key
	quota ledger.Quota
	first time.Time // of two days

	mu    sync.Mutex
	taken map[time.Time]int64 // by the start of the period
}

// node is one ledger with three callers.
func (g *growth) node(ctx context.Context, e ledger.Engine, exact bool) error {
	l, err := ledger.New(ledger.Config{Engine: e, Exact: exact, Block: 16})
	if err != nil {
		return err
	}
	ref, err := l.Ref(g.key)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = g.call(ctx, ref) })
	}
	wg.Wait()
	return errors.Join(append(errs, l.Close())...)
}

// call makes requests on both days. One of the first day grows on, and is settled, after those of the second.
func (g *growth) call(ctx context.Context, ref ledger.Ref) error {
	late, err := g.take(ctx, ref, g.first)
	for i := 0; i < 12 && err == nil; i++ {
		var ch ledger.Charge
		if ch, err = g.take(ctx, ref, g.first.AddDate(0, 0, i/6)); err == nil {
			err = g.serve(ctx, ch)
		}
	}
	return errors.Join(err, g.serve(ctx, late))
}

// take takes some units; the zero Charge if none are left.
func (g *growth) take(ctx context.Context, ref ledger.Ref, day time.Time) (ledger.Charge, error) {
	ch, err := ref.TakeUpToAt(ctx, day.Add(time.Hour), g.quota, 1, 1+rand.Int64N(6))
	if errors.Is(err, ledger.ErrExhausted) {
		return ledger.Charge{}, nil
	}
	return ch, err
}

// serve changes a charge, settles it or leaves it as it is, and notes what it has taken.
func (g *growth) serve(ctx context.Context, ch ledger.Charge) error {
	start := ch.Balance().Start
	if start.IsZero() {
		return nil
	}
	for range 1 + rand.IntN(3) {
		n := max(rand.Int64N(8)-2, -ch.Units())
		if err := ch.More(ctx, n); err != nil && !errors.Is(err, ledger.ErrExhausted) {
			return err
		}
	}
	if rand.IntN(2) == 0 {
		if err := ch.Settle(ctx, rand.Int64N(ch.Units()+1)); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken[start] += ch.Units()
	return nil
}

// counted is what a new ledger tells of both days, by the start of the period. It has nothing in memory.
func (g *growth) counted(ctx context.Context, e ledger.Engine) (map[time.Time]int64, error) {
	l, err := ledger.New(ledger.Config{Engine: e})
	if err != nil {
		return nil, err
	}
	counted := make(map[time.Time]int64)
	for day, err := range l.Usage(ctx, g.key, g.quota, g.first, g.first.AddDate(0, 0, 1)) {
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		start, _ := g.quota.Bounds(day.Start)
		counted[start] += day.Used
	}
	return counted, l.Close()
}
