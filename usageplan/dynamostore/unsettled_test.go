package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// refusing fails each request of an operation, as if the process ended before it.
type refusing struct {
	http.RoundTripper
	operation string
}

func (r refusing) RoundTrip(q *http.Request) (*http.Response, error) {
	if strings.HasSuffix(q.Header.Get("X-Amz-Target"), "."+r.operation) {
		return nil, errors.New("refused by the test")
	}
	return r.RoundTripper.RoundTrip(q)
}

// without opens a journal whose client cannot make an operation.
func without(t *testing.T, s *server, operation, namespace, topic string, retain time.Duration) journal.Journal {
	t.Helper()
	open(t, client(options(s.addr)), namespace) // Create may need the operation
	o := options(s.addr)
	o.RetryMaxAttempts = 1
	h := o.HTTPClient.(*http.Client)
	h.Transport = refusing{h.Transport, operation}
	return open(t, client(o), namespace).Journal(topic, retain)
}

// revisions returns the revisions of changes, without those of a snapshot.
func revisions(t *testing.T, changes func(func(journal.Change, error) bool)) (list []uint64) {
	t.Helper()
	for c, err := range changes {
		require.NoError(t, err)
		if !c.Snapshot {
			list = append(list, c.Revision)
		}
	}
	return list
}

// TestUnsettledChange: a change whose writer ends as soon as it is made is there for readers, and the next writer
// settles it. The parts of a large one are read as well.
func TestUnsettledChange(t *testing.T) {
	s := common(t)
	for _, size := range []int{10, 1 << 20} {
		namespace := fresh()
		operation := "UpdateItem" // the last one of an Append
		if size == 10 {
			operation = "BatchWriteItem" // the first one after the head is written
		}
		dying := without(t, s, operation, namespace, "keys", 0)
		other := open(t, client(options(s.addr)), namespace).Journal("keys", 0)
		change := func(name string) journal.Change {
			return journal.Change{Time: time.Now(), Items: []journal.Item{{Name: name, Value: make([]byte, size)}}}
		}
		for after := range uint64(4) {
			writer := []journal.Journal{dying, other}[after%2]
			_, err := writer.Append(t.Context(), after, change(fmt.Sprint("item ", after)))
			require.NoError(t, err, "after %d", after)
			if after > 0 {
				require.Equal(t, []uint64{after + 1}, revisions(t, other.Changes(t.Context(), after)))
			}
			require.Equal(t, []uint64{after + 1}, revisions(t, other.History(t.Context(), fmt.Sprint("item ", after))))
		}
	}
}

// TestWriterWhoIsBehindLeavesNothing: of two large changes after one revision, the parts of the second are deleted.
func TestWriterWhoIsBehindLeavesNothing(t *testing.T) {
	c := client(options(common(t).addr))
	namespace := fresh()
	large := journal.Change{Time: time.Now(), Items: []journal.Item{{Name: "item", Value: make([]byte, 1<<20)}}}
	winner := open(t, c, namespace).Journal("keys", 0)
	o := options(common(t).addr)
	h := o.HTTPClient.(*http.Client)
	h.Transport = &racing{h.Transport, func() {
		_, err := winner.Append(context.Background(), 0, large)
		require.NoError(t, err)
	}}
	_, err := open(t, client(o), namespace).Journal("keys", 0).Append(t.Context(), 0, large)
	require.ErrorIs(t, err, journal.ErrBehind)
	require.Equal(t, []uint64{1}, revisions(t, winner.History(t.Context(), "item")))
	parts := 0
	for page := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{
		TableName: aws.String("tallygate"), FilterExpression: aws.String("begins_with(p, :p) and begins_with(s, :s)"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":p": &types.AttributeValueMemberS{Value: namespace + ":"}, ":s": &types.AttributeValueMemberB{Value: []byte("p")},
		},
	}); page.HasMorePages(); {
		out, err := page.NextPage(t.Context())
		require.NoError(t, err)
		parts += len(out.Items)
	}
	require.Equal(t, 4, parts, "1 MiB in parts of 300 KB")
}

// racing has somebody else be first with the first conditional write.
type racing struct {
	http.RoundTripper
	first func()
}

func (r *racing) RoundTrip(q *http.Request) (*http.Response, error) {
	if first := r.first; first != nil && strings.HasSuffix(q.Header.Get("X-Amz-Target"), ".PutItem") {
		r.first = nil
		first()
	}
	return r.RoundTripper.RoundTrip(q)
}
