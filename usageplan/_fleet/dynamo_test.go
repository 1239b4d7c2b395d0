package fleet

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// dynamo is a dynalite, an independent implementation of DynamoDB's protocol, that keeps what it has in files.
type dynamo struct {
	process
	t    testing.TB
	addr string
	args []string
}

func startDynamo(t testing.TB) *dynamo {
	t.Helper()
	installed(t, "dynalite")
	addr := freeAddr(t)
	s := &dynamo{t: t, addr: addr, args: []string{
		"--host", "127.0.0.1", "--port", portOf(t, addr), "--createTableMs", "0", "--path", t.TempDir(),
	}}
	s.run()
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *dynamo) run() {
	cmd := exec.Command("dynalite", s.args...)
	survive, err := filepath.Abs("../dynamostore/testdata/survive.js")
	require.NoError(s.t, err)
	cmd.Env = append(os.Environ(), "NODE_OPTIONS=--require="+survive)
	s.start(s.t, cmd)
	c := s.place("").dynamoClient()
	again(s.t, func() bool {
		_, err := c.ListTables(context.Background(), &dynamodb.ListTablesInput{})
		return err == nil
	}, "the server does not answer")
}

func (s *dynamo) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// place makes the table unless it is there, which processes do not do themselves.
func (s *dynamo) place(namespace string) place {
	p := place{Kind: "dynamo", Addrs: []string{s.addr}, Namespace: namespace}
	if namespace != "" {
		require.NoError(s.t, dynamostore.Create(context.Background(), p.dynamoConfig()))
	}
	return p
}

func (p place) openDynamo(ctx context.Context) (ledger.Engine, error) {
	return dynamostore.Open(ctx, p.dynamoConfig())
}

func (p place) dynamoConfig() dynamostore.Config {
	return dynamostore.Config{Client: p.dynamoClient(), Table: "tallygate", Namespace: p.Namespace}
}

func (p place) dynamoClient() *dynamodb.Client {
	h := http.DefaultTransport.(*http.Transport).Clone()
	h.MaxIdleConnsPerHost = 50
	return dynamodb.New(dynamodb.Options{
		Region:           "eu-west-1",
		BaseEndpoint:     aws.String("http://" + p.through(p.Addrs[0])),
		RetryMaxAttempts: 1,
		HTTPClient:       &http.Client{Transport: expiry{h}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// expiry answers UpdateTimeToLive itself, as dynalite does not know it.
type expiry struct{ http.RoundTripper }

func (e expiry) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateTimeToLive") {
		body := io.NopCloser(strings.NewReader("{}"))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}, nil
	}
	return e.RoundTripper.RoundTrip(r)
}
