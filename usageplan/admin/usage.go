package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Bounds of one answer of GetUsage. API Gateway gives 25 keys if no limit is asked for. Here it is all of them, up to
// maxUsage: aws-cli and boto3 merge the pages of lists only, and lose all pages of GetUsage but the first.
const (
	maxUsage = 10_000
	maxDays  = 366
)

// getUsage is GetUsage: for each key a pair for each day, what was used on that day and what remained at its end. The
// days are without gaps, so that a client can count from startDate. Under a plan without a quota, the second number is
// 0; no answer of API Gateway for such a plan is known.
//
// It lists the members of the plan, newest first, and then the other clients that have used it: those that have left
// the plan, whose keys may be gone, and the clients of the default plan.
func (s *Server) getUsage(c *call) (result, error) {
	p, found := s.config.Plans.Plan(c.ids[0])
	if !found {
		return result{}, notFound(noPlan)
	}
	d, err := c.dates()
	if err != nil {
		return result{}, err
	}
	clients, next, err := s.usageClients(c, p.ID)
	if err != nil {
		return result{}, err
	}
	w := usageJSON{p.ID, d.first.Format(time.DateOnly), d.last.Format(time.DateOnly), next, make(map[string][][2]int64)}
	for _, client := range clients {
		if w.Values[client], err = s.usage(c, p, client, d); err != nil {
			return result{}, err
		}
	}
	// A key that is asked for by its id and has nothing to do with the plan has no entry, as if it were not listed.
	if id := c.query.Get("keyId"); id != "" && !s.hasUsed(p.ID, id, w.Values[id]) {
		delete(w.Values, id)
	}
	return result{http.StatusOK, w}, nil
}

// hasUsed reports whether a client is in the plan or has used it on one of the days.
func (s *Server) hasUsed(plan, client string, days [][2]int64) bool {
	_, is := s.config.Plans.Member(plan, client)
	return is || slices.ContainsFunc(days, func(d [2]int64) bool { return d[0] != 0 })
}

// dates are the first and the last of some days, as midnights of UTC. They stand for dates without a place: which hours
// a day has depends on the quota's location.
type dates struct{ first, last time.Time }

// dates returns the parameters startDate and endDate.
func (c *call) dates() (d dates, err error) {
	var errFirst, errLast error
	d.first, errFirst = time.Parse(time.DateOnly, c.query.Get("startDate"))
	d.last, errLast = time.Parse(time.DateOnly, c.query.Get("endDate"))
	switch {
	case errFirst != nil || errLast != nil:
		return d, badRequest("Invalid date specified. startDate and endDate must have the form YYYY-MM-DD")
	case d.last.Before(d.first):
		return d, badRequest("Invalid date range specified. endDate is before startDate")
	case d.count() > maxDays:
		return d, badRequest("Invalid date range specified. It can be at most %d days", maxDays)
	}
	return d, nil
}

// index returns the index of a date among the days.
func (d dates) index(year int, month time.Month, day int) int {
	return int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Sub(d.first) / (24 * time.Hour))
}

func (d dates) count() int { return d.index(d.last.Date()) + 1 }

// in returns instants on the first and the last day where a quota's midnight is. Noon is on its date in every location.
func (d dates) in(l *time.Location) (first, last time.Time) {
	noon := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, l) }
	return noon(d.first), noon(d.last)
}

// usage returns the pairs of a client, by the first quota of the plan, or by days of UTC if it has none.
//
// Of a day that two quotas have counted, the larger figure is shown and not the sum; see eachDay. On the day of a change
// that is less than the sum.
func (s *Server) usage(ctx context.Context, p usageplan.Plan, client string, d dates) ([][2]int64, error) {
	pairs := make([][2]int64, d.count())
	err := s.eachDay(ctx, p, client, d, func(i int, day ledger.Day, former bool) {
		pairs[i][0] = max(pairs[i][0], day.Used)
		if !former && len(p.Quotas) > 0 {
			pairs[i][1] = day.Remaining
		}
	})
	return pairs, err
}

// eachDay calls yield for each day of a client, with its index among the dates: first for all days of the first quota of
// the plan, or for days of UTC if it has none, and then for those of former quotas.
//
// Usage belongs to the client and the plan, whatever the period was: of a plan that has changed from a quota per day to
// one per month, there are both parts. The other quotas of a plan with several count the same requests, and are left
// out. Former ones may have done so too. So what several have counted of one day must not be added up.
func (s *Server) eachDay(
	ctx context.Context, p usageplan.Plan, client string, d dates, yield func(i int, day ledger.Day, former bool),
) error {
	quota := mainQuota(p)
	periods := []ledger.Period{quota.Period}
	for _, period := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
		if period != quota.Period && !has(p, period) {
			periods = append(periods, period)
		}
	}
	first, last := d.in(location(quota)) // also of former periods; see Meter.Usage
	for n, period := range periods {
		for day, err := range s.config.Plans.Usage(ctx, usageplan.QuotaKey{Plan: p.ID, Client: client, Period: period}, first, last) {
			if errors.Is(err, usageplan.ErrNoQuota) { // there is no ledger, or the plan was deleted meanwhile
				return nil
			}
			if err != nil {
				return err
			}
			i := d.index(day.Start.Date())
			if i < 0 || i >= d.count() { // the quota has got another location meanwhile
				continue
			}
			yield(i, day, n > 0)
		}
	}
	return nil
}

