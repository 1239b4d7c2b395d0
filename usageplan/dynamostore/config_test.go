package dynamostore_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/dynamostore"
)

// TestOpenReportsEachMistake: Open and Create join the mistakes of the configuration.
func TestOpenReportsEachMistake(t *testing.T) {
	c := dynamostore.Config{Namespace: "a b"}
	for _, want := range []string{
		"dynamostore: no client", "dynamostore: no table", `dynamostore: namespace "a b" is not 1 to 64 letters`,
	} {
		_, err := dynamostore.Open(t.Context(), c)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, dynamostore.Create(t.Context(), c), want)
	}
}

// TestOpenNeedsATable: Open makes no table. It says what to do if it is missing.
// TestZeroStore: a store that was never opened returns errors, and can be closed.
func TestZeroStore(t *testing.T) {
	var s dynamostore.Store
	_, err := s.Load(t.Context(), "key")
	require.ErrorIs(t, err, dynamostore.ErrClosed)
	require.ErrorIs(t, s.Journal("keys", 0).Wait(t.Context(), 0), dynamostore.ErrClosed)
	require.NoError(t, s.Close())
	var none *dynamostore.Store
	require.ErrorIs(t, none.Journal("keys", 0).Wait(t.Context(), 0), dynamostore.ErrClosed)
	require.NoError(t, none.Close())
}

func TestOpenNeedsATable(t *testing.T) {
	c := dynamostore.Config{Client: client(options(common(t).addr)), Table: "missing", Namespace: "test"}
	_, err := dynamostore.Open(t.Context(), c)
	require.ErrorIs(t, err, dynamostore.ErrTable)
	require.ErrorContains(t, err, "call Create")
}

// TestCreateIsIdempotent: Create may be called at any time, also by several programs at once, and changes no rows.
func TestCreateIsIdempotent(t *testing.T) {
	c := dynamostore.Config{Client: client(options(common(t).addr)), Table: "created", Namespace: "test"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := dynamostore.Create(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := dynamostore.Open(t.Context(), c)
	require.NoError(t, err)
	require.NoError(t, put(t.Context(), s, "key", "row"))
	require.NoError(t, dynamostore.Create(t.Context(), c))
	row, err := s.Load(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, "row", string(row))
}

// answering answers one operation itself.
type answering struct {
	http.RoundTripper
	operation, body string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+a.operation) {
		return a.RoundTripper.RoundTrip(r)
	}
	body := io.NopCloser(strings.NewReader(a.body))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
}

// TestOpenRefusesTables: each table that would not keep the promises, or is not one of this package, is refused with
// its reason. The table of the last row can be used.
func TestOpenRefusesTables(t *testing.T) {
	const keys = `"AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"s","AttributeType":"B"}],
		"KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"s","KeyType":"RANGE"}]`
	const active = `,"TableStatus":"ACTIVE"`
	const replicas = `,"Replicas":[{"RegionName":"eu-west-1"},{"RegionName":"eu-central-1"}]`
	for _, c := range []struct{ name, table, want string }{
		{"being made", keys + `,"TableStatus":"CREATING"`, "its status is CREATING"},
		{"strings", strings.Replace(keys, `"B"`, `"S"`, 1) + active, "its keys are not p, a string, and s, binary"},
		{"no sort key", `"KeySchema":[{"AttributeName":"p","KeyType":"HASH"}]` + active, "its keys are not"},
		{"two Regions", keys + active + replicas, "global table without strong consistency"},
		{"two Regions, eventual", keys + active + replicas + `,"MultiRegionConsistency":"EVENTUAL"`, "global table"},
		{"two Regions, strong", keys + active + replicas + `,"MultiRegionConsistency":"STRONG"`, ""},
	} {
		o := options("127.0.0.1:1")
		o.HTTPClient = &http.Client{Transport: answering{nil, "DescribeTable", `{"Table":{` + c.table + `}}`}}
		_, err := dynamostore.Open(t.Context(), dynamostore.Config{Client: client(o), Table: "tallygate", Namespace: "test"})
		if c.want == "" {
			require.NoError(t, err, c.name)
			continue
		}
		require.ErrorIs(t, err, dynamostore.ErrTable, c.name)
		require.ErrorContains(t, err, c.want, c.name)
	}
}
