package admin

import (
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// csvColumns are the columns of the file. Remaining, limit and adjustments are empty on days without a quota.
var csvColumns = []string{"plan", "plan name", "key", "name", "customer", "date", "used", "remaining", "limit", "adjustments"}

// csvParameters are those of the address. Any other is refused: a day that is misspelt would give another file.
var csvParameters = []string{"from", "to", "plan", "format"}

// usageCSV answers with the usage of all clients of the plans that the person may read, a line for each client and day:
// members, clients of the default plan, and those that have left. The address may name a plan, the first and the last
// day, and the format "spreadsheet". Of days to come there are no lines.
//
// The lines are sent while they are read, so the file may be of any length. If the ledger fails in between, the
// connection is cut off, and the browser says that the download has failed: a file that only ends early would look
// complete.
func (p *page) usageCSV(v *visit) error {
	plans, err := v.csvPlans()
	if err != nil {
		return err
	}
	if err := checkCSV(v.form); err != nil {
		return err
	}
	d, err := csvDates(v.form, time.Now())
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present") // RFC 4180 section 3
	h.Set("Content-Disposition", `attachment; filename="usage-`+d.first.Format(time.DateOnly)+"-"+d.last.Format(time.DateOnly)+`.csv"`)
	if v.r.Method == http.MethodHead {
		return nil
	}
	out := &sending{to: v.w}
	file := newUsageFile(out, p.Control, v.form.get("format") == "spreadsheet")
	err = file.write(v.r.Context(), plans, d)
	switch {
	case err != nil && out.begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		h.Del("Content-Disposition")
		return refusal(err, Action{})
	}
	return nil
}

// csvPlans returns the plans of the file: the one that the address names, or all that the person may read.
func (v *visit) csvPlans() ([]usageplan.Plan, error) {
	plans := v.plans()
	if id := v.form.get("plan"); id != "" {
		i := slices.IndexFunc(plans, func(p usageplan.Plan) bool { return p.ID == id })
		if err := v.may("GetUsage", id); err != nil {
			return nil, err
		}
		if i < 0 {
			return nil, notFound(noPlan)
		}
		return plans[i : i+1], nil
	}
	if err := v.may("GetUsagePlans"); err != nil {
		return nil, err
	}
	var denied error
	readable := slices.DeleteFunc(plans, func(p usageplan.Plan) bool {
		err := v.may("GetUsage", p.ID)
		denied = err
		return err != nil
	})
	if len(readable) == 0 && denied != nil {
		return nil, denied
	}
	return readable, nil
}

// checkCSV returns an error if the address has what the file does not know.
func checkCSV(f form) error {
	for name := range f {
		if !slices.Contains(csvParameters, name) {
			return badRequest("The parameters are %s, and not %s", strings.Join(csvParameters, ", "), clip(name))
		}
	}
	if format := f.get("format"); format != "" && format != "spreadsheet" {
		return badRequest("The format is spreadsheet or empty, and not %s", clip(format))
	}
	return nil
}

// csvDates returns the days of the file. Without the last day it ends today, and without the first it has 30 days.
func csvDates(f form, now time.Time) (dates, error) {
	d := lastDays(ledger.Quota{}, sparkDays, now)
	if err := csvDay(f.get("to"), &d.last); err != nil {
		return d, err
	}
	d.first = d.last.AddDate(0, 0, 1-sparkDays)
	if err := csvDay(f.get("from"), &d.first); err != nil {
		return d, err
	}
	switch {
	case d.last.Before(d.first):
		return d, badRequest("The last day is before the first: %s is before %s",
			d.last.Format(time.DateOnly), d.first.Format(time.DateOnly))
	case d.last.Sub(d.first) >= maxDays*24*time.Hour:
		return d, badRequest("A file can have at most %d days", maxDays)
	}
	return d, nil
}

// csvDay replaces a day by the one that the text names, if it names one.
func csvDay(text string, day *time.Time) (err error) {
	if text == "" {
		return nil
	}
	if *day, err = time.Parse(time.DateOnly, text); err != nil {
		return badRequest("The days must have the form YYYY-MM-DD")
	}
	return nil
}

// sending is the answer, of which it knows whether it has begun: then it is too late for another one.
type sending struct {
	to    io.Writer
	begun bool
}

func (s *sending) Write(b []byte) (int, error) {
	s.begun = true
	return s.to.Write(b)
}

// A usageFile is a CSV file of usage that is being written.
type usageFile struct {
	control *Server
	csv     *csv.Writer
	cell    func(string) string // what is written for a text
	now     time.Time
}

// newUsageFile returns a file. In the variant for spreadsheets, no text is taken for a formula, and the file begins with a
// byte order mark, without which they do not take it for UTF-8. Other programs get every text as it is. Lines end with LF
// and not with the CR LF of RFC 4180 section 2, under which the writer would drop a CR within a text. Programs take both.
func newUsageFile(w io.Writer, s *Server, spreadsheet bool) *usageFile {
	f := &usageFile{control: s, csv: csv.NewWriter(w), cell: func(text string) string { return text }, now: time.Now()}
	columns := slices.Clone(csvColumns)
	if spreadsheet {
		f.cell = neutral
		columns[0] = "\uFEFF" + columns[0]
	}
	_ = f.csv.Write(columns) // the writer keeps its error
	return f
}

// neutral returns a text that no spreadsheet takes for a formula: an apostrophe at the beginning of a cell makes it text.
// The characters are those of OWASP's page on CSV injection, with their full-width forms, which some spreadsheets take as
// well (https://owasp.org/www-community/attacks/CSV_Injection).
//
// A cell can also begin within a text. Where the decimal separator is a comma, as in most of Europe, Excel separates by
// semicolons, and takes no notice of the quotes that csv.Writer writes. So what follows a semicolon, a tab or a line
// break counts as a beginning as well.
func neutral(text string) string {
	text = formula.ReplaceAllString(text, "$1'$2")
	if text != "" && strings.ContainsAny(text[:1], "\t\r\n") {
		return "'" + text
	}
	return text
}

var formula = regexp.MustCompile(`(^|[;\t\r\n][" ]*)([=+\-@＝＋－＠])`)

// write writes the lines of the plans.
func (f *usageFile) write(ctx context.Context, plans []usageplan.Plan, d dates) error {
	for _, p := range plans {
		for before, more := uint64(0), true; more; more = before != 0 {
			var members []usageplan.Member
			members, before = f.control.config.Plans.Members(p.ID, before, maxLimit)
			for _, m := range members {
				if err := f.client(ctx, p, m.Client, d); err != nil {
					return err
				}
			}
		}
		others, err := f.control.departed(ctx, p.ID, "")
		if err != nil {
			return err
		}
		for _, client := range others {
			if err := f.client(ctx, p, client, d); err != nil {
				return err
			}
		}
	}
	f.csv.Flush()
	return f.csv.Error()
}

// client writes the lines of a client. The key may be gone; then its line has its id alone.
func (f *usageFile) client(ctx context.Context, p usageplan.Plan, client string, d dates) error {
	days, _, err := f.control.clientDays(ctx, p, client, d, f.now)
	if err != nil {
		return err
	}
	k, _ := f.control.config.Keys.Key(client)
	line := []string{f.cell(p.ID), f.cell(p.Name), f.cell(client), f.cell(k.Name), f.cell(k.CustomerID), "", "", "", "", ""}
	for _, day := range days {
		if day.Start.After(f.now) {
			break
		}
		line[5], line[6] = day.Start.Format(time.DateOnly), strconv.FormatInt(day.Used, 10)
		line[7], line[8], line[9] = "", "", ""
		if day.Limit < ledger.MaxUnits {
			for i, n := range []int64{day.Remaining, day.Limit, day.Adjustments} {
				line[7+i] = strconv.FormatInt(n, 10)
			}
		}
		if err := f.csv.Write(line); err != nil {
			return err
		}
	}
	return nil
}
