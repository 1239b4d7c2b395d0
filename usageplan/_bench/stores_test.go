package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/pgstore"
	"github.com/tallygate/tallygate/usageplan/redisstore"
)

// store is one that several machines share.
type store struct {
	name  string
	start func(b *testing.B) *server
	open  func(b *testing.B, s *server) ledger.Engine // with a client and a namespace of its own
}

var (
	redisStore    = store{"redis", func(b *testing.B) *server { return redisServer(b) }, openRedis}
	postgresStore = store{"postgres", postgresServer, openPostgres}
	dynamoStore   = store{"dynamo", dynamoServer, openDynamo}

	stores = []store{redisStore, postgresStore, dynamoStore}
)

// started are the servers that run, by store. All benchmarks share them: to make a PostgreSQL server takes seconds.
var started = make(map[string]*server)

// server returns the store's server, and starts it for the first benchmark that needs it.
func (st store) server(b *testing.B) *server {
	if started[st.name] == nil {
		started[st.name] = st.start(b)
	}
	return started[st.name]
}

// TestMain ends the servers. The client of Redis would log each connection that breaks.
func TestMain(m *testing.M) {
	logging.Disable()
	code := m.Run()
	for _, s := range started {
		s.end()
	}
	os.Exit(code)
}

// fresh makes a name that nothing before has used.
func fresh() string { return fmt.Sprint("bench-", names.Add(1)) }

var names atomic.Int64

// redisClient has the options that package redisstore recommends. The peers have it too: a connection for each
// goroutine, and nothing that is repeated.
func redisClient(addr string) *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Addr: addr, PoolSize: 64, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
	})
}

func connectRedis(b *testing.B, s *server) *goredis.Client {
	c := redisClient(s.addr)
	b.Cleanup(func() { _ = c.Close() })
	return c
}

func openRedis(b *testing.B, s *server) ledger.Engine {
	e, err := redisstore.Open(context.Background(), redisstore.Config{Client: connectRedis(b, s), Namespace: fresh()})
	check(b, err)
	return e
}

// postgresPool has 16 connections: more made upserts slower on two processors.
func postgresPool(ctx context.Context, addr string) (*pgxpool.Pool, error) {
	return pgxpool.New(ctx, fmt.Sprintf("postgres://test@%s/postgres?connect_timeout=1&pool_max_conns=16", addr))
}

func connectPostgres(b *testing.B, s *server) *pgxpool.Pool {
	p, err := postgresPool(context.Background(), s.addr)
	check(b, err)
	b.Cleanup(p.Close)
	return p
}

func openPostgres(b *testing.B, s *server) ledger.Engine {
	c := pgstore.Config{Pool: connectPostgres(b, s), Namespace: fresh()}
	check(b, pgstore.Create(context.Background(), c))
	e, err := pgstore.Open(context.Background(), c)
	check(b, err)
	return e
}

// openDynamo has the client try a request once, as package dynamostore recommends for short errors.
func openDynamo(b *testing.B, s *server) ledger.Engine {
	h := http.DefaultTransport.(*http.Transport).Clone()
	h.MaxIdleConnsPerHost = 50
	b.Cleanup(h.CloseIdleConnections)
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://" + s.addr), RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: noExpiry{h}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
	c := dynamostore.Config{Client: client, Table: "tallygate", Namespace: fresh()}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check(b, dynamostore.Create(ctx, c))
	e, err := dynamostore.Open(ctx, c)
	check(b, err)
	return e
}

// noExpiry answers UpdateTimeToLive by itself: dynalite does not know it.
type noExpiry struct{ http.RoundTripper }

func (t noExpiry) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateTimeToLive") {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
	}
	return t.RoundTripper.RoundTrip(r)
}
