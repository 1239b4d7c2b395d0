package usageplan

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The status page is written by hand. html/template would make each program that meters larger by 2.5 MB (measured,
// of 7 MB, stripped), also a Lambda function that serves no page: a template calls methods by name, so the linker
// must keep all exported ones.

//go:embed status.css
var statusStyle string

// statusPolicy is the Content-Security-Policy of the page. It has no script, no form and nothing from elsewhere. Its
// one style sheet is allowed by its hash.
var statusPolicy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(statusStyle + chart.Style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
})

// setPageHeader sets the header of the page: it stays out of caches and frames, and tells no other site where it is.
func setPageHeader(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", statusPolicy())
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// A statusPage is the HTML of a status while it is written.
type statusPage struct {
	bytes.Buffer
	now time.Time
}

// put writes markup. Each %s in it stands for a text, which is escaped, for a place between tags or in a quoted
// attribute.
func (p *statusPage) put(markup string, texts ...string) {
	escaped := make([]any, len(texts))
	for i, text := range texts {
		escaped[i] = chart.Escape(text)
	}
	fmt.Fprintf(p, markup, escaped...)
}

// pageOf returns the page of a status: that of the client of q, whose member and plan are p.
func (m *Meter) pageOf(ctx context.Context, q *Request, p *match, st *Status) ([]byte, error) {
	page := statusPage{now: time.Now()}
	page.put(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Usage – %s</title><style>`, st.Plan)
	page.WriteString(statusStyle + chart.Style)
	page.put("</style></head>\n<body><main><h1>Usage</h1>\n<p class=\"lead\">Plan <bdi>%s</bdi></p>\n", st.Plan)
	quotas := st.allowances()
	if len(quotas) != 1 { // with one quota, the rate is the last of its tiles
		page.put("<h2>Rate</h2>\n<dl class=\"tiles\">")
		page.rate(st)
		page.put("</dl>\n")
	}
	for i, a := range quotas {
		if err := m.putQuota(ctx, &page, q, p, i, a, st); err != nil {
			return nil, m.uncounted(ctx, q, p, i, err)
		}
	}
	if len(quotas) == 0 {
		page.put("<p>There is no quota: the plan limits the rate alone.</p>\n")
	}
	page.put("</main></body></html>\n")
	return page.Bytes(), nil
}

// allowances are all quotas of the status, also if there is only one.
func (s *Status) allowances() []Allowance {
	if s.Allowance != nil && s.Quotas == nil {
		return []Allowance{*s.Allowance}
	}
	return s.Quotas
}

// daysShown is how many days the chart has, today included.
const daysShown = 30

// putQuota writes what is used and left of quota i, and its chart.
func (m *Meter) putQuota(
	ctx context.Context, page *statusPage, q *Request, p *match, i int, a Allowance, st *Status,
) error {
	quota := p.state.quota(i, p.member)
	page.put("<h2>%s</h2>\n<dl class=\"tiles\">", spans[quota.Period])
	page.tiles(a, quota.Location)
	if st.Quotas == nil {
		page.rate(st)
	}
	page.put("</dl>\n<section class=\"card\"><h3>Last %s days</h3>", strconv.Itoa(daysShown))
	drawn := chart.Days{Of: "plan " + st.Plan, Quota: quota, Now: page.now}
	location := quota.Location
	if location == nil {
		location = time.UTC
	}
	from := page.now.In(location).AddDate(0, 0, 1-daysShown) // by its dates: a day there may have 23 or 25 hours
	for day, err := range m.config.Ledger.Usage(ctx, p.state.key(i, q.Client), quota, from, page.now) {
		if err != nil {
			return err
		}
		drawn.Days = append(drawn.Days, day)
	}
	page.WriteString(chart.Usage(drawn))
	page.put("</section>\n")
	return nil
}

// spans are the headings of quotas.
var spans = map[ledger.Period]string{ledger.Daily: "Today", ledger.Weekly: "This week", ledger.Monthly: "This month"}

// tile writes one figure with its name, and a line about it.
func (p *statusPage) tile(name, class, figure, about string) {
	p.put(`<div><dt>%s</dt><dd class="figure%s">%s</dd><dd>%s</dd></div>`, name, class, figure, about)
}

// tiles write what is used and left of a quota, and when it starts anew: in its own location, which is named.
func (p *statusPage) tiles(a Allowance, location *time.Location) {
	left, about := " left", "until the reset"
	if a.Remaining == 0 {
		left, about = " out", "used up until the reset"
	}
	if location == nil {
		location = time.UTC
	}
	reset := a.Reset.In(location)
	p.tile("Used", "", chart.Count(a.Used), "of "+chart.Count(a.Limit))
	p.tile("Remaining", left, chart.Count(a.Remaining), about)
	p.tile("Reset", "", reset.Format("2 Jan"), strings.TrimSuffix(reset.Format("15:04 ")+location.String(), " Local"))
}

// rate writes the client's throttle, and how many of its requests may run at once if that is bounded.
func (p *statusPage) rate(st *Status) {
	p.throttle(st)
	if st.InFlight > 0 {
		p.tile("In flight", "", chart.Count(int64(st.InFlight)), "requests may run at once")
	}
}

// throttle writes the client's throttle.
func (p *statusPage) throttle(st *Status) {
	switch {
	case st.BurstLimit == nil:
		p.tile("Throttle", "", "none", "no limit of the rate")
	case *st.BurstLimit == 0:
		p.tile("Throttle", " out", "closed", "every request is refused")
	default:
		rate := strconv.FormatFloat(*st.RateLimit, 'f', -1, 64)
		p.tile("Throttle", "", rate+"/s", "requests, with bursts of "+chart.Count(*st.BurstLimit))
	}
}
