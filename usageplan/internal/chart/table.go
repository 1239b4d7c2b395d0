package chart

import (
	"slices"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// legend explains what was drawn. The two lines need no colour to be told apart: one has gaps. Without an extension,
// there is only one.
func (p *plot) legend(period ledger.Period) {
	of := map[ledger.Period]string{ledger.Weekly: "week", ledger.Monthly: "month"}[period]
	limit := "limit"
	if p.seen["base"] {
		limit += " with extensions"
	}
	p.put(`<ul class="chart-legend">`)
	for _, entry := range [...]struct{ class, text string }{
		{"before", "used earlier in the " + of},
		{"used", "used"},
		{"full", "used, nothing left"},
		{"rest", "remaining"},
		{"extra", "remaining, by extension"},
		{"limit", limit},
		{"base", "limit without them"},
	} {
		if !p.seen[entry.class] {
			continue
		}
		mark := `<rect class="` + entry.class + `" width="100%" height="100%"/>`
		if entry.class == "limit" || entry.class == "base" {
			mark = `<line class="` + entry.class + `" x1="0%" y1="50%" x2="100%" y2="50%"/>`
		}
		p.print(`<li><svg aria-hidden="true">%s</svg>%s</li>`, mark, entry.text)
	}
	p.put(`</ul>`)
}

// table writes all numbers of the chart, the newest first. It is closed until it is asked for. A screen reader finds it
// behind its summary, and a keyboard opens it.
func (p *plot) table(c *Days) {
	p.print(`<details class="chart-table"><summary>As a table</summary><table><caption>Usage by day, %s</caption>`,
		Escape(zone(c)))
	p.put(`<thead><tr><th scope="col">Day</th><th scope="col">Used</th>`)
	if c.Quota.Period != "" {
		p.put(`<th scope="col">Remaining</th><th scope="col">Limit</th><th scope="col">Extensions</th>`)
	}
	p.put(`</tr></thead><tbody>`)
	for _, b := range slices.Backward(p.bars) {
		p.print(`<tr><th scope="row"><time datetime="%s">%s</time></th><td>%s</td>`, b.day.Start.Format(time.DateOnly),
			b.day.Start.Format("Mon 2 Jan 2006"), Count(b.day.Used))
		switch {
		case b.limited:
			p.print(`<td>%s</td><td>%s</td><td>%s</td>`,
				Count(b.day.Remaining), Count(b.day.Limit), signed(b.day.Adjustments))
		case c.Quota.Period != "":
			p.put(`<td>–</td><td>–</td><td>–</td>`)
		}
		p.put(`</tr>`)
	}
	p.put(`</tbody></table></details>`)
}

// zone names the place whose midnights begin the days.
func zone(c *Days) string {
	if c.Quota.Location == nil {
		return time.UTC.String()
	}
	return c.Quota.Location.String()
}
