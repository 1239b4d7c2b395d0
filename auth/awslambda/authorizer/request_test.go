package authorizer_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
)

// seen is the request that a mode gets.
func seen(t *testing.T, c authorizer.Config, event []byte) *http.Request {
	t.Helper()
	var got *http.Request
	c.Mode = modeFunc(func(r *http.Request) (*http.Request, error) {
		got = r
		return r, nil
	})
	_, err := newAuthorizer(t, c).Invoke(t.Context(), event)
	require.NoError(t, err)
	return got
}

func TestModeGetsTheRequestOfTheEvent(t *testing.T) {
	const host = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"
	for event, want := range map[string]struct{ method, sent, path, query, host, address string }{
		"token":     {"GET", "/loyalty/1", "/loyalty/1", "", "", ""},
		"request":   {"GET", "/Prod/loyalty/caf%C3%A9?page=2&tag=a%2Bb&tag=b%20c", "/loyalty/café", "page=2&tag=a%2Bb&tag=b%20c", host, "203.0.113.9:0"},
		"websocket": {"GET", "/?room=7", "/", "room=7", host, "[2001:db8::9]:0"},
		"http1":     {"GET", "/test/loyalty/caf%C3%A9?page=2", "/loyalty/café", "page=2", host, "203.0.113.9:0"},
		"http2":     {"GET", "/test/loyalty/1?page=2&tag=a%20b", "/loyalty/1", "page=2&tag=a%20b", host, "203.0.113.9:0"},
		"appsync":   {"POST", "/graphql", "/graphql", "", "", ""},
	} {
		t.Run(event, func(t *testing.T) {
			r := seen(t, authorizer.Config{}, golden(t, event))
			require.Equal(t, want.method, r.Method)
			require.Equal(t, want.sent, r.RequestURI)
			require.Equal(t, want.path, r.URL.Path)
			require.Equal(t, want.query, r.URL.RawQuery)
			require.Equal(t, want.host, r.Host)
			require.Equal(t, want.address, r.RemoteAddr)
			require.Equal(t, []string{"Bearer good"}, r.Header["Authorization"])
			require.NotContains(t, r.Header, "Host")
		})
	}
	r := seen(t, authorizer.Config{}, golden(t, "request"))
	require.Equal(t, []string{"application/json", "text/html"}, r.Header["Accept"], "every value, in order")
	r = seen(t, authorizer.Config{}, golden(t, "http2"))
	require.Equal(t, []string{"application/json,text/html"}, r.Header["Accept"], "as it was joined")
	require.Equal(t, []string{"session=1; theme=dark"}, r.Header["Cookie"])
}

func TestTokenGoesIntoTheHeaderThatTheModeReads(t *testing.T) {
	r := seen(t, authorizer.Config{TokenHeader: "x-session"}, golden(t, "token"))
	require.Equal(t, http.Header{"X-Session": {"Bearer good"}}, r.Header)
}

// AppSync keeps the result under the token alone: nothing else may decide.
func TestAppSyncModeSeesNothingButTheToken(t *testing.T) {
	require.Equal(t, http.Header{"Authorization": {"Bearer good"}}, seen(t, authorizer.Config{}, golden(t, "appsync")).Header)
}

func TestTwoSpellingsOfAHeaderAreTwoValues(t *testing.T) {
	event := edited(t, "request", map[string]any{"multiValueHeaders": map[string]any{
		"authorization": []string{"Bearer a"}, "AUTHORIZATION": []string{"Bearer b"},
	}})
	require.Equal(t, []string{"Bearer b", "Bearer a"}, seen(t, authorizer.Config{}, event).Header["Authorization"])
}

// What the client has sent as a body is not known, so that it must not be taken for nothing.
func TestBodyThatMayExistCannotBeRead(t *testing.T) {
	for name, test := range map[string]struct {
		event    []byte
		readable bool
	}{
		"GET":                    {golden(t, "request"), true},
		"GET with a zero length": {golden(t, "http2"), true},
		"HEAD":                   {edited(t, "request", map[string]any{"httpMethod": "HEAD"}), true},
		"POST":                   {edited(t, "request", map[string]any{"httpMethod": "POST"}), false},
		"DELETE":                 {edited(t, "request", map[string]any{"httpMethod": "DELETE"}), false},
		"get":                    {edited(t, "request", map[string]any{"httpMethod": "get"}), false},
		"GET with a length":      {edited(t, "http2", map[string]any{"headers": map[string]string{"content-length": "5"}}), false},
		"GET with chunks":        {edited(t, "http2", map[string]any{"headers": map[string]string{"transfer-encoding": "chunked"}}), false},
		"AppSync":                {golden(t, "appsync"), false},
	} {
		r := seen(t, authorizer.Config{}, test.event)
		body, err := io.ReadAll(r.Body)
		require.Empty(t, body, name)
		if test.readable {
			require.NoError(t, err, name)
			require.Zero(t, r.ContentLength, name)
		} else {
			require.ErrorContains(t, err, "the event of an authorizer has no body", name)
			require.EqualValues(t, -1, r.ContentLength, name)
		}
	}
}

