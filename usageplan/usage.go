package usageplan

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A QuotaKey identifies one quota of one client.
type QuotaKey struct {
	Plan, Client string
	Period       ledger.Period // zero stands for the only quota of a plan
}

// among returns the index of the quota that k names, or -1.
func (k QuotaKey) among(quotas []ledger.Quota) int {
	return slices.IndexFunc(quotas, func(q ledger.Quota) bool {
		return k.Period == q.Period || k.Period == "" && len(quotas) == 1
	})
}

// Balance returns the client's balance in the current period: remaining = limit + adjustments − used. Like the other
// methods that take a QuotaKey, it fails with [ErrNoQuota] if there is no such plan or quota, or with an error of the
// ledger. These are not an [*Error]. [Meter.Usage] and [Meter.Adjustments] also take quotas that the plan does not
// have.
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
//
// Days that were counted under another period are still there: name the former period in k. For example, a plan had a
// quota per day until the tenth, and has had one per month since. For the zero Period, Usage yields what the month has
// counted, and for [ledger.Daily] what was used until the tenth. Such days are those of the plan's present location, or
// of UTC if it has no quota. Remaining is 0 on those that have not ended.
//
// A plan without a quota is asked by the zero Period or by [ledger.Daily]. Remaining then means nothing: it is what is
// left to [ledger.MaxUnits]. Without Config.Ledger, nothing is counted, and the error is [ErrNoQuota].
func (m *Meter) Usage(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Day, error] {
	key, quota, err := m.recorded(k)
	if err != nil {
		return func(yield func(ledger.Day, error) bool) { yield(ledger.Day{}, err) }
	}
	return m.config.Ledger.Usage(ctx, key, quota, from, to)
}

// Extend adds adj.Delta units to the limit of the current period; a negative delta takes units away. The next period
// starts with the plan's limit again. The ledger stores who did it and why: adj.Actor and adj.Reason. If adj.Actor is
// empty, it is the actor of the [journal.Origin] in ctx. One of more than 512 bytes is [ledger.ErrAdjustment]. A client
// that is no member of the plan is [ErrNoQuota], unless the plan is Config.Default. In API Gateway, it is a temporary
// extension.
func (m *Meter) Extend(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Extend(ctx, key, quota, signed(ctx, adj))
}

// Correct adds adj.Delta units to what counts as used in the current period. The rules are those of [Meter.Extend].
func (m *Meter) Correct(ctx context.Context, k QuotaKey, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.Correct(ctx, key, quota, signed(ctx, adj))
}

// SetRemaining extends the current period by as many units, up or down, as leave n of them, 0 to [ledger.MaxUnits]. It
// is one step: of several calls at once, each leaves n. What other ledgers over the same engine hold in leases counts
// as used. It ignores adj.Delta. The rules are those of [Meter.Extend]. In API Gateway, it is UpdateUsage
// (https://docs.aws.amazon.com/apigateway/latest/api/API_UpdateUsage.html).
func (m *Meter) SetRemaining(ctx context.Context, k QuotaKey, n int64, adj ledger.Adjustment) (ledger.Balance, error) {
	key, quota, err := m.adjustable(k)
	if err != nil {
		return ledger.Balance{}, err
	}
	return m.config.Ledger.SetRemaining(ctx, key, quota, n, signed(ctx, adj))
}

// Adjustments yields the client's extensions and corrections of all periods, oldest first, that were made not before
// from and not after to. Each says who made it (Actor), when (Time), from what (Before), by how much (Delta) and why
// (Reason); see [ledger.Ledger.Adjustments]. As for [Meter.Usage], k may name a period for which the plan has no quota
// any more.
func (m *Meter) Adjustments(ctx context.Context, k QuotaKey, from, to time.Time) iter.Seq2[ledger.Change, error] {
	key, _, err := m.recorded(k)
	if err != nil {
		return func(yield func(ledger.Change, error) bool) { yield(ledger.Change{}, err) }
	}
	return m.config.Ledger.Adjustments(ctx, key, from, to)
}

// signed returns adj with the actor of ctx, unless it has one. So a program says once who changes plans and quotas.
func signed(ctx context.Context, adj ledger.Adjustment) ledger.Adjustment {
	if adj.Actor == "" {
		origin, _ := journal.FromContext(ctx)
		adj.Actor = origin.Actor
	}
	return adj
}

// adjustable returns what find does, and an error if the client is no member of the plan.
func (m *Meter) adjustable(k QuotaKey) (ledger.Key, ledger.Quota, error) {
	key, quota, err := m.find(k)
	if err == nil && k.Plan != m.config.Default && m.table.member(k.Plan, k.Client) == nil {
		err = fmt.Errorf("usageplan: %w: %q is no member of plan %q", ErrNoQuota, clip(k.Client), clip(k.Plan))
	}
	return key, quota, err
}

// find returns the ledger's key of k, and the quota in force with the client's own limit, if it has one.
func (m *Meter) find(k QuotaKey) (ledger.Key, ledger.Quota, error) {
	s, err := m.version(k.Plan)
	if err != nil {
		return ledger.Key{}, ledger.Quota{}, err
	}
	if i := k.among(s.Quotas); i >= 0 {
		return s.key(i, k.Client), s.quota(i, m.table.member(k.Plan, k.Client)), nil
	}
	return ledger.Key{}, ledger.Quota{}, s.noQuota(k)
}

// recorded returns the ledger's key of k, and the quota that says which days its usage has. The plan need not have the
// quota now. The ledger knows the limit of each day on which something was counted, so the limit of a former quota is
// not needed. Its location is not known; the present one is the best guess.
func (m *Meter) recorded(k QuotaKey) (ledger.Key, ledger.Quota, error) {
	s, err := m.version(k.Plan)
	if err != nil {
		return ledger.Key{}, ledger.Quota{}, err
	}
	if m.config.Ledger == nil { // nothing was counted
		return ledger.Key{}, ledger.Quota{}, s.noQuota(k)
	}
	if i := k.among(s.counted); i >= 0 {
		return s.key(i, k.Client), s.quota(i, m.table.member(k.Plan, k.Client)), nil
	}
	former := ledger.Quota{Period: k.Period, Location: s.counted[0].Location}
	if former.Validate() != nil { // k names no period, or none that there is
		return ledger.Key{}, ledger.Quota{}, s.noQuota(k)
	}
	return ledger.Key{Plan: account(k.Plan, k.Period), Subject: k.Client}, former, nil
}

// version returns the present version of the plan.
func (m *Meter) version(plan string) (*state, error) {
	if err := m.configured(); err != nil {
		return nil, err
	}
	if s := m.table.version(plan); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("usageplan: %w: there is no plan %q", ErrNoQuota, clip(plan))
}

// noQuota returns the error for a k that names none of the plan's quotas.
func (s *state) noQuota(k QuotaKey) error {
	if k.Period == "" && len(s.Quotas) > 1 {
		return fmt.Errorf("usageplan: %w: plan %q has %d quotas, and QuotaKey.Period names none",
			ErrNoQuota, clip(k.Plan), len(s.Quotas))
	}
	return fmt.Errorf("usageplan: %w: plan %q has none for period %v", ErrNoQuota, clip(k.Plan), k.Period)
}
