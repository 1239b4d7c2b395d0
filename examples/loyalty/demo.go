package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// demoDays is how many days of usage -demo makes, today included.
const demoDays = 30

// demoPlans are the plans of -demo. The Free plan had a lower limit until twelve days ago.
var demoPlans = []usageplan.Plan{
	{Name: "Free", Throttle: &ratelimit.Limit{Rate: 5, Burst: 10}, Quotas: []ledger.Quota{{Limit: 1000, Period: ledger.Daily}}},
	{Name: "Partner", Throttle: &ratelimit.Limit{Rate: 20, Burst: 40}, Quotas: []ledger.Quota{{Limit: 25_000, Period: ledger.Weekly, Offset: 1}}},
	{Name: "Enterprise", Throttle: &ratelimit.Limit{Rate: 100, Burst: 200}, Quotas: []ledger.Quota{{Limit: 1_000_000, Period: ledger.Monthly}}},
}

// A demoKey is a key of -demo, and how it is used.
type demoKey struct {
	plan           int // of demoPlans
	name, customer string
	usual          int64   // requests on a working day
	weekend        float64 // what a day of the weekend has of that
	until          int     // how many days ago it was last used
	today          int64   // the use of today; 0 stands for the part of a usual day that has passed
	disabled       bool
	extension      int64 // granted today
	reason         string
}

var demoKeys = []demoKey{
	{plan: 2, name: "airline-checkin", customer: "skyward", usual: 31_000, weekend: 0.8},
	{plan: 2, name: "airline-mobile-app", customer: "skyward", usual: 23_500, weekend: 1.1},
	{plan: 2, name: "call-centre", customer: "skyward", usual: 6_200, weekend: 0.3, extension: 50_000, reason: "holiday season"},
	{plan: 1, name: "hotel-nights", customer: "restwell", usual: 3_900, weekend: 0.6, extension: 5_000, reason: "campaign until Sunday"},
	{plan: 1, name: "car-rental", customer: "wheels", usual: 1_750, weekend: 0.9},
	{plan: 1, name: "duty-free-shop", customer: "gate7", usual: 2_400, weekend: 1.2},
	{plan: 0, name: "points-checker", customer: "julianwood", usual: 640, weekend: 0.5, today: 1000},
	{plan: 0, name: "miles-widget", customer: "maria", usual: 710, weekend: 0.4, today: 930},
	{plan: 0, name: "student-project", customer: "uni-delft", usual: 85, weekend: 0.1, extension: 500, reason: "hackathon"},
	{plan: 0, name: "slack-bot", customer: "maria", usual: 240, weekend: 0.2},
	{plan: 0, name: "old-blog", customer: "julianwood", usual: 45, weekend: 1, until: 19},
	{plan: 0, name: "scraper", customer: "unknown", usual: 980, weekend: 1, until: 6, disabled: true},
}

// A demoData fills a new store, so that the owner's page has something to show.
type demoData struct {
	keys   *apikey.Verifier
	plans  *usageplan.Meter
	quotas *ledger.Ledger
	now    time.Time
}

// fill creates the plans and keys in the journals, and lets the ledger count the usage of each day. A store that has
// plans or keys is not filled: they may be real.
func (d demoData) fill(stages []usageplan.Stage) error {
	if d.keys.Stats().Revision != 0 || d.plans.Stats().Revision != 0 {
		return errors.New("-demo fills a new folder only, and this one has keys or plans: name another by -data")
	}
	ctx := journal.NewContext(context.Background(), journal.Origin{Actor: "demo"})
	plans := make([]usageplan.Plan, len(demoPlans))
	for i, p := range demoPlans {
		p.Stages, p.Created = stages, d.now.AddDate(0, 0, -40)
		var err error
		if plans[i], err = d.plans.CreatePlan(ctx, p); err != nil {
			return err
		}
	}
	filled := make(chan error)
	for i, k := range demoKeys { // all at once, because their changes share commits
		go func() { filled <- d.add(ctx, k, plans[k.plan], rand.New(rand.NewPCG(1, uint64(i)))) }()
	}
	var err error
	for range demoKeys {
		err = errors.Join(err, <-filled)
	}
	return err
}

// add creates a key with its usage, day by day as it would have been counted.
func (d demoData) add(ctx context.Context, k demoKey, p usageplan.Plan, random *rand.Rand) error {
	key, err := d.keys.Create(ctx, apikey.Key{
		Name: k.name, CustomerID: k.customer, Enabled: true, Created: d.now.AddDate(0, 0, -35),
	}, d.keys.Generate())
	if err == nil {
		err = d.plans.AddMembers(ctx, usageplan.Member{Plan: p.ID, Client: key.ID})
	}
	if err == nil && k.disabled {
		_, err = d.keys.Update(ctx, key.ID, func(key *apikey.Key) error { key.Enabled = false; return nil })
	}
	if err != nil {
		return err
	}
	for ago := demoDays - 1; ago >= k.until && err == nil; ago-- {
		err = d.use(ctx, key.ID, p, ago, k.on(d.now, ago, random))
	}
	if err == nil && k.extension != 0 {
		_, err = d.plans.Extend(ctx, usageplan.QuotaKey{Plan: p.ID, Client: key.ID}, ledger.Adjustment{Delta: k.extension, Reason: k.reason})
	}
	return err
}

// use counts n requests of some days ago, or what the quota leaves of them. The ledger decides about that day as it
// would have then. It has no door for extensions of the past, so the only ones are those of today.
func (d demoData) use(ctx context.Context, client string, p usageplan.Plan, ago int, n int64) error {
	quota := p.Quotas[0]
	if p.Name == "Free" && ago > 12 {
		quota.Limit = 800
	}
	ref, err := d.quotas.Ref(ledger.Key{Plan: fmt.Sprintf("%s/%s", p.ID, quota.Period), Subject: client})
	if err != nil {
		return err
	}
	day := d.now.AddDate(0, 0, -ago)
	_, err = ref.TakeAt(ctx, day, quota, n)
	if spent, is := errors.AsType[*ledger.Error](err); is && errors.Is(err, ledger.ErrExhausted) {
		_, err = ref.TakeAt(ctx, day, quota, spent.Balance.Remaining)
	}
	return err
}

// on is the use of a day some days ago: fewer on weekends, more from week to week, and never twice the same.
func (k demoKey) on(now time.Time, ago int, random *rand.Rand) int64 {
	n := float64(k.usual) * (0.8 + 0.4*random.Float64()) * (1 - 0.008*float64(ago))
	if day := now.AddDate(0, 0, -ago).UTC().Weekday(); day == time.Saturday || day == time.Sunday {
		n *= k.weekend
	}
	switch {
	case ago > 0:
	case k.today > 0:
		return k.today
	default:
		n *= now.Sub(now.Truncate(24*time.Hour)).Hours() / 24
	}
	return int64(n)
}
