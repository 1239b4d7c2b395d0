package awslambda_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda"
)

// golden returns an event of testdata. They have the shapes of the AWS documentation and values of our own.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	event, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	return event
}

// with returns an event in which members are replaced.
func with(t testing.TB, event []byte, members map[string]any) []byte {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(event, &all))
	maps.Copy(all, members)
	return encode(t, all)
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return text
}

func serve(t testing.TB, handler http.HandlerFunc) *awslambda.Function {
	t.Helper()
	f, err := awslambda.New(awslambda.Config{Handler: handler, BasePaths: map[string]string{"api.example.com": "/v1/"}})
	require.NoError(t, err)
	return f
}

// received is what a handler gets of an event.
type received struct {
	*http.Request
	body  string
	event awslambda.Event
}

// receive returns the request that the handler gets.
func receive(t *testing.T, event []byte) (got received) {
	t.Helper()
	served := false
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		e, ok := awslambda.FromContext(r.Context())
		require.True(t, ok)
		got, served = received{r, string(body), *e}, true
	})
	answer, err := f.Invoke(t.Context(), event)
	require.NoError(t, err)
	require.True(t, served, "%s", answer)
	return got
}

// answer is every format of an answer.
type answer struct {
	StatusCode        int
	StatusDescription string
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Cookies           []string
	Body              string
	IsBase64Encoded   bool
}

// call returns the answer of a handler to an event.
func call(t *testing.T, event []byte, handler http.HandlerFunc) (got answer) {
	t.Helper()
	out, err := serve(t, handler).Invoke(t.Context(), event)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &got), "%s", out)
	return got
}
