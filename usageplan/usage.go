package usageplan

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// An Account names what one client may use of one plan's quota.
type Account struct {
	Plan, Client string
	Period       ledger.Period // zero is the plan's first quota
}

// Balance returns the account's balance in the current period: remaining = limit + adjustments − used.
func (m *Meter) Balance(ctx context.Context, a Account) (ledger.Balance, error) {
	key, quota, err := m.find(a)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Balance(ctx, key, quota)
}

// Usage yields what the account used on each calendar day of the quota's location from the day of from to the day of
// to, both included, in real time: API Gateway's GetUsage.
func (m *Meter) Usage(ctx context.Context, a Account, from, to time.Time) iter.Seq2[ledger.Day, error] {
	key, quota, err := m.find(a)
	if err != nil {
		return func(yield func(ledger.Day, error) bool) { yield(ledger.Day{}, err) }
	}
	return m.config.Ledger.Usage(ctx, key, quota, from, to)
}

// Extend grants adj.Delta more units in the current period, or takes some back: API Gateway's temporary extension,
// UpdateUsage. The next period starts with the plan's limit again. Who and why stay in the ledger.
func (m *Meter) Extend(ctx context.Context, a Account, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.find(a)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Extend(ctx, key, quota, adj)
}

// Correct changes by adj.Delta what counts as used in the current period.
func (m *Meter) Correct(ctx context.Context, a Account, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.find(a)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Correct(ctx, key, quota, adj)
}

// find finds the ledger's key and the quota in force, a member's override included.
func (m *Meter) find(a Account) (ledger.Key, ledger.Quota, error) {
	p := m.table.plan(a.Plan)
	if p == nil {
		return ledger.Key{}, ledger.Quota{}, fmt.Errorf("usageplan: there is no plan %q: %w", a.Plan, ErrNoPlan)
	}
	s := p.state.Load()
	if s == nil {
		s = &state{} // deleted just now
	}
	for i, q := range s.Quotas {
		if a.Period == 0 || a.Period == q.Period {
			return ledger.Key{Plan: s.accounts[i], Subject: a.Client}, m.table.member(a.Plan, a.Client).quota(q), nil
		}
	}
	return ledger.Key{}, ledger.Quota{}, fmt.Errorf("usageplan: plan %q has no such quota: %w", a.Plan, ErrNoQuota)
}
