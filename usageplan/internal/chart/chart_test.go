package chart_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/internal/chart"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var update = flag.Bool("update", false, "write the golden files anew")

// begin is a Monday.
var begin = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

// sampleOf returns days of a quota with the given uses, one each, as a ledger would tell them. extend is what is added
// on the index of a day.
func sampleOf(q ledger.Quota, used []int64, extend map[int]int64) (days []ledger.Day) {
	left, added := q.Limit, int64(0)
	for i, n := range used {
		at := begin.AddDate(0, 0, i)
		if q.Period == ledger.Daily || q.Period == ledger.Weekly && int(at.Weekday()) == q.Offset ||
			q.Period == ledger.Monthly && at.Day() == q.Offset+1 {
			left, added = q.Limit, 0
		}
		added += extend[i]
		left += extend[i] - n
		days = append(days, ledger.Day{Start: at, Used: n, Remaining: max(0, left), Limit: q.Limit, Adjustments: added})
	}
	return days
}

func samples() map[string]chart.Days {
	day := ledger.Quota{Limit: 100, Period: ledger.Daily}
	week := ledger.Quota{Limit: 500, Period: ledger.Weekly, Offset: 1}
	month := ledger.Quota{Limit: 1000, Period: ledger.Monthly, Offset: 5}
	tenth := begin.AddDate(0, 0, 9).Add(13 * time.Hour)
	used := []int64{54, 71, 100, 0, 12, 0, 33, 48, 150, 40}
	lowered := sampleOf(day, used, map[int]int64{8: 60, 9: -30})
	lowered[9].Limit, lowered[9].Remaining = 80, 10
	return map[string]chart.Days{
		"day":   {Of: "acme", Days: lowered, Quota: day, Now: tenth},
		"week":  {Of: "acme", Days: sampleOf(week, used, map[int]int64{2: 100}), Quota: week, Now: tenth},
		"month": {Of: "acme", Days: sampleOf(month, used, nil), Quota: month, Now: tenth},
		"none":  {Of: "acme", Days: sampleOf(ledger.Quota{Limit: ledger.MaxUnits}, used, nil), Now: tenth},
		"empty": {Of: "acme", Quota: day, Now: tenth},
		"young": {
			Of: `<svg onload="alert(1)">&`, Days: sampleOf(day, []int64{0, 0, 0, 5, 6, 7}, nil), Quota: day,
			Now: begin.AddDate(0, 0, 4), Since: begin.AddDate(0, 0, 3).Add(time.Hour),
		},
	}
}

func TestGolden(t *testing.T) {
	for name, days := range samples() {
		t.Run(name, func(t *testing.T) { requireGolden(t, name, chart.Usage(days)) })
	}
	requireGolden(t, "spark", chart.Spark([]int64{3, 0, 1, -4, 1000, 999, 20}))
	requireGolden(t, "nospark", chart.Spark(make([]int64, 30)))
}

// requireGolden compares a chart with a file that has a line for each element, so that a difference can be read.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, "><", ">\n<") + "\n"
	file := filepath.Join("testdata", name+".html")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// elements returns the elements of a chart by their class, and fails unless the chart is well-formed, has finite
// coordinates within the plot and no attribute that a strict policy refuses.
func elements(t *testing.T, text string) map[string][]xml.StartElement {
	t.Helper()
	found := make(map[string][]xml.StartElement)
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err, text)
		e, is := token.(xml.StartElement)
		if !is {
			continue
		}
		require.Contains(t, known, e.Name.Local)
		for _, a := range e.Attr {
			require.NotEqual(t, "style", a.Name.Local)
			require.False(t, strings.HasPrefix(a.Name.Local, "on"), a.Name.Local)
			requireCoordinate(t, a)
			if a.Name.Local == "class" {
				found[a.Value] = append(found[a.Value], e.Copy())
			}
		}
	}
}

// known are the elements that charts are made of.
var known = strings.Fields(
	"figure p div svg text line g title rect path span ul li details summary table caption thead tbody tr th td time")

var length = regexp.MustCompile(`^[0-9.]+(%|em)$`)

func requireCoordinate(t *testing.T, a xml.Attr) {
	t.Helper()
	switch a.Name.Local {
	case "x", "y", "x1", "x2", "y1", "y2", "width", "height":
		require.Regexp(t, length, a.Value)
	}
	if strings.HasSuffix(a.Value, "%") && a.Name.Local != "aria-label" {
		n := percent(t, a.Value)
		require.True(t, 0 <= n && n <= 100.001, a.Value)
	}
}

func percent(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	require.NoError(t, err)
	require.False(t, math.IsNaN(n) || math.IsInf(n, 0))
	return n
}

// part is the place of a part of a bar, in percent.
type part struct{ x, height float64 }

// parts returns the parts of bars that have one of the classes. The signs of the legend have the same classes, and no
// place.
func parts(t *testing.T, text string, classes ...string) (found []part) {
	t.Helper()
	all := elements(t, text)
	for _, class := range classes {
		for _, e := range all[class] {
			at := make(map[string]string)
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
			}
			if at["x"] != "" {
				found = append(found, part{percent(t, at["x"]), percent(t, at["height"])})
			}
		}
	}
	return found
}

