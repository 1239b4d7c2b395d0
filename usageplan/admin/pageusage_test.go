package admin_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func TestKeyShowsItsUsage(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		berlin, err := time.LoadLocation("Europe/Berlin")
		require.NoError(t, err)
		p.plan("gold", ledger.Quota{Limit: 100, Period: ledger.Daily, Location: berlin})
		_, err = p.plans.UpdatePlan(t.Context(), "gold", func(plan *usageplan.Plan) error {
			plan.Throttle = &ratelimit.Limit{Rate: 1000, Burst: 2000}
			return nil
		})
		require.NoError(t, err)
		id := p.key("acme", "acme")
		p.join("gold", id)
		p.take(id, 65) // noon in UTC, 13:00 there
		k := usageplan.QuotaKey{Plan: "gold", Client: id}
		_, err = p.plans.Extend(t.Context(), k, ledger.Adjustment{Delta: 15, Reason: "launch", Actor: "ann"})
		require.NoError(t, err)
		b := signedIn(t, p).get("key?key="+id).want(200, `<figure class="chart">`, `<rect class="extra"`)
		for _, want := range []string{
			"Used today 65 of 115, +15 by extension", "Remaining 50", "Reset 30 Nov 00:00 Europe/Berlin",
			"Throttle 1,000 / s burst 2,000", "Runs out about 23:00 at today's pace.",
			"Sun 29 Nov 2026 65 50 100 +15", "Days begin at 00:00 Europe/Berlin.",
			"29 Nov 2026 13:00 Europe/Berlin ann extension of the day in \u2068plan gold\u2069 +15 (0 → +15) launch",
		} {
			require.Contains(t, b.words(), want)
		}
		for days, first := range map[string]string{"7": "Mon 23 Nov 2026", "30": "Sat 31 Oct 2026", "90": "Tue 1 Sep 2026", "": "Sat 31 Oct 2026", "1000": "Sat 31 Oct 2026"} {
			b.get("key?key=" + id + "&days=" + days).want(200)
			_, table, _ := strings.Cut(b.shown, `<details class="chart-table">`)
			table, _, _ = strings.Cut(table, "</details>")
			require.Contains(t, words(table), first+" 0 – – –", days)
			require.NotContains(t, table, "2025")
			require.Equal(t, 1, strings.Count(b.shown, "days=7")) // each range has its link
		}
	})
}

// A member's own limits are those that are shown, and each quota of a plan has its figures.
func TestKeyShowsItsOwnLimits(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", ledger.Quota{Limit: 100, Period: ledger.Daily}, ledger.Quota{Limit: 1000, Period: ledger.Monthly})
		id := p.key("acme", "acme")
		require.NoError(t, p.plans.AddMembers(t.Context(), usageplan.Member{
			Plan: "gold", Client: id, Throttle: &ratelimit.Limit{Rate: 0.5, Burst: 20}, Limits: map[ledger.Period]int64{ledger.Daily: 20},
		}))
		p.take(id, 18)
		shown := signedIn(t, p).get("key?key=" + id).want(200).words()
		for _, want := range []string{
			"Used today 18 of 20", "Remaining 2", "Used this month 18 of 1,000", "Remaining 982", "Reset 1 Dec 00:00 UTC",
			"Throttle 0.5 / s burst 20, of this key alone",
			"Quota of the day: Runs out about 13:30", "Quota of the month: Lasts until the reset",
		} {
			require.Contains(t, shown, want)
		}
		require.Contains(t, signedIn(t, p).words(), "near limit 18 of 20 a day 2", "the tighter one, in the overview")
	})
}

func TestKeyOutsideOfPlansShowsTheDefaultPlan(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{admin: visitors.admin, plans: func(c *usageplan.Config) {
			c.Plans, c.Default = []usageplan.Plan{{ID: "base", Name: "Base", Stages: served[:1]}}, "base"
		}})
		id := p.key("acme", "acme")
		p.take(id, 3)
		shown := signedIn(t, p).get("key?key=" + id).want(200).words()
		require.Contains(t, shown, "Usage in Base (the default plan)")
		require.Contains(t, shown, "Used today 3 the plan has no quota")
		require.NotContains(t, shown, "Runs out")
	})
}

