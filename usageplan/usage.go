package usageplan

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A QuotaKey identifies one quota of one client.
type QuotaKey struct {
	Plan, Client string
	Period       ledger.Period // zero stands for the only quota of a plan
}

// Balance returns the client's balance in the current period: remaining = limit + adjustments − used. Like the other
// methods that take a QuotaKey, it fails with [ErrNoQuota] if there is no such plan or quota, or with an error of the
// ledger. These are not an [*Error].
func (m *Meter) Balance(ctx context.Context, k QuotaKey) (ledger.Balance, error) {
	key, quota, err := m.find(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Balance(ctx, key, quota)
}

// Usage yields the client's usage of each calendar day from the day of from to the day of to, both included. A day is
// one of the quota's location. The figures are of this moment, not of some minutes ago. A client that has left the plan
// keeps its usage. In API Gateway, it is GetUsage.
func (m *Meter) Usage(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Day, error] {
	key, quota, err := m.find(k)
	if err != nil {
		return func(yield func(ledger.Day, error) bool) { yield(ledger.Day{}, err) }
	}
	return m.config.Ledger.Usage(ctx, key, quota, from, to)
}

// Extend adds adj.Delta units to the limit of the current period; a negative delta takes units away. The next period
// starts with the plan's limit again. The ledger stores who did it and why. A client that is no member of the plan is
// [ErrNoQuota], unless the plan is Config.Default. In API Gateway, it is a temporary extension, UpdateUsage.
func (m *Meter) Extend(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Extend(ctx, key, quota, adj)
}

// Correct adds adj.Delta units to what counts as used in the current period. The rules are those of [Meter.Extend].
func (m *Meter) Correct(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Correct(ctx, key, quota, adj)
}

// Adjustments yields the client's extensions and corrections of all periods, oldest first, that were made not before
// from and not after to. Each says who made it (Actor), when (Time), from what (Before), by how much (Delta) and why
// (Reason); see [ledger.Ledger.Adjustments].
func (m *Meter) Adjustments(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Change, error] {
	key, _, err := m.find(k)
	if err != nil {
		return func(yield func(ledger.Change, error) bool) { yield(ledger.Change{}, err) }
	}
	return m.config.Ledger.Adjustments(ctx, key, from, to)
}

// adjustable returns what find does, and an error if the client is no member of the plan.
func (m *Meter) adjustable(k QuotaKey) (ledger.Key, ledger.Quota, error) {
	key, quota, err := m.find(k)
	if err == nil && k.Plan != m.config.Default && m.table.member(k.Plan, k.Client) == nil {
		err = fmt.Errorf("usageplan: %w: %q is no member of plan %q", ErrNoQuota, clip(k.Client), clip(k.Plan))
	}
	return key, quota, err
}

// find returns the ledger's key of k, and the quota with the client's own limit, if it has one.
func (m *Meter) find(k QuotaKey) (key ledger.Key, quota ledger.Quota, err error) {
	if err := m.configured(); err != nil {
		return key, quota, err
	}
	var s *state
	if p := m.table.plan(k.Plan); p != nil {
		s = p.state.Load() // nil if the plan is being deleted
	}
	if s == nil {
		return key, quota, fmt.Errorf("usageplan: %w: there is no plan %q", ErrNoQuota, clip(k.Plan))
	}
	for i, q := range s.Quotas {
		if k.Period == q.Period || k.Period == "" && len(s.Quotas) == 1 {
			return ledger.Key{Plan: s.accounts[i], Subject: k.Client}, m.table.member(k.Plan, k.Client).quota(q), nil
		}
	}
	if k.Period == "" && len(s.Quotas) > 1 {
		return key, quota, fmt.Errorf("usageplan: %w: plan %q has %d quotas, and QuotaKey.Period names none",
			ErrNoQuota, clip(k.Plan), len(s.Quotas))
	}
	return key, quota, fmt.Errorf("usageplan: %w: plan %q has none for period %v", ErrNoQuota, clip(k.Plan), k.Period)
}
