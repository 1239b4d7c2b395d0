package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A standing is where a client stands in the present period of a quota. The page takes it from the usage of days, and not
// from the balance: to ask for a balance makes a counter in the ledger, which would stay for each key of a list.
type standing struct {
	quota   ledger.Quota
	limited bool // otherwise the plan has no quota, and the standing is about today

	today, used        int64
	limit, adjustments int64
	remaining          int64
}

// nearLimit is the part of its limit from which a client counts as near it.
const nearLimit = 0.8

// bound is the limit with the extensions of the period.
func (s *standing) bound() int64 { return max(0, s.limit+s.adjustments) }

// share is the part of the bound that cannot be used any more, 0 to 1. That includes what other processes hold in leases,
// and it is 1 for a quota of 0.
func (s *standing) share() float64 {
	switch bound := s.bound(); {
	case !s.limited:
		return 0
	case bound == 0 || s.remaining <= 0:
		return 1
	default:
		return max(0, 1-float64(s.remaining)/float64(bound))
	}
}

func (s *standing) exhausted() bool { return s.limited && s.remaining <= 0 }
func (s *standing) near() bool      { return !s.exhausted() && s.share() >= nearLimit }

// add adds a day, if it is one of the period that began at start. Of the last day, it takes what remains.
func (s *standing) add(d ledger.Day, start, now time.Time) {
	if d.Start.Before(start) || d.Start.After(now) {
		return
	}
	s.used += d.Used
	s.today, s.limit, s.adjustments, s.remaining = d.Used, d.Limit, d.Adjustments, d.Remaining
}

// standingOf adds up the days of the present period.
func standingOf(q ledger.Quota, limited bool, days []ledger.Day, now time.Time) standing {
	s := standing{quota: q, limited: limited}
	start, _ := q.Bounds(now)
	for _, d := range days {
		s.add(d, start, now)
	}
	return s
}

// standing returns where a client stands under the plan's quota of the index, or without a quota. A summary asks for each
// client, so it collects no days.
func (s *Server) standing(ctx context.Context, p usageplan.Plan, i int, client string, now time.Time) (standing, error) {
	st := standing{quota: mainQuota(p), limited: len(p.Quotas) > 0}
	if i < len(p.Quotas) {
		st.quota = p.Quotas[i]
	}
	start, _ := st.quota.Bounds(now)
	k := usageplan.QuotaKey{Plan: p.ID, Client: client, Period: st.quota.Period}
	for day, err := range s.config.Plans.Usage(ctx, k, start, now) {
		if errors.Is(err, usageplan.ErrNoQuota) { // there is no ledger, or the plan has changed meanwhile
			return standing{quota: st.quota}, nil
		}
		if err != nil {
			return standing{}, err
		}
		st.add(day, start, now)
	}
	return st, nil
}

// A report is the usage of a client under a plan: its days, and where it stands by each quota of the plan, in their
// order. A plan without a quota has one standing, which is not limited. Without a ledger there are no days.
type report struct {
	days      []ledger.Day
	standings []standing
}

// tightest returns the standing of the quota of which the least part is left.
func (r *report) tightest() standing {
	return slices.MaxFunc(r.standings, func(a, b standing) int { return cmp.Compare(a.share(), b.share()) })
}

// longestPeriod is above the days of a month, so that so many days begin with or before the present period.
const longestPeriod = 32

// report reads the last n days of a client, and where it stands.
func (s *Server) report(ctx context.Context, p usageplan.Plan, client string, n int, now time.Time) (report, error) {
	q := mainQuota(p)
	days, present, err := s.clientDays(ctx, p, client, lastDays(q, max(n, longestPeriod), now), now)
	if err != nil {
		return report{}, err
	}
	r := report{days[max(0, len(days)-n):], []standing{standingOf(q, len(p.Quotas) > 0, present, now)}}
	for i := 1; i < len(p.Quotas); i++ {
		st, err := s.standing(ctx, p, i, client, now)
		if err != nil {
			return report{}, err
		}
		r.standings = append(r.standings, st)
	}
	return r, nil
}

// clientDays reads the days of a client, with those that a former quota has counted, and those of the present quota alone.
// A day that is over has the limit of the quota that has counted the most of it. For example, a plan had 100 a day until
// the tenth, and has had 1 000 a month since. The ninth has its 100, and today has the 1 000.
func (s *Server) clientDays(
	ctx context.Context, p usageplan.Plan, client string, d dates, now time.Time,
) (days, present []ledger.Day, err error) {
	days = make([]ledger.Day, d.count())
	err = s.eachDay(ctx, p, client, d, func(i int, day ledger.Day, former bool) {
		switch {
		case !former:
			days[i] = day
			present = append(present, day)
		case day.Used > days[i].Used && !day.Start.AddDate(0, 0, 1).After(now):
			days[i] = day
		default:
			days[i].Used = max(days[i].Used, day.Used)
		}
	})
	days = slices.DeleteFunc(days, func(d ledger.Day) bool { return d.Start.IsZero() }) // dates that there were not
	return days, present, err
}

// lastDays are the dates of the last n days, by the midnights of the quota.
func lastDays(q ledger.Quota, n int, now time.Time) dates {
	year, month, day := now.In(location(q)).Date()
	last := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return dates{last.AddDate(0, 0, 1-n), last}
}
