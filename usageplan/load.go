package usageplan

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Load reads plans as API Gateway writes them: one CreateUsagePlan body, a list of them, or the output of
// `aws apigateway get-usage-plans`. A plan without an id, as in a body of CreateUsagePlan, takes its name as its id.
// At most 16 MiB are read. A field that API Gateway does not have, a field given twice, a value of the wrong type or
// out of its range is a mistake; all mistakes are reported at once, each with its path, and the error wraps
// [ErrInvalid]; no plan is returned then. The form of [Plan.MarshalJSON] is read too.
//
// The offset of a quota is the day on which its period starts, as in [ledger.Quota].
func Load(r io.Reader) ([]Plan, error) {
	doc, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	var plans []Plan
	for _, n := range doc.items() {
		p := n.plan()
		if slices.ContainsFunc(plans, func(o Plan) bool { return o.ID == p.ID }) && p.ID != "" {
			n.mistake("is a second plan of id %q", p.ID)
		}
		plans = append(plans, p)
	}
	if err := doc.finish(); err != nil {
		return nil, err
	}
	return plans, nil
}

// LoadMembers reads the members of one plan from the output of `aws apigateway get-usage-plan-keys`, or from one body
// of CreateUsagePlanKey or a list of them, as strictly as [Load].
func LoadMembers(plan string, r io.Reader) ([]Member, error) {
	doc, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	var members []Member
	for _, n := range doc.items() {
		members = append(members, Member{Plan: plan, Client: n.planKey(plan)})
	}
	if err := doc.finish(); err != nil {
		return nil, err
	}
	return members, nil
}

// items returns the elements of a list, of a page of a listing ("items", in the wire form "item"), or the value itself.
func (n node) items() []node {
	if n.isList() {
		return n.list()
	}
	for _, name := range []string{"items", "item"} {
		if n.has(name) {
			n.known(name, "position", "NextToken")
			for _, more := range []string{"position", "NextToken"} {
				if token := n.field(more); token.text() != "" {
					token.mistake("says that there are more pages")
				}
			}
			return n.field(name).list()
		}
	}
	return []node{n}
}

func (n node) plan() Plan {
	found := len(*n.mistakes)
	n.known("id", "name", "description", "apiStages", "throttle", "quota", "quotas", "productCode", "tags")
	p := Plan{
		ID:          n.field("id").text(),
		Name:        n.required("name").text(),
		Description: n.field("description").text(),
		Tags:        n.field("tags").texts(),
		Quotas:      n.quotas(),
	}
	if p.ID == "" {
		p.ID = p.Name
	}
	if product := n.field("productCode"); product.text() != "" {
		product.mistake("sells a plan on AWS Marketplace, which nothing here can do")
	}
	if t := n.field("throttle"); !t.isNull() {
		limit := t.limit()
		p.Throttle = &limit
	}
	for _, s := range n.field("apiStages").list() {
		p.Stages = append(p.Stages, s.stage())
	}
	if len(*n.mistakes) == found {
		if err := p.Validate(); err != nil { // what only the whole plan shows
			n.mistake("%v", err)
		}
	}
	return p
}

func (n node) stage() Stage {
	n.known("apiId", "stage", "throttle")
	s := Stage{API: n.required("apiId").text(), Name: n.required("stage").text()}
	methods := n.field("throttle")
	for _, key := range methods.names() {
		if s.Methods == nil {
			s.Methods = make(map[string]ratelimit.Limit)
		}
		m := methods.field(key)
		s.Methods[key] = m.limit()
		if _, err := parseMethod(key); err != nil {
			m.mistake("%v", err)
		}
	}
	return s
}

func (n node) limit() ratelimit.Limit {
	found := len(*n.mistakes)
	n.known("rateLimit", "burstLimit")
	l := ratelimit.Limit{Rate: n.required("rateLimit").number(), Burst: n.required("burstLimit").whole()}
	if len(*n.mistakes) == found {
		if err := validateLimit(l); err != nil {
			n.mistake("%v", err)
		}
	}
	return l
}

// quotas reads API Gateway's quota, or the list that stands for it where API Gateway has no words.
func (n node) quotas() []ledger.Quota {
	if q := n.field("quota"); !q.isNull() {
		if n.has("quotas") {
			q.mistake("stands beside quotas")
		}
		return []ledger.Quota{q.quota()}
	}
	var quotas []ledger.Quota
	for _, q := range n.field("quotas").list() {
		quotas = append(quotas, q.quota())
	}
	return quotas
}

func (n node) quota() ledger.Quota {
	found := len(*n.mistakes)
	n.known("limit", "offset", "period", "location")
	q := ledger.Quota{Limit: n.required("limit").whole(), Location: n.field("location").location()}
	offset := n.field("offset")
	if q.Offset = int(offset.whole()); int64(q.Offset) != offset.whole() {
		offset.mistake("is out of range")
	}
	period := n.required("period")
	if err := q.Period.UnmarshalText([]byte(period.text())); err != nil && period.text() != "" {
		period.mistake("is not DAY, WEEK or MONTH")
	}
	if len(*n.mistakes) == found {
		if err := q.Validate(); err != nil {
			n.mistake("%v", err)
		}
	}
	return q
}

func (n node) location() *time.Location {
	name := n.text()
	if name == "" {
		return nil
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		n.mistake("is not a time zone: %v", err)
	}
	return l
}

// keyType is the only type of usage plan key there is.
const keyType = "API_KEY"

// planKey returns the key id of a usage plan key: "id" in what is listed, "keyId" in what creates one.
func (n node) planKey(plan string) string {
	n.known("id", "keyId", "type", "keyType", "name", "value", "usagePlanId")
	n.isKey("type", "keyType")
	if of := n.field("usagePlanId"); of.text() != "" && of.text() != plan {
		of.mistake("is not the plan %q", plan)
	}
	if !n.has("keyId") {
		return n.required("id").text()
	}
	if n.has("id") && n.field("id").text() != n.field("keyId").text() {
		n.field("id").mistake("is not the keyId beside it")
	}
	return n.required("keyId").text()
}

func (n node) isKey(types ...string) {
	for _, name := range types {
		if t := n.field(name); !t.isNull() && t.text() != keyType {
			t.mistake("is not %s", keyType)
		}
	}
}

// member reads the form of [Member.MarshalJSON].
func (n node) member() Member {
	n.known("usagePlanId", "keyId", "keyType", "throttle", "limits")
	n.isKey("keyType")
	m := Member{Plan: n.required("usagePlanId").text(), Client: n.required("keyId").text()}
	if t := n.field("throttle"); !t.isNull() {
		limit := t.limit()
		m.Throttle = &limit
	}
	limits := n.field("limits")
	for _, name := range limits.names() {
		if m.Limits == nil {
			m.Limits = make(map[ledger.Period]int64)
		}
		var p ledger.Period
		if err := p.UnmarshalText([]byte(name)); err != nil {
			limits.field(name).mistake("is not DAY, WEEK or MONTH")
		}
		m.Limits[p] = limits.field(name).whole()
	}
	return m
}

// finish returns every mistake found in the document.
func (n node) finish() error {
	if len(*n.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("usageplan: %w: %w", ErrInvalid, errors.Join(*n.mistakes...))
}
