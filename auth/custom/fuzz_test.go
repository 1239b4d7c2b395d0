package custom_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
)

// FuzzPath checks that a policy is evaluated for the path that a router serves. A path that a ServeMux would redirect
// or match differently must be refused, and no path or method may reach what the policy does not allow.
func FuzzPath(f *testing.F) {
	p, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{
		{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{stage + "/GET/pets/*"}},
	}})
	require.NoError(f, err)
	a, err := custom.New(custom.Config{
		StageARN: stage, Mount: "/Prod", TTL: -1,
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: e.MethodARN, Policy: p}, nil
		},
	})
	require.NoError(f, err)
	for _, target := range []string{"/Prod/pets/1", "/Prod/pets/../admin", "/Prod/pets/%2e%2e/admin", "/Prod//pets/1", "/Prod/pets%2Fx", "/Prod", "/"} {
		f.Add("GET", target)
	}
	f.Add("GET/pets", "/Prod/pets/1")
	f.Fuzz(func(t *testing.T, method, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path == "" {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"t"}}}
		id, err := a.Verify(r)
		if err != nil {
			return
		}
		require.Contains(t, []string{"GET", ""}, method)
		require.True(t, strings.HasPrefix(u.Path, "/Prod/pets/"))
		require.Equal(t, stage+"/GET"+strings.TrimPrefix(u.Path, "/Prod"), id.PrincipalID)
		require.Equal(t, path.Clean(u.Path), strings.TrimSuffix(u.Path, "/"), "a ServeMux does not redirect")

		mux := http.NewServeMux()
		mux.HandleFunc("/Prod/pets/", func(http.ResponseWriter, *http.Request) {})
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r.Clone(t.Context()))
		require.Equal(t, http.StatusOK, w.Code)
	})
}

// FuzzCredential checks that no header or query makes the authorizer panic, or call the function with an empty
// credential or with one that occurs twice.
func FuzzCredential(f *testing.F) {
	a, err := custom.New(custom.Config{
		ByRequest: true, TTL: -1, IdentitySources: []source{custom.Header("Authorization"), custom.Query("key")},
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			if e.IdentitySource[0] == "" || e.IdentitySource[1] == "" {
				panic("an empty credential")
			}
			return custom.Result{Authorized: true}, nil
		},
	})
	require.NoError(f, err)
	f.Add("Bearer x", "key=1")
	f.Add("", "key=1&key=2")
	f.Add("x", "key=%zz;key")
	f.Fuzz(func(t *testing.T, header, query string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Authorization": {header}}}
		_, err := a.Verify(r)
		if err != nil {
			require.NotErrorIs(t, err, custom.ErrFailed)
			return
		}
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.Len(t, values["key"], 1)
	})
}

// FuzzQuery checks that a query source agrees with url.ParseQuery about whether a name has one value, no value, or
// values that cannot be used.
func FuzzQuery(f *testing.F) {
	f.Add("key", "key=1&other=2")
	f.Add("a b", "a+b=1&a%20b=2")
	f.Add("k%", "k%25=%zz")
	f.Add("key", "=&&key&;")
	f.Add("", "=1&x")
	f.Fuzz(func(t *testing.T, name, query string) {
		if len(query) > 16<<10 {
			return // a value may be too long
		}
		value, ok := custom.Query(name)(&http.Request{URL: &url.URL{RawQuery: query}})
		values, err := url.ParseQuery(query)
		if err != nil {
			require.True(t, ok)
			require.Empty(t, value)
			return
		}
		require.Equal(t, len(values[name]) > 0, ok)
		if len(values[name]) == 1 {
			require.Equal(t, values[name][0], value)
		} else {
			require.Empty(t, value)
		}
	})
}
