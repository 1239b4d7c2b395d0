package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// response is the part of an answer that the test compares.
type response struct {
	status         int
	body           string
	errorType      string
	authentication string
	retryAfter     string
}

func answerOf(handler func(http.ResponseWriter, *http.Request, error), err error) response {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if e, ok := err.(interface{ SetHeader(http.Header) }); ok {
		e.SetHeader(w.Header())
	}
	handler(w, r, err)
	h := w.Header()
	return response{w.Code, w.Body.String(), h.Get("X-Amzn-ErrorType"), h.Get("WWW-Authenticate"), h.Get("Retry-After")}
}

// rest is the default answer.
func rest(w http.ResponseWriter, r *http.Request, err error) { err.(http.Handler).ServeHTTP(w, r) }

// throttled is an error like that of a limit.
type throttled struct{ foreignError }

func (throttled) StatusCode() int         { return 429 }
func (throttled) ErrorCode() string       { return "TooManyRequestsException" }
func (throttled) ErrorMessage() string    { return "Too Many Requests" }
func (throttled) SetHeader(h http.Header) { h.Set("Retry-After", "7") }

// segments is the error of a token without dots.
func segments(t *testing.T) error {
	err := verify(localVerifier(t), "x")
	require.ErrorIs(t, err, auth.ErrMalformed)
	return err
}

// scopeCheck is the error of a check of the route that returns ErrScope.
func scopeCheck(t *testing.T) error {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Rules: auth.Rules{
		Check: func(context.Context, auth.Token) error { return auth.ErrScope },
	}})
	err := verify(v, must(poolIssuer().IDToken(julian)))
	require.ErrorIs(t, err, auth.ErrRefused)
	require.ErrorIs(t, err, auth.ErrScope)
	require.EqualError(t, err, "auth: refused by a check of the route: scope is not sufficient: the token has [], the route demands []")
	return err
}

