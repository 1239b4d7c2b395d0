package usageplan

import (
	"errors"
	"fmt"
	"io"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Load reads plans as API Gateway writes them: one CreateUsagePlan body, a list of them, or the output of
// `aws apigateway get-usage-plans`. A plan without an id, as in a body of CreateUsagePlan, takes its name as its id.
// At most 16 MiB are read. A field that API Gateway does not have, a field given twice, a value of the wrong type or
// out of its range is a mistake; all mistakes are reported at once, each with its path, and the error wraps
// [ErrInvalid].
//
// The offset of a quota is the day on which its period starts, as in [ledger.Quota].
func Load(r io.Reader) ([]Plan, error) {
	doc, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	var plans []Plan
	for _, n := range doc.items() {
		plans = append(plans, n.plan())
	}
	return plans, doc.finish()
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
		members = append(members, Member{Plan: plan, Client: n.planKey()})
	}
	return members, doc.finish()
}

// items returns the elements of a list, of a page of a listing ("items", in the wire form "item"), or the value itself.
func (n node) items() []node {
	if n.isList() {
		return n.list()
	}
	for _, name := range []string{"items", "item"} {
		if n.has(name) {
			n.known(name, "position", "NextToken")
			return n.field(name).list()
		}
	}
	return []node{n}
}

func (n node) plan() Plan {
	found := len(*n.mistakes)
	n.known("id", "name", "description", "apiStages", "throttle", "quota", "productCode", "tags")
	p := Plan{
		ID:          n.field("id").text(),
		Name:        n.field("name").text(),
		Description: n.field("description").text(),
		Tags:        n.field("tags").texts(),
	}
	if p.Name == "" {
		n.field("name").mistake("is required")
	}
	if p.ID == "" {
		p.ID = p.Name
	}
	if n.field("productCode").text() != "" {
		n.field("productCode").mistake("sells a plan on AWS Marketplace, which nothing here can do")
	}
	if t := n.field("throttle"); !t.isNull() {
		limit := t.limit()
		p.Throttle = &limit
	}
	if q := n.field("quota"); !q.isNull() {
		p.Quotas = []ledger.Quota{q.quota()}
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
	s := Stage{API: n.field("apiId").text(), Name: n.field("stage").text()}
	for _, name := range []string{"apiId", "stage"} {
		if n.field(name).text() == "" {
			n.field(name).mistake("is required")
		}
	}
	for _, key := range n.field("throttle").names() {
		m := n.field("throttle").field(key)
		if _, err := parseMethod(key); err != nil {
			m.mistake("%v", err)
		}
		if s.Methods == nil {
			s.Methods = make(map[string]ratelimit.Limit)
		}
		s.Methods[key] = m.limit()
	}
	return s
}

func (n node) limit() ratelimit.Limit {
	n.known("rateLimit", "burstLimit")
	l := ratelimit.Limit{Rate: n.field("rateLimit").number(), Burst: n.field("burstLimit").whole()}
	if err := l.Validate(); err != nil {
		n.mistake("%v", err)
	}
	return l
}

func (n node) quota() ledger.Quota {
	n.known("limit", "offset", "period")
	q := ledger.Quota{Limit: n.field("limit").whole(), Offset: int(n.field("offset").whole())}
	if err := q.Period.UnmarshalText([]byte(n.field("period").text())); err != nil {
		n.field("period").mistake("is not DAY, WEEK or MONTH")
	} else if err := q.Validate(); err != nil {
		n.mistake("%v", err)
	}
	return q
}

// planKey returns the key id of a usage plan key: "id" in what is listed, "keyId" in what creates one.
func (n node) planKey() string {
	n.known("id", "keyId", "type", "keyType", "name", "value", "usagePlanId")
	for _, name := range []string{"type", "keyType"} {
		if t := n.field(name); !t.isNull() && t.text() != "API_KEY" {
			t.mistake("is not API_KEY")
		}
	}
	id := n.field("id").text()
	if id == "" {
		id = n.field("keyId").text()
	}
	if id == "" {
		n.field("id").mistake("is required")
	}
	return id
}

// finish returns every mistake found in the document.
func (n node) finish() error {
	if len(*n.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("usageplan: %w: %w", ErrInvalid, errors.Join(*n.mistakes...))
}
