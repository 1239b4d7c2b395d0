package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/tallygate/tallygate/ratelimit/redislimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/pgstore"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// namespace begins the names that this program uses in a store, so that others can use the same store.
const namespace = "fleet"

// A store is what the nodes share: the rows of the ledger, the journals of keys and plans and, on Redis, the token
// buckets.
type store struct {
	engine   ledger.Engine
	journal  func(topic string, retain time.Duration) journal.Journal
	throttle usageplan.Throttle // nil: each node has buckets of its own
	close    func() error
}

// openStore opens the store at an address. If create is true, it first makes the tables that are missing there. A
// service in production should not have the right to do that: there, an operator makes them once.
func openStore(ctx context.Context, address string, create bool) (store, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case "redis", "rediss":
		return openRedis(ctx, address)
	case "postgres", "postgresql":
		return openPostgres(ctx, address, create)
	case "dynamodb":
		return openDynamo(ctx, rest, create)
	}
	return store{}, fmt.Errorf("-store begins with %q, want redis://, postgres:// or dynamodb://", scheme)
}

// openRedis also keeps the token buckets on the server, in a namespace of their own. The limiter must know how many
// nodes there are at most; its documentation says what for. The budget is ten times the default, because the server and
// all nodes share one machine here, and it may be busy.
func openRedis(ctx context.Context, address string) (store, error) {
	o, err := redis.ParseURL(address)
	if err != nil {
		return store{}, withoutAddress(err)
	}
	// The store requires these options. Otherwise a server that hangs holds requests for seconds, and the client sends
	// an operation again whose answer was lost.
	o.ContextTimeoutEnabled, o.DialerRetries, o.MaxRetries = true, 1, -1
	client := redis.NewClient(o)
	s, err := redisstore.Open(ctx, redisstore.Config{Client: client, Namespace: namespace})
	if err != nil {
		return store{}, errors.Join(err, client.Close())
	}
	buckets, err := redislimit.New(redislimit.Config{
		Client: client, Namespace: namespace + "-throttle", Nodes: len(names), Budget: 50 * time.Millisecond,
	})
	if err != nil {
		return store{}, errors.Join(err, s.Close(), client.Close())
	}
	// In this order: the limiter and the store use the client until they are closed.
	closeAll := func() error { return errors.Join(buckets.Close(), s.Close(), client.Close()) }
	return store{s, s.Journal, buckets, closeAll}, nil
}

// openPostgres connects within five seconds, unless the address says otherwise by connect_timeout. The default of pgx
// is two minutes, which the store refuses.
func openPostgres(ctx context.Context, address string, create bool) (store, error) {
	o, err := pgxpool.ParseConfig(address)
	if err != nil {
		return store{}, err // pgx leaves the password out of its text
	}
	if o.ConnConfig.ConnectTimeout == 0 {
		o.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, o)
	if err != nil {
		return store{}, err
	}
	c := pgstore.Config{Pool: pool, Namespace: namespace}
	if create {
		err = pgstore.Create(ctx, c)
	}
	var s *pgstore.Store // it does not close the pool, which is the caller's
	if err == nil {
		s, err = pgstore.Open(ctx, c)
	}
	if err != nil {
		pool.Close()
		return store{}, err
	}
	return store{engine: s, journal: s.Journal, close: func() error { defer pool.Close(); return s.Close() }}, nil
}

// openDynamo finds region, credentials and endpoint as aws-cli does: in the environment and in the files of ~/.aws. The
// client needs no closing.
// With AWS_ENDPOINT_URL_DYNAMODB, another server of the same protocol can be used, such as dynalite.
func openDynamo(ctx context.Context, table string, create bool) (store, error) {
	account, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return store{}, err
	}
	c := dynamostore.Config{Client: dynamodb.NewFromConfig(account), Table: table, Namespace: namespace}
	if create {
		err = dynamostore.Create(ctx, c)
	}
	var s *dynamostore.Store
	if err == nil {
		s, err = dynamostore.Open(ctx, c)
	}
	if err != nil {
		return store{}, err
	}
	return store{engine: s, journal: s.Journal, close: s.Close}, nil
}

// withoutAddress returns the cause of an error about an address, which may have a password.
func withoutAddress(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	return fmt.Errorf("-store: %w", err)
}

// startRedis starts a server on a free port, with its files in a temporary folder. stop ends it and removes them. A
// server that evicts keys would lose what was counted, so it must not: noeviction. Package redisstore says what else a
// service should set.
func startRedis(ctx context.Context) (address string, stop func(), err error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, errors.New("redis-server is not installed: install it, or give a -store")
	}
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return "", nil, err
	}
	// Only this machine can connect. Each change is appended to a file within a second, and the folder goes with the run.
	port, err := freePort()
	cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--maxmemory-policy", "noeviction", "--loglevel", "warning")
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, ownGroup()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	stop = func() {
		_ = cmd.Process.Kill() // nothing of it is needed
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	// The server is started when it answers. Until then each PING fails.
	client := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", port)})
	defer client.Close()
	err = again(ctx, func() (bool, error) { return client.Ping(ctx).Err() == nil, nil }) // ends with ctx, too
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("redis-server does not answer: %w", err)
	}
	return "redis://127.0.0.1:" + port, stop, nil
}

// freePort returns a port on which nobody listens now. It is a random one below those that a system chooses itself, for
// connections and for listeners. So no other program is given it before the server has it.
func freePort() (string, error) {
	var err error
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, l.Close()
		}
	}
	return "", err
}
