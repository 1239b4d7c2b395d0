package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A plot is a chart that is being written.
type plot struct {
	out   []byte
	bars  []bar
	scale scale
	seen  map[string]bool // classes of what was drawn, for the legend
}

func (p *plot) put(s string)                     { p.out = append(p.out, s...) }
func (p *plot) print(format string, args ...any) { p.out = fmt.Appendf(p.out, format, args...) }

// percent writes a place or a length. Thousandths of a percent are finer than any screen.
func percent(f float64) string {
	return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64) + "%"
}

// slot is the width that a bar has with the gap on its sides, in percent of the plot.
func (p *plot) slot() float64 { return 100 / float64(len(p.bars)) }

// axis writes the labels of the vertical axis. They are read from the table, so they are hidden from screen readers, as
// are the dates.
func (p *plot) axis() {
	p.put(`<svg class="chart-scale" aria-hidden="true">`)
	for _, n := range p.scale.lines() {
		p.print(`<text x="82%%" y="%s" dy=".32em" text-anchor="end">%s</text>`, percent(p.scale.y(n)), short(n))
	}
	p.put(`</svg>`)
}

func (p *plot) grid() {
	for _, n := range p.scale.lines() {
		p.line("grid", 0, n, 100, n)
	}
}

// line writes a line between two points, of which x is in percent and y in units.
func (p *plot) line(class string, x1, y1, x2, y2 float64) {
	p.print(`<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`,
		class, percent(x1), percent(p.scale.y(y1)), percent(x2), percent(p.scale.y(y2)))
}

// day writes the bar of a day, and over all of its height an area that shows the numbers where the mouse points.
func (p *plot) day(i int) {
	b, left, slot := &p.bars[i], float64(i)*p.slot(), p.slot()
	if b.newBegin && i > 0 {
		p.print(`<line class="turn" x1="%[1]s" y1="0%%" x2="%[1]s" y2="100%%"/>`, percent(left))
	}
	p.put(`<g class="day">`)
	p.print(`<title>%s</title>`, Escape(b.text()))
	used := "used"
	if b.exhausted() {
		used = "full"
	}
	at := p.part(i, "before", 0, b.before)
	at = p.part(i, used, at, at+b.used)
	plain := max(at, min(at+b.rest, b.limit))
	p.part(i, "rest", at, plain)
	p.part(i, "extra", plain, at+b.rest)
	p.print(`<rect class="hit" x="%s" y="0%%" width="%s" height="100%%"/></g>`, percent(left), percent(slot))
}

// part writes a part of a bar, and returns where it ends. The smallest part is as high as a line is thick: a single
// request on a day shows even next to a limit of a million.
func (p *plot) part(i int, class string, from, to float64) (end float64) {
	const smallest = 0.7
	if to <= from {
		return from
	}
	p.seen[class] = true
	top, bottom := p.scale.y(to), p.scale.y(from)
	height := max(bottom-top, smallest)
	p.print(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class,
		percent((float64(i)+0.14)*p.slot()), percent(max(0, bottom-height)), percent(0.72*p.slot()), percent(height))
	return to
}

// bounds writes what the days were bounded by, as a line with steps: the limit with the extensions of then. Days of one
// bound have one line. Across a day with an extension, a second line shows the limit without it.
func (p *plot) bounds() {
	for from := 0; from < len(p.bars); {
		b, to := &p.bars[from], from+1
		for to < len(p.bars) && p.bars[to].limited == b.limited && p.bars[to].bound == b.bound {
			to++
		}
		if b.limited {
			p.seen["limit"] = true
			left := float64(from) * p.slot()
			p.line("limit", left, b.bound, float64(to)*p.slot(), b.bound)
			if from > 0 && p.bars[from-1].limited {
				p.line("limit", left, p.bars[from-1].bound, left, b.bound)
			}
		}
		from = to
	}
	for i := range p.bars {
		if b := &p.bars[i]; b.limited && b.limit != b.bound {
			p.seen["base"] = true
			p.line("base", float64(i)*p.slot(), b.limit, float64(i+1)*p.slot(), b.limit)
		}
	}
}

// maxDates is how many dates fit below the chart on a phone.
const maxDates = 4

// dates writes the dates below the chart: the last day, and others at equal distances before it.
func (p *plot) dates() {
	p.put(`<svg class="chart-days" aria-hidden="true">`)
	each := (len(p.bars) + maxDates - 1) / maxDates
	for i := (len(p.bars) - 1) % each; i < len(p.bars); i += each {
		x, anchor := (float64(i)+0.5)*p.slot(), "middle"
		switch {
		case x < 7:
			x, anchor = float64(i)*p.slot(), "start"
		case x > 93:
			x, anchor = float64(i+1)*p.slot(), "end"
		}
		date := p.bars[i].day.Start.Format(shortDate)
		if p.bars[i].today {
			date = "today"
		}
		p.print(`<text x="%s" y="1.1em" text-anchor="%s">%s</text>`, percent(x), anchor, date)
	}
	p.put(`</svg>`)
}

// text is what a bar says in words.
func (b *bar) text() string {
	parts := []string{fmt.Sprintf("%s: %s used", b.day.Start.Format("Mon 2 Jan 2006"), Count(b.day.Used))}
	if b.limited {
		parts = append(parts, fmt.Sprintf("%s remaining of %s", Count(b.day.Remaining), Count(whole(b.bound))))
		if b.day.Adjustments != 0 {
			parts = append(parts, fmt.Sprintf("%s by extension", signed(b.day.Adjustments)))
		}
	}
	return strings.Join(parts, ", ")
}

// signed is a change: +60 or -5.
func signed(n int64) string {
	if n > 0 {
		return "+" + Count(n)
	}
	return Count(n)
}
