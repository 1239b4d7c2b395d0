package examples_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
)

// A dry run over several modes: whichever mode refuses, and in whichever order they stand, the handler reads the whole
// body and finds no proof, not even one that an outer layer has put in. A body that was too large stays refused.
func TestDryRunOfModes(t *testing.T) {
	p := newParties(t)
	small := strings.Repeat("body ", 1000)
	for _, tt := range []struct {
		name   string
		body   string
		edits  []func(*http.Request)
		status int
		want   string
	}{
		{"nothing presented", small, nil, 200, "|| 5000"},
		{"bad signature", small, []func(*http.Request){p.sigBad}, 200, "|| 5000"},
		{"good signature next to a bad key", small, []func(*http.Request){p.keyBad, p.sign}, 200, "|| 5000"},
		{"good signature of another body", small, []func(*http.Request){p.sign, exchange}, 200, "|| 5000"},
		{"good key next to an expired token", small, []func(*http.Request){p.key, p.tokenBad}, 200, "|| 5000"},
		{"all good", small, []func(*http.Request){p.key, p.sign}, 200, "julianwood|fr92a5qpbj| 5000"},
		{"too large", strings.Repeat("x", 10<<20+1), []func(*http.Request){p.key, p.sign}, 413, ""},
	} {
		for i, modes := range []*auth.Modes{auth.AnyOf(p.signature, p.keys, p.users), auth.AnyOf(p.users, p.keys, p.signature)} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, i), func(t *testing.T) {
				modes.AllowDespite = func(*http.Request, error) bool { return true }
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					who(w, r)
					n, err := io.Copy(io.Discard, r.Body)
					fmt.Fprintf(w, " %d", n)
					require.NoError(t, err)
				})
				r := httptest.NewRequest(http.MethodPost, "http://api.example/Prod/x", strings.NewReader(tt.body))
				r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(tt.body)), nil }
				for _, edit := range tt.edits {
					edit(r)
				}
				r.RequestURI = r.URL.RequestURI()
				outer := r.WithContext(sigv4.NewContext(r.Context(), sigv4.Identity{Principal: "outer"}))
				w := httptest.NewRecorder()
				modes.Handler(handler).ServeHTTP(w, outer)
				require.Equal(t, tt.status, w.Code)
				if tt.want != "" {
					require.Equal(t, tt.want, w.Body.String())
				}
			})
		}
	}
}

// exchange puts another body of the same length under a signed request.
func exchange(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(bytes.ToUpper(body)))
}
