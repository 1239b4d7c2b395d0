package admin

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// An instant is a time as the page shows it: for people, and in the form of the element time.
type instant struct{ Machine, Text string }

// agoAt returns how long ago a time was. It needs no zone, and is what an owner wants to know of a last use.
func agoAt(t, now time.Time) instant {
	if t.Unix() <= 0 {
		return instant{Text: "never"}
	}
	return instant{t.UTC().Format(time.RFC3339), ago(now.Sub(t))}
}

// lastUse returns when a key was last used: used has what it has used by day, the last one today. The verifier knows the
// second, but forgets it when the process ends. The day is known from the usage then, as far as that is shown.
func lastUse(k apikey.Key, used []int64, now time.Time) instant {
	if k.LastUsed.Unix() > 0 {
		return agoAt(k.LastUsed, now)
	}
	for days := range used {
		if used[len(used)-1-days] > 0 {
			return instant{Text: daysAgo(days)}
		}
	}
	return agoAt(k.LastUsed, now)
}

// daysAgo is a day in words.
func daysAgo(days int) string {
	switch days {
	case 0:
		return "today"
	case 1:
		return "1 day ago"
	}
	return fmt.Sprintf("%d days ago", days)
}

// ago is a duration in one unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return daysAgo(int(d / (24 * time.Hour)))
}

// periodNames are what people call the periods of quotas.
var periodNames = map[ledger.Period]string{ledger.Daily: "day", ledger.Weekly: "week", ledger.Monthly: "month"}

// writeQuotaText is a quota in words: "1,000 a month".
func writeQuotaText(limit int64, p ledger.Period) string {
	return chart.Count(limit) + " a " + periodNames[p]
}

// writeLimitText is a throttle in words: "1 per second, burst 2".
func writeLimitText(l *ratelimit.Limit) string {
	if l == nil {
		return "no throttle"
	}
	return writeRate(l.Rate) + " per second, burst " + chart.Count(l.Burst)
}

// writeRate is a rate without needless zeros.
func writeRate(rate float64) string {
	if rate == math.Trunc(rate) && math.Abs(rate) < 1<<53 {
		return chart.Count(int64(rate))
	}
	return strconv.FormatFloat(rate, 'f', -1, 64)
}

// counted is a number with what it counts: "1 plan", "2 plans".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return chart.Count(int64(n)) + " " + one + "s"
}

// instantAt returns a time in the zone where a quota has its midnight, with the name of the zone. Two clocks that differ
// by hours are on one page if plans have different zones.
func instantAt(t time.Time, at *time.Location) instant {
	return instant{t.UTC().Format(time.RFC3339), t.In(at).Format("2 Jan 2006 15:04 ") + at.String()}
}

// signedCount is a change: "+60" or "-5".
func signedCount(n int64) string {
	if n > 0 {
		return "+" + chart.Count(n)
	}
	return chart.Count(n)
}
