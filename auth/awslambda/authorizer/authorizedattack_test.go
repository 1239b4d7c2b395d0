package authorizer_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
)

// requireRefused holds that a request is refused for a cause, and carries no proof.
func requireRefused(t *testing.T, a *authorizer.Authorized, r *http.Request, cause error, name string) {
	t.Helper()
	proven, err := a.Authenticate(r)
	require.ErrorIs(t, err, cause, name)
	require.Nil(t, proven, name)
	require.Empty(t, ids(r), name)
}

func TestZeroAuthorizedRefuses(t *testing.T) {
	for _, a := range []*authorizer.Authorized{nil, {}} {
		requireRefused(t, a, authorizedEvent(t, "rest_key"), auth.ErrNotConfigured, "zero")
		w := httptest.NewRecorder()
		auth.AnyOf(a).Handler(http.NotFoundHandler()).ServeHTTP(w, authorizedEvent(t, "rest_key"))
		require.Equal(t, http.StatusInternalServerError, w.Code)
	}
	_, err := authorizer.NewAuthorized(authorizer.AuthorizedConfig{})
	require.EqualError(t, err, "authorizer: no source of events is accepted: set APIs or FunctionURLs\n"+
		"authorizer: no authorizer is accepted: set Cognito, JWT, Lambda, IAM or APIKeys")
	for mistake, edit := range map[string]func(*authorizer.AuthorizedConfig){
		`"*" is not the id`:                  func(c *authorizer.AuthorizedConfig) { c.APIs = []string{"*"} },
		`"" is not the id`:                   func(c *authorizer.AuthorizedConfig) { c.FunctionURLs = []string{""} },
		"Cognito and JWT need Issuers":       func(c *authorizer.AuthorizedConfig) { c.Issuers = nil },
		"Issuers are set, but neither":       func(c *authorizer.AuthorizedConfig) { c.Cognito, c.JWT = false, false },
		"no other authorizer than IAM":       func(c *authorizer.AuthorizedConfig) { c.IAM = false },
		`issuer "https://a" has no audience`: func(c *authorizer.AuthorizedConfig) { c.Issuers["https://a"] = nil },
		`issuer "https://a" has an empty`:    func(c *authorizer.AuthorizedConfig) { c.Issuers["https://a"] = []string{""} },
		`"https://a b" is not an issuer`:     func(c *authorizer.AuthorizedConfig) { c.Issuers["https://a b"] = []string{"x"} },
	} {
		c := everything()
		edit(&c)
		_, err := authorizer.NewAuthorized(c)
		require.ErrorContains(t, err, mistake)
	}
}

// Headers, cookies, parameters and bodies are the client's.
func TestHeadersThatImitateProveNothing(t *testing.T) {
	a := newAuthorized(t, everything())
	for _, name := range []string{"rest_open", "http2_open", "url_open"} {
		r := authorizedEvent(t, name)
		for _, header := range []string{
			"X-Amzn-Request-Context", "X-Amzn-Lambda-Context", "X-Apigateway-Event", "X-Amzn-Oidc-Data", "Authorization", "X-Api-Key",
			"Claims", "Requestcontext", "Authorizer",
		} {
			r.Header.Set(header, `{"authorizer":{"claims":{"sub":"root"},"iam":{"accessKey":"AKIA","userArn":"arn:aws:iam::1:root"}}}`)
		}
		r.URL.RawQuery = "authorizer=claims&X-Amz-Credential=AKIA"
		require.False(t, a.Present(r), name)
		requireRefused(t, a, r, auth.ErrMissing, name)
	}
	bare := httptest.NewRequest(http.MethodGet, "/", nil) // of a server, which has no event
	bare.Header.Set("X-Amzn-Request-Context", `{"authorizer":{}}`)
	require.False(t, a.Present(bare))
	requireRefused(t, a, bare, auth.ErrMissing, "no event")
}

func TestEventsOfOthersAreRefused(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		all := []string{"rest_cognito", "rest_lambda", "rest_iam", "rest_key", "http1_iam", "http2_jwt", "http2_lambda", "http2_iam", "url_iam"}
		c := everything()
		c.APIs, c.FunctionURLs = []string{"zzzzzzzzzz"}, []string{"zzzzzzzzzz"}
		for _, name := range all {
			requireRefused(t, newAuthorized(t, c), authorizedEvent(t, name), auth.ErrRefused, name)
		}
		c.APIs, c.FunctionURLs = []string{urlID}, []string{api} // each id is accepted for the other kind only
		for _, name := range all {
			requireRefused(t, newAuthorized(t, c), authorizedEvent(t, name), auth.ErrRefused, name)
		}
		r := authorizedEvent(t, "rest_key")
		e, _ := awslambda.FromContext(r.Context())
		balanced := *e
		balanced.Kind = awslambda.ALB
		requireRefused(t, newAuthorized(t, everything()), r.WithContext(awslambda.NewContext(t.Context(), &balanced)), auth.ErrRefused, "ALB")
	})
}