// What the client has signed contains the mapping key, which no event has.
func TestMappingKeyIsPutBack(t *testing.T) {
	event := strings.ReplaceAll(string(golden(t, "http2")), "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com", "api.example.com")
	r := seen(t, authorizer.Config{BasePaths: map[string]string{"api.example.com": "/v1/a/"}}, []byte(event))
	require.Equal(t, "/v1/a/loyalty/1?page=2&tag=a%20b", r.RequestURI)
	require.Equal(t, "/loyalty/1", r.URL.Path)
	r = seen(t, authorizer.Config{}, []byte(event))
	require.Equal(t, "/loyalty/1?page=2&tag=a%20b", r.RequestURI)
}

// A request that net/http's server would refuse is refused, and no mode sees it. It is no function error, since any
// client can send it.
func TestMalformedRequestsAreRefused(t *testing.T) {
	a := newAuthorizer(t, authorizer.Config{Mode: modeFunc(func(*http.Request) (*http.Request, error) {
		panic("a mode has seen it")
	})})
	for name, event := range map[string][]byte{
		"an escape in the path":   edited(t, "request", map[string]any{"path": "/%zz"}),
		"a method with a blank":   edited(t, "request", map[string]any{"httpMethod": "GET /"}),
		"two hosts":               edited(t, "request", map[string]any{"multiValueHeaders": map[string]any{"host": []string{"a", "b"}}}),
		"hosts in two spellings":  edited(t, "request", map[string]any{"multiValueHeaders": map[string]any{"host": []string{"a"}, "HOST": []string{"b"}}}),
		"a line break in a value": edited(t, "http2", map[string]any{"headers": map[string]any{"a": "b\r\nauthorization: c"}}),
		"a line break in a name":  edited(t, "http2", map[string]any{"headers": map[string]any{"a\r\nb": "c"}}),
		"a cookie with a break":   edited(t, "http2", map[string]any{"cookies": []string{"a=b\r\nc: d"}}),
		"a query with a blank":    edited(t, "http2", map[string]any{"rawQueryString": "a b"}),
	} {
		got, err := a.Invoke(t.Context(), event)
		require.NoError(t, err, name)
		effect, _ := resource(t, got)
		require.Equal(t, "Deny", effect, name)
	}
	for name, event := range map[string][]byte{
		"a load balancer": edited(t, "request", map[string]any{"requestContext": map[string]any{"elb": map[string]any{"targetGroupArn": "a"}}}),
		"no context":      edited(t, "request", map[string]any{"requestContext": map[string]any{}}),
		"no method":       edited(t, "request", map[string]any{"httpMethod": ""}),
	} {
		_, err := a.Invoke(t.Context(), event)
		require.ErrorIs(t, err, authorizer.ErrEvent, name)
	}
}

// An authorizer decides about what is not verified yet. So what its event says about the caller is no proof, even if it
// has the members of one.
func TestEventOfAnAuthorizerProvesNothing(t *testing.T) {
	mode, err := authorizer.NewAuthorized(everything())
	require.NoError(t, err)
	a := newAuthorizer(t, authorizer.Config{Mode: mode})
	identity := map[string]any{"accessKey": "AKIA", "userArn": "arn:aws:iam::123456789012:root", "apiKeyId": "k8t2wqpx4j", "sourceIp": "203.0.113.9"}
	_, err = a.Invoke(t.Context(), []byte(strings.Replace(string(golden(t, "request")), "methodArn", "MethodArn", 1)))
	require.ErrorIs(t, err, authorizer.ErrEvent)
	for _, name := range []string{"request", "http1", "http2", "websocket", "token", "appsync"} {
		event := merged(t, golden(t, name), map[string]any{
			"identity": identity, "authorizer": map[string]any{"iam": map[string]any{"accessKey": "AKIA", "userArn": "arn"}},
		})
		got, err := a.Invoke(t.Context(), event)
		if err == nil {
			require.NotContains(t, string(got), `"Allow"`, name)
			require.NotContains(t, string(got), "true", name)
		} else {
			require.EqualError(t, err, "Unauthorized", name)
		}
	}
}

// merged is an event with other members of requestContext.
func merged(t *testing.T, event []byte, members map[string]any) []byte {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(event, &all))
	context, _ := all["requestContext"].(map[string]any)
	if context == nil {
		context = map[string]any{}
	}
	maps.Copy(context, members)
	all["requestContext"] = context
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return text
}
