package usageplan

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Config is what a [Meter] is made of. [New] copies it.
type Config struct {
	// Client tells who calls; apikey.ID is the usual one. It must report only what has been verified. Required.
	Client func(*http.Request) (string, bool)

	// Route tells where a request goes. Nil is [Pattern] of API and Stage, which are required then.
	Route      func(*http.Request) (Route, bool)
	API, Stage string

	// Cost is what a request counts against the quotas; throttles count requests. Nil is 1 for each request. Zero is
	// free of quota; a negative cost refuses.
	Cost func(*http.Request) int64

	// Plans and Members are what the meter starts with; [Meter.Apply] changes them later.
	Plans   []Plan
	Members []Member

	// Default is the id of the plan of a client that no plan lists. Empty refuses such clients.
	Default string

	// Ledger counts what quotas allow. Required by plans with a quota; the caller closes it.
	Ledger *ledger.Ledger

	// Stages bounds the methods of stages over all callers, Account bounds all requests of the meter together: API
	// Gateway's stage and account throttles. Nil is none.
	Stages  []Stage
	Account *ratelimit.Limit

	// AWSStrict leaves out what API Gateway never sends: Retry-After and the RateLimit fields.
	AWSStrict bool

	// Commit is given every change before it is visible, one at a time, to make it durable. An error refuses the
	// change. Nil keeps changes in memory only.
	Commit func(context.Context, Change) error

	// AllowDespite lets a refused request through when it returns true: always for observe mode, for a cause such as
	// [ledger.ErrUnavailable] to fail open. Such a request has consumed nothing. Nil refuses.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers refused requests; the protocol's header fields are set already. Nil answers as API Gateway
	// does, by the error's own ServeHTTP.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// A Meter decides by usage plan who may go on. It is safe for concurrent use; its zero value refuses everything with
// [ErrNotConfigured].
type Meter struct {
	config  Config
	table   table
	stages  []*methods // for each of config.Stages
	account *ratelimit.Bucket
}

// New returns a meter for c, or every mistake in c at once.
func New(c Config) (*Meter, error) {
	m := &Meter{config: c}
	errs := []error{m.configure()}
	for _, p := range c.Plans {
		errs = append(errs, m.declare(Change{PutPlan: &p}, m.table.plan(p.ID) != nil, "plan %q is declared twice", p.ID))
	}
	for _, k := range c.Members {
		errs = append(errs, m.declare(Change{PutMember: &k}, m.table.member(k.Plan, k.Client) != nil, "member %q of plan %q is declared twice", k.Client, k.Plan))
	}
	if c.Default != "" && m.table.plan(c.Default) == nil {
		errs = append(errs, fmt.Errorf("the default plan %q is not among the plans", c.Default))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	m.config.Plans, m.config.Members = nil, nil // the table has them
	return m, nil
}

// configure builds what does not change later.
func (m *Meter) configure() error {
	var errs []error
	c := &m.config
	if c.Client == nil {
		errs = append(errs, errors.New("Config.Client is required"))
	}
	if c.Route == nil {
		if c.API == "" || c.Stage == "" {
			errs = append(errs, errors.New("Config.Route, or API and Stage, is required"))
		}
		c.Route = Pattern(c.API, c.Stage)
	}
	if c.Account != nil {
		b, err := ratelimit.NewBucket(*c.Account)
		m.account = b
		errs = append(errs, err)
	}
	c.Stages = (Plan{Stages: c.Stages}).clone().Stages
	for i, s := range c.Stages {
		throttles, err := newMethods(nil, s.Methods)
		m.stages = append(m.stages, throttles)
		if err == nil {
			err = s.validate()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("Config.Stages[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// declare carries out a change that [Config] holds: nothing is committed, and nothing may be there twice.
func (m *Meter) declare(c Change, twice bool, format string, args ...any) error {
	if twice {
		return fmt.Errorf(format, args...)
	}
	c = c.clone()
	if err := m.validate(c); err != nil {
		return err
	}
	return m.table.apply(c)
}

// Check decides about r and takes what it costs. An error is an [*Error], and then nothing has been taken. On success
// the charge tells what is left; who knows the cost only later calls its Settle.
func (m *Meter) Check(r *http.Request) (Charge, error) {
	charge, err := m.check(r)
	if err != nil && m.config.AllowDespite != nil && m.config.AllowDespite(r, err) {
		return Charge{}, nil
	}
	return charge, err
}

func (m *Meter) check(r *http.Request) (Charge, error) {
	q, err := m.request(r)
	if err != nil {
		return Charge{}, err
	}
	if q.Cost = 1; m.config.Cost != nil {
		q.Cost = m.config.Cost(r)
	}
	return m.Take(r.Context(), q)
}

// request tells who calls what; it leaves the cost out.
func (m *Meter) request(r *http.Request) (Request, error) {
	if m.config.Client == nil {
		return Request{}, m.refusal(ErrNotConfigured, Request{})
	}
	client, known := m.config.Client(r)
	if !known {
		return Request{}, m.refusal(ErrNoClient, Request{})
	}
	route, known := m.config.Route(r)
	if !known {
		return Request{}, m.refusal(ErrNoRoute, Request{Client: client})
	}
	return Request{Client: client, Route: route}, nil
}

// Handler returns next behind the meter. An admitted request's answer tells what is left.
func (m *Meter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		charge.SetHeader(w.Header())
		next.ServeHTTP(w, r)
	})
}

func (m *Meter) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, _ := errors.AsType[*Error](err)
	e.SetHeader(w.Header())
	if m.config.ErrorHandler != nil {
		m.config.ErrorHandler(w, r, err)
		return
	}
	e.ServeHTTP(w, r)
}