func TestKindsThatAreNotListedAreRefused(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		golden := map[string][]string{
			"Cognito": {"rest_cognito"}, "JWT": {"http2_jwt", "http2_jwt_access"}, "Lambda": {"rest_lambda", "http2_lambda", "http2_lambda_bare"},
			"IAM": {"rest_iam", "http1_iam", "http2_iam", "url_iam"},
		}
		for listed := range golden {
			c := everything()
			c.Cognito, c.JWT, c.Lambda, c.IAM = listed == "Cognito", listed == "JWT", listed == "Lambda", listed == "IAM"
			if listed != "IAM" {
				c.FunctionURLs = nil
			}
			if !c.Cognito && !c.JWT {
				c.Issuers = nil
			}
			a := newAuthorized(t, c)
			for kind, names := range golden {
				for _, name := range names {
					if kind == listed {
						_, err := a.Authenticate(authorizedEvent(t, name))
						require.NoError(t, err, name)
					} else {
						requireRefused(t, a, authorizedEvent(t, name), auth.ErrRefused, listed+" "+name)
					}
				}
			}
		}
		c := everything()
		c.APIKeys = false
		requireRefused(t, newAuthorized(t, c), authorizedEvent(t, "rest_key"), auth.ErrMissing, "a key that is not listed")
		r, err := newAuthorized(t, c).Authenticate(authorizedEvent(t, "rest_cognito_key"))
		require.NoError(t, err)
		require.NotContains(t, ids(r), "apikey")
		c = authorizer.AuthorizedConfig{APIs: []string{api}, APIKeys: true}
		requireRefused(t, newAuthorized(t, c), authorizedEvent(t, "rest_cognito_key"), auth.ErrRefused, "a key does not excuse a pool that is not listed")
	})
}

func TestEventWithoutAnAuthorizerIsRefused(t *testing.T) {
	a := newAuthorized(t, everything())
	for _, name := range []string{"rest_open", "http2_open", "url_open"} {
		requireRefused(t, a, authorizedEvent(t, name), auth.ErrMissing, name)
	}
	for _, value := range []string{`null`, `{}`} {
		requireRefused(t, a, reauthorized(t, "http2_jwt", value), auth.ErrMissing, value)
		requireRefused(t, a, reauthorized(t, "rest_cognito", value), auth.ErrMissing, value)
	}
}

