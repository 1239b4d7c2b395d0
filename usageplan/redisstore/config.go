package redisstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config says which server a [Store] uses.
type Config struct {
	// Client is a *redis.Client, also one of redis.NewFailoverClient, or a *redis.ClusterClient. Required. It stays the
	// caller's: close it after the store. See the package documentation for its options.
	Client redis.UniversalClient

	// Namespace begins the name of each key that the store has on the server. Required: 1 to 64 letters, digits and
	// ".-_:". Stores of one namespace on one server are the same store, so all programs that share a ledger have the
	// same namespace.
	Namespace string

	// AllowWeakDurability accepts a server that may lose what it has confirmed, or whose settings cannot be read. If it
	// is false, Open refuses a server that keeps nothing on disk. A ledger in exact mode also refuses one that may lose
	// its last second, or its last writes in a failover. See [ErrWeak].
	AllowWeakDurability bool
}

var namespaces = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)

// validate reports every mistake of c at once, and then those of the servers.
func (c Config) validate(ctx context.Context) error {
	var errs []error
	if !namespaces.MatchString(c.Namespace) {
		errs = append(errs, fmt.Errorf("redisstore: namespace %.70q is not 1 to 64 letters, digits and .-_: signs",
			c.Namespace))
	}
	wrong, answers := mistakes(c.Client)
	for _, mistake := range wrong {
		errs = append(errs, errors.New("redisstore: "+mistake))
	}
	if answers {
		errs = append(errs, c.inspect(ctx))
	}
	return errors.Join(errs...)
}

// mistakes returns what is wrong with a client, and whether it can ask a server. Other clients than these two are
// refused, because their options cannot be checked: one that repeats a write would break what the store promises.
func mistakes(client redis.UniversalClient) (wrong []string, answers bool) {
	switch c := client.(type) {
	case nil:
	case *redis.Client:
		if c != nil {
			return singleMistakes(c.Options()), true
		}
	case *redis.ClusterClient:
		if c != nil {
			return clusterMistakes(c.Options()), true
		}
	default:
		return []string{fmt.Sprintf("the client is a %T, not a *redis.Client or *redis.ClusterClient", client)}, false
	}
	return []string{"no client"}, false
}

func singleMistakes(o *redis.Options) []string {
	wrong := waitMistakes(o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout)
	wrong = append(wrong, retryMistakes(o.MaxRetries, o.DialerRetries, o.DialTimeout)...)
	if o.ClientSideCache != nil || o.ClientSideCacheConfig != nil {
		wrong = append(wrong, "the client caches answers: unset ClientSideCache")
	}
	return wrong
}

func clusterMistakes(o *redis.ClusterOptions) []string {
	wrong := waitMistakes(o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout)
	wrong = append(wrong, retryMistakes(o.MaxRetries, o.DialerRetries, o.DialTimeout)...)
	if o.ReadOnly { // which the other two set
		wrong = append(wrong, "the client reads from replicas: unset ReadOnly, RouteByLatency and RouteRandomly")
	}
	if o.MaxRedirects <= 0 {
		wrong = append(wrong, "the client does not follow a slot that moves: MaxRedirects is negative")
	}
	return wrong
}

// waitMistakes are about how long the client waits. The client has already replaced a zero by its default, and a
// negative value by zero or -1, which both mean no limit.
func waitMistakes(contexts bool, read, write time.Duration) (wrong []string) {
	if !contexts {
		wrong = append(wrong, "the client ignores contexts: set ContextTimeoutEnabled")
	}
	if read <= 0 || write <= 0 {
		wrong = append(wrong, "the client waits forever: ReadTimeout or WriteTimeout is negative")
	}
	return wrong
}

// maxDial is how long one attempt to connect may take. The attempt goes on after its call has ended, and until it ends,
// its connection counts as one of the pool. So after a hang the pool may be full of attempts for this long.
const maxDial = 10 * time.Second

// retryMistakes are about what the client repeats by itself. Each repetition hides for some time that a server is gone.
// Then the ledger cannot refuse at once, and its callers wait until their contexts end.
func retryMistakes(sends, dials int, dial time.Duration) (wrong []string) {
	if sends > 0 {
		wrong = append(wrong, "the client sends again what has failed: set MaxRetries to -1")
	}
	if dials > 1 {
		wrong = append(wrong, "the client dials a server that is gone again and again: set DialerRetries to 1")
	}
	if dial <= 0 || dial > maxDial {
		wrong = append(wrong, fmt.Sprintf("the client dials for %v: set DialTimeout to at most %v", dial, maxDial))
	}
	return wrong
}

// inspect reports what makes each server unfit, whatever the ledger is used for.
func (c Config) inspect(ctx context.Context) error {
	servers, err := inspect(ctx, c.Client)
	if err != nil {
		return fmt.Errorf("redisstore: the server does not answer: %w", err)
	}
	errs := make([]error, len(servers))
	for i, s := range servers {
		errs[i] = s.unfit(c.AllowWeakDurability)
	}
	return errors.Join(errs...)
}
