package usageplan

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Plan says how fast and how much each of its members may call the stages it lists. The throttle and the quotas count
// each member on its own, over all stages of the plan together
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html).
type Plan struct {
	// ID is the plan's permanent name: balances are stored under it. At most 128 bytes. [Meter.CreatePlan] draws one if
	// it is empty. Everywhere else it is required.
	ID string
	// Name and Description are for people. Name is required.
	Name, Description string
	// ProductCode is the plan's product on AWS Marketplace. It is kept for tools that read it, and has no effect.
	ProductCode string
	// Tags are for the operator. They have no effect.
	Tags map[string]string
	// Created is when the plan was created, in UTC. It is zero if Config.Plans declares the plan without it. A change
	// does not alter it. It is no part of the JSON form, because API Gateway's has none.
	Created time.Time
	// Throttle limits the rate of each member, in requests per second. Nil is no limit; an infinite rate is a mistake.
	// A burst of 0 refuses every request, as in API Gateway. That holds for the throttles of members and methods too.
	Throttle *ratelimit.Limit
	// Quotas limit the units that each member may use in a period; at most one for each [ledger.Period]. Without a
	// quota, the usage of each member is counted by days of UTC, if there is a Config.Ledger, and limited by none.
	Quotas []ledger.Quota
	// InFlight bounds how many requests of a member, and of all members together, run at once, over all stages of the
	// plan. A change acts on the next request. What runs stays counted, if it was counted when it was admitted: a bound
	// that the plan did not have then does not count it.
	InFlight InFlight
	// Stages are the stages of APIs that members may call. A plan without stages admits nothing.
	Stages []Stage
}

// A Stage is a stage of an API, with the throttles of its methods.
type Stage struct {
	API, Name string // both required
	// Methods limits the rate of single methods, in addition to the plan's throttle. A key is the resource path, a
	// slash and the method in capitals: "/pets/{id}/GET", or "//GET" for the root. "/pets/{id}/ANY" is one limit for
	// all methods of the resource that have no key of their own. "/*/*" is for every method that no other key covers;
	// each method has buckets of its own.
	//
	// Names of path parameters do not matter: "/pets/{id}" is "/pets/{petId}". API Gateway's "{proxy+}" is the same as
	// ServeMux's "{proxy...}" and chi's "*". A pattern of ServeMux that ends in a slash, "/pets/", is such a proxy
	// resource, "/pets/{proxy+}"; if that has no key, the key of "/pets" counts. The paths of patch operations,
	// "~1pets~1{id}/GET", and Terraform's "pets/{id}/GET" are read as well. A key that no route can have is a mistake;
	// see also [Config.Routes].
	Methods map[string]ratelimit.Limit
}

// A Member is a client in a plan: API Gateway's usage plan key.
type Member struct {
	// Plan is the plan's id. Client is what Config.Client returns, usually the id of an API key. Both are required.
	// Client has at most 512 bytes.
	Plan, Client string
	// Throttle replaces the plan's throttle for this member. If it is nil, the plan's throttle applies.
	Throttle *ratelimit.Limit
	// Limits replaces the limit of the plan's quota of a period for this member. For a period that is not in it, the
	// plan's limit applies.
	Limits map[ledger.Period]int64
	// InFlight replaces the Client of the plan's InFlight for this member. If it is 0, that of the plan applies.
	InFlight int
}

// Bounds of ids in bytes. Keys of the ledger have room for them.
const (
	maxPlanID = 128
	maxClient = 512
)

// validate returns all mistakes in p, joined, or nil.
func (p Plan) validate() error {
	errs := []error{p.validateID(), validateText(p.Name), validateText(p.Description), validateText(p.ProductCode)}
	if p.Name == "" {
		errs = append(errs, errors.New("has no name"))
	}
	if year := p.Created.UTC().Year(); !p.Created.IsZero() && (year <= 1970 || year >= 2262) {
		errs = append(errs, fmt.Errorf("was created in %d, not after 1970 and before 2262", year))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		errs = append(errs, validateText(key), validateText(p.Tags[key]))
	}
	if p.Throttle != nil {
		errs = append(errs, wrap("throttle", validateLimit(*p.Throttle)))
	}
	for i, q := range p.Quotas {
		errs = append(errs, wrap(fmt.Sprintf("quotas[%d]", i), errors.Join(q.Validate(), validateLocation(q.Location))))
		if slices.ContainsFunc(p.Quotas[:i], func(o ledger.Quota) bool { return o.Period == q.Period }) {
			errs = append(errs, fmt.Errorf("quotas[%d]: a second quota for period %v", i, q.Period))
		}
	}
	errs = append(errs, wrap("inFlight", p.InFlight.validate()), validateStages(p.Stages))
	return wrap(fmt.Sprintf("plan %q", clip(p.ID)), errors.Join(errs...))
}

func (p Plan) validateID() error {
	if p.ID == "" || len(p.ID) > maxPlanID {
		return fmt.Errorf("has an id of %d bytes, not 1 to %d", len(p.ID), maxPlanID)
	}
	return validateText(p.ID)
}

// validateText refuses text that is not UTF-8. JSON would store it as another text, and two ids could become one.
func validateText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not UTF-8", clip(s))
	}
	return nil
}