// TestDaysKeepTheLimitOfTheirQuota: a plan whose quota per day became one per month shows both as they were.
func TestDaysKeepTheLimitOfTheirQuota(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		id := p.key("acme", "acme")
		p.join("gold", id)
		p.take(id, 7)
		time.Sleep(24 * time.Hour)
		p.take(id, 2)
		_, err := p.plans.UpdatePlan(t.Context(), "gold", func(plan *usageplan.Plan) error {
			plan.Quotas = []ledger.Quota{{Limit: 100, Period: ledger.Monthly}}
			return nil
		})
		require.NoError(t, err)
		p.take(id, 1)
		shown := signedIn(t, p).get("key?key=" + id).words()
		require.Contains(t, shown, "Mon 30 Nov 2026 2 99 100 0", "what both have counted of today is not added up")
		require.Contains(t, shown, "Sun 29 Nov 2026 7 3 10 0")
		require.Contains(t, shown, "Used this month 1 of 100")
	})
}

// withJournals gives keys and plans journals that may fail.
func withJournals(fail *error) settings {
	return settings{
		admin: visitors.admin,
		keys: func(c *apikey.Config) {
			c.Journal, c.Pepper = &mute{journal.Memory(0), fail}, apikey.Secret(strings.Repeat("p", 32))
		},
		plans: func(c *usageplan.Config) { c.Journal = &mute{journal.Memory(0), fail} },
	}
}

func TestHistorySaysWhoDidWhatAndWhere(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		var fail error
		p := newPlane(t, withJournals(&fail))
		ctx := journal.NewContext(t.Context(), journal.Origin{Actor: "ann", Source: "192.0.2.1"})
		p.plan("gold", daily)
		p.plan("left")
		k, err := p.keys.Create(ctx, apikey.Key{Name: "acme", Enabled: true}, p.keys.Generate())
		require.NoError(t, err)
		time.Sleep(time.Minute + time.Second/2)
		for _, plan := range []string{"left", "gold"} {
			if plan == "gold" {
				require.NoError(t, p.plans.RemoveMembers(ctx, k.ID))
				time.Sleep(time.Minute)
			}
			require.NoError(t, p.plans.AddMembers(ctx, usageplan.Member{Plan: plan, Client: k.ID}))
			if plan == "left" {
				time.Sleep(time.Minute)
			}
		}
		_, err = p.plans.Correct(ctx, usageplan.QuotaKey{Plan: "gold", Client: k.ID}, ledger.Adjustment{Delta: 3, Reason: "<b>late</b>"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = p.keys.Update(ctx, k.ID, func(k *apikey.Key) error { k.Enabled, k.Name = false, "<i>: x"; return nil })
		require.NoError(t, err)
		b := signedIn(t, p).get("key?key=" + k.ID).want(200)
		require.Contains(t, b.words(), "When Who What From → to Why "+
			`29 Nov 2026 12:04 UTC ann at 192.0.2.1 changed enabled: true → false; name: "acme" → "<i>: x" – `+
			"29 Nov 2026 12:03 UTC ann correction of what the day has used in \u2068plan gold\u2069 +3 (0 → +3) <b>late</b> "+
			"29 Nov 2026 12:03 UTC ann at 192.0.2.1 joined the plan \u2068plan gold\u2069 – – "+
			"29 Nov 2026 12:02 UTC ann at 192.0.2.1 left the plan \u2068plan left\u2069 – – "+
			"29 Nov 2026 12:01 UTC ann at 192.0.2.1 joined the plan \u2068plan left\u2069 – – "+
			"29 Nov 2026 12:00 UTC ann at 192.0.2.1 made – – The history begins when the key was made.")
		fail = errors.New("down")
		b.get("key?key="+k.ID).want(200, "The journal of keys has not answered.", "The journal of plans has not answered.", "correction of what")
		require.NotContains(t, b.shown, "The history begins")
	})
}

// mute is a journal whose history fails.
type mute struct {
	journal.Journal
	fail *error
}

func (j *mute) History(ctx context.Context, item string) iter.Seq2[journal.Change, error] {
	if *j.fail != nil {
		return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, *j.fail) }
	}
	return j.Journal.History(ctx, item)
}