// A Lambda authorizer names its values as it likes, and may let a client choose them.
func TestClaimsAreReadOnlyFromThePlaceOfTheirKind(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		a := newAuthorized(t, everything())
		claims := fmt.Sprintf(`{"sub":"root","iss":%q,"aud":%q,"exp":"1796043600"}`, pool, client)
		quoted := fmt.Sprintf("%q", claims)
		for name, test := range map[string]struct {
			event, authorizer string
			cause             error // nil: the caller of the Lambda authorizer
		}{
			"a text under claims":               {"rest_lambda", `{"principalId":"guest","claims":` + quoted + `}`, nil},
			"a text under claims, no principal": {"rest_lambda", `{"claims":` + quoted + `}`, auth.ErrMalformed},
			"claims and a principal":            {"rest_lambda", `{"principalId":"guest","claims":` + claims + `}`, auth.ErrMalformed},
			"Claims":                            {"rest_lambda", `{"Claims":` + claims + `}`, auth.ErrMalformed},
			"Claims and a principal":            {"rest_lambda", `{"principalId":"guest","Claims":` + claims + `}`, nil},
			"jwt in a REST API":                 {"rest_lambda", `{"principalId":"guest","jwt":{"claims":` + claims + `}}`, nil},
			"jwt alone in a REST API":           {"rest_lambda", `{"jwt":{"claims":` + claims + `}}`, auth.ErrMalformed},
			"claims within lambda":              {"http2_lambda", `{"lambda":{"principalId":"guest","claims":` + claims + `}}`, nil},
			"jwt within lambda":                 {"http2_lambda", `{"lambda":{"principalId":"guest","jwt":{"claims":` + claims + `}}}`, nil},
			"iam within lambda":                 {"http2_lambda", `{"lambda":{"principalId":"guest","iam":{"accessKey":"A","userArn":"B"}}}`, nil},
			"jwt and lambda":                    {"http2_lambda", `{"lambda":{"principalId":"guest"},"jwt":{"claims":` + claims + `}}`, auth.ErrMalformed},
			"JWT":                               {"http2_jwt", `{"JWT":{"claims":` + claims + `}}`, auth.ErrMalformed},
			"claims at the top":                 {"http2_jwt", `{"claims":` + claims + `}`, auth.ErrMalformed},
			"jwt as a text":                     {"http2_jwt", `{"jwt":` + quoted + `}`, auth.ErrMalformed},
			"claims as a text":                  {"http2_jwt", `{"jwt":{"claims":` + quoted + `}}`, auth.ErrMalformed},
			"a list":                            {"http2_jwt", `[{"jwt":{}}]`, auth.ErrMalformed},
			"a text":                            {"http2_jwt", `"jwt"`, auth.ErrMalformed},
			"claims of format 1.0":              {"http1_jwt", `{"claims":` + claims + `,"scopes":null}`, auth.ErrMalformed},
			"a principal in format 1.0":         {"http1_jwt", `{"principalId":"guest"}`, auth.ErrMalformed},
			"jwt of a function URL":             {"url_iam", `{"jwt":{"claims":` + claims + `}}`, auth.ErrMalformed},
			"lambda of a function URL":          {"url_iam", `{"lambda":{"principalId":"root"}}`, auth.ErrMalformed},
			"iam without a caller":              {"url_iam", `{"iam":{"accessKey":"","userArn":""}}`, auth.ErrMalformed},
			"iam that is null":                  {"url_iam", `{"iam":null}`, auth.ErrMalformed},
			"a context without bounds":          {"http2_lambda", `{"lambda":{"a":[` + strings.Repeat("0,", 200_000) + `0]}}`, auth.ErrMalformed},
			"a principal that is a number":      {"rest_lambda", `{"principalId":7}`, auth.ErrMalformed},
			"a principal that is not UTF-8":     {"http2_lambda", `{"lambda":{"principalId":"a\ud800"}}`, auth.ErrMalformed},
		} {
			r := reauthorized(t, test.event, test.authorizer)
			if test.cause != nil {
				require.True(t, a.Present(r), name)
				requireRefused(t, a, r, test.cause, name)
				continue
			}
			proven, err := a.Authenticate(r)
			require.NoError(t, err, name)
			require.Equal(t, map[string]string{"custom": "guest"}, ids(proven), name)
		}
	})
}

// API Gateway may accept more issuers, audiences and times than this function does.
func TestClaimsThatAreNotListedAreRefused(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		a := newAuthorized(t, everything())
		base := map[string]string{"iss": pool, "sub": "u", "aud": client, "exp": "1796043600"}
		for name, test := range map[string]struct {
			edit  map[string]string
			cause error
		}{
			"as it is":                       {nil, nil},
			"another issuer":                 {map[string]string{"iss": pool + "2"}, auth.ErrIssuer},
			"an issuer in another case":      {map[string]string{"iss": strings.ToUpper(pool)}, auth.ErrIssuer},
			"no issuer":                      {map[string]string{"iss": ""}, auth.ErrIssuer},
			"another audience":               {map[string]string{"aud": "other"}, auth.ErrAudience},
			"the audience of another issuer": {map[string]string{"aud": "loyalty"}, auth.ErrAudience},
			"one of several audiences":       {map[string]string{"aud": "[other " + client + "]"}, nil},
			"a list without it":              {map[string]string{"aud": "[other]"}, auth.ErrAudience},
			"another aud beside a client":    {map[string]string{"aud": "other", "client_id": client}, auth.ErrAudience},
			"a client instead of aud":        {map[string]string{"aud": "-", "client_id": client}, nil},
			"another client instead of aud":  {map[string]string{"aud": "-", "client_id": "other"}, auth.ErrAudience},
			"azp instead of aud":             {map[string]string{"aud": "-", "azp": client}, auth.ErrAudience},
			"neither aud nor client":         {map[string]string{"aud": "-"}, auth.ErrAudience},
			"expired":                        {map[string]string{"exp": "1796041700"}, auth.ErrNotCurrent},
			"expired within the leeway":      {map[string]string{"exp": "1796041770"}, nil},
			"no expiry":                      {map[string]string{"exp": "-"}, auth.ErrNotCurrent},
			"an expiry that is no time":      {map[string]string{"exp": "tomorrow"}, auth.ErrMalformed},
			"an expiry that is NaN":          {map[string]string{"exp": "NaN"}, auth.ErrMalformed},
			"an expiry without end":          {map[string]string{"exp": "Inf"}, auth.ErrMalformed},
			"an expiry before 1970":          {map[string]string{"exp": "-1"}, auth.ErrMalformed},
			"an expiry in hex":               {map[string]string{"exp": "0x1p40"}, auth.ErrMalformed},
			"a date in another zone":         {map[string]string{"exp": "Mon Nov 30 13:00:00 CET 2026"}, auth.ErrMalformed},
			"a subject that is not UTF-8":    {map[string]string{"sub": "u\xff"}, auth.ErrMalformed},
			"a claim in two cases":           {map[string]string{"Exp": "1"}, auth.ErrMalformed},
			"far too large":                  {map[string]string{"a": strings.Repeat("a", 70_000)}, auth.ErrMalformed},
		} {
			members := maps.Clone(base)
			maps.Copy(members, test.edit)
			var text []string
			for _, name := range slices.Sorted(maps.Keys(members)) {
				if members[name] != "-" {
					text = append(text, `"`+name+`":"`+members[name]+`"`)
				}
			}
			r := reauthorized(t, "http2_jwt", `{"jwt":{"claims":{`+strings.Join(text, ",")+`}}}`)
			if test.cause != nil {
				requireRefused(t, a, r, test.cause, name)
				continue
			}
			proven, err := a.Authenticate(r)
			require.NoError(t, err, name)
			require.Equal(t, pool+" u", ids(proven)["auth"], name)
		}
	})
}

