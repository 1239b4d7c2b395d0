package usageplan

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Config is what a [Meter] is made of. [New] copies it deeply.
type Config struct {
	// Client tells who calls; apikey.ID is the usual one. It must report only what has been verified. Nil is legal for a
	// meter below HTTP: Check, Handler and Self then refuse with [ErrNotConfigured].
	Client func(*http.Request) (string, bool)

	// Route tells where a request goes. Nil is [Pattern] of API and Stage, which nothing else looks at.
	Route      func(*http.Request) (Route, bool)
	API, Stage string

	// Routes are the patterns of the mux whose handlers the meter wraps, such as "GET /Prod/pets/{id}". Where they are
	// given, a method throttle of API and Stage that none of them fits is a mistake: it would never act. Nil checks only
	// what shows without them.
	Routes []string

	// Unit says what Cost counts, as [ratelimit.Field].Unit does in RateLimit-Policy: "content-bytes" or another; printable
	// ASCII. Without it the quotas are in RateLimit-Policy and RateLimit only where each request counts 1: a client would
	// read an item without a unit as requests. A meter whose handlers settle to something else has to name it.
	Unit string

	// Cost is what a request counts against the quotas; throttles count requests. Nil is 1 for each request. Zero is
	// free of quota; a cost below zero or above [ledger.MaxUnits] refuses.
	Cost func(*http.Request) int64

	// Plans and Members are what the meter starts with; [Meter.Apply] changes them later. Commit is not given them.
	Plans   []Plan
	Members []Member

	// Default is the id of the plan of a client that no plan lists for the stage. Empty refuses such clients.
	Default string

	// Ledger counts what quotas allow. Required by plans with a quota; the caller closes it. The plan of its keys is the
	// id and the period, "jcfq33/DAY", and the subject is the client.
	Ledger *ledger.Ledger

	// StageThrottles bounds the methods of stages over all callers, AccountThrottle all requests of the meter together:
	// API Gateway's stage and account throttles. Nil is none.
	StageThrottles  []Stage
	AccountThrottle *ratelimit.Limit

	// AWSStrict leaves out what API Gateway never sends: Retry-After and the RateLimit fields.
	AWSStrict bool

	// Restore yields all changes that Commit was given, by every earlier meter over the same store, in their order: each
	// builds on those before it, so the latest change of each plan and of each member is not enough. New carries them out
	// after Plans and Members and does not commit them again. An error ends New with it. Nil restores nothing.
	Restore iter.Seq2[Change, error]

	// Commit is given every change before it is visible, one at a time, to make it durable. An error refuses the
	// change. Nil keeps changes in memory only. It must call neither Apply nor Members.
	Commit func(context.Context, Change) error

	// AllowDespite lets a request that Check refuses through when it returns true: always for observe mode, for a cause
	// such as [ledger.ErrUnavailable] to fail open. Such a request has consumed nothing. Nil refuses. Take and Self do
	// not ask it.
	AllowDespite func(*http.Request, error) bool

	// ChargeInContext has Handler give each request its charge, for [FromContext]. It copies the request, and so is off by
	// default: FromContext then reports false, and nothing is settled.
	ChargeInContext bool

	// ErrorHandler answers refused requests; the protocol's header fields are set already. Nil answers as API Gateway
	// does, by the error's own ServeHTTP. The error is an [*Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// A Meter decides by usage plan who may go on. It is safe for concurrent use, and requests never wait for one another nor
// for a change. The zero Meter, and a nil one, refuse everything with [ErrNotConfigured].
type Meter struct {
	config  Config
	routes  []Route // of config.Routes
	pattern bool    // config.Route is Pattern, since none was given
	table   table
	stages  []*methods // for each of config.StageThrottles
	account *ratelimit.Bucket
	made    bool // by New
}

// New returns a meter for c, or every mistake in c at once; the error then wraps [ErrInvalid].
func New(c Config) (*Meter, error) {
	m := &Meter{config: c, made: true}
	if err := errors.Join(m.configure(), m.declare(c.Plans, c.Members)); err != nil {
		return nil, fmt.Errorf("usageplan: %w: %w", ErrInvalid, err)
	}
	if err := m.restore(); err != nil {
		return nil, fmt.Errorf("usageplan: restore: %w", err)
	}
	m.config.Plans, m.config.Members, m.config.Restore = nil, nil, nil // the table has them
	return m, nil
}

func (m *Meter) restore() error {
	if m.config.Restore == nil {
		return nil
	}
	for c, err := range m.config.Restore {
		if err != nil {
			return err
		}
		if err := m.carryOut(c.clone(), nil); err != nil {
			return err
		}
	}
	return nil
}

// configure builds what does not change later.
func (m *Meter) configure() (err error) {
	c := &m.config
	var errs []error
	if c.Route == nil {
		if c.Client != nil && (c.API == "" || c.Stage == "") {
			errs = append(errs, errors.New("Config.Route, or API and Stage, is required"))
		}
		m.pattern, c.Route = c.Client != nil, Pattern(c.API, c.Stage)
	}
	errs = append(errs, m.learnRoutes())
	if strings.ContainsFunc(c.Unit, func(r rune) bool { return r < ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("Config.Unit %q is not printable ASCII", clip(c.Unit)))
	}
	if c.AccountThrottle = clone(c.AccountThrottle); c.AccountThrottle != nil {
		if err = validateLimit(*c.AccountThrottle); err == nil {
			m.account, err = ratelimit.NewBucket(*c.AccountThrottle)
		}
		errs = append(errs, wrap("Config.AccountThrottle", err))
	}
	c.StageThrottles = cloneStages(c.StageThrottles)
	if err := errors.Join(validateStages(c.StageThrottles), m.validateReach(c.StageThrottles)); err != nil {
		return errors.Join(append(errs, wrap("Config.StageThrottles", err))...)
	}
	for _, s := range c.StageThrottles {
		if m.pattern && (s.API != c.API || s.Name != c.Stage) {
			errs = append(errs, fmt.Errorf("Config.StageThrottles: no request goes to %s:%s: API and Stage are %s:%s; "+
				"where Take is called for others, set Config.Route", clip(s.API), clip(s.Name), c.API, c.Stage))
		}
	}
	for _, s := range c.StageThrottles {
		throttles, err := newShared(s.Methods)
		m.stages = append(m.stages, throttles)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// declare puts in what [Config] starts with. Nothing of it is committed, and nothing may be there twice.
func (m *Meter) declare(plans []Plan, members []Member) error {
	var errs []error
	broken := make(map[string]bool) // plans that are missing for a reason already told
	for _, p := range plans {
		err := fmt.Errorf("plan %q is declared twice", p.ID)
		if m.table.plan(p.ID) == nil {
			err = m.put(Change{PutPlan: &p})
			broken[p.ID] = err != nil
		}
		errs = append(errs, err)
	}
	for _, k := range members {
		switch {
		case broken[k.Plan]:
		case m.table.member(k.Plan, k.Client) != nil:
			errs = append(errs, fmt.Errorf("member %q of plan %q is declared twice", k.Client, k.Plan))
		default:
			errs = append(errs, m.put(Change{PutMember: &k}))
		}
	}
	if id := m.config.Default; id != "" && !broken[id] && m.table.plan(id) == nil {
		errs = append(errs, fmt.Errorf("the default plan %q is not among the plans", id))
	}
	return errors.Join(errs...)
}

func (m *Meter) put(c Change) error {
	c = c.clone()
	if err := errors.Join(m.mistakes(c), m.conflicts(c)); err != nil {
		return err
	}
	return m.table.apply(c)
}

func (m *Meter) configured() error {
	if m == nil || !m.made {
		return &Error{Err: fmt.Errorf("%w: New has not made it", ErrNotConfigured)}
	}
	return nil
}

// Check decides about r and takes what it costs. An error is an [*Error], and then nothing has been taken. On success
// the charge tells what is left; a caller who knows the cost only later calls its Settle.
func (m *Meter) Check(r *http.Request) (Charge, error) {
	charge, err := m.check(r)
	if err != nil && m.configured() == nil && m.config.AllowDespite != nil && m.config.AllowDespite(r, err) {
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
	if err := m.configured(); err != nil {
		return Request{}, err
	}
	if m.config.Client == nil {
		return Request{}, m.refusal(fmt.Errorf("%w: Config.Client is nil, which is for Take alone", ErrNotConfigured), &Request{})
	}
	client, found := m.config.Client(r)
	if !found {
		return Request{}, m.refusal(ErrNoClient, &Request{})
	}
	route, found := m.config.Route(r)
	if !found {
		return Request{}, m.refusal(m.noRoute(), &Request{Client: client})
	}
	return Request{Client: client, Route: route}, nil
}

// noRoute is ErrNoRoute with what to do about it: its answer is a 500, and this text is all that an operator gets.
func (m *Meter) noRoute() error {
	if m.pattern {
		return fmt.Errorf("%w: r.Pattern is empty, no mux has matched the request: "+
			"wrap the handlers that are given to the mux, not the mux, or set Config.Route", ErrNoRoute)
	}
	return fmt.Errorf("%w: Config.Route does not know it", ErrNoRoute)
}

// Handler returns next behind the meter. An admitted request's answer tells what is left. Where Config.ChargeInContext is
// set, next finds its charge by [FromContext].
func (m *Meter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		charge.SetHeader(w.Header())
		if !m.config.ChargeInContext {
			next.ServeHTTP(w, r)
			return
		}
		inner := r.WithContext(NewContext(r.Context(), charge))
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

func (m *Meter) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, _ := errors.AsType[*Error](err) // every refusal is one
	e.SetHeader(w.Header())
	if m.configured() == nil && m.config.ErrorHandler != nil {
		m.config.ErrorHandler(w, r, err)
		return
	}
	e.ServeHTTP(w, r)
}
