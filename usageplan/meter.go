package usageplan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Config configures a [Meter]. [New] makes a deep copy.
type Config struct {
	// Client returns the id of the client that sent the request, or false if there is none; usually apikey.ID. It must
	// report only what was verified. Nil is allowed if the meter is used by [Meter.Take] and [Meter.TakeUpTo]
	// alone: Check, Handler and StatusHandler then refuse with [ErrNotConfigured].
	Client func(*http.Request) (string, bool)

	// Route returns the route of the request, or false if it is unknown. Nil stands for [Pattern] of API and Stage.
	// Both are required then, and where Routes is set.
	Route      func(*http.Request) (Route, bool)
	API, Stage string

	// Routes are the patterns of the mux whose handlers the meter wraps, such as "GET /Prod/pets/{id}". If they are
	// set, a method throttle of API and Stage that fits none of them is a mistake, because it would never act. Without
	// them, New finds only mistakes that show in the throttle itself, such as a resource that begins with the stage.
	Routes []string

	// Unit names what Cost counts, as [ratelimit.Field].Unit does, for example "content-bytes". It must be printable
	// ASCII. Without it, the fields RateLimit-Policy and RateLimit contain quotas only if each request counts 1,
	// because clients read an item without a unit as requests. Set it if handlers settle their charges.
	Unit string

	// Cost returns the units that a request takes from the quotas. It does not concern throttles, which count requests.
	// Nil stands for 1 unit a request. A request with a cost of 0 takes nothing from the quotas. A cost below 0 or
	// above [ledger.MaxUnits] refuses the request with [ErrNotConfigured].
	Cost func(*http.Request) int64

	// MinCost returns the fewest units with which a request can go on, for Check and Handler: if the quotas do not have
	// its Cost, it takes what they have, as in [Meter.TakeUpTo]. [Charge.Units] tells how many, so behind Handler set
	// ChargeInContext. Nil, and a MinCost of Cost, refuse it then. A MinCost above Cost, or below 1 if Cost is not 0,
	// refuses the request with [ErrNotConfigured].
	MinCost func(*http.Request) int64

	// Plans and Members are the plans and members that are declared in code. They are not stored in Journal until a
	// change touches them. What Journal has about a plan or a member takes precedence, and the deletion of one that is
	// declared is remembered there forever.
	Plans   []Plan
	Members []Member

	// Default is the id of the plan for clients that are in no plan for the stage. If it is empty, they are refused.
	Default string

	// Ledger counts the quotas, and the usage of clients whose plan has none. It is required if a plan has a quota. The
	// caller closes it. A key in the ledger has the plan's id and the period as its plan, "jcfq33/DAY", and the client
	// as its subject. Usage without a quota is counted per day. Without a ledger, it is not counted.
	Ledger *ledger.Ledger

	// Throttle keeps the buckets of the throttles of plans, methods and members. Meters of several processes that have
	// the same one limit each client together. If it cannot decide, the request is refused with
	// [ErrThrottleUnavailable]. Nil keeps the buckets in the meter. The throttles below are always kept there.
	Throttle Throttle

	// StageThrottles limit the methods of stages, all clients together. AccountThrottle limits all requests of the
	// meter. They are API Gateway's stage and account throttles. Nil is no limit. They do not change.
	StageThrottles  []Stage
	AccountThrottle *ratelimit.Limit

	// InFlight is how many requests of the meter may run at once, of all clients and plans together. 0 is no bound. It
	// does not change. [Plan].InFlight bounds the requests of a client and of a plan. The place of a request is taken
	// before its tokens and units, and given back by [Meter.Handler], or by the caller of Check or Take; see
	// [Charge.Release].
	InFlight int

	// AWSStrict turns off what API Gateway never sends: Retry-After and the RateLimit fields.
	AWSStrict bool

	// Journal stores the changes of plans and members: each is durable before it is visible. New reads it to its head,
	// and see Follow. Several meters, also of several processes, may have the same journal; then the
	// declared plans and members should be the same too. It must be a topic of its own. If it is nil, changes are kept
	// in memory only.
	Journal journal.Journal

	// MaxStale bounds the age of the plans by which requests are decided: the time since the Journal was last read to its
	// head. A request that finds them older than that reads on itself, for all requests that wait, and is refused with
	// [ErrStale] if the Journal does not answer within a second. AllowDespite may admit it. From half of MaxStale on,
	// a request has another goroutine read on, and does not wait. So a Lambda environment that was frozen for an hour
	// asks first, and a node that cannot hear the others stops. Seconds are usual. 0 goes on with what is known, without
	// end: a node that is cut off admits a client whom another node has taken out of its plan.
	//
	// The age comes before every limit: a request that is refused for it has asked neither Throttle nor Ledger. While
	// the plans are young enough, both are asked as always. The Ledger also counts the usage of a plan that has neither
	// throttle nor quota. So a node that is cut off from the server of all three may refuse before MaxStale, with
	// [ErrThrottleUnavailable] or [ledger.ErrUnavailable]. If that server hangs, the requests that notice it first wait
	// for as long as the Throttle or [ledger.Config].Timeout allows, even if the plans become too old meanwhile.
	MaxStale time.Duration

	// Follow starts a goroutine that reads on when other nodes have appended to the Journal, so that a change acts on
	// every node within a second. [Meter.Close] ends it. Without it, a node that shares a Journal calls
	// [Meter.Refresh], or has a MaxStale.
	Follow bool

	// AllowDespite is asked about each request that Check refuses. If it returns true, the request is admitted and
	// takes nothing. To observe without refusing, always return true: the Outcome of an [Event] is "despite" for each
	// request that would have been refused. To fail open, return true for errors such as [ledger.ErrUnavailable]. Nil
	// admits none. Take, TakeUpTo and StatusHandler do not ask it.
	AllowDespite func(*http.Request, error) bool

	// ChargeInContext makes Handler pass each request's charge to the next handler, which gets it from [FromContext].
	// It costs a copy of the request. If it is off, FromContext reports false.
	ChargeInContext bool

	// ErrorHandler answers refused requests. The error is an [*Error], whose SetHeader was called already. Nil stands
	// for [Error.ServeHTTP], which answers as API Gateway does.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe is told each decision of Take, Check, Handler and StatusHandler, once, before the request goes on or is
	// answered. It runs on the request's goroutine and must not block; a panic of it is not caught. Nil tells nobody.
	// Growing and settling a charge are no decisions.
	Observe func(context.Context, Event)

	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal, and the RequestID of an [Event]. If it returns "", a refusal gets a random id. Do not return a header
	// that any client can set: it would choose what stands in your logs. Nil means that each refusal gets a random id. If
	// an outer layer has set X-Amzn-RequestId in the answer before [Meter.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// A Meter decides by usage plan which requests may go on. It is safe for concurrent use. A request never waits for a
// change, for other requests only where the ledger does, and for the Journal only as Config.MaxStale says. The zero
// Meter and a nil one refuse everything with [ErrNotConfigured].
type Meter struct {
	config  Config
	routes  []Route // of config.Routes
	pattern bool    // config.Route was nil and is Pattern now
	table   table
	topic   *journal.Topic
	stages  []*methods // for each of config.StageThrottles
	account *ratelimit.Bucket
	tooFast tally // requests that a throttle has refused
	places  places
	made    bool // by New
}

// New returns a meter for c. If c has mistakes, or what it declares conflicts with what Config.Journal has, the error
// wraps [ErrInvalid] and lists all of them. If the journal cannot be read, it wraps [journal.ErrUnavailable], or says
// that a newer version of this package has written it.
func New(c Config) (*Meter, error) {
	m := &Meter{config: c}
	if err := errors.Join(m.configure(), m.declare(c.Plans, c.Members)); err != nil {
		return nil, invalid(err)
	}
	var err error
	if m.topic, err = journal.Follow(context.Background(), c.Journal, m.apply); err != nil {
		return nil, fmt.Errorf("usageplan: %w", err)
	}
	if err := m.fits(); err != nil {
		return nil, invalid(err)
	}
	m.config.Plans, m.config.Members = nil, nil // they are in the table now
	m.made = true
	if err := m.topic.Keep(c.MaxStale, c.Follow); err != nil { // the last step, as it may start a goroutine
		return nil, invalid(fmt.Errorf("Config: %w", err))
	}
	return m, nil
}

// invalid returns the error of New for each of the mistakes that err joins.
func invalid(err error) error {
	return each(err, func(e error) error { return fmt.Errorf("usageplan: %w: %w", ErrInvalid, e) })
}

// configure checks the parts of the configuration that changes do not touch, and builds what they need.
func (m *Meter) configure() error {
	errs := []error{m.configureRoute(), m.learnRoutes()}
	if strings.ContainsFunc(m.config.Unit, func(r rune) bool { return r < ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("Config.Unit %q is not printable ASCII", clip(m.config.Unit)))
	}
	if n := m.config.InFlight; n < 0 || n > maxInFlightAll {
		errs = append(errs, fmt.Errorf("Config.InFlight %d is not within 0 to %d", n, maxInFlightAll))
	}
	errs = append(errs, wrap("Config.AccountThrottle", m.makeAccount()), m.makeStages(), m.places.make())
	return errors.Join(errs...)
}

// configureRoute sets Config.Route if it is nil. A meter without Config.Client serves no HTTP and needs no route.
func (m *Meter) configureRoute() error {
	c := &m.config
	if c.Route != nil {
		return nil
	}
	m.pattern, c.Route = c.Client != nil, Pattern(c.API, c.Stage)
	if m.pattern && (c.API == "" || c.Stage == "") {
		return errors.New("Config.Route, or API and Stage, is required")
	}
	return nil
}

// makeAccount makes the bucket of Config.AccountThrottle. Here a burst of 0 is a mistake: no tool of AWS's writes it,
// so it was forgotten.
func (m *Meter) makeAccount() (err error) {
	c := &m.config
	if c.AccountThrottle = clone(c.AccountThrottle); c.AccountThrottle == nil {
		return nil
	}
	if err := validateLimit(*c.AccountThrottle); err != nil {
		return err
	}
	m.account, err = ratelimit.NewBucket(*c.AccountThrottle)
	return err
}

// makeStages makes the buckets of Config.StageThrottles. It refuses stages that no request goes to.
func (m *Meter) makeStages() error {
	c := &m.config
	c.StageThrottles = cloneStages(c.StageThrottles)
	if err := errors.Join(validateStages(c.StageThrottles), m.validateReach(c.StageThrottles)); err != nil {
		return wrap("Config.StageThrottles", err)
	}
	var errs []error
	for _, s := range c.StageThrottles {
		if m.pattern && (s.API != c.API || s.Name != c.Stage) {
			errs = append(errs, fmt.Errorf("Config.StageThrottles: no request goes to %s:%s: API and Stage are %s:%s; "+
				"where Take is called for others, set Config.Route", clip(s.API), clip(s.Name), c.API, c.Stage))
		}
		throttles, err := newShared(s.Methods)
		m.stages = append(m.stages, throttles)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// declare adds the plans and members of [Config]. None may be declared twice.
func (m *Meter) declare(plans []Plan, members []Member) error {
	t := &m.table
	t.declaredPlans, t.declaredMembers = make(map[string]planItem), make(map[membership]memberItem)
	if len(plans) > maxDeclared || len(members) > maxDeclared {
		return fmt.Errorf("more than %d plans or members are declared", maxDeclared)
	}
	var errs []error
	broken := make(map[string]bool) // ids of plans with mistakes, which are not reported again for their members
	for i, p := range plans {
		err := m.declarePlan(planItem{Plan: p.clone(), number: uint64(i + 1)})
		broken[p.ID] = broken[p.ID] || err != nil
		errs = append(errs, err)
	}
	for i, k := range members {
		if !broken[k.Plan] {
			errs = append(errs, m.declareMember(memberItem{Member: k.clone(), number: uint64(firstMember + i)}))
		}
	}
	if m.config.Journal == nil && !broken[m.config.Default] {
		errs = append(errs, m.findDefault())
	}
	return errors.Join(errs...)
}

func (m *Meter) declarePlan(p planItem) error {
	if _, twice := m.table.declaredPlans[p.ID]; twice {
		return fmt.Errorf("plan %q is declared twice", clip(p.ID))
	}
	d := draft{meter: m}
	d.addPlan(p)
	if err := d.mistakes(); err != nil {
		return err
	}
	m.table.declaredPlans[p.ID] = p
	return m.table.apply(&d.changeset)
}

func (m *Meter) declareMember(k memberItem) error {
	id := membership{k.Plan, k.Client}
	if _, twice := m.table.declaredMembers[id]; twice {
		return fmt.Errorf("member %q of plan %q is declared twice", clip(k.Client), clip(k.Plan))
	}
	d := draft{meter: m}
	d.addMember(k)
	err := errors.Join(d.mistakes(), d.missing())
	if err == nil {
		err = d.conflicts()
	}
	if err != nil {
		return err
	}
	m.table.declaredMembers[id] = k
	return m.table.apply(&d.changeset)
}

// fits returns why the plans and members that are declared do not fit those of the journal, as errors, or nil. What is
// in the journal fits together, because every change was checked. So only the members of declared plans are looked at;
// a declared member is always one of them. A program with another configuration may have stored a quota.
func (m *Meter) fits() error {
	var errs []error
	d := draft{meter: m}
	for id, p := range m.table.plans.Range {
		s := p.(*plan).state.Load()
		if s == nil {
			continue
		}
		errs = append(errs, wrap(fmt.Sprintf("plan %q", clip(s.ID)), m.countable(s.Quotas)))
		if _, declared := m.table.declaredPlans[id.(string)]; declared {
			errs = append(errs, d.misfits(&s.Plan, p.(*plan)))
		}
	}
	return errors.Join(append(errs, m.findDefault())...)
}

// findDefault returns an error if there is no plan of the id Config.Default.
func (m *Meter) findDefault() error {
	if id := m.config.Default; id != "" && m.table.version(id) == nil {
		return fmt.Errorf("the default plan %q is not among the plans", clip(id))
	}
	return nil
}

// configured returns an error for a nil meter and for one that New did not make.
func (m *Meter) configured() error {
	if m == nil || !m.made {
		return &Error{Err: fmt.Errorf("%w: New has not made it", ErrNotConfigured)}
	}
	return nil
}