// TestBarsAddUpToTheBound: the parts of each bar stand on each other, and reach as high as the limit of that day with
// its extensions.
func TestBarsAddUpToTheBound(t *testing.T) {
	for name, top := range map[string]float64{"day": 200, "week": 600, "month": 1000} {
		sample := samples()[name]
		bars := make(map[int]float64) // their heights
		for _, p := range parts(t, chart.Usage(sample), "before", "used", "full", "rest", "extra") {
			bars[int(p.x/10)] += p.height
		}
		require.Len(t, bars, len(sample.Days), name)
		for i, d := range sample.Days {
			want := float64(d.Limit+d.Adjustments) / top * 100
			require.InDelta(t, want, bars[i], 0.01, "%s, %s", name, d.Start)
		}
	}
}

// TestUsedPartIsToScale: a part that is used is as high as the number says.
func TestUsedPartIsToScale(t *testing.T) {
	for name, top := range map[string]float64{"day": 200, "week": 600, "month": 1000, "none": 150} {
		sample := samples()[name]
		var got, want []float64
		for _, p := range parts(t, chart.Usage(sample), "used", "full") {
			got = append(got, p.height)
		}
		for _, d := range sample.Days {
			if d.Used > 0 {
				want = append(want, max(0.7, math.Round(float64(d.Used)/top*1e5)/1e3))
			}
		}
		require.ElementsMatch(t, want, got, name)
	}
}

// TestTableHasEachDay: who cannot see the chart finds its numbers in the table.
func TestTableHasEachDay(t *testing.T) {
	for name, sample := range samples() {
		text := chart.Usage(sample)
		for _, d := range sample.Days {
			row := `<time datetime="` + d.Start.Format(time.DateOnly) + `">`
			require.Equal(t, !d.Start.After(sample.Now), strings.Contains(text, row), "%s, %s", name, d.Start)
		}
	}
	require.Contains(t, chart.Usage(samples()["day"]),
		`<time datetime="2026-11-10">Tue 10 Nov 2026</time></th><td>150</td><td>10</td><td>100</td><td>+60</td></tr>`)
}

// TestTextsAreEscaped: a name is text, whatever it has.
func TestTextsAreEscaped(t *testing.T) {
	text := chart.Usage(samples()["young"])
	require.NotContains(t, text, "<svg onload")
	require.Contains(t, text, `aria-label="Usage of &lt;svg onload=&#34;alert(1)&#34;&gt;&amp; in 5 days`)
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1: "-1", -12345: "-12,345",
		math.MaxInt64: "9,223,372,036,854,775,807", math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		require.Equal(t, want, chart.Count(n))
	}
}

// TestAxisHasRoundNumbers: two to five lines, from 0 to above the highest bar.
func TestAxisHasRoundNumbers(t *testing.T) {
	for limit, want := range map[int64]string{
		0: "0 1", 1: "0 1", 2: "0 1 2", 5: "0 2 4 6", 30: "0 10 20 30", 100: "0 50 100", 450: "0 200 400 600",
		25_000: "0 10k 20k 30k", 8_000: "0 2,000 4,000 6,000 8,000", 3_000_000: "0 1M 2M 3M", 1 << 52: "0 2P 4P 6P",
	} {
		q := ledger.Quota{Limit: limit, Period: ledger.Daily}
		text := chart.Usage(chart.Days{Days: sampleOf(q, []int64{0}, nil), Quota: q, Now: begin})
		scale, _, _ := strings.Cut(text, `<svg class="chart-plot"`)
		got := regexp.MustCompile(`>([^<>]+)</text>`).FindAllStringSubmatch(scale, -1)
		var labels []string
		for _, label := range got {
			labels = append(labels, label[1])
		}
		require.Equal(t, want, strings.Join(labels, " "))
	}
}

// TestStyleFitsAStrictPolicy: the style sheet loads nothing, and can stand in an element of a page.
func TestStyleFitsAStrictPolicy(t *testing.T) {
	for _, not := range []string{"url(", "@import", "<", "\\"} {
		require.NotContains(t, chart.Style, not)
	}
	require.Equal(t, strings.Count(chart.Style, "{"), strings.Count(chart.Style, "}"))
}

// FuzzUsage: any numbers give well-formed charts with finite coordinates.
func FuzzUsage(f *testing.F) {
	f.Add("acme", int64(100), int64(3), int64(97), int64(100), int64(0), uint8(0), uint8(30))
	f.Add("\x00\xff<", int64(math.MinInt64), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64),
		int64(math.MinInt64), uint8(1), uint8(1))
	f.Add("&amp;", int64(math.MaxInt64), int64(math.MinInt64), int64(1), int64(0), int64(math.MaxInt64), uint8(2), uint8(91))
	f.Fuzz(func(t *testing.T, of string, limit, used, remaining, dayLimit, adjustments int64, period, days uint8) {
		q := ledger.Quota{Limit: limit, Period: []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly, ""}[period%4]}
		c := chart.Days{Of: strings.ToValidUTF8(of, ""), Quota: q, Now: begin.AddDate(0, 0, int(days))}
		c.Of = strings.Map(func(r rune) rune { // XML has no escape for control characters; HTML does not mind
			if r < ' ' || r == 0xFFFE || r == 0xFFFF {
				return -1
			}
			return r
		}, c.Of)
		var sparks []int64
		for i := range int(days) {
			c.Days = append(c.Days, ledger.Day{
				Start: begin.AddDate(0, 0, i), Used: used >> (i % 8), Remaining: remaining >> (i % 3),
				Limit: dayLimit >> (i % 5), Adjustments: adjustments >> (i % 2),
			})
			sparks = append(sparks, used>>(i%8))
		}
		elements(t, chart.Usage(c))
		elements(t, chart.Spark(sparks))
	})
}
