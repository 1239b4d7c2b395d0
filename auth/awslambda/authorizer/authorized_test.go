package authorizer_test

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

const (
	pool   = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	client = "3fe6quse1kki13s6nebi0ncnin"
	user   = "3d3c7a1e-0b6b-4a6e-8a53-7d6a1f0c9b11"
	api    = "a1b2c3d4e5"
	urlID  = "tj2lzcz4wqwvaaoq2kt3qmiw2u0zydbi"
	arn    = "arn:aws:sts::123456789012:assumed-role/dev/julian"
)

// everything accepts what all golden events prove.
func everything() authorizer.AuthorizedConfig {
	return authorizer.AuthorizedConfig{
		APIs: []string{api}, FunctionURLs: []string{urlID},
		Cognito: true, JWT: true, Lambda: true, IAM: true, APIKeys: true,
		Issuers: map[string][]string{pool: {client}, "https://login.example": {"loyalty"}},
	}
}

func newAuthorized(t testing.TB, c authorizer.AuthorizedConfig) *authorizer.Authorized {
	t.Helper()
	a, err := authorizer.NewAuthorized(c)
	require.NoError(t, err)
	return a
}

// delivered is the request that a handler gets for an event.
func delivered(t testing.TB, event []byte) *http.Request {
	t.Helper()
	var got *http.Request
	f, err := awslambda.New(awslambda.Config{
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }),
	})
	require.NoError(t, err)
	_, err = f.Invoke(t.Context(), event)
	require.NoError(t, err)
	require.NotNil(t, got)
	return got.WithContext(got.Context())
}

// authorizedEvent is the request of a golden event that API Gateway has authorised.
func authorizedEvent(t testing.TB, name string) *http.Request {
	t.Helper()
	text, err := os.ReadFile("testdata/authorized/" + name + ".json")
	require.NoError(t, err)
	return delivered(t, text)
}

// reauthorized is a golden event with another value of requestContext.authorizer.
func reauthorized(t testing.TB, name, value string) *http.Request {
	t.Helper()
	text, err := os.ReadFile("testdata/authorized/" + name + ".json")
	require.NoError(t, err)
	var event map[string]any
	require.NoError(t, json.Unmarshal(text, &event))
	event["requestContext"].(map[string]any)["authorizer"] = json.RawMessage(value)
	text, err = json.Marshal(event)
	require.NoError(t, err)
	return delivered(t, text)
}

// atNoon runs f when the golden tokens are valid: on 2026-11-30 at 12:30 UTC.
func atNoon(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 30, 12, 30, 0, 0, time.UTC)))
		f(t)
	})
}

// ids are what the packages say about the caller of a request, by their names.
func ids(r *http.Request) map[string]string {
	found := map[string]string{}
	for name, id := range map[string]func(*http.Request) (string, bool){
		"auth": auth.ID, "custom": custom.ID, "sigv4": sigv4.ID, "apikey": apikey.ID,
	} {
		if who, ok := id(r); ok {
			found[name] = who
		}
	}
	return found
}

func TestEventProvesWhoTheCallerIs(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		a := newAuthorized(t, everything())
		for name, want := range map[string]map[string]string{
			"rest_cognito":      {"auth": pool + " " + user},
			"rest_lambda":       {"custom": "julianwood"},
			"rest_iam":          {"sigv4": arn},
			"rest_iam_pool":     {"sigv4": "eu-west-1:6f1d6f2e-9a9c-4b8e-9d47-1a2b3c4d5e6f"},
			"rest_key":          {"apikey": "fr92a5qpbj"},
			"rest_cognito_key":  {"auth": pool + " " + user, "apikey": "fr92a5qpbj"},
			"http1_iam":         {"sigv4": arn},
			"http2_jwt":         {"auth": "https://login.example u-17"},
			"http2_jwt_access":  {"auth": pool + " " + user},
			"http2_lambda":      {"custom": "julianwood"},
			"http2_lambda_bare": {},
			"http2_iam":         {"sigv4": arn},
			"url_iam":           {"sigv4": arn},
			"url_iam_pool":      {"sigv4": "eu-west-1:6f1d6f2e-9a9c-4b8e-9d47-1a2b3c4d5e6f"},
		} {
			r := authorizedEvent(t, name)
			require.True(t, a.Present(r), name)
			require.Empty(t, ids(r), name)
			proven, err := a.Authenticate(r)
			require.NoError(t, err, name)
			require.Equal(t, want, ids(proven), name)
			require.Empty(t, ids(a.Anonymous(proven)), name)
		}
	})
}

