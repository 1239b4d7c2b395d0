package redislimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/ratelimit"
)

// Config says where a [Limiter] keeps its buckets, and what it does while it cannot reach them. Client, Namespace and
// Nodes are required.
type Config struct {
	// Client is a *redis.Client, also one of redis.NewFailoverClient, or a *redis.ClusterClient. It stays the caller's:
	// close it after the limiter. See the package documentation for its options.
	Client redis.UniversalClient

	// Namespace begins the name of each key that the limiter has on the server: 1 to 64 letters, digits and ".-_:".
	// Limiters of one namespace on one server share their buckets.
	Namespace string

	// Nodes is the greatest number of limiters that share the buckets at a time, 1 to 65 536. Usually each process has
	// one. While a release replaces processes, the old and the new ones both count. The bound depends on Nodes; see the
	// package documentation.
	Nodes int

	// Budget is how long one call to the server may take, up to a minute; 0 stands for 5 ms. It should be several times
	// what a call usually takes, which is milliseconds if the server has appendfsync always. An answer that comes later
	// is not used.
	Budget time.Duration

	// Away is what happens to requests while the server does not answer. The zero value refuses them.
	Away Policy

	// OnOutage is called when an outage begins, when a probe fails, and when the outage ends. It runs on the goroutine
	// of a request or of a probe, so it must not block, and must not call the limiter's Take or Close. Several may call
	// it at once. It may be nil.
	OnOutage func(Outage)

	// MaxGroups is about how many groups of buckets (keys, for Check and Handler) the process remembers; 0 stands for
	// 65 536. Each takes about 600 bytes. The next Take on a group that was forgotten calls the server, and nothing
	// else is lost. A group with a call under way is not forgotten, so there may be more than MaxGroups for a while.
	MaxGroups int

	// Limit is what each key may use, in Check and Handler. It is required if Key is not nil. Otherwise it is ignored.
	Limit ratelimit.Limit

	// Key returns whom to charge, in Check and Handler. False refuses the request, with ratelimit.ErrNoKey. Without a
	// Key, only Take can be used: Check and Handler refuse with ratelimit.ErrNotConfigured.
	Key func(*http.Request) (string, bool)

	// Name, XRateLimit, AllowDespite, ErrorHandler, Observe and RequestID are as in ratelimit.Config. The Layer of a
	// verdict is "redislimit". To let requests pass in an outage, use Away instead of AllowDespite: it still refuses
	// what is known to exceed the limit.
	Name         string
	XRateLimit   bool
	AllowDespite func(*http.Request, error) bool
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
	Observe      func(context.Context, ratelimit.Event)
	RequestID    func(*http.Request) string
}

// The zero values of Budget and MaxGroups stand for the first two. maxNodes is far more than one server can answer.
const (
	defaultBudget    = 5 * time.Millisecond
	defaultMaxGroups = 1 << 16
	maxNodes         = 1 << 16
)

// namespaces has no braces: they would be a hash tag, and put all keys of a Cluster into one slot.
var namespaces = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// validate reports every mistake of c at once. It does not ask the server, because a program must also start during an
// outage.
func (c *Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("redislimit: "+format, args...))
	}
	if !namespaces.MatchString(c.Namespace) {
		wrong("namespace %.70q is not 1 to 64 letters, digits and .-_: signs", c.Namespace)
	}
	if c.Nodes < 1 || c.Nodes > maxNodes {
		wrong("Nodes %d is not within 1 to %d", c.Nodes, maxNodes)
	}
	if c.Budget < 0 || c.Budget > time.Minute {
		wrong("Budget %v is not within 0 to 1 minute", c.Budget)
	}
	if c.Away < Refuse || c.Away > LocalShare {
		wrong("Away is %d, which is no policy", c.Away)
	}
	if c.MaxGroups < 0 {
		wrong("MaxGroups %d is negative", c.MaxGroups)
	}
	if c.Key != nil {
		if err := c.Limit.Validate(); err != nil {
			wrong("limit: %w", err)
		}
	}
	for i := range len(c.Name) {
		if c.Name[i] < ' ' || c.Name[i] > '~' {
			wrong("Name %q is not printable ASCII", c.Name)
			break
		}
	}
	for _, mistake := range mistakes(c.Client) {
		wrong("%s", mistake)
	}
	return errors.Join(errs...)
}

// mistakes says what is wrong with a client. redis.UniversalClient has other implementations, which do not show their
// options. The options decide whether a call ends in time, so those clients are refused. So is a nil pointer.
func mistakes(client redis.UniversalClient) []string {
	switch c := client.(type) {
	case nil:
	case *redis.Client:
		if c != nil {
			o := c.Options()
			return waitMistakes(o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout, o.DialerRetries)
		}
	case *redis.ClusterClient:
		if c != nil {
			return clusterMistakes(c.Options())
		}
	default:
		return []string{fmt.Sprintf("the client is a %T, not a *redis.Client or *redis.ClusterClient", client)}
	}
	return []string{"no client"}
}

// clusterMistakes is mistakes for the client of a Cluster. redis.NewClusterClient has already changed MaxRedirects: 0
// has become 3, and -1 has become 0.
func clusterMistakes(o *redis.ClusterOptions) []string {
	wrong := waitMistakes(o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout, o.DialerRetries)
	if o.ReadOnly { // which RouteByLatency and RouteRandomly set
		wrong = append(wrong, "the client asks replicas: unset ReadOnly, RouteByLatency and RouteRandomly")
	}
	if o.MaxRedirects <= 0 {
		wrong = append(wrong, "the client does not follow a slot that moves: MaxRedirects is negative")
	}
	return wrong
}

// waitMistakes are about how long the client waits. redis.NewClient has already changed these options: 0 has become the
// default, and -1 and -2, which turn a timeout off, have become 0 and -1.
func waitMistakes(contexts bool, read, write time.Duration, dials int) (wrong []string) {
	if !contexts {
		wrong = append(wrong, "the client ignores contexts: set ContextTimeoutEnabled")
	}
	if read <= 0 || write <= 0 {
		wrong = append(wrong, "the client waits forever: ReadTimeout or WriteTimeout is negative")
	}
	if dials > 1 {
		wrong = append(wrong, "the client dials a server that is gone again and again: set DialerRetries to 1")
	}
	return wrong
}
