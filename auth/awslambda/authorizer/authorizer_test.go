package authorizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
)

// modeFunc is a mode that is one function.
type modeFunc func(*http.Request) (*http.Request, error)

func (modeFunc) Present(*http.Request) bool                            { return true }
func (f modeFunc) Authenticate(r *http.Request) (*http.Request, error) { return f(r) }

// answer is a refusal with a status.
type answer int

func (a answer) Error() string   { return http.StatusText(int(a)) }
func (a answer) StatusCode() int { return int(a) }

// good accepts the credential of the golden events.
func good(r *http.Request) (*http.Request, error) {
	if r.Header.Get("Authorization") == "Bearer good" {
		return r, nil
	}
	return nil, answer(http.StatusUnauthorized)
}

func refuse(err error) modeFunc {
	return func(*http.Request) (*http.Request, error) { return nil, err }
}

func named(name string) func(*http.Request) (string, bool) {
	return func(*http.Request) (string, bool) { return name, name != "" }
}

// golden is an event of a file in testdata.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".json")
	require.NoError(t, err)
	return text
}

// edited is a golden event with some members set at the top level.
func edited(t testing.TB, name string, members map[string]any) []byte {
	t.Helper()
	var event map[string]any
	require.NoError(t, json.Unmarshal(golden(t, name), &event))
	maps.Copy(event, members)
	text, err := json.Marshal(event)
	require.NoError(t, err)
	return text
}

func newAuthorizer(t testing.TB, c authorizer.Config) *authorizer.Authorizer {
	t.Helper()
	if c.Mode == nil {
		c.Mode = modeFunc(good)
	}
	if c.Principal == nil {
		c.Principal = named("julianwood")
	}
	a, err := authorizer.New(c)
	require.NoError(t, err)
	return a
}

const (
	prod = `arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod`
	test = `arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/test`
)

// statement is the policy document with one statement.
func statement(effect, resource string) string {
	return `"policyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"` + effect +
		`","Action":["execute-api:Invoke"],"Resource":["` + resource + `"]}]}`
}

