package chart

import (
	"fmt"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Days is what [Usage] draws: the usage of one client under one quota.
type Days struct {
	// Of names the client in the accessible name of the chart. It is escaped.
	Of string

	// Days are in their order, as [ledger.Ledger.Usage] yields them.
	Days []ledger.Day

	// Quota is the present one. Its period says how a day is drawn. With the zero Quota there is no limit.
	Quota ledger.Quota

	// Now says which day is today. Days that begin later are left out.
	Now time.Time

	// Since is when the client began. Of days that ended before, nothing could be used, so nothing remained. The zero
	// time is before all.
	Since time.Time
}

// A bar is a day as it is drawn, in units from the bottom to the top: before, used, and rest up to the bound.
//
// The day of a quota per day has no units from before. On a day of a week or a month, those are what the period had used
// already. So the bars of a period grow towards the limit, and start anew with the next one: what is left at the top is
// the balance that is carried from day to day.
type bar struct {
	day                      ledger.Day
	before, used, rest       float64
	limit, bound             float64 // the limit without and with extensions
	limited, today, newBegin bool
}

// bars returns what is drawn of the days.
func (c *Days) bars() []bar {
	var bars []bar
	for _, d := range c.Days {
		if d.Start.After(c.Now) {
			break
		}
		bars = append(bars, c.bar(d))
	}
	if n := len(bars); n > 0 {
		bars[n-1].today = c.Now.Before(bars[n-1].day.Start.AddDate(0, 0, 1))
	}
	return bars
}

// bar returns what is drawn of a day. Numbers are computed as floats, which never overflow: a damaged account must not
// break the page. The ledger does not tell what a period had used before the day, but what remained at its end. The
// difference includes what leases of other processes held, which could not be used by others either.
//
// Example: of 1 000 units and 200 by extension, 700 remained at the end of a day on which 60 were used. So 440 had been
// used before it.
func (c *Days) bar(d ledger.Day) bar {
	b := bar{day: d, used: max(0, float64(d.Used)), newBegin: c.begins(d.Start)}
	b.limited = c.Quota.Period != "" && d.Limit < ledger.MaxUnits && d.Start.AddDate(0, 0, 1).After(c.Since)
	if !b.limited {
		return b
	}
	b.limit = max(0, float64(d.Limit))
	b.bound = max(0, float64(d.Limit)+float64(d.Adjustments))
	b.rest = max(0, float64(d.Remaining))
	if c.Quota.Period != ledger.Daily {
		b.before = max(0, b.bound-b.rest-float64(d.Used))
	}
	return b
}

// begins reports whether a period begins with the day, for the line that separates it from the one before. Days are
// periods of their own, and need no line.
func (c *Days) begins(day time.Time) bool {
	start, _ := c.Quota.Bounds(day)
	return c.Quota.Period != ledger.Daily && start.Equal(day)
}

// exhausted reports whether nothing was left at the end of the day.
func (b *bar) exhausted() bool { return b.limited && b.rest == 0 && b.before+b.used > 0 }

// Usage returns a figure with the chart of the days, its legend and its table.
func Usage(c Days) string {
	bars := c.bars()
	if len(bars) == 0 {
		return `<p class="chart-none">There are no days to show.</p>`
	}
	p := plot{bars: bars, scale: scaleOf(bars), seen: make(map[string]bool)}
	p.put(`<figure class="chart"><div class="chart-area">`)
	p.axis()
	p.print(`<svg class="chart-plot" role="img" aria-label="%s">`, Escape(c.title(bars)))
	p.grid()
	for i := range bars {
		p.day(i)
	}
	p.bounds()
	p.put(`</svg>`)
	p.dates()
	p.put(`</div>`)
	p.legend(c.Quota.Period)
	p.table(&c)
	p.put(`</figure>`)
	return string(p.out)
}

// title says what the chart shows, for those who do not see it.
func (c *Days) title(bars []bar) string {
	used, most := 0.0, &bars[0]
	for i := range bars {
		used += bars[i].used
		if bars[i].used > most.used {
			most = &bars[i]
		}
	}
	text := fmt.Sprintf("Usage of %s in %d days: %s used", c.Of, len(bars), Count(whole(used)))
	if most.used > 0 {
		text += fmt.Sprintf(", the most on %s with %s", most.day.Start.Format(shortDate), Count(most.day.Used))
	}
	return text + "; the table below has each day"
}

// shortDate is a date among those of some weeks.
const shortDate = "2 Jan"
