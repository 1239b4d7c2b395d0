package dynamostore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// put writes one row.
func put(ctx context.Context, e ledger.Engine, key, row string) error {
	return e.Update(ctx, []string{key}, func(int, []byte) ([]byte, error) { return []byte(row), nil })
}

// TestServerCrash: while the server is down, calls fail soon. The shortest one counts, as a busy machine may delay
// some. What was acknowledged before is there afterwards, and the same client goes on.
func TestServerCrash(t *testing.T) {
	s := start(t, "--path", t.TempDir())
	e := open(t, client(options(s.addr)), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	s.kill()
	shortest := time.Hour
	for range 8 {
		begun := time.Now()
		require.Error(t, put(t.Context(), e, "key", "lost"))
		shortest = min(shortest, time.Since(begun))
	}
	t.Log("an error after", shortest)
	require.Less(t, shortest, time.Second)
	s.run()
	require.Eventually(t, func() bool { return put(t.Context(), e, "other", "row") == nil }, time.Minute, time.Millisecond)
	row, err := e.Load(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, "row", string(row))
}

// TestHungServer: a call under a deadline returns when that has passed, though the server keeps the connection and
// answers nothing. How soon, the shortest one tells, as a busy machine may delay some.
func TestHungServer(t *testing.T) {
	s := start(t)
	e := open(t, client(options(s.addr)), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	shortest := time.Hour
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		begun := time.Now()
		err := put(ctx, e, "key", "late")
		cancel()
		shortest = min(shortest, time.Since(begun))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	t.Log("an error after", shortest)
	require.Less(t, shortest, 500*time.Millisecond)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
	require.Eventually(t, func() bool { return put(t.Context(), e, "key", "new") == nil }, time.Minute, time.Millisecond)
}

// twice sends each write twice and passes the second answer on, as a proxy might.
type twice struct{ http.RoundTripper }

func (t twice) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutItem") {
		return t.RoundTripper.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	first, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	_ = first.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return t.RoundTripper.RoundTrip(r)
}

// TestRepeatedWriteKnowsItself: a write that arrives twice finds its own token, so f is not called with its own row.
func TestRepeatedWriteKnowsItself(t *testing.T) {
	o := options(common(t).addr)
	h := o.HTTPClient.(*http.Client)
	h.Transport = twice{h.Transport}
	e := open(t, client(o), fresh())
	for _, want := range []string{"x", "xx", "xxx"} {
		calls := 0
		err := e.Update(t.Context(), []string{"key"}, func(_ int, row []byte) ([]byte, error) {
			calls++
			return fmt.Appendf(nil, "%sx", row), nil
		})
		require.NoError(t, err)
		require.Equal(t, 1, calls)
		row, err := e.Load(t.Context(), "key")
		require.NoError(t, err)
		require.Equal(t, want, string(row))
	}
}

// throttled refuses requests for want of throughput.
type throttled struct {
	http.RoundTripper
	left int // how many writes to refuse
}

func (t *throttled) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutItem") || t.left == 0 {
		return t.RoundTripper.RoundTrip(r)
	}
	t.left--
	const body = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`
	return &http.Response{
		StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// TestThrottledWriteIsRepeated: an answer for want of throughput says that nothing was done, so the write is sent
// again.
func TestThrottledWriteIsRepeated(t *testing.T) {
	o := options(common(t).addr)
	h := o.HTTPClient.(*http.Client)
	h.Transport = &throttled{h.Transport, 2}
	e := open(t, client(o), fresh())
	require.NoError(t, put(t.Context(), e, "key", "row"))
	row, err := e.Load(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, "row", string(row))
}

// TestTLS: a client that trusts the server's certificate uses it, and one that does not sends nothing.
func TestTLS(t *testing.T) {
	behind, err := url.Parse("http://" + common(t).addr)
	require.NoError(t, err)
	p := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(behind))
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells each client that hangs up
	p.StartTLS()
	defer p.Close()
	o := options(p.Listener.Addr().String())
	o.BaseEndpoint, o.RetryMaxAttempts = &p.URL, 1
	sent := o.HTTPClient.(*http.Client).Transport.(*transport)
	_, err = dynamostore.Open(t.Context(), dynamostore.Config{Client: client(o), Table: "tallygate", Namespace: "test"})
	require.ErrorContains(t, err, "certificate")
	sent.RoundTripper = p.Client().Transport
	require.NoError(t, put(t.Context(), open(t, client(o), fresh()), "key", "row"))
}

// TestDamagedRow: a row that this package has not written fails the calls for its key, with nothing changed, and no
// others.
func TestDamagedRow(t *testing.T) {
	c := client(options(common(t).addr))
	namespace := fresh()
	e := open(t, c, namespace)
	digest := sha256.Sum256([]byte("bad"))
	_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String("tallygate"),
		Item: map[string]types.AttributeValue{
			"p": &types.AttributeValueMemberS{Value: fmt.Sprintf("%s:row:%x", namespace, digest[0]%16)},
			"s": &types.AttributeValueMemberB{Value: []byte("bad")},
		},
	})
	require.NoError(t, err)
	err = e.Update(t.Context(), []string{"bad", "good"}, func(int, []byte) ([]byte, error) { return []byte("row"), nil })
	require.ErrorIs(t, err, dynamostore.ErrFormat)
	bad, ok := errors.AsType[interface {
		error
		Row() string
	}](err)
	require.True(t, ok)
	require.Equal(t, "bad", bad.Row())
	row, err := e.Load(t.Context(), "good")
	require.NoError(t, err)
	require.Nil(t, row)
	_, err = e.Load(t.Context(), "bad")
	require.ErrorIs(t, err, dynamostore.ErrFormat)
	require.NoError(t, put(t.Context(), e, "good", "row"))
}
