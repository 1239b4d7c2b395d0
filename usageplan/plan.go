package usageplan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Plan says how fast and how much each of its members may call the stages it lists. Throttle and quotas are kept per
// member and summed over the plan's stages
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html).
type Plan struct {
	// ID names the plan for ever: balances are stored under it. Required.
	ID string
	// Name and Description are for people. Name is required.
	Name, Description string
	// Tags are free text for whoever keeps the plans.
	Tags map[string]string
	// Throttle bounds the rate of each member, in requests per second. Nil is no throttle.
	Throttle *ratelimit.Limit
	// Quotas bound what each member may use in a period; at most one for each [ledger.Period]. None is no quota, and
	// then no usage is recorded.
	Quotas []ledger.Quota
	// Stages are the stages of APIs that the plan opens. None opens nothing.
	Stages []Stage
}

// A Stage is a stage of an API inside a plan.
type Stage struct {
	API, Name string // both required
	// Methods bounds the rate of each member on single methods, beside the plan's own throttle. A key is the resource
	// path, a slash and the method: "/pets/{id}/GET", "//GET" for the root. "/*/*" is every method that is not listed,
	// each with a bucket of its own.
	Methods map[string]ratelimit.Limit
}

// A Member is a client in a plan: API Gateway's usage plan key.
type Member struct {
	Plan, Client string // both required; Client is what Config.Client reports, an API key's id
	// Throttle overrides the plan's throttle for this member. Nil is the plan's.
	Throttle *ratelimit.Limit
	// Limits overrides the limit of the plan's quotas for this member, by period. Nil is the plan's.
	Limits map[ledger.Period]int64
}

// Validate reports every mistake in p at once, or nil.
func (p Plan) Validate() error {
	var errs []error
	mistake := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("plan %q: "+format, append([]any{p.ID}, args...)...))
	}
	if p.ID == "" {
		mistake("has no id")
	}
	if p.Name == "" {
		mistake("has no name")
	}
	if p.Throttle != nil {
		if err := p.Throttle.Validate(); err != nil {
			mistake("throttle: %w", err)
		}
	}
	for i, q := range p.Quotas {
		if err := q.Validate(); err != nil {
			mistake("quotas[%d]: %w", i, err)
		}
		if slices.ContainsFunc(p.Quotas[:i], func(o ledger.Quota) bool { return o.Period == q.Period }) {
			mistake("quotas[%d]: a second quota for period %v", i, q.Period)
		}
	}
	for i, s := range p.Stages {
		if err := s.validate(); err != nil {
			mistake("stages[%d]: %w", i, err)
		}
		if slices.ContainsFunc(p.Stages[:i], func(o Stage) bool { return o.is(s.API, s.Name) }) {
			mistake("stages[%d]: %s:%s is listed twice", i, s.API, s.Name)
		}
	}
	return errors.Join(errs...)
}

func (s Stage) is(api, name string) bool { return s.API == api && s.Name == name }

func (s Stage) validate() error {
	var errs []error
	if s.API == "" || s.Name == "" {
		errs = append(errs, errors.New("api and name are required"))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Methods)) {
		if _, err := parseMethod(key); err != nil {
			errs = append(errs, err)
		}
		if err := s.Methods[key].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("method %q: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// clone copies p deeply, so that a caller's later edits change nothing here.
func (p Plan) clone() Plan {
	p.Tags, p.Throttle = maps.Clone(p.Tags), clone(p.Throttle)
	p.Quotas = slices.Clone(p.Quotas)
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		p.Stages[i].Methods = maps.Clone(p.Stages[i].Methods)
	}
	return p
}

// validate reports every mistake in m that its plan p does not repair.
func (m Member) validate(p Plan) error {
	var errs []error
	if m.Client == "" {
		errs = append(errs, fmt.Errorf("plan %q: a member has no client", p.ID))
	}
	if m.Throttle != nil {
		if err := m.Throttle.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("plan %q: member %q: throttle: %w", p.ID, m.Client, err))
		}
	}
	for _, period := range slices.Sorted(maps.Keys(m.Limits)) {
		i := slices.IndexFunc(p.Quotas, func(q ledger.Quota) bool { return q.Period == period })
		if i < 0 {
			errs = append(errs, fmt.Errorf("plan %q: member %q: the plan has no quota for period %v", p.ID, m.Client, period))
			continue
		}
		q := p.Quotas[i]
		q.Limit = m.Limits[period]
		if err := q.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("plan %q: member %q: %w", p.ID, m.Client, err))
		}
	}
	return errors.Join(errs...)
}

func (m Member) clone() Member {
	m.Throttle, m.Limits = clone(m.Throttle), maps.Clone(m.Limits)
	return m
}

// A method is one method of a stage; resource and verb "*" stand for the methods that are not listed.
type method struct{ resource, verb string }

var everyMethod = method{"*", "*"}

// parseMethod reads "/resource/path/VERB": the last slash parts path and verb, and the root's path is empty.
func parseMethod(key string) (method, error) {
	i := strings.LastIndexByte(key, '/')
	if key == "/*/*" || key == "*/*" { // CloudFormation and Terraform spell it differently
		return everyMethod, nil
	}
	if i < 1 || key[0] != '/' || i == len(key)-1 || strings.Contains(key, "*") {
		return method{}, fmt.Errorf("method %q is not of the form /resource/path/METHOD, nor /*/*", key)
	}
	return method{key[:i], key[i+1:]}, nil
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
