package admin

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A historyView is what was done to a key: changes from the journals, and adjustments from the ledger.
type historyView struct {
	Rows     []historyRow
	Begins   string // where it begins, or why it does not say all
	Problems []string
}

// A historyRow is one entry: when, who, what, from what to what, and why. Only adjustments have a reason.
type historyRow struct {
	at       time.Time
	When     instant
	Who      string
	From     string // the address
	What     string
	Change   string
	Why      string
	creation bool
	adjusts  bool
}

// maxHistory bounds what is read and shown of each source.
const maxHistory = 100

// adjustmentDays is how far back adjustments are looked for; the ledger keeps them for as long by default.
const adjustmentDays = 400

// history returns what was done to a key, newest first. A source that does not answer is named, and the others are shown.
func (v *visit) history(k apikey.Key, plans []usageplan.Plan) historyView {
	c := v.page.Control.config
	var view historyView
	full := view.add("The journal of keys", journalRows(c.Keys.History(v.r.Context(), k.ID), ""))
	plans = v.historyPlans(k.ID, plans)
	zone := time.UTC
	if len(plans) > 0 {
		zone = location(mainQuota(plans[0]))
	}
	for _, plan := range plans {
		if v.may("GetUsagePlanKey", plan.ID, k.ID) == nil {
			rows := journalRows(c.Plans.History(v.r.Context(), plan.ID, k.ID), plan.Name)
			full = view.add("The journal of plans", rows) || full
		}
		if v.may("GetUsage", plan.ID) == nil {
			full = view.add("The ledger", v.adjustmentRows(plan, k.ID)) || full
		}
	}
	slices.SortStableFunc(view.Rows, newestFirst)
	if len(view.Rows) > maxHistory {
		view.Rows, full = view.Rows[:maxHistory], true
	}
	for i := range view.Rows {
		view.Rows[i].When = instantAt(view.Rows[i].at, zone)
	}
	view.Begins = view.begins(full)
	return view
}

// newestFirst orders rows. The ledger keeps whole seconds, so an adjustment counts as later than the changes of its second:
// a key joins a plan first.
func newestFirst(a, b historyRow) int {
	if c := b.at.Truncate(time.Second).Compare(a.at.Truncate(time.Second)); c != 0 {
		return c
	}
	if adjustedA, adjustedB := a.adjusts, b.adjusts; adjustedA != adjustedB {
		return map[bool]int{true: -1, false: 1}[adjustedA]
	}
	return b.at.Compare(a.at)
}

// maxHistoryPlans bounds the plans whose records are asked for a key.
const maxHistoryPlans = 20

// historyPlans returns the plans that a key may have a history in: those that apply to it first, and then others, as it
// may have left them.
func (v *visit) historyPlans(key string, plans []usageplan.Plan) []usageplan.Plan {
	present := v.page.plansOf(key)
	plans = slices.Clone(plans)
	slices.SortStableFunc(plans, func(a, b usageplan.Plan) int {
		isA, isB := slices.Contains(present, a.ID), slices.Contains(present, b.ID)
		switch {
		case isA && !isB:
			return -1
		case isB && !isA:
			return 1
		}
		return 0
	})
	return plans[:min(len(plans), maxHistoryPlans)]
}

// begins says where the history begins.
func (view *historyView) begins(full bool) string {
	switch {
	case full:
		return "These are the newest entries. Older ones are kept and not shown."
	case len(view.Problems) > 0:
		return ""
	case slices.ContainsFunc(view.Rows, func(r historyRow) bool { return r.creation }):
		return "The history begins when the key was made."
	case len(view.Rows) == 0:
		return "There is no history: the program keeps no journal, the key is declared in the program, or its records have expired."
	}
	return "The history begins with the last of these entries. What was before is not kept."
}

// add adds the rows of a source, and reports whether there are more.
func (view *historyView) add(source string, rows iter.Seq2[historyRow, error]) (full bool) {
	n := 0
	for row, err := range rows {
		switch {
		case err != nil:
			if text := source + " has not answered."; !slices.Contains(view.Problems, text) {
				view.Problems = append(view.Problems, text)
			}
			return full
		case n == maxHistory:
			return true
		}
		view.Rows = append(view.Rows, row)
		n++
	}
	return full
}

// doings say what the operations of a journal have done to a key.
var doings = map[string]string{
	"CreateApiKey":       "made",
	"UpdateApiKey":       "changed",
	"RotateApiKey":       "value replaced",
	"RevealApiKey":       "value shown",
	"ImportApiKeys":      "imported",
	"DeleteApiKey":       "deleted",
	"CreateUsagePlanKey": "joined the plan",
	"UpdateUsagePlanKey": "limits changed in the plan",
	"DeleteUsagePlanKey": "left the plan",
	"ImportUsagePlans":   "imported into the plan",
	"DeleteUsagePlan":    "left with the plan",
}

// journalRows are the changes of a journal as rows. plan is the name of the plan that they are about, "" if it is the key.
func journalRows(changes iter.Seq2[journal.Change, error], plan string) iter.Seq2[historyRow, error] {
	return func(yield func(historyRow, error) bool) {
		for c, err := range changes {
			if err != nil {
				yield(historyRow{}, err)
				return
			}
			operation, change, _ := strings.Cut(c.Operation, ": ")
			what, known := doings[operation]
			if !known {
				what, change = c.Operation, ""
			}
			if plan != "" {
				what += " " + isolate(plan)
			}
			made := plan == "" && (operation == "CreateApiKey" || operation == "ImportApiKeys")
			if !yield(historyRow{at: c.Time, Who: c.Actor, From: c.Source, What: what, Change: change, creation: made}, nil) {
				return
			}
		}
	}
}

// adjustmentRows are the extensions and corrections of a client as rows, the newest first. Those of former periods are
// among them. The ledger yields them oldest first, so the last ones are kept.
func (v *visit) adjustmentRows(plan usageplan.Plan, client string) iter.Seq2[historyRow, error] {
	return func(yield func(historyRow, error) bool) {
		now := time.Now()
		for _, period := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
			k := usageplan.QuotaKey{Plan: plan.ID, Client: client, Period: period}
			var rows []historyRow
			for c, err := range v.page.Control.config.Plans.Adjustments(v.r.Context(), k, now.AddDate(0, 0, -adjustmentDays), now) {
				if errors.Is(err, usageplan.ErrNoQuota) { // there is no ledger, or the plan was deleted meanwhile
					return
				}
				if err != nil {
					yield(historyRow{}, err)
					return
				}
				rows = append(rows, viewAdjustment(&c, plan.Name, period))
			}
			for _, row := range slices.Backward(rows) {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// viewAdjustment returns an adjustment as a row.
func viewAdjustment(c *ledger.Change, plan string, period ledger.Period) historyRow {
	what := "extension of the " + periodNames[period]
	if c.Correction {
		what = "correction of what the " + periodNames[period] + " has used"
	}
	return historyRow{
		at: c.Time, adjusts: true, Who: c.Actor, What: what + " in " + isolate(plan), Why: c.Reason,
		Change: signedCount(c.Delta) + " (" + signedCount(c.Before) + " → " + signedCount(c.Before+c.Delta) + ")",
	}
}
