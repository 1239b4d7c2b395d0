package awslambda_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda"
)

// No event makes Invoke or Stream panic. What is served is a request that net/http could have made, and what is
// answered is JSON, of a size that the event bounds.
func FuzzInvoke(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(f, err)
	for _, file := range files {
		event, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(event)
	}
	for _, event := range []string{
		`{"requestContext":{"elb":{"a":1}},"httpMethod":"G\u0045T","path":"\/\ud83d\ude00\ud800","headers":{"a":["\\","\"",null,1]}}`,
		`{"requestContext":{"elb":{"a":[{"b":"]}"}]}},"httpMethod":"GET","queryStringParameters":{"a":[[],{}]},"headers":[1,{"a":2}]}`,
		"{\"requestContext\" : {\"http\" :\t{ \"method\":\"GET\"}} ,\n\"version\":\"2.0\", \"cookies\":[ \"a\" , 1 ] }",
	} {
		f.Add([]byte(event))
	}
	function, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/") && r.URL.Path != "*" || r.Method == "" || strings.ContainsAny(r.URL.RawQuery, " \r\n") {
			panic("a request that net/http does not make")
		}
		w.Header().Set("X-Path", r.URL.Path)
		w.Header().Set("X-Uri", r.RequestURI)
		_, _ = io.Copy(w, r.Body)
	})})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, event []byte) {
		out, err := function.Invoke(t.Context(), event)
		if err == nil {
			require.True(t, json.Valid(out), "%s", out)
			require.Less(t, len(out), 1000+20*len(event))
		} else {
			require.True(t, isCause(err), "%v", err)
		}
		if r, err := function.Request(t.Context(), event); err == nil { // as for the handler; authorizers get it too
			require.True(t, strings.HasPrefix(r.URL.Path, "/") || r.URL.Path == "*", "%q", r.URL.Path)
			require.NotEmpty(t, r.RequestURI)
			require.NotContains(t, r.Header, "Host")
		}
		r, streamed := function.Stream(t.Context(), event)
		if err == nil {
			require.NoError(t, streamed)
			_, streamed = io.ReadAll(r)
			require.NoError(t, streamed)
			require.NoError(t, r.Close())
		}
	})
}

func isCause(err error) bool {
	text := err.Error()
	for _, cause := range []error{awslambda.ErrEvent} {
		if strings.HasPrefix(text, cause.Error()) {
			return true
		}
	}
	return false
}

// Strings of an event mean what encoding/json says.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{`a`, `\"\\\/\b\f\n\r\t`, `\u00e9\u20AC`, `\ud83d\ude00`, `\ud83d`, `\ud83dx`, `\ud83d\u0041`, `\ude00\ud83d\ude00`, `\\\"`, `\\\\`, "é\U0001F600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var want string
		if !utf8.ValidString(s) || json.Unmarshal([]byte(`"`+s+`"`), &want) != nil {
			return // AWS writes UTF-8
		}
		function, err := awslambda.New(awslambda.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			require.Equal(t, want, string(body), "%q", s)
			_, _ = w.Write(body)
		})})
		require.NoError(t, err)
		out, err := function.Invoke(t.Context(), []byte(`{"requestContext":{"elb":{"targetGroupArn":"a"}},"httpMethod":"PUT","path":"/","body":"`+s+`"}`))
		require.NoError(t, err)
		var got answer
		require.NoError(t, json.Unmarshal(out, &got))
		if !got.IsBase64Encoded {
			require.Equal(t, want, got.Body)
		}
	})
}
