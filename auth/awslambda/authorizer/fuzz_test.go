package authorizer_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/policy"
)

// Whatever the event: no panic of ours, an answer or an error but not both, and an Allow only for the event's own
// stage.
func FuzzInvoke(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, name := range files {
		text, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Add([]byte(`{"type":"TOKEN","methodArn":"arn:aws:execute-api:a:123456789012:b/*/GET/"}`), true)
	f.Add([]byte(`{"type":"REQUEST","methodArn":"arn:aws:execute-api:a:123456789012:b/c","path":"%zz?","headers":{"a\n":"\u0000"}}`), true)
	f.Fuzz(func(t *testing.T, event []byte, uncached bool) {
		c := authorizer.Config{Uncached: uncached, Principal: named("julianwood"), Mode: modeFunc(func(r *http.Request) (*http.Request, error) {
			if r.URL == nil || r.Header == nil || r.Body == nil || r.RequestURI == "" && r.URL.Path != "" {
				t.Errorf("incomplete request %+v", r)
			}
			return r, nil
		})}
		got, err := newAuthorizer(t, c).Invoke(t.Context(), event)
		if err != nil {
			require.Nil(t, got)
			require.NotContains(t, err.Error(), "authorizer: panic")
			return
		}
		var response struct {
			PolicyDocument json.RawMessage
			IsAuthorized   *bool
		}
		require.NoError(t, json.Unmarshal(got, &response))
		if response.IsAuthorized != nil {
			return
		}
		p, err := policy.Parse(response.PolicyDocument)
		require.NoError(t, err)
		arn := struct{ MethodARN, RouteARN string }{}
		require.NoError(t, json.Unmarshal(event, &arn))
		stage, _, _ := strings.Cut(arn.MethodARN+arn.RouteARN, "/")
		require.Equal(t, policy.NoMatch, p.Evaluate(&policy.Request{Resource: stage + "/other-stage/GET/a"}))
	})
}