func TestTokenHasItsTypesAgain(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		a := newAuthorized(t, everything())
		token := func(r *http.Request) auth.Token {
			r, err := a.Authenticate(r)
			require.NoError(t, err)
			got, ok := auth.FromContext(r.Context())
			require.True(t, ok)
			return got
		}
		one := time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC)
		got := token(authorizedEvent(t, "rest_cognito"))
		require.Equal(t, []any{"id", client, "julianwood", one, one.Add(-time.Hour)}, []any{got.Use, got.Client, got.Username, got.Expiry, got.IssuedAt})
		require.Equal(t, time.Unix(1796039000, 0).UTC(), got.AuthTime)
		require.Equal(t, []string{"admins", "staff"}, got.Groups())
		require.True(t, got.InGroup("staff"))
		claims, err := auth.Claims[struct {
			Verified bool   `json:"email_verified"`
			Email    string `json:"email"`
		}](got)
		require.NoError(t, err)
		require.True(t, claims.Verified)
		require.Equal(t, "julian@example.com", claims.Email)

		got = token(authorizedEvent(t, "http2_jwt_access"))
		require.Equal(t, []any{"access", client, one, one.Add(-time.Hour)}, []any{got.Use, got.Client, got.Expiry, got.IssuedAt})
		require.Equal(t, []string{"admins", "staff"}, got.Groups())
		require.True(t, got.HasScope("orders/write"))

		got = token(authorizedEvent(t, "http2_jwt"))
		require.Equal(t, []string{"loyalty", "orders"}, got.Audience())
		require.Equal(t, []string{"staff"}, got.Groups())

		typed := `{"jwt":{"claims":{"iss":"https://login.example","sub":"u-17","aud":["loyalty"],"exp":1796043600.5,"groups":["a b"]}}}`
		got = token(reauthorized(t, "http2_jwt", typed))
		require.Equal(t, []string{"a b"}, got.Groups(), "what is no text has its type")
		for text, want := range map[string][]string{
			`"[]"`: nil, `"[a]"`: {"a"}, `"a b"`: {"a b"}, `"[a"`: {"[a"}, `""`: {""},
		} {
			claims := `{"jwt":{"claims":{"iss":"https://login.example","sub":"u-17","aud":"loyalty","exp":"1796043600","groups":` + text + `}}}`
			groups := token(reauthorized(t, "http2_jwt", claims)).Groups()
			require.ElementsMatch(t, want, groups, text)
		}
		for text, want := range map[string][]string{ // Okta writes scp as a list
			`"scp":"[orders/read orders/write openid]"`: {"orders/read", "orders/write", "openid"},
			`"scp":"[orders/read]"`:                     {"orders/read"},
			`"scp":"orders/read openid"`:                {"orders/read", "openid"},
			`"scope":"[a b]"`:                           {"a", "b"},
			`"scope":"a [b]"`:                           {"a", "[b]"},
			`"scp":"[]"`:                                nil,
		} {
			claims := `{"jwt":{"claims":{"iss":"https://login.example","sub":"u-17","aud":"loyalty","exp":"1796043600",` + text + `}}}`
			require.ElementsMatch(t, want, token(reauthorized(t, "http2_jwt", claims)).Scopes(), text)
		}
	})
}