// validateLocation refuses a time zone that its name does not identify. A plan is stored with the name, and would be
// restored with days that start at other times.
func validateLocation(l *time.Location) error {
	if l == nil {
		return nil
	}
	same, err := time.LoadLocation(l.String())
	if err != nil || l == time.Local || l.String() == "" {
		return fmt.Errorf("location %q is not the name of a time zone", clip(l.String()))
	}
	for month := range time.Month(12) {
		at := time.Date(2026, month+1, 1, 0, 0, 0, 0, time.UTC)
		_, offset := at.In(l).Zone()
		if _, named := at.In(same).Zone(); named != offset {
			return fmt.Errorf("location %q is not the time zone of that name", l)
		}
	}
	return nil
}

func validateStages(stages []Stage) error {
	var errs []error
	seen := make(map[[2]string]bool, len(stages))
	for i, s := range stages {
		errs = append(errs, wrap(fmt.Sprintf("stages[%d]", i), s.validate()))
		name := [2]string{s.API, s.Name}
		if seen[name] {
			errs = append(errs, fmt.Errorf("stages[%d]: %s:%s is listed twice", i, clip(s.API), clip(s.Name)))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

// findStage returns the index of the stage in stages, or -1.
func findStage(stages []Stage, api, name string) int {
	for i := range stages {
		if stages[i].API == api && stages[i].Name == name {
			return i
		}
	}
	return -1
}

func (s Stage) validate() error {
	var errs []error
	if s.API == "" || s.Name == "" {
		errs = append(errs, errors.New("api and name are required"))
	}
	errs = append(errs, validateText(s.API), validateText(s.Name))
	seen := make(map[method]string, len(s.Methods))
	for _, key := range slices.Sorted(maps.Keys(s.Methods)) {
		m, err := parseMethod(key)
		if other, twice := seen[m]; twice && err == nil {
			err = fmt.Errorf("methods %q and %q are the same", clip(other), clip(key))
		}
		seen[m] = key
		errs = append(errs, err, validateText(key), wrap(fmt.Sprintf("method %q", clip(key)), validateLimit(s.Methods[key])))
	}
	return errors.Join(errs...)
}

// validateLimit validates the limit of a throttle. An infinite rate is a mistake: leave the throttle out instead. A
// burst of 0 is allowed; see shut.
func validateLimit(l ratelimit.Limit) error {
	if math.IsInf(l.Rate, 1) {
		return errors.New("an infinite rate is no throttle")
	}
	return drawable(l).Validate()
}

// validate returns all mistakes in m, whatever its plan is, joined, or nil.
func (m Member) validate() error {
	var errs []error
	if m.Plan == "" || len(m.Plan) > maxPlanID {
		errs = append(errs, fmt.Errorf("has a plan of %d bytes, not 1 to %d", len(m.Plan), maxPlanID))
	}
	if m.Client == "" || len(m.Client) > maxClient {
		errs = append(errs, fmt.Errorf("has a client of %d bytes, not 1 to %d", len(m.Client), maxClient))
	}
	errs = append(errs, validateText(m.Plan), validateText(m.Client))
	if m.Throttle != nil {
		errs = append(errs, wrap("throttle", validateLimit(*m.Throttle)))
	}
	for _, period := range slices.Sorted(maps.Keys(m.Limits)) {
		errs = append(errs, ledger.Quota{Limit: m.Limits[period], Period: period}.Validate())
	}
	errs = append(errs, wrap("inFlight", validateInFlight(int64(m.InFlight))))
	return m.wrap(errs...)
}

// validateIn returns all mistakes in m as a member of p, joined, or nil.
func (m Member) validateIn(p *Plan) error {
	var errs []error
	for _, period := range slices.Sorted(maps.Keys(m.Limits)) {
		if !p.has(period) {
			errs = append(errs, fmt.Errorf("the plan has no quota for period %v", period))
		}
	}
	return m.wrap(errs...)
}

func (m Member) wrap(errs ...error) error {
	return wrap(fmt.Sprintf("plan %q: member %q", clip(m.Plan), clip(m.Client)), errors.Join(errs...))
}

// has reports whether p has a quota for the period.
func (p *Plan) has(period ledger.Period) bool {
	return slices.ContainsFunc(p.Quotas, func(q ledger.Quota) bool { return q.Period == period })
}

// wrap puts the place before the text of err. If err joins several errors, it does so for each of them.
func wrap(place string, err error) error {
	return each(err, func(e error) error { return fmt.Errorf("%s: %w", place, e) })
}

// each returns what as makes of err, or of each of the errors that err joins. Of nil it is nil.
func each(err error, as func(error) error) error {
	if err == nil {
		return nil
	}
	if several, is := err.(interface{ Unwrap() []error }); is {
		var errs []error
		for _, e := range several.Unwrap() {
			errs = append(errs, each(e, as))
		}
		return errors.Join(errs...)
	}
	return as(err)
}

func (p Plan) clone() Plan {
	p.Tags, p.Throttle = maps.Clone(p.Tags), clone(p.Throttle)
	p.Quotas, p.Stages = slices.Clone(p.Quotas), cloneStages(p.Stages)
	return p
}

func cloneStages(stages []Stage) []Stage {
	stages = slices.Clone(stages)
	for i := range stages {
		stages[i].Methods = maps.Clone(stages[i].Methods)
	}
	return stages
}

func (m Member) clone() Member {
	m.Throttle, m.Limits = clone(m.Throttle), maps.Clone(m.Limits)
	return m
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
