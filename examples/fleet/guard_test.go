package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// Every node has the guards of the tutorial, in its order: the signature, the API key, the plan. What the first two
// refuse takes nothing of the quota. The control plane has the owner's signature alone.
func TestEveryNodeHasAllGuards(t *testing.T) {
	client := signer(t, "execute-api", accessKey, secretKey)
	owner := signer(t, "execute-api", ownerAccessKey, ownerSecretKey)
	forged := signer(t, "execute-api", accessKey, ownerSecretKey)
	f := running(t, options{store: ownRedis(t), quota: 100, rate: 100, burst: 100})
	for _, tt := range []struct {
		name   string
		signer *sigv4.Signer
		key    string
		cause  string
		body   string // begins so
	}{
		{"no signature", nil, f.owner.value, missing, `{"message":"Missing Authentication Token"}`},
		{"no signature and no API key", nil, "", missing, `{"message":"Missing Authentication Token"}`},
		{"the owner's signature", owner, f.owner.value, "UnrecognizedClientException", ""},
		{"another secret", forged, f.owner.value, "InvalidSignatureException", ""},
		{"another secret and no API key", forged, "", "InvalidSignatureException", ""},
		{"no API key", client, "", forbidden, `{"message":"Forbidden"}`},
		{"unknown API key", client, "a-key-that-nobody-has-made", forbidden, `{"message":"Forbidden"}`},
	} {
		for _, n := range f.nodes {
			status, cause, body := get(t, n.api+points, tt.signer, tt.key)
			require.Equal(t, http.StatusForbidden, status, "%s, node %s: %s", tt.name, n.name, body)
			require.Equal(t, tt.cause, cause, "%s, node %s", tt.name, n.name)
			require.True(t, strings.HasPrefix(body, tt.body), "%s, node %s: %s", tt.name, n.name, body)
		}
	}
	for _, n := range f.nodes {
		status, cause, _ := get(t, n.control+"/usageplans", signer(t, "apigateway", accessKey, secretKey), "")
		require.Equal(t, []any{http.StatusForbidden, "UnrecognizedClientException"}, []any{status, cause}, "the client's")
		_, _, usage := get(t, n.api+"/Prod/usage", nil, f.owner.value)
		require.Contains(t, usage, `"used":0,`, n.name)
	}
	for _, n := range f.nodes {
		require.NoError(t, again(t.Context(), func() (bool, error) {
			status, cause, body := get(t, n.api+points, client, f.owner.value)
			if cause == away { // the machine is busy
				return false, nil
			}
			require.Equal(t, []any{http.StatusOK, bronze}, []any{status, body}, n.name)
			return true, nil
		}))
	}
}

const (
	bronze  = `{"points":900,"level":"bronze","remainingPoints":49100}`
	missing = "MissingAuthenticationTokenException"
)

func signer(t *testing.T, service, id string, secret sigv4.Secret) *sigv4.Signer {
	t.Helper()
	s, err := newSigner(service, id, secret)
	require.NoError(t, err)
	return s
}

// get sends a request, with a signature unless signer is nil.
func get(t *testing.T, url string, signer *sigv4.Signer, key string) (status int, cause, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("x-api-key", key)
	if signer != nil {
		require.NoError(t, signer.Sign(r))
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header.Get("x-amzn-ErrorType"), string(text)
}

// The client's commands that -hold prints are those to paste: curl's signature is the one that the nodes verify.
func TestPrintedCommandsAreAnswered(t *testing.T) {
	installed(t, "curl")
	installed(t, "bash")
	f := running(t, options{store: ownRedis(t), quota: 100, rate: 100, burst: 100})
	var printed bytes.Buffer
	f.out = &printed
	over, cancel := context.WithCancel(t.Context())
	cancel()
	f.hold(over)
	_, script, found := strings.Cut(printed.String(), "The client's, ")
	require.True(t, found)
	_, script, _ = strings.Cut(script, "\n")
	script, _, found = strings.Cut(script, "\nCtrl-C")
	require.True(t, found)
	require.NoError(t, again(t.Context(), func() (bool, error) {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Env = append(cmd.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
		text, err := cmd.Output()
		out := string(text)
		if err != nil || strings.Contains(out, "HTTP/1.1 503 ") { // the machine is busy
			return false, err
		}
		require.Equal(t, 2, strings.Count(out, "HTTP/1.1 200 OK\r\n"), "%s\n%s", script, out)
		require.Contains(t, out, bronze)
		require.Contains(t, out, `"plan":"fleet"`)
		return true, nil
	}))
}