func TestLambdaAuthorizersContextIsTheIdentitys(t *testing.T) {
	a := newAuthorized(t, everything())
	identity := func(name string) custom.Identity {
		r, err := a.Authenticate(authorizedEvent(t, name))
		require.NoError(t, err)
		id, ok := custom.FromContext(r.Context())
		require.True(t, ok)
		return id
	}
	require.Equal(t, custom.Identity{PrincipalID: "julianwood", Context: map[string]any{
		"tier": "gold", "seats": "3", "claims": `{"sub":"root"}`,
	}}, identity("rest_lambda"))
	require.Equal(t, custom.Identity{PrincipalID: "julianwood", Context: map[string]any{
		"tier": "gold", "roles": []any{"a", "b"}, "claims": map[string]any{"sub": "root", "iss": pool, "aud": client},
	}}, identity("http2_lambda"))
	require.Equal(t, custom.Identity{Context: map[string]any{}}, identity("http2_lambda_bare"))
}

func TestSignerHasItsKeyAndService(t *testing.T) {
	a := newAuthorized(t, everything())
	for name, service := range map[string]string{"rest_iam": "execute-api", "http1_iam": "execute-api", "http2_iam": "execute-api", "url_iam": "lambda"} {
		r, err := a.Authenticate(authorizedEvent(t, name))
		require.NoError(t, err, name)
		id, _ := sigv4.FromContext(r.Context())
		require.Equal(t, sigv4.Identity{AccessKeyID: "ASIAQWERTYUIOPASDFGH", Principal: arn, Service: service}, id, name)
	}
}

func TestModeJoinsOthers(t *testing.T) {
	a := newAuthorized(t, everything())
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{
		Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT",
	}}})
	require.NoError(t, err)
	either := auth.AnyOf(keys, a)
	r := authorizedEvent(t, "url_open")
	_, err = either.Authenticate(r)
	require.ErrorIs(t, err, apikey.ErrMissing, "the first mode answers")
	r.Header.Set("X-Api-Key", "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT")
	r, err = either.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"apikey": "fr92a5qpbj"}, ids(r))

	r = authorizedEvent(t, "url_iam")
	r.Header.Set("X-Api-Key", "wrong-wrong-wrong-wrong-wrong")
	_, err = either.Authenticate(r)
	require.ErrorIs(t, err, apikey.ErrUnknown, "a bad credential is not ignored beside a good one")
}

// What an Authorizer has answered, API Gateway passes on to the function behind it.
func TestAnswerOfAnAuthorizerIsProofForTheFunction(t *testing.T) {
	a := newAuthorized(t, everything())
	values := func(*http.Request) map[string]any { return map[string]any{"tier": "gold"} }
	for name, test := range map[string]struct {
		simple          bool
		asked, answered string
		authorizer      func(principal string, context json.RawMessage) any
	}{
		"HTTP API, simple": {true, "http2", "http2_lambda", func(_ string, context json.RawMessage) any {
			return map[string]any{"lambda": context}
		}},
		"HTTP API, policy": {false, "http2", "http2_lambda", func(_ string, context json.RawMessage) any {
			return map[string]any{"lambda": context}
		}},
		"REST API": {false, "token", "rest_lambda", func(principal string, _ json.RawMessage) any {
			return map[string]any{"principalId": principal, "tier": "gold", "integrationLatency": 42}
		}},
	} {
		answer, err := newAuthorizer(t, authorizer.Config{Simple: test.simple, Context: values}).Invoke(t.Context(), golden(t, test.asked))
		require.NoError(t, err, name)
		var said struct {
			PrincipalID string
			Context     json.RawMessage
		}
		require.NoError(t, json.Unmarshal(answer, &said))
		passedOn, err := json.Marshal(test.authorizer(said.PrincipalID, said.Context))
		require.NoError(t, err)
		r, err := a.Authenticate(reauthorized(t, test.answered, string(passedOn)))
		require.NoError(t, err, name)
		id, _ := custom.FromContext(r.Context())
		require.Equal(t, custom.Identity{PrincipalID: "julianwood", Context: map[string]any{"tier": "gold"}}, id, name)
	}
}
