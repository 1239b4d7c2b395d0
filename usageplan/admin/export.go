package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// Export writes what Import reads. plan is the id of the plan whose members FormatPlanKeys and FormatUsage list; the
// other formats have all keys or plans. Listings are newest first, as in API Gateway, and so that an import of them
// keeps the order. FormatUsage has the present day alone.
//
// What the format has no place for is left out with a warning: the values of keys that are not sealed, several quotas of
// a plan, what bounds how many of its requests run at once, and limits of single members. The document holds values of keys, so it is a secret. An export that fails has
// written nothing, unless w fails.
//
// The journal of keys has a reveal of each value before the document is written, by the [journal.Origin] of ctx.
func (t Transfer) Export(ctx context.Context, w io.Writer, format Format, plan string) (Report, error) {
	if t.Keys == nil || t.Plans == nil {
		return Report{}, &Error{Err: fmt.Errorf("%w: Transfer.Keys and Transfer.Plans are required", ErrNotConfigured)}
	}
	write, found := writers[format]
	if !found {
		return Report{}, badRequest("there is no format %q", clip(string(format)))
	}
	m := newMove(t)
	var text bytes.Buffer
	err := write(m, ctx, &text, plan)
	if err == nil && t.FailOnWarnings && len(m.report.Warnings) > 0 {
		err = m.warned()
	}
	if err == nil {
		_, err = text.WriteTo(w)
	}
	return m.report, err
}

// writers write a document.
var writers = map[Format]func(*move, context.Context, *bytes.Buffer, string) error{
	FormatCSV: (*move).writeCSV, FormatKeys: (*move).writeKeys, FormatPlans: (*move).writePlans,
	FormatPlanKeys: (*move).writePlanKeys, FormatUsage: (*move).writeUsage,
	FormatCloudFormation: (*move).writeTemplate, FormatTerraform: (*move).writeState,
}

// writeJSON writes a document in the form of aws-cli: indented, and without escapes of HTML.
func writeJSON(w *bytes.Buffer, document any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	return e.Encode(document)
}

// reveal returns the values of keys by their ids. It warns about those that are not known.
func (m *move) reveal(ctx context.Context, keys []apikey.Key) (map[string]apikey.Secret, error) {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	values, err := m.Keys.Reveal(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if values[id] == "" {
			m.leaveOut("key "+id, "its value, which is not sealed")
		}
	}
	return values, nil
}

// writeCSV writes API Gateway's key file, oldest first. It cannot have keys without values, or without names: a key
// without a name gets its id as its name.
func (m *move) writeCSV(ctx context.Context, w *bytes.Buffer, _ string) error {
	keys := slices.Collect(m.Keys.Keys())
	slices.Reverse(keys)
	values, err := m.reveal(ctx, keys)
	if err != nil {
		return err
	}
	file := csv.NewWriter(w)
	_ = file.Write([]string{"Name", "Key", "Description", "Enabled", "UsagePlanIds"}) // a buffer takes everything
	for _, k := range keys {
		value := string(values[k.ID])
		if value == "" {
			continue
		}
		var plans []string
		for _, of := range m.Plans.Memberships(k.ID) {
			plans = append(plans, of.Plan)
		}
		name := k.Name
		if strings.TrimSpace(name) == "" {
			name = k.ID
		}
		_ = file.Write([]string{name, value, k.Description, strconv.FormatBool(k.Enabled), strings.Join(plans, ",")})
		m.did("key "+k.ID, "%q", clip(k.Name))
	}
	file.Flush()
	return file.Error()
}

// writeKeys writes what get-api-keys prints, and also the tags, which readKeys takes.
func (m *move) writeKeys(ctx context.Context, w *bytes.Buffer, _ string) error {
	keys := slices.Collect(m.Keys.Keys())
	values, err := m.reveal(ctx, keys)
	if err != nil {
		return err
	}
	items := []keyJSON{}
	for _, k := range keys {
		form := writeKey(k)
		form.Value = string(values[k.ID])
		if form.Tags = k.Tags; len(k.Tags) == 0 {
			form.Tags = nil
		}
		items = append(items, form)
		m.did("key "+k.ID, "%q", clip(k.Name))
	}
	return writeJSON(w, map[string]any{"items": items})
}

