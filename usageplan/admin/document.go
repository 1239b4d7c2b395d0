package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// metadata are the fields that SDKs add to a response: boto3, JavaScript and PHP.
var metadata = []string{"ResponseMetadata", "$metadata", "@metadata"}

// knownInResponse records a mistake for a field that is neither among names nor added by an SDK.
func (n node) knownInResponse(names ...string) { n.known(append(names, metadata...)...) }

// complete records a mistake if the page n says that there are more pages.
func (n node) complete() {
	for _, name := range []string{"position", "NextToken"} {
		if more := n.field(name); more.text() != "" {
			more.fail("says that there are more pages")
		}
	}
}

// trimMark removes a byte order mark (RFC 8259 section 8.1).
func trimMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// elements returns the elements of a document, each of which has its own mistakes: those of a list, those of a page of
// a listing ("items" in the CLI's output, "item" in API Gateway's), or the document itself. A page that says that there
// are more is an error: an import of it would leave out the others without a warning.
//
// They are in reverse. API Gateway lists what is newest first, and what is imported first is the oldest here.
func elements(doc node) ([]node, error) {
	list := []node{doc}
	if _, is := doc.value.([]any); is {
		list = doc.list()
	}
	for _, name := range []string{"items", "item"} {
		if !doc.has(name) {
			continue
		}
		doc.knownInResponse(name, "position", "NextToken", "warnings")
		doc.complete()
		list = doc.field(name).list()
		break
	}
	for i := range list {
		list[i].mistake = new(error)
	}
	slices.Reverse(list)
	return list, doc.finish()
}

// place names an element in the report.
func (s Source) place(n node) string { return s.Name + " " + n.path }

// readKeys reads keys. Keys that are listed without their values cannot be imported. For example:
//
//	{"items": [{"id": "fr92a5qpbj", "value": "67sf…", "name": "julianwood", "enabled": true, "createdDate": 1614849630}]}
//
// The stages of a key (stageKeys) are older than usage plans. They are ignored: what a key may call is in the plans.
func (m *move) readKeys(s Source, doc node) error {
	list, err := elements(doc)
	for _, n := range list {
		n.knownInResponse("id", "value", "name", "customerId", "description", "enabled", "createdDate", "lastUpdatedDate",
			"stageKeys", "tags")
		m.addKey(s.place(n), n, apikey.Entry{Value: apikey.Secret(n.field("value").text()), Key: apikey.Key{
			ID: n.field("id").text(), Name: n.field("name").text(), Description: n.field("description").text(),
			CustomerID: n.field("customerId").text(), Enabled: n.field("enabled").truth(),
			Tags: n.field("tags").texts(), Created: n.field("createdDate").time(),
		}})
	}
	return err
}

// addKey adds a key that was read from n, unless n has a mistake.
func (m *move) addKey(at string, n node, e apikey.Entry) {
	switch err := n.finish(); {
	case err != nil:
		m.leaveOut(at, "%v", err)
	case e.Key.ID == "":
		m.leaveOut(at, "a key without an id")
	case e.Value == "":
		m.leaveOut(at, "key %s without its value; list keys with --include-values", clip(e.Key.ID))
	default:
		m.dropReserved(at, e.Key.Tags)
		m.keys = append(m.keys, keyRow{at: at, Row: apikey.Row{Entry: e}})
	}
}

// dropReserved removes the tags that AWS services add, such as aws:cloudformation:stack-name. Nobody may set or change
// them, here as there, and a key must not be left out because of them.
func (m *move) dropReserved(at string, tags map[string]string) {
	before := len(tags)
	maps.DeleteFunc(tags, func(name, _ string) bool { return strings.HasPrefix(name, "aws:") })
	if n := before - len(tags); n > 0 {
		m.did(at, "%d tags of AWS's own not taken over", n)
	}
}

// time returns n as a time: Unix seconds, as API Gateway and the first aws-cli write them, RFC 3339, as the second
// aws-cli does, or the text of Python's datetime.
func (n node) time() time.Time {
	if _, is := n.value.(json.Number); is {
		seconds := n.number()
		if math.Abs(seconds) > 1<<33 {
			n.fail("is no time in seconds")
			return time.Time{}
		}
		return time.UnixMilli(int64(seconds * 1000)).UTC()
	}
	text := n.text()
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	n.fail("is no time")
	return time.Time{}
}

// readPlans reads plans. A plan without an id gets its name as its id, as in [usageplan.Load].
func (m *move) readPlans(s Source, doc node) error {
	list, err := elements(doc)
	for _, n := range list {
		m.addPlan(s.place(n), n.value)
	}
	return err
}