func TestAnswersHaveTheFormThatTheSenderTakes(t *testing.T) {
	full := authorizer.Config{
		UsageIdentifierKey: named("67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"),
		Context:            func(*http.Request) map[string]any { return map[string]any{"tier": "gold", "seats": 3, "beta": true} },
		DeniedFields:       func(*http.Request) []string { return []string{"Mutation.createEvent"} },
		TTL:                func(*http.Request) (time.Duration, bool) { return 90 * time.Second, true },
	}
	simple, uncached := full, full
	simple.Simple = true
	uncached.Uncached, uncached.TTL = true, nil
	const (
		who      = `"principalId":"julianwood"`
		usage    = `"usageIdentifierKey":"67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"`
		tier     = `"beta":true,"seats":3,"tier":"gold"`
		rest     = `"context":{` + tier + `},` + usage
		http2    = `"context":{"beta":true,` + who + `,"seats":3,"tier":"gold"}`
		resolver = `"resolverContext":{"beta":true,` + who + `,"seats":3,"tier":"gold"},"deniedFields":["Mutation.createEvent"]`
	)
	for name, test := range map[string]struct {
		event  string
		config authorizer.Config
		want   string
	}{
		"TOKEN":               {"token", full, `{` + who + `,` + statement("Allow", prod+"/*") + `,` + rest + `}`},
		"TOKEN, uncached":     {"token", uncached, `{` + who + `,` + statement("Allow", prod+"/GET/loyalty/1") + `,` + rest + `}`},
		"REQUEST":             {"request", full, `{` + who + `,` + statement("Allow", prod+"/*") + `,` + rest + `}`},
		"REQUEST, uncached":   {"request", uncached, `{` + who + `,` + statement("Allow", prod+"/GET/loyalty/caf%C3%A9") + `,` + rest + `}`},
		"WebSocket":           {"websocket", full, `{` + who + `,` + statement("Allow", prod+"/*") + `,` + rest + `}`},
		"WebSocket, uncached": {"websocket", uncached, `{` + who + `,` + statement("Allow", prod+"/$connect") + `,` + rest + `}`},
		"HTTP 1.0":            {"http1", simple, `{` + who + `,` + statement("Allow", test+"/*") + `,` + rest + `}`},
		"HTTP 2.0, policy":    {"http2", full, `{` + who + `,` + statement("Allow", test+"/*") + `,` + http2 + `}`},
		"HTTP 2.0, simple":    {"http2", simple, `{"isAuthorized":true,` + http2 + `}`},
		"AppSync":             {"appsync", full, `{"isAuthorized":true,` + resolver + `,"ttlOverride":90}`},
		"AppSync, uncached":   {"appsync", uncached, `{"isAuthorized":true,` + resolver + `,"ttlOverride":0}`},
		"bare":                {"token", authorizer.Config{}, `{` + who + `,` + statement("Allow", prod+"/*") + `}`},
		"bare AppSync":        {"appsync", authorizer.Config{}, `{"isAuthorized":true,"resolverContext":{` + who + `}}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newAuthorizer(t, test.config).Invoke(t.Context(), golden(t, test.event))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}

// A REST API answers the text "Unauthorized" with 401, a Deny with 403, and any other error with 500.
func TestStatusOfTheModeDecidesTheAnswer(t *testing.T) {
	deny := `{"principalId":"anonymous",` + statement("Deny", prod+"/*") + `}`
	for _, test := range []struct {
		event   string
		simple  bool
		status  int
		want    string
		wantErr string
	}{
		{"token", false, 401, "", "Unauthorized"},
		{"request", false, 401, "", "Unauthorized"},
		{"websocket", false, 401, "", "Unauthorized"},
		{"token", false, 403, deny, ""},
		{"request", false, 403, deny, ""},
		{"request", false, 400, deny, ""},
		{"request", false, 413, deny, ""},
		{"http2", true, 401, `{"isAuthorized":false}`, ""},
		{"http2", true, 403, `{"isAuthorized":false}`, ""},
		{"http2", false, 401, `{"principalId":"anonymous",` + statement("Deny", testStage) + `}`, ""},
		{"appsync", false, 401, `{"isAuthorized":false}`, ""},
		{"appsync", false, 403, `{"isAuthorized":false}`, ""},
		{"token", false, 503, "", "authorizer: no decision: Service Unavailable"},
		{"http2", true, 500, "", "authorizer: no decision: Internal Server Error"},
		{"appsync", false, 503, "", "authorizer: no decision: Service Unavailable"},
		{"token", false, 302, "", "authorizer: no decision: Found"},
		{"token", false, 408, "", "authorizer: no decision: Request Timeout"},
		{"request", false, 425, "", "authorizer: no decision: Too Early"},
		{"token", false, 429, "", "authorizer: no decision: Too Many Requests"},
		{"http2", true, 429, "", "authorizer: no decision: Too Many Requests"},
		{"appsync", false, 429, "", "authorizer: no decision: Too Many Requests"},
		{"token", false, 428, deny, ""},
	} {
		t.Run(test.event+" "+http.StatusText(test.status), func(t *testing.T) {
			a := newAuthorizer(t, authorizer.Config{Mode: refuse(answer(test.status)), Simple: test.simple})
			got, err := a.Invoke(t.Context(), golden(t, test.event))
			require.Equal(t, test.want, string(got))
			if test.wantErr == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.wantErr)
			require.ErrorIs(t, err, answer(test.status), "the cause is kept for logs")
			require.Equal(t, test.status == 401, errors.Is(err, custom.ErrUnauthorized))
		})
	}
}

const testStage = test + "/*"

func TestRefusalNamesAnAuthenticCaller(t *testing.T) {
	token, err := auth.InsecureToken([]byte(`{"iss":"https://login.example","sub":"u-17"}`))
	require.NoError(t, err)
	for want, cause := range map[string]error{
		"https://login.example u-17": &auth.Error{Err: auth.ErrRefused, Token: &token},
		"julianwood":                 &custom.Error{Err: custom.ErrDenied, PrincipalID: "julianwood"},
		"anonymous":                  &custom.Error{Err: custom.ErrDenied},
	} {
		got, err := newAuthorizer(t, authorizer.Config{Mode: refuse(cause)}).Invoke(t.Context(), golden(t, "token"))
		require.NoError(t, err)
		require.Equal(t, `{"principalId":"`+want+`",`+statement("Deny", prod+"/*")+`}`, string(got))
	}
}

func TestCallerWithoutANameIsRefused(t *testing.T) {
	for event, want := range map[string]string{
		"token": `{"principalId":"anonymous",` + statement("Deny", prod+"/*") + `}`, "appsync": `{"isAuthorized":false}`,
	} {
		got, err := newAuthorizer(t, authorizer.Config{Principal: named("")}).Invoke(t.Context(), golden(t, event))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestStatementsReplaceTheAllow(t *testing.T) {
	stages := make(map[string]bool)
	a := newAuthorizer(t, authorizer.Config{Statements: func(_ *http.Request, stage string) []policy.Statement {
		stages[stage] = true
		return []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{stage + "/GET/*"}}}
	}})
	got, err := a.Invoke(t.Context(), golden(t, "token"))
	require.NoError(t, err)
	require.Equal(t, `{"principalId":"julianwood",`+statement("Allow", prod+"/GET/*")+`}`, string(got))
	require.Equal(t, map[string]bool{prod: true}, stages)

	_, err = a.Invoke(t.Context(), golden(t, "appsync"))
	require.ErrorIs(t, err, authorizer.ErrResult, "AppSync has no policies")
}

func TestResultsThatCannotBeSentAreFunctionErrors(t *testing.T) {
	values := func(name string, value any) authorizer.Config {
		return authorizer.Config{Context: func(*http.Request) map[string]any { return map[string]any{name: value} }}
	}
	for name, test := range map[string]struct {
		event  string
		config authorizer.Config
	}{
		"a list for a REST API":         {"token", values("roles", []string{"a"})},
		"an object for a policy":        {"http2", values("user", map[string]any{})},
		"null for AppSync":              {"appsync", values("user", nil)},
		"a reserved name":               {"token", values("principalId", "root")},
		"a reserved name for an API":    {"http2", values("principalId", "root")},
		"a number that JSON cannot say": {"token", values("seats", math.Inf(1))},
		"a statement that is none": {"token", authorizer.Config{Statements: func(*http.Request, string) []policy.Statement {
			return []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}}}
		}}},
		"no statement": {"token", authorizer.Config{Statements: func(*http.Request, string) []policy.Statement { return nil }}},
	} {
		got, err := newAuthorizer(t, test.config).Invoke(t.Context(), golden(t, test.event))
		require.ErrorIs(t, err, authorizer.ErrResult, name)
		require.Nil(t, got, name)
	}
	config := values("user", map[string]any{"roles": []string{"a"}})
	config.Simple = true
	got, err := newAuthorizer(t, config).Invoke(t.Context(), golden(t, "http2"))
	require.NoError(t, err, "a simple response takes any JSON")
	require.Equal(t, `{"isAuthorized":true,"context":{"principalId":"julianwood","user":{"roles":["a"]}}}`, string(got))
}

func TestContextOfTheConfigurationIsNotChanged(t *testing.T) {
	shared := map[string]any{"tier": "gold"}
	a := newAuthorizer(t, authorizer.Config{Context: func(*http.Request) map[string]any { return shared }})
	for range 2 {
		_, err := a.Invoke(t.Context(), golden(t, "appsync"))
		require.NoError(t, err)
	}
	require.Equal(t, map[string]any{"tier": "gold"}, shared)
}

func TestPanicIsOneFunctionError(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{Mode: modeFunc(func(*http.Request) (*http.Request, error) { panic("boom") })})
	got, err := a.Invoke(t.Context(), golden(t, "token"))
	require.ErrorContains(t, err, "authorizer: panic: boom")
	require.Nil(t, got)

	careless := modeFunc(func(*http.Request) (*http.Request, error) { return nil, nil })
	_, err = newAuthorizer(t, authorizer.Config{Mode: careless}).Invoke(t.Context(), golden(t, "token"))
	require.Error(t, err, "neither a request nor an error")
}

func TestZeroAuthorizerLetsNobodyIn(t *testing.T) {
	for _, a := range []*authorizer.Authorizer{nil, {}} {
		got, err := a.Invoke(context.Background(), golden(t, "token"))
		require.Equal(t, authorizer.ErrNotConfigured, err)
		require.Nil(t, got)
	}
	_, err := authorizer.New(authorizer.Config{
		TokenHeader: "X Token", BasePaths: map[string]string{"": "v1"}, Simple: true, Uncached: true,
		Statements: func(*http.Request, string) []policy.Statement { return nil },
		TTL:        func(*http.Request) (time.Duration, bool) { return 0, true },
	})
	for _, mistake := range []string{
		"authorizer: Mode is required", "authorizer: Principal is required", "authorizer: TokenHeader is not the name of a header",
		"authorizer: Statements need a policy document", "authorizer: TTL is set, although Uncached",
		"authorizer: awslambda: BasePaths: ",
	} {
		require.ErrorContains(t, err, mistake)
	}
}

// Lambda's runtime writes the next event into the same bytes.
func TestNothingOfThePayloadIsKept(t *testing.T) {
	var kept *http.Request
	a := newAuthorizer(t, authorizer.Config{Mode: modeFunc(func(r *http.Request) (*http.Request, error) {
		kept = r
		return r, nil
	})})
	for _, event := range []string{"token", "request", "http2", "appsync"} {
		payload := golden(t, event)
		_, err := a.Invoke(t.Context(), payload)
		require.NoError(t, err)
		clear(payload)
		require.Equal(t, "Bearer good", kept.Header.Get("Authorization"))
		require.NotContains(t, kept.RequestURI+kept.Host+kept.RemoteAddr, "\x00")
	}
}

// The runtime writes the text of an error into a header. It ends the process if it cannot, or if the report is too
// large. So the text has no DEL, which JSON does not escape, and a bounded length, whatever a mode does.
func TestErrorsCanBeReported(t *testing.T) {
	for name, mode := range map[string]modeFunc{
		"panic":       func(*http.Request) (*http.Request, error) { panic("no customer \x7f") },
		"large panic": func(*http.Request) (*http.Request, error) { panic(strings.Repeat("é", 1<<20)) },
		"error":       func(*http.Request) (*http.Request, error) { return nil, fmt.Errorf("%w: \x7f", io.ErrUnexpectedEOF) },
		"large error": func(*http.Request) (*http.Request, error) {
			return nil, fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, strings.Repeat("é", 1<<20))
		},
	} {
		_, err := newAuthorizer(t, authorizer.Config{Mode: mode}).Invoke(t.Context(), golden(t, "token"))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "\x7f", name)
		require.Less(t, len(err.Error()), 20<<10, name)
		if strings.HasSuffix(name, "error") {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
		} else {
			require.ErrorContains(t, err, "authorizer_test.go", name) // the stack follows the value
		}
	}
}

// A mode that ends its goroutine ends its own invocation, at once, and is no refusal.
func TestGoexitIsAFunctionError(t *testing.T) {
	calls := 0
	mode := modeFunc(func(r *http.Request) (*http.Request, error) {
		if calls++; calls == 1 {
			runtime.Goexit()
		}
		return r, nil
	})
	a := newAuthorizer(t, authorizer.Config{Mode: mode})
	got, err := a.Invoke(t.Context(), golden(t, "token"))
	require.EqualError(t, err, "authorizer: the mode did not return")
	require.Empty(t, got)
	got, err = a.Invoke(t.Context(), golden(t, "token"))
	require.NoError(t, err)
	require.Contains(t, string(got), `"Allow"`)
}
