package usageplan

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Load reads plans in API Gateway's JSON form: one CreateUsagePlan body, a list of them, or the output of
// `aws apigateway get-usage-plans`. It also reads the form of [Plan.MarshalJSON], with its fields that API Gateway does
// not have. A plan without an id, such as a
// CreateUsagePlan body, gets its name as its id. At most 16 MiB are read.
//
// Load is strict. A field that API Gateway does not have, a field that is given twice, and a value of the wrong type or
// out of range are mistakes. If there are mistakes, Load returns no plan and one error that wraps [ErrInvalid] and
// lists them all, each with its path.
//
// The text must be UTF-8, with or without a byte order mark. What SDKs add to a response, such as boto3's
// ResponseMetadata, is skipped. If a throttle has only one of its two fields, the other is the account's limit, as in
// API Gateway: 10 000 requests per second, or a burst of 5 000. A throttle with neither field is none. A burst of 0
// refuses every request ([Plan].Throttle). The offset of a quota is the day on which its period starts, as in
// [ledger.Quota].
func Load(r io.Reader) ([]Plan, error) {
	doc, err := readJSON(r)
	if err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	var plans []Plan
	seen := make(map[string]bool)
	for _, n := range doc.items() {
		p := n.plan()
		if seen[p.ID] && p.ID != "" {
			n.mistake("is a second plan of id %q", clip(p.ID))
		}
		seen[p.ID] = true
		plans = append(plans, p)
	}
	if err := doc.finish(); err != nil {
		return nil, err
	}
	return plans, nil
}

// items returns the elements of a list, or those of a page of a listing ("items" in the CLI's output, "item" in the
// API's response). A single object is returned as the only element.
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

// plan reads a plan, in API Gateway's form or in that of [Plan.MarshalJSON]. Each part validates itself, so that its
// mistakes have its path. Only a plan whose parts are right is validated as a whole; otherwise each mistake would be
// told twice.
func (n node) plan() Plan {
	found := len(*n.mistakes)
	n.known("id", "name", "description", "apiStages", "throttle", "quota", "quotas", "inFlight", "productCode", "tags")
	p := Plan{
		ID:          n.field("id").text(),
		Name:        n.required("name").text(),
		Description: n.field("description").text(),
		ProductCode: n.field("productCode").text(),
		Tags:        n.field("tags").texts(),
		Quotas:      n.quotas(),
		InFlight:    n.field("inFlight").inFlight(),
	}
	if p.ID == "" {
		p.ID = p.Name
	}
	if t := n.field("throttle"); !t.isNull() {
		p.Throttle = t.throttle()
	}
	for _, s := range n.field("apiStages").list() {
		p.Stages = append(p.Stages, s.stage())
	}
	if len(*n.mistakes) == found {
		if err := p.validate(); err != nil { // mistakes that only the whole plan shows
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
		m := methods.field(key)
		if limit := m.throttle(); limit != nil {
			if s.Methods == nil {
				s.Methods = make(map[string]ratelimit.Limit)
			}
			s.Methods[key] = *limit
		}
		if _, err := parseMethod(key); err != nil {
			m.mistake("%v", err)
		}
	}
	return s
}

// inFlight reads what [Plan.MarshalJSON] writes of Plan.InFlight. API Gateway has no such field.
func (n node) inFlight() InFlight {
	n.known("client", "total")
	return InFlight{n.field("client").atOnce(), n.field("total").atOnce()}
}

func (n node) atOnce() int {
	found, count := len(*n.mistakes), n.whole()
	if len(*n.mistakes) == found {
		if err := validateInFlight(count); err != nil {
			n.mistake("%v", err)
		}
	}
	return int(count)
}

// API Gateway's limits of an account, which replace a field that a throttle leaves out
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
const (
	accountRate  = 10_000
	accountBurst = 5_000
)

// throttle reads a throttle in API Gateway's form, in which both fields are optional. A field that is left out is the
// account's limit. A throttle without fields is no throttle, and nil is returned. Such a throttle may come from an old
// CDK, which left out limits of 0 (aws-cdk#10071); API Gateway does not limit by it either.
func (n node) throttle() *ratelimit.Limit {
	rate, burst := n.field("rateLimit"), n.field("burstLimit")
	if rate.isNull() && burst.isNull() {
		n.known("rateLimit", "burstLimit")
		return nil
	}
	found, l := len(*n.mistakes), ratelimit.Limit{Rate: accountRate, Burst: accountBurst}
	n.known("rateLimit", "burstLimit")
	if !rate.isNull() {
		l.Rate = rate.number()
	}
	if !burst.isNull() {
		l.Burst = burst.whole()
	}
	if len(*n.mistakes) == found {
		if err := validateLimit(l); err != nil {
			n.mistake("%v", err)
		}
	}
	return &l
}

// quotas reads the quotas of a plan: API Gateway's "quota", or the list "quotas" that [Plan.MarshalJSON] writes for
// what API Gateway cannot express.
func (n node) quotas() []ledger.Quota {
	if q := n.field("quota"); !q.isNull() {
		if n.has("quotas") {
			q.mistake("is given together with quotas")
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
	q.Period = period.period()
	if len(*n.mistakes) == found {
		if err := q.Validate(); err != nil {
			n.mistake("%v", err)
		}
	}
	return q
}

// period reads a period. A node without text has its mistake already.
func (n node) period() ledger.Period {
	p := ledger.Period(n.text())
	if p != "" && !isPeriod(p) {
		n.mistake("is not DAY, WEEK or MONTH")
	}
	return p
}

func isPeriod(p ledger.Period) bool {
	return p == ledger.Daily || p == ledger.Weekly || p == ledger.Monthly
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

// finish returns all mistakes that were recorded in the document as one error, or nil.
func (n node) finish() error {
	if len(*n.mistakes) == 0 {
		return nil
	}
	return fmt.Errorf("usageplan: %w: %w", ErrInvalid, errors.Join(*n.mistakes...))
}