// TestHistoryIsBounded: the newest entries are shown, and the page says that there are older ones.
func TestHistoryIsBounded(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		var fail error
		p := newPlane(t, withJournals(&fail))
		id := p.key("acme", "acme")
		b := signedIn(t, p)
		for range 99 {
			_, err := p.keys.Update(t.Context(), id, func(k *apikey.Key) error { k.Name += "x"; return nil })
			require.NoError(t, err)
		}
		b.get("key?key="+id).want(200, "The history begins when the key was made.")
		_, err := p.keys.Update(t.Context(), id, func(k *apikey.Key) error { k.Name = "y"; return nil })
		require.NoError(t, err)
		b.get("key?key="+id).want(200, "These are the newest entries. Older ones are kept and not shown.")
	})
}

// TestKeyIsShownWithoutItsLedger: if that does not answer, the key can still be disabled.
func TestKeyIsShownWithoutItsLedger(t *testing.T) {
	e := &reads{Engine: ledger.NewMemory()}
	p := readPlane(t, e)
	p.plan("gold", daily)
	id := p.key("acme", "acme")
	p.join("gold", id)
	h, _ := newPage(t, p, byName)
	down := errors.New("down")
	e.fail.Store(&down)
	newBrowser(t, h, home).get("key?key="+id).want(200, "The ledger has not answered. Load the page again", `action="disable"`)
}

// TestKeySaysThatItHasExpired: its value is refused, although it is enabled.
func TestKeySaysThatItHasExpired(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, visitors)
		p.plan("gold", daily)
		now := time.Now().UTC().Truncate(time.Minute)
		for id, k := range map[string]apikey.Key{
			"expired":       {Expires: now.Add(time.Hour)},
			"not valid yet": {NotBefore: now.Add(48 * time.Hour)},
			"enabled":       {NotBefore: now.Add(-time.Hour), Expires: now.Add(48 * time.Hour)},
		} {
			k.ID, k.Name, k.Enabled = (strings.ReplaceAll(id, " ", "") + "0000000000")[:10], id, true
			_, err := p.keys.Create(t.Context(), k, p.keys.Generate())
			require.NoError(t, err)
			p.join("gold", k.ID)
		}
		time.Sleep(24 * time.Hour)
		b := signedIn(t, p)
		for _, state := range []string{"expired", "not valid yet", "enabled"} {
			id := (strings.ReplaceAll(state, " ", "") + "0000000000")[:10]
			shown := b.get("key?key=" + id).want(200).words()
			require.Contains(t, shown, " "+state+" "+state+" Id "+id+" Valid ")
			require.Contains(t, b.get("plan?plan=gold").words(), " "+state+" "+id+" "+state+" of the plan")
		}
	})
}

// TestKeyOfHiddenPlansIsNotSaidToHaveNone: neither on its page nor in the list.
func TestKeyOfHiddenPlansIsNotSaidToHaveNone(t *testing.T) {
	for _, denied := range []string{"GetUsagePlans", "GetUsagePlan"} {
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error {
				if a.Operation == denied {
					return io.ErrUnexpectedEOF // any error
				}
				return nil
			}
		}})
		p.plan("gold", daily)
		in, out := p.key("in", "in"), p.key("out", "out")
		p.join("gold", in)
		h, _ := newPage(t, p, byName)
		b := newBrowser(t, h, home).get("key?key="+in).want(200, "The key is in plans that you may not see.")
		require.NotContains(t, b.shown, "No usage plan")
		require.NotContains(t, b.shown, "gold")
		b.get("key?key="+out).want(200, "No usage plan")
		require.NotContains(t, b.shown, "may not see")
	}
}

// TestUsageOfAPlanIsShownToWhoMayReadIt: and neither its figures nor its adjustments to others.
func TestUsageOfAPlanIsShownToWhoMayReadIt(t *testing.T) {
	inDecember(t, func(t *testing.T) {
		p := newPlane(t, settings{admin: func(c *admin.Config) {
			c.Authorize = func(_ *http.Request, a admin.Action) error {
				if a.Operation == "GetUsage" {
					return io.ErrUnexpectedEOF // any error
				}
				return nil
			}
		}})
		p.plan("gold", daily)
		id := p.key("acme", "acme")
		p.join("gold", id)
		p.take(id, 3)
		_, err := p.plans.Extend(t.Context(), usageplan.QuotaKey{Plan: "gold", Client: id}, ledger.Adjustment{Delta: 15, Reason: "launch"})
		require.NoError(t, err)
		h, _ := newPage(t, p, byName)
		shown := newBrowser(t, h, home).get("key?key=" + id).want(200).words()
		require.NotContains(t, shown, "Used today")
		require.NotContains(t, shown, "launch")
	})
}
