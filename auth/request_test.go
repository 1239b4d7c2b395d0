package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

func TestHandlerTakesExactlyOneToken(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	good := must(poolIssuer().IDToken(julian))
	u := julian
	u.Lifetime = -time.Minute
	expired := must(poolIssuer().IDToken(u))
	for _, row := range []struct {
		name, target string
		header       []string
		status       int
		body         string
	}{
		{"bearer", "/", []string{"Authorization", "Bearer " + good}, 200, ""},
		{"scheme in lower case", "/", []string{"Authorization", "bearer " + good}, 200, ""},
		{"raw token", "/", []string{"Authorization", good}, 200, ""},
		{"other query", "/?access=1", []string{"Authorization", good}, 200, ""},
		{"none", "/", nil, 401, `{"message":"Unauthorized"}`},
		{"query alone", "/?access_token=" + good, nil, 401, `{"message":"Unauthorized"}`},
		{"empty", "/", []string{"Authorization", ""}, 401, `{"message":"Unauthorized"}`},
		{"scheme alone", "/", []string{"Authorization", "Bearer"}, 401, `{"message":"Unauthorized"}`},
		{"scheme and space", "/", []string{"Authorization", "Bearer "}, 401, `{"message":"Unauthorized"}`},
		{"garbage", "/", []string{"Authorization", "Bearer x.y.z"}, 401, `{"message":"Unauthorized"}`},
		{"other scheme", "/", []string{"Authorization", "Basic eDp5"}, 401, `{"message":"Unauthorized"}`},
		{"expired", "/", []string{"Authorization", "Bearer " + expired}, 401, `{"message":"The incoming token has expired"}`},
		{"two lines", "/", []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, 400, `{"message":"Bad Request"}`},
		{"two lines of two kinds", "/", []string{"Authorization", "Basic eDp5", "Authorization", good}, 400, `{"message":"Bad Request"}`},
		{"two in one line", "/", []string{"Authorization", "Bearer " + good + ", Bearer " + good}, 400, `{"message":"Bad Request"}`},
		{"one more in the query", "/?access_token=x", []string{"Authorization", "Bearer " + good}, 400, `{"message":"Bad Request"}`},
		{"one more in the query, escaped", "/?a=b&access%5ftoken=x", []string{"Authorization", good}, 400, `{"message":"Bad Request"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := call(v.Handler(ok), row.target, row.header...)
			require.Equal(t, row.status, w.Code, w.Body)
			if row.status == 200 {
				require.Regexp(t, "^"+issURL+" [0-9a-f-]{36}$", w.Body.String())
				return
			}
			require.Equal(t, row.body, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			require.NotEmpty(t, w.Header().Get("X-Amzn-RequestId"))
			require.Regexp(t, "^Bearer", w.Header().Get("WWW-Authenticate"))
			want := map[int]string{400: "BadRequestException", 401: "UnauthorizedException"}[row.status]
			require.Equal(t, want, w.Header().Get("X-Amzn-ErrorType"))
		})
	}
}

func TestPresentLeavesOtherSchemes(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	for _, row := range []struct {
		header []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"Basic eDp5"}, false},
		{[]string{"AWS4-HMAC-SHA256 Credential=x"}, false},
		{[]string{"AWS4-HMAC-SHA256"}, false},
		{[]string{"Bearer"}, true},
		{[]string{"BEARER x"}, true},
		{[]string{"x"}, true},
		{[]string{"AWS4-HMAC-SHA256 Credential=x", "Bearer x"}, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = row.header
		require.Equal(t, row.want, v.Present(r), row.header)
	}
	require.False(t, (*auth.Verifier)(nil).Present(httptest.NewRequest(http.MethodGet, "/", nil)))
}

func TestSourceReplacesTheHeader(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Source: func(r *http.Request) (string, bool) {
		c, err := r.Cookie("token")
		if err != nil {
			return "", false
		}
		return c.Value, true
	}})
	good := must(poolIssuer().IDToken(julian))
	for _, row := range []struct {
		name   string
		header []string
		status int
	}{
		{"cookie", []string{"Cookie", "token=" + good}, 200},
		{"none", nil, 401},
		{"header alone", []string{"Authorization", "Bearer " + good}, 401},
		{"both the same", []string{"Cookie", "token=" + good, "Authorization", "Bearer " + good}, 200},
		{"both, different", []string{"Cookie", "token=" + good, "Authorization", "Bearer x"}, 400},
		{"cookie and another scheme", []string{"Cookie", "token=" + good, "Authorization", "Basic eDp5"}, 200},
	} {
		require.Equal(t, row.status, call(v.Handler(ok), "/", row.header...).Code, row.name)
	}
}

func TestContextCarriesTheToken(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	_, found := auth.FromContext(r.Context())
	require.False(t, found)
	_, found = auth.ID(r)
	require.False(t, found)

	token, err := auth.InsecureToken([]byte(`{"iss":"https://issuer.example","sub":"s","cognito:groups":["gold"]}`))
	require.NoError(t, err)
	r = r.WithContext(auth.NewContext(r.Context(), token))
	got, found := auth.FromContext(r.Context())
	require.True(t, found)
	require.True(t, token == got)
	require.True(t, got.InGroup("gold"))
	id, found := auth.ID(r)
	require.True(t, found)
	require.Equal(t, "https://issuer.example s", id)

	anonymous, err := auth.InsecureToken([]byte(`{"iss":"https://issuer.example"}`))
	require.NoError(t, err)
	_, found = auth.ID(r.WithContext(auth.NewContext(r.Context(), anonymous)))
	require.False(t, found, "a token without a subject names nobody")
	_, found = auth.FromContext(auth.NewContext(r.Context(), auth.Token{}))
	require.False(t, found)
	_, err = auth.InsecureToken([]byte(`{"iss":1}`))
	require.ErrorIs(t, err, auth.ErrMalformed)
}

func TestErrorHandlerComesAfterTheHeader(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
		require.ErrorIs(t, err, auth.ErrMissing)
		w.WriteHeader(418)
	}})
	w := call(v.Handler(ok), "/")
	require.Equal(t, 418, w.Code)
	require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
}

// A second token in the query is found at every position, in every spelling and among any number of parameters.
func TestTokenInTheQueryIsFound(t *testing.T) {
	v := localVerifier(t)
	good := rs256(goodHeader, goodClaims(nil))
	many := strings.Repeat("a&", 20_000)
	for query, want := range map[string]int{
		"":                                     200,
		"access_token":                         400,
		"access_token=":                        400,
		"access_token=x":                       400,
		"a=b&access_token=x&c":                 400,
		"%61ccess_token=x":                     400,
		"access%5Ftoken=x":                     400,
		"access%5ftoke%6E=x":                   400,
		"%61%63%63%65%73%73%5f%74%6f%6b%65%6e": 400,
		"access_token=%zz":                     400,
		many + "access_token=x":                400,
		many + "%61ccess_token=x":              400,
		many:                                   200,
		"Access_Token=x":                       200,
		"access_tokens=x":                      200,
		"access_toke=x":                        200,
		"x=access_token":                       200,
		"x%26access_token=y":                   200,
		"access%":                              200,
		"access%5":                             200,
		"%":                                    200,
	} {
		require.Equal(t, want, call(v.Handler(ok), "/?"+query, "Authorization", "Bearer "+good).Code, "%.60s", query)
	}
	require.Equal(t, 401, call(v.Handler(ok), "/?access_token="+good).Code, "the query is no place for a token")
}