// exported yields the plans, newest first.
func (m *move) exported() (plans []usageplan.Plan) {
	for p := range m.Plans.Plans() {
		plans = append(plans, p)
		m.did("usage plan "+p.ID, "%q", clip(p.Name))
	}
	return plans
}

// writePlans writes what get-usage-plans prints, and also tags, and the quotas that API Gateway cannot have.
func (m *move) writePlans(_ context.Context, w *bytes.Buffer, _ string) error {
	items := []usageplan.Plan{}
	return writeJSON(w, map[string]any{"items": append(items, m.exported()...)})
}

// planMembers yields the members of a plan, newest first. It warns about what API Gateway has no place for.
func (m *move) planMembers(plan string) (members []usageplan.Member, err error) {
	if _, found := m.Plans.Plan(plan); !found {
		return nil, notFound(noPlan)
	}
	for k := range m.membersOf(plan) {
		members = append(members, k)
		if hasOwn(k) {
			m.leaveOut("key "+k.Client, "the limits of its own under usage plan %s", plan)
		}
	}
	return members, nil
}

// hasOwn reports whether a member has a limit of its own.
func hasOwn(m usageplan.Member) bool {
	return m.Throttle != nil || len(m.Limits) > 0 || m.InFlight != 0
}

// writePlanKeys writes what get-usage-plan-keys prints. Values are in it where they are known, as in API Gateway's.
func (m *move) writePlanKeys(ctx context.Context, w *bytes.Buffer, plan string) error {
	members, err := m.planMembers(plan)
	if err != nil {
		return err
	}
	var ids []string
	for _, of := range members {
		ids = append(ids, of.Client)
	}
	values, err := m.Keys.Reveal(ctx, ids...)
	if err != nil {
		return err
	}
	items := []planKeyJSON{}
	for _, of := range members {
		k, found := m.Keys.Key(of.Client)
		if !found {
			m.leaveOut("key "+of.Client, "it does not exist")
			continue
		}
		items = append(items, writePlanKey(k, values[k.ID]))
		m.did("key "+k.ID, "in usage plan %s", plan)
	}
	return writeJSON(w, map[string]any{"items": items})
}

// writeUsage writes what get-usage prints for the present day. What remains of the period is in it, whatever the period.
func (m *move) writeUsage(ctx context.Context, w *bytes.Buffer, plan string) error {
	p, _ := m.Plans.Plan(plan)
	members, err := m.planMembers(plan)
	if err == nil && len(p.Quotas) != 1 {
		err = badRequest("usage plan %s has %d quotas, not one", clip(plan), len(p.Quotas))
	}
	if err != nil {
		return err
	}
	now := time.Now().In(location(p.Quotas[0]))
	today := now.Format(time.DateOnly)
	items := make(map[string][][2]int64)
	for _, of := range members {
		k := usageplan.QuotaKey{Plan: plan, Client: of.Client}
		for day, err := range m.Plans.Usage(ctx, k, now, now) {
			if err != nil {
				return err
			}
			items[of.Client] = [][2]int64{{day.Used, day.Remaining}}
			m.did("key "+of.Client, "%d units remain under usage plan %s", day.Remaining, plan)
		}
	}
	return writeJSON(w, map[string]any{"usagePlanId": plan, "startDate": today, "endDate": today, "items": items})
}

// quota returns the plan's quota in API Gateway's form, or nil. If the plan has several, or one outside UTC, it warns. It
// also warns if the plan bounds what runs at once, for which the form has no place.
func (m *move) quota(p usageplan.Plan) *quotaJSON {
	if p.InFlight != (usageplan.InFlight{}) {
		m.leaveOut("usage plan "+p.ID, "how many requests may run at once")
	}
	if len(p.Quotas) > 1 || len(p.Quotas) == 1 && location(p.Quotas[0]) != time.UTC {
		m.leaveOut("usage plan "+p.ID, "quotas that API Gateway cannot have")
		return nil
	}
	if len(p.Quotas) == 0 {
		return nil
	}
	q := writeQuota(p.Quotas[0])
	return &q
}