func TestRefusalOfATokenNamesItsOwner(t *testing.T) {
	c := everything()
	c.Issuers[pool] = []string{"other"}
	_, err := newAuthorized(t, c).Authenticate(authorizedEvent(t, "rest_cognito"))
	e := new(auth.Error)
	require.ErrorAs(t, err, &e)
	require.Equal(t, pool+" "+user, e.Token.ID)
	require.Equal(t, http.StatusUnauthorized, e.StatusCode())
}

// The texts of API Gateway do not tell these apart. Do not use such names: the package documentation says so.
func TestGroupsWithSeparatorsAreSplit(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		a := newAuthorized(t, everything())
		for event, claims := range map[string]string{
			"rest_cognito": `{"claims":{"iss":%q,"sub":"u","aud":%q,"exp":"1796043600","cognito:groups":"x,admins"}}`,
			"http2_jwt":    `{"jwt":{"claims":{"iss":%q,"sub":"u","aud":%q,"exp":"1796043600","cognito:groups":"[x admins]"}}}`,
		} {
			r, err := a.Authenticate(reauthorized(t, event, fmt.Sprintf(claims, pool, client)))
			require.NoError(t, err)
			token, _ := auth.FromContext(r.Context())
			require.Equal(t, []string{"x", "admins"}, token.Groups())
		}
	})
}

func TestKeyThatIsNoneIsRefused(t *testing.T) {
	r := authorizedEvent(t, "rest_key")
	e, _ := awslambda.FromContext(r.Context())
	odd := *e
	odd.APIKeyID = "test-invoke-api-key-id" // the console's
	requireRefused(t, newAuthorized(t, everything()), r.WithContext(awslambda.NewContext(t.Context(), &odd)), auth.ErrMalformed, "key")
}

func FuzzAuthenticate(f *testing.F) {
	for _, value := range []string{
		`{"claims":{"iss":"https://login.example","sub":"u","aud":"loyalty","exp":"99999999999"}}`, `{"principalId":"a","b":1}`,
		`{"jwt":{"claims":{"iss":"https://login.example","sub":"u","aud":"[loyalty]","exp":"9.9E9","cognito:groups":"[a b]"}}}`,
		`{"lambda":null}`, `{"iam":{"accessKey":"A","userArn":"B"}}`, `{"claims":null}`, `[`, `{"exp":"Mon Nov 30 13:00:00 UTC 2026"}`,
	} {
		for kind := awslambda.REST; kind <= awslambda.ALB; kind++ {
			f.Add(uint8(kind), []byte(value), []byte(`{"accessKey":"A","userArn":"B"}`))
		}
	}
	a := newAuthorized(f, everything())
	f.Fuzz(func(t *testing.T, kind uint8, value, identity []byte) {
		e := &awslambda.Event{Kind: awslambda.Kind(kind), API: api, Authorizer: value, Identity: identity}
		if e.Kind == awslambda.FunctionURL {
			e.API = urlID
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		proven, err := a.Authenticate(r.WithContext(awslambda.NewContext(r.Context(), e)))
		if err != nil {
			require.Nil(t, proven)
			require.Empty(t, ids(r))
			return
		}
		require.LessOrEqual(t, len(ids(proven)), 1)
		if token, ok := auth.FromContext(proven.Context()); ok {
			require.Contains(t, everything().Issuers, token.Issuer)
			require.True(t, time.Now().Before(token.Expiry.Add(2*time.Minute)))
		}
	})
}