// The answers of the four styles to each cause, byte for byte.
func TestAnswersOfEveryStyle(t *testing.T) {
	scope := &auth.Error{Err: auth.ErrScope, Scopes: []string{"HelloAPI/hello.read", "HelloAPI/hello.write"}}
	refusedScope := &auth.Error{Err: errors.Join(auth.ErrScope, auth.ErrRefused), Scopes: []string{"a", "b"}} // made by a check
	late := &auth.Error{Err: fmt.Errorf("%w: %w", auth.ErrUnavailable, errors.New("secret")), RetryAfter: 9001 * time.Millisecond}
	const appSync = `{"errors":[{"errorType":"UnauthorizedException","message":%q}]}`
	invalid := func(words string) string {
		return `Bearer error="invalid_token", error_description="` + words + `"`
	}
	for _, row := range []struct {
		name  string
		style func(http.ResponseWriter, *http.Request, error)
		err   error
		want  response
	}{
		{"REST, none", rest, &auth.Error{Err: auth.ErrMissing}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", "Bearer", ""}},
		{"REST, segments", rest, segments(t), response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("token contains an invalid number of segments"), ""}},
		{"REST, signature", rest, &auth.Error{Err: auth.ErrSignature}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token signature is invalid"), ""}},
		{"REST, expired", rest, &auth.Error{Err: auth.ErrExpired}, response{401, `{"message":"The incoming token has expired"}`, "UnauthorizedException", invalid("the token has expired"), ""}},
		{"REST, algorithm", rest, &auth.Error{Err: auth.ErrAlgorithm}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the signing method is invalid"), ""}},
		{"REST, key", rest, &auth.Error{Err: auth.ErrKey}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the signing key is not known"), ""}},
		{"REST, forged", rest, &auth.Error{Err: auth.ErrForged}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token signature is invalid"), ""}},
		{"REST, not valid yet", rest, &auth.Error{Err: auth.ErrNotYetValid}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token is not valid yet"), ""}},
		{"REST, revoked", rest, &auth.Error{Err: auth.ErrRevoked}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token has been revoked"), ""}},
		{"REST, not current", rest, &auth.Error{Err: auth.ErrNotCurrent}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token is not valid now"), ""}},
		{"REST, too old", rest, &auth.Error{Err: auth.ErrTooOld}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token is too old"), ""}},
		{"REST, audience", rest, &auth.Error{Err: auth.ErrOtherAudience}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token does not have a valid audience"), ""}},
		{"REST, use", rest, &auth.Error{Err: auth.ErrTokenUse}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", invalid("the token use is not accepted"), ""}},
		{"REST, scope", rest, scope, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", `Bearer error="insufficient_scope", error_description="the token does not have a required scope", scope="HelloAPI/hello.read HelloAPI/hello.write"`, ""}},
		{"REST, two", rest, &auth.Error{Err: auth.ErrAmbiguous}, response{400, `{"message":"Bad Request"}`, "BadRequestException", `Bearer error="invalid_request", error_description="more than one token was sent"`, ""}},
		{"REST, group", rest, &auth.Error{Err: auth.ErrGroup}, response{403, `{"message":"User is not authorized to access this resource"}`, "AccessDeniedException", "", ""}},
		{"REST, check", rest, &auth.Error{Err: fmt.Errorf("%w: %w", auth.ErrRefused, errors.New("secret"))}, response{403, `{"message":"User is not authorized to access this resource"}`, "AccessDeniedException", "", ""}},
		{"REST, no keys", rest, late, response{503, `{"message":"Service Unavailable"}`, "ServiceUnavailableException", "", "10"}},
		{"REST, not configured", rest, &auth.Error{Err: auth.ErrNotConfigured}, response{500, `{"message":"Internal server error"}`, "ApiConfigurationException", "", ""}},
		{"REST, zero error", rest, &auth.Error{}, response{500, `{"message":"Internal server error"}`, "ApiConfigurationException", "", ""}},

		{"HTTP API, none", auth.HTTPAPI, &auth.Error{Err: auth.ErrMissing}, response{401, `{"message":"Unauthorized"}`, "", "Bearer", ""}},
		{"HTTP API, segments", auth.HTTPAPI, segments(t), response{401, `{"message":"Unauthorized"}`, "", `Bearer scope="" error="invalid_token" error_description="token contains an invalid number of segments"`, ""}},
		{"HTTP API, audience", auth.HTTPAPI, &auth.Error{Err: auth.ErrAudience}, response{401, `{"message":"Unauthorized"}`, "", `Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience"`, ""}},
		{"HTTP API, scope", auth.HTTPAPI, scope, response{403, `{"message":"Forbidden"}`, "", `Bearer scope="HelloAPI/hello.read HelloAPI/hello.write" error="insufficient_scope" error_description="expected scopes: [HelloAPI/hello.read HelloAPI/hello.write]"`, ""}},
		{"HTTP API, group", auth.HTTPAPI, &auth.Error{Err: auth.ErrGroup}, response{403, `{"message":"Forbidden"}`, "", "", ""}},
		{"HTTP API, no keys", auth.HTTPAPI, late, response{503, `{"message":"Service Unavailable"}`, "", "", "10"}},
		{"HTTP API, not configured", auth.HTTPAPI, &auth.Error{}, response{500, `{"message":"Internal Server Error"}`, "", "", ""}},
		{"HTTP API, key of another package", auth.HTTPAPI, foreignError{"k"}, response{403, `{"message":"Forbidden"}`, "", "", ""}},
		{"HTTP API, limit", auth.HTTPAPI, throttled{}, response{429, `{"message":"Too Many Requests"}`, "", "", "7"}},
		{"HTTP API, any error", auth.HTTPAPI, errors.New("secret"), response{500, `{"message":"Internal Server Error"}`, "", "", ""}},

		{"AppSync, none", auth.AppSync, &auth.Error{Err: auth.ErrMissing}, response{401, fmt.Sprintf(appSync, "Valid authorization header not provided."), "UnauthorizedException", "Bearer", ""}},
		{"AppSync, segments", auth.AppSync, segments(t), response{401, fmt.Sprintf(appSync, "Unable to parse JWT token."), "UnauthorizedException", invalid("token contains an invalid number of segments"), ""}},
		{"AppSync, expired", auth.AppSync, &auth.Error{Err: auth.ErrExpired}, response{401, fmt.Sprintf(appSync, "Token has expired."), "UnauthorizedException", invalid("the token has expired"), ""}},
		{"AppSync, group", auth.AppSync, &auth.Error{Err: auth.ErrGroup}, response{401, fmt.Sprintf(appSync, "You are not authorized to make this call."), "UnauthorizedException", "", ""}},
		{"AppSync, key of another package", auth.AppSync, foreignError{"k"}, response{401, fmt.Sprintf(appSync, "You are not authorized to make this call."), "UnauthorizedException", "", ""}},
		{"AppSync, limit", auth.AppSync, throttled{}, response{429, `{"errors":[{"errorType":"TooManyRequestsException","message":"Too Many Requests"}]}`, "TooManyRequestsException", "", "7"}},
		{"AppSync, no keys", auth.AppSync, late, response{503, `{"errors":[{"errorType":"ServiceUnavailableException","message":"Service Unavailable"}]}`, "ServiceUnavailableException", "", "10"}},
		{"AppSync, any error", auth.AppSync, errors.New("secret"), response{500, `{"errors":[{"errorType":"ApiConfigurationException","message":"Internal server error"}]}`, "ApiConfigurationException", "", ""}},

		{"bearer, none", auth.Bearer, &auth.Error{Err: auth.ErrMissing}, response{401, `{"message":"Unauthorized"}`, "UnauthorizedException", "Bearer", ""}},
		{"bearer, expired", auth.Bearer, &auth.Error{Err: auth.ErrExpired}, response{401, `{"error":"invalid_token","error_description":"the token has expired"}`, "UnauthorizedException", invalid("the token has expired"), ""}},
		{"bearer, two", auth.Bearer, &auth.Error{Err: auth.ErrAmbiguous}, response{400, `{"error":"invalid_request","error_description":"more than one token was sent"}`, "BadRequestException", `Bearer error="invalid_request", error_description="more than one token was sent"`, ""}},
		{"bearer, scope", auth.Bearer, scope, response{403, `{"error":"insufficient_scope","error_description":"the token does not have a required scope"}`, "AccessDeniedException", `Bearer error="insufficient_scope", error_description="the token does not have a required scope", scope="HelloAPI/hello.read HelloAPI/hello.write"`, ""}},
		{"bearer, group", auth.Bearer, &auth.Error{Err: auth.ErrGroup}, response{403, `{"message":"Forbidden"}`, "AccessDeniedException", "", ""}},
		{"bearer, scope of a check", auth.Bearer, scopeCheck(t), response{403, `{"error":"insufficient_scope","error_description":"the token does not have a required scope"}`, "AccessDeniedException", "", ""}},
		{"REST, scope that a check demands", rest, refusedScope, response{403, `{"message":"User is not authorized to access this resource"}`, "AccessDeniedException", "", ""}},
		{"HTTP API, scope that a check demands", auth.HTTPAPI, refusedScope, response{403, `{"message":"Forbidden"}`, "", `Bearer scope="a b" error="insufficient_scope" error_description="expected scopes: [a b]"`, ""}},
		{"bearer, scope that a check demands", auth.Bearer, refusedScope, response{403, `{"error":"insufficient_scope","error_description":"the token does not have a required scope"}`, "AccessDeniedException", "", ""}},
		{"HTTP API, scope and keys of a check", auth.HTTPAPI, &auth.Error{Err: errors.Join(auth.ErrScope, auth.ErrUnavailable)}, response{503, `{"message":"Service Unavailable"}`, "", "", "1"}},
		{"bearer, keys of a check", auth.Bearer, &auth.Error{Err: fmt.Errorf("%w: %w", auth.ErrRefused, auth.ErrUnavailable)}, response{503, `{"message":"Service Unavailable"}`, "ServiceUnavailableException", "", "1"}},
		{"bearer, cause of another package", auth.Bearer, &auth.Error{Err: errors.New("secret")}, response{401, `{"error":"invalid_token","error_description":"the token is not valid"}`, "UnauthorizedException", invalid("the token is not valid"), ""}},
		{"bearer, limit", auth.Bearer, throttled{}, response{429, `{"message":"Too Many Requests"}`, "TooManyRequestsException", "", "7"}},
		{"bearer, any error", auth.Bearer, errors.New("secret"), response{500, `{"message":"Internal Server Error"}`, "ApiConfigurationException", "", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, answerOf(row.style, row.err))
		})
	}
}

// A REST API's Cognito authorizer takes ID tokens on methods without scopes. On methods with scopes it takes access
// tokens, which must have one of them. Everything else is 401, and the answer to an expired token says so.
func TestRESTMethodDecidesTokenUse(t *testing.T) {
	v := cognitoVerifier(t, auth.Rules{})
	plainMethod := must(v.With(auth.Rules{TokenUse: "id"}))
	scoped := must(v.With(auth.Rules{TokenUse: "access", AnyScope: []string{"loyalty/read", "loyalty/write"}}))
	u := julian
	u.Scopes = []string{"loyalty/write"}
	other, late := julian, julian
	other.Scopes, late.Lifetime = []string{"x"}, -time.Minute
	for name, row := range map[string]struct {
		v      *auth.Verifier
		raw    string
		status int
		body   string
	}{
		"ID token":                       {plainMethod, must(poolIssuer().IDToken(julian)), 200, ""},
		"access token without scopes":    {plainMethod, must(poolIssuer().AccessToken(julian)), 401, `{"message":"Unauthorized"}`},
		"access token, one scope":        {scoped, must(poolIssuer().AccessToken(u)), 200, ""},
		"access token, no scope":         {scoped, must(poolIssuer().AccessToken(other)), 401, `{"message":"Unauthorized"}`},
		"ID token on a method of scopes": {scoped, must(poolIssuer().IDToken(julian)), 401, `{"message":"Unauthorized"}`},
		"expired":                        {scoped, must(poolIssuer().AccessToken(late)), 401, `{"message":"The incoming token has expired"}`},
	} {
		w := call(row.v.Handler(ok), "/", "Authorization", row.raw)
		require.Equal(t, row.status, w.Code, name)
		if row.status != 200 {
			require.Equal(t, row.body, w.Body.String(), name)
			require.Equal(t, "UnauthorizedException", w.Header().Get("X-Amzn-ErrorType"), name)
		}
	}
}

// The request ID is made once. An outer layer's ID is kept.
func TestRequestIDIsMadeOnce(t *testing.T) {
	for _, style := range []func(http.ResponseWriter, *http.Request, error){rest, auth.HTTPAPI, auth.AppSync, auth.Bearer} {
		w := httptest.NewRecorder()
		style(w, httptest.NewRequest(http.MethodGet, "/", nil), &auth.Error{Err: auth.ErrMissing})
		require.Regexp(t, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", w.Header().Get("X-Amzn-RequestId"))
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		w = httptest.NewRecorder()
		w.Header().Set("X-Amzn-RequestId", "outer")
		style(w, httptest.NewRequest(http.MethodGet, "/", nil), &auth.Error{Err: auth.ErrMissing})
		require.Equal(t, "outer", w.Header().Get("X-Amzn-RequestId"))
	}
}

// exported lists the causes that callers see, and variants the private ones of each.
var (
	exported = []error{
		auth.ErrNotConfigured, auth.ErrMissing, auth.ErrAmbiguous, auth.ErrMalformed, auth.ErrIssuer, auth.ErrUnavailable,
		auth.ErrSignature, auth.ErrAudience, auth.ErrNotCurrent, auth.ErrTooOld, auth.ErrScope, auth.ErrRefused,
	}
	variants = map[error][]error{
		auth.ErrSignature:  {auth.ErrAlgorithm, auth.ErrKey, auth.ErrForged},
		auth.ErrAudience:   {auth.ErrOtherAudience, auth.ErrTokenUse},
		auth.ErrNotCurrent: {auth.ErrExpired, auth.ErrNotYetValid, auth.ErrRevoked},
		auth.ErrRefused:    {auth.ErrGroup},
	}
)

// A private variant is matched by its exported cause and by no other, and has the same status.
func TestVariantsAreTheirExportedCause(t *testing.T) {
	for of, list := range variants {
		for _, variant := range list {
			e := &auth.Error{Err: variant}
			for _, cause := range exported {
				require.Equal(t, cause == of, errors.Is(e, cause), "%v is %v", variant, cause)
			}
			require.Equal(t, (&auth.Error{Err: of}).StatusCode(), e.StatusCode(), variant)
		}
	}
}

// errors.Is finds each cause in the error. No cause reaches the client.
func TestCausesStayInside(t *testing.T) {
	seen := map[string]bool{}
	for _, cause := range append(slices.Concat(slices.Collect(maps.Values(variants))...), exported...) {
		e := &auth.Error{Err: fmt.Errorf("%w: %w", cause, errors.New("sesame"))}
		require.ErrorIs(t, e, cause)
		require.Equal(t, "auth: "+cause.Error()+": sesame", e.Error())
		require.False(t, seen[cause.Error()])
		seen[cause.Error()] = true
		for _, style := range []func(http.ResponseWriter, *http.Request, error){rest, auth.HTTPAPI, auth.AppSync, auth.Bearer} {
			require.NotContains(t, fmt.Sprint(answerOf(style, e)), "sesame")
		}
	}
	require.Equal(t, "auth: "+auth.ErrNotConfigured.Error(), (*auth.Error)(nil).Error())
}

// The error has the token only if the signature was valid.
func TestErrorCarriesTheToken(t *testing.T) {
	err := verify(localVerifier(t), rs256(goodHeader, goodClaims(map[string]any{"exp": 1, "sub": "late"})))
	e, found := errors.AsType[*auth.Error](err)
	require.True(t, found)
	require.Equal(t, "late", e.Token.Subject)
	forged := rs256(goodHeader, goodClaims(nil))
	e, _ = errors.AsType[*auth.Error](verify(localVerifier(t), forged[:len(forged)-4]+"AAAA"))
	require.Nil(t, e.Token)
}