// mainQuota returns the first quota of the plan, which is the one that GetUsage is about. Without one, usage is counted by
// days of UTC.
func mainQuota(p usageplan.Plan) ledger.Quota {
	if len(p.Quotas) > 0 {
		return p.Quotas[0]
	}
	return ledger.Quota{Limit: ledger.MaxUnits, Period: ledger.Daily}
}

// has reports whether the plan has a quota for the period.
func has(p usageplan.Plan, period ledger.Period) bool {
	return slices.ContainsFunc(p.Quotas, func(q ledger.Quota) bool { return q.Period == period })
}

func location(q ledger.Quota) *time.Location {
	if q.Location == nil {
		return time.UTC
	}
	return q.Location
}

// usageClients returns the clients that GetUsage is asked for, and the position after them. The list has two parts with
// positions of their own, since the members are in the order of creation and the others are known only to the ledger,
// which has no order. A page may have clients of both.
func (s *Server) usageClients(c *call, plan string) (clients []string, next string, err error) {
	at, limit, err := c.page(membersList+departedList, maxUsage)
	if err != nil {
		return nil, "", err
	}
	if id := c.query.Get("keyId"); id != "" {
		return []string{id}, "", nil
	}
	if at.list == membersList {
		clients, next, err = list(c, at, limit, func(before uint64, limit int) ([]usageplan.Member, uint64) {
			return s.config.Plans.Members(plan, before, limit)
		}, func(m usageplan.Member) (string, bool) { return m.Client, true })
		if err != nil || next != "" {
			return clients, next, err
		}
		at = position{list: departedList}
	}
	departed, err := s.departed(c, plan, at.after)
	if err != nil {
		return nil, "", err
	}
	if room := limit - len(clients); len(departed) > room {
		if departed = departed[:room]; room > 0 { // without room, the next page begins with the first of them
			at.after = departed[room-1]
		}
		next = at.String()
	}
	return append(clients, departed...), next, nil
}

// departed returns the clients after the given one that have used the plan and are not its members, in the order of
// their ids. Each page reads all clients of the plan in the ledger. That is quick enough for reports: a client has one
// name there, and its days are read only if it is listed.
func (s *Server) departed(ctx context.Context, plan, after string) ([]string, error) {
	var clients []string
	for client, err := range s.config.Plans.Clients(ctx, plan) {
		if errors.Is(err, usageplan.ErrNoQuota) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if _, is := s.config.Plans.Member(plan, client); !is && client > after {
			clients = append(clients, client)
		}
	}
	slices.Sort(clients)
	return clients, nil
}

// updateUsage is UpdateUsage: it sets what remains in the current period. Of a plan with several quotas, it sets the
// first, which is the one that GetUsage shows. It answers with the pair of today.
//
// The ledger sets it in one step, so of several callers each leaves what it has asked for, and requests that run
// meanwhile are counted. To repeat it changes nothing but gives back what was used since. It stays in the ledger as an
// adjustment with the caller's name, and the next period starts with the plan's limit again.
func (s *Server) updateUsage(c *call) (result, error) {
	plan, client := c.ids[0], c.ids[1]
	if _, found := s.config.Keys.Key(client); !found {
		return result{}, notFound(noKey)
	}
	p, found := s.config.Plans.Plan(plan)
	if !found {
		return result{}, notFound(noPlan)
	}
	ops, err := parseOperations(c.body)
	if err != nil {
		return result{}, err
	}
	remaining, given, err := patchUsage(ops)
	switch {
	case err != nil:
		return result{}, err
	case len(p.Quotas) == 0:
		return result{}, badRequest("Usage Plan %s has no quota", plan)
	case remaining > ledger.MaxUnits:
		return result{}, badRequest("Usage remaining can be at most %d", int64(ledger.MaxUnits))
	}
	k := usageplan.QuotaKey{Plan: plan, Client: client, Period: cmp.Or(c.period, p.Quotas[0].Period)}
	c.adjustment.Reason = cmp.Or(c.adjustment.Reason, c.action.Operation)
	if _, is := s.config.Plans.Member(plan, client); !given && !is { // nothing is set, so nothing else would find it
		return result{}, notFound(noPlan)
	}
	if given {
		_, err = s.config.Plans.SetRemaining(c, k, remaining, c.adjustment)
	}
	if errors.Is(err, usageplan.ErrNoQuota) { // the key is not in the plan
		return result{}, notFound(noPlan)
	}
	if err != nil {
		return result{}, err
	}
	return s.today(c, p, client)
}

// today returns the usage of a client on the present day, by the quota's midnight.
func (s *Server) today(c *call, p usageplan.Plan, client string) (result, error) {
	year, month, day := time.Now().In(location(p.Quotas[0])).Date()
	date := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	pairs, err := s.usage(c, p, client, dates{date, date})
	text := date.Format(time.DateOnly)
	return result{http.StatusOK, usageJSON{p.ID, text, text, "", map[string][][2]int64{client: pairs}}}, err
}
