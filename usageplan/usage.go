package usageplan

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A QuotaKey names what one client may use of one plan's quota.
type QuotaKey struct {
	Plan, Client string
	Period       ledger.Period // zero is the plan's only quota
}

// Balance returns the client's balance in the current period: remaining = limit + adjustments − used. Like the other
// methods of a QuotaKey it fails with [ErrNoPlan], [ErrNoQuota] or an error of the ledger; none of these is an
// [*Error].
func (m *Meter) Balance(ctx context.Context, k QuotaKey) (ledger.Balance, error) {
	key, quota, err := m.find(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Balance(ctx, key, quota)
}

// Usage yields what the client used on each calendar day of the quota's location from the day of from to the day of to,
// both included, in real time: API Gateway's GetUsage. A client that has left the plan keeps its usage.
func (m *Meter) Usage(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Day, error] {
	key, quota, err := m.find(k)
	if err != nil {
		return func(yield func(ledger.Day, error) bool) { yield(ledger.Day{}, err) }
	}
	return m.config.Ledger.Usage(ctx, key, quota, from, to)
}

// Extend grants adj.Delta more units in the current period, or takes some back: API Gateway's temporary extension,
// UpdateUsage. The next period starts with the plan's limit again. Who and why stay in the ledger. A client that is no
// member of the plan is [ErrNotMember], unless the plan is Config.Default.
func (m *Meter) Extend(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Extend(ctx, key, quota, adj)
}

// Correct changes by adj.Delta what counts as used in the current period, under the rules of [Meter.Extend].
func (m *Meter) Correct(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Correct(ctx, key, quota, adj)
}

// Adjustments yields the client's extensions and corrections, of all periods, that were made from one instant to
// another, inclusive, oldest first: who (Actor), when (Time, Unix seconds), from what (Before), by how much (Granted)
// and why (Reason). See [ledger.Ledger.Adjustments] for the stores that can tell.
func (m *Meter) Adjustments(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Entry, error] {
	key, _, err := m.find(k)
	if err != nil {
		return func(yield func(ledger.Entry, error) bool) { yield(ledger.Entry{}, err) }
	}
	return m.config.Ledger.Adjustments(ctx, key, from, to)
}

func (m *Meter) adjustable(k QuotaKey) (ledger.Key, ledger.Quota, error) {
	key, quota, err := m.find(k)
	if err == nil && k.Plan != m.config.Default && m.table.member(k.Plan, k.Client) == nil {
		err = fmt.Errorf("usageplan: client %q, plan %q: %w", clip(k.Client), clip(k.Plan), ErrNotMember)
	}
	return key, quota, err
}

// find returns the ledger's key and the quota in force, a member's override included.
func (m *Meter) find(k QuotaKey) (key ledger.Key, quota ledger.Quota, err error) {
	if err := m.configured(); err != nil {
		return key, quota, err
	}
	var s *state
	if p := m.table.plan(k.Plan); p != nil {
		s = p.state.Load() // nil if the plan is being deleted
	}
	if s == nil {
		return key, quota, fmt.Errorf("usageplan: there is no plan %q: %w", clip(k.Plan), ErrNoPlan)
	}
	for i, q := range s.Quotas {
		if k.Period == q.Period || k.Period == 0 && len(s.Quotas) == 1 {
			return ledger.Key{Plan: s.accounts[i], Subject: k.Client}, m.table.member(k.Plan, k.Client).quota(q), nil
		}
	}
	if k.Period == 0 && len(s.Quotas) > 1 {
		return key, quota, fmt.Errorf("usageplan: plan %q has %d quotas, and QuotaKey.Period names none: %w",
			clip(k.Plan), len(s.Quotas), ErrNoQuota)
	}
	return key, quota, fmt.Errorf("usageplan: plan %q, period %v: %w", clip(k.Plan), k.Period, ErrNoQuota)
}