// addPlan adds a plan in API Gateway's form, unless it has a mistake. Package usageplan reads it, as strictly as from a
// file: so the other formats are translated to this one, and no rule stands twice.
func (m *move) addPlan(at string, value any) {
	text, err := json.Marshal(value)
	if err == nil {
		var p usageplan.Plan
		if err = p.UnmarshalJSON(text); err == nil {
			m.dropReserved(at, p.Tags)
			m.plans = append(m.plans, moved[usageplan.Plan]{at, p})
			return
		}
	}
	m.leaveOut(at, "%v", err)
}

// readPlanKeys reads the members of a plan, in the form of a listing, {"id": "fr92a5qpbj", "type": "API_KEY"}, or of
// CreateUsagePlanKey bodies, {"keyId": "fr92a5qpbj", "keyType": "API_KEY"}.
func (m *move) readPlanKeys(s Source, doc node) error {
	if s.Plan == "" {
		return errors.New("Source.Plan is required")
	}
	list, err := elements(doc)
	for _, n := range list {
		n.knownInResponse("id", "keyId", "type", "keyType", "name", "value", "usagePlanId")
		id := n.field("id")
		if !n.has("id") {
			id = n.field("keyId")
		}
		for _, name := range []string{"type", "keyType"} {
			if of := n.field(name); !of.isNull() && of.text() != keyType {
				of.fail("is not %s", keyType)
			}
		}
		if of := n.field("usagePlanId"); !of.isNull() && of.text() != s.Plan {
			of.fail("is not %s", clip(s.Plan))
		}
		m.addMember(s.place(n), n, usageplan.Member{Plan: s.Plan, Client: id.text()})
	}
	return err
}

// addMember adds a membership that was read from n, unless n has a mistake.
func (m *move) addMember(at string, n node, k usageplan.Member) {
	switch err := n.finish(); {
	case err != nil:
		m.leaveOut(at, "%v", err)
	case k.Client == "" || k.Plan == "":
		m.leaveOut(at, "a usage plan key without its ids")
	default:
		m.members = append(m.members, moved[usageplan.Member]{at, k})
	}
}

// readUsage reads the answers of GetUsage: a page, or a list of all pages.
func (m *move) readUsage(s Source, doc node) error {
	pages := []node{doc}
	if _, is := doc.value.([]any); is {
		pages = doc.list()
	}
	for i, page := range pages {
		if i == len(pages)-1 {
			page.complete()
		}
		if err := m.readUsagePage(s, page); err != nil {
			return err
		}
	}
	return nil
}

// readUsagePage takes of each key what remained at the end of the last day, or now if that is today. Days that are
// still to come do not count. For example, on 2 November or later, 4 units of the following remain:
//
//	{"usagePlanId": "jcfq33", "startDate": "2026-11-01", "endDate": "2026-11-02",
//	 "items": {"fr92a5qpbj": [[10, 0], [6, 4]]}}
//
// Each pair is what was used on a day and what remained at its end. Whether the day is in the current period is known
// only when the plan is there; see applyRemainder.
func (m *move) readUsagePage(s Source, page node) error {
	page.knownInResponse("usagePlanId", "startDate", "endDate", "position", "NextToken", "items", "values")
	plan, first, last := page.field("usagePlanId").text(), page.field("startDate").date(), page.field("endDate").date()
	values := page.field("items") // of an SDK
	if !page.has("items") {
		values = page.field("values") // of API Gateway
	}
	clients, days := values.names(), dates{first, last}.count()
	if err := page.finish(); err != nil {
		return err
	}
	if days < 1 || days > maxDays {
		return fmt.Errorf("%s has %d days, not 1 to %d", page.path, days, maxDays)
	}
	day := min(days, dates{first, time.Now().UTC()}.count()) - 1
	if m.listed[plan] == nil {
		m.listed[plan] = make(map[string]bool)
	}
	for _, client := range clients {
		m.listed[plan][client] = true
		n := values.field(client)
		n.mistake = new(error)
		m.addRemainder(s.place(n), n, days, day, remainder{plan: plan, client: client, day: first.AddDate(0, 0, day)})
	}
	return nil
}

// addRemainder adds what remained on a day of the days in n, a list of pairs of what was used and what remained.
func (m *move) addRemainder(at string, n node, days, day int, r remainder) {
	pairs := n.list()
	switch {
	case len(pairs) != days:
		n.fail("has %d days, not %d", len(pairs), days)
	case day < 0:
		n.fail("has only days to come")
	default:
		if pair := pairs[day].list(); len(pair) == 2 {
			r.units = pair[1].whole()
		} else {
			pairs[day].fail("is not a pair")
		}
	}
	if err := n.finish(); err != nil {
		m.leaveOut(at, "%v", err)
		return
	}
	m.left = append(m.left, moved[remainder]{at, r})
}

// date returns n as a date: the midnight of UTC.
func (n node) date() time.Time {
	t, err := time.Parse(time.DateOnly, n.text())
	if err != nil {
		n.fail("is no date of the form YYYY-MM-DD")
	}
	return t
}
