package awslambda_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda"
)

// Each kind of event gets the answer in its own format. No field of another format is there.
func TestAnswersHaveTheFormatOfTheirEvent(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Vary"] = []string{"Origin", "Accept"}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short & <stout>")
	}
	lists := map[string][]string{"Vary": {"Origin", "Accept"}, "Set-Cookie": {"a=1"}, "Content-Type": {"text/plain"}}
	texts := map[string]string{"Vary": "Origin, Accept", "Content-Type": "text/plain"}
	withCookie := map[string]string{"Vary": "Origin, Accept", "Content-Type": "text/plain", "Set-Cookie": "a=1"}
	for name, want := range map[string]answer{
		"rest":  {MultiValueHeaders: lists},
		"http1": {MultiValueHeaders: lists},
		"http2": {Headers: texts, Cookies: []string{"a=1"}},
		"url":   {Headers: texts, Cookies: []string{"a=1"}},
		"alb":   {Headers: withCookie, StatusDescription: "418 I'm a teapot"}, "alb_multi": {MultiValueHeaders: lists, StatusDescription: "418 I'm a teapot"},
	} {
		want.StatusCode, want.Body = 418, "short & <stout>"
		require.Equal(t, want, call(t, golden(t, name), handler), name)
	}
}

// The body arrives unchanged, whatever its bytes are.
func TestBodiesArrive(t *testing.T) {
	for _, tt := range []struct {
		body   string
		binary bool
	}{
		{"", false},
		{"\"\\/\b\f\n\r\t\x00\x1f\x7f", false},
		{"é€😀\u2028\uFFFD", false},
		{"<&>", false},
		{"\xff", true},
		{"a\xc3", true},
		{"\xed\xa0\x80", true},
		{strings.Repeat("\x00\xfe", 5000), true},
	} {
		got := call(t, golden(t, "rest"), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(tt.body[:len(tt.body)/2]))
			_, _ = io.WriteString(w, tt.body[len(tt.body)/2:])
		})
		require.Equal(t, tt.binary, got.IsBase64Encoded, "%q", tt.body)
		if got.IsBase64Encoded {
			body, err := base64.StdEncoding.DecodeString(got.Body)
			require.NoError(t, err)
			got.Body = string(body)
		}
		require.Equal(t, tt.body, got.Body)
	}
}

// The answer is the one of net/http's server, apart from the fields that the server adds for its connection.
func TestAnswersAreThoseOfAServer(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"sniffed": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "a")
		},
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "a")
		},
		"second status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) },
		"informational": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(202) },
		"late header":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.Header().Set("X-Late", "a") },
		"bad name":      func(w http.ResponseWriter, _ *http.Request) { w.Header()["a b"] = []string{"c"} },
		"blanks":        func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", " \t b  c \r\n ") },
		"line break":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "b\r\nX-C: d") },
		"trailer": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			w.Header().Set(http.TrailerPrefix+"A", "b")
		},
		"no content":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); requireNotAllowed(t, w) },
		"not modified": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304); requireNotAllowed(t, w) },
		"no content, declared": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(204)
		},
		"not modified, declared": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(304)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a", http.StatusSeeOther) },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			requireTooLong(t, w)
		},
		"unusual status":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) },
		"several cookies": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Set-Cookie"] = []string{"a=1", "b=2"} },
	} {
		for _, method := range []string{"GET", "HEAD"} {
			server := httptest.NewServer(handler)
			r, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
			require.NoError(t, err)
			transport := &http.Transport{DisableKeepAlives: true}
			want, err := transport.RoundTrip(r)
			require.NoError(t, err, name)
			body, err := io.ReadAll(want.Body)
			require.NoError(t, err)
			server.Close()
			got := call(t, with(t, golden(t, "rest"), map[string]any{"httpMethod": method}), handler)
			for _, added := range []string{"Date", "Connection"} {
				want.Header.Del(added)
			}
			if _, set := got.MultiValueHeaders["Content-Length"]; !set { // AWS adds it
				want.Header.Del("Content-Length")
			}
			require.Equal(t, []any{want.StatusCode, string(body)}, []any{got.StatusCode, got.Body}, "%s %s", method, name)
			require.Equal(t, map[string][]string(want.Header), got.MultiValueHeaders, "%s %s", method, name)
		}
	}
}

func requireNotAllowed(t *testing.T, w io.Writer) {
	_, err := io.WriteString(w, "a")
	require.ErrorIs(t, err, http.ErrBodyNotAllowed)
}

func requireTooLong(t *testing.T, w io.Writer) {
	_, err := io.WriteString(w, "a")
	require.NoError(t, err)
	_, err = io.WriteString(w, "b")
	require.ErrorIs(t, err, http.ErrContentLength)
}

// What a kind of event cannot carry is an error, and no answer that lacks a part.
func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name, event string
		want        error
		handler     http.HandlerFunc
	}{
		{"two cookies", "alb", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) { w.Header()["Set-Cookie"] = []string{"a=1", "b=2"} }},
		{"1 MiB", "alb", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("a", 1<<20)) }},
		{"6 MiB", "rest", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) {
			for range 7 {
				_, _ = io.WriteString(w, strings.Repeat("a", 1<<20))
			}
		}},
		{"6 MB in Base64", "url", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("\xff", 5<<20))
		}},
		{"6 MB escaped", "http2", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("\x01", 2<<20))
		}},
		{"6 MB of header", "http1", awslambda.ErrAnswer, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("a", 6<<20))
		}},
		{"short", "rest", awslambda.ErrAborted, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "a")
		}},
		{"abort", "rest", awslambda.ErrAborted, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		out, err := serve(t, tt.handler).Invoke(t.Context(), golden(t, tt.event))
		require.ErrorIs(t, err, tt.want, tt.name)
		require.Nil(t, out, tt.name)
	}
}

// A panic fails its invocation and no other. The text has the value and where it happened.
func TestPanicFailsOneInvocation(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/3" {
			panic(io.ErrUnexpectedEOF)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	var wg sync.WaitGroup
	for i := range 8 {
		event := with(t, golden(t, "alb"), map[string]any{"path": fmt.Sprintf("/%d", i)})
		wg.Go(func() {
			for range 50 {
				out, err := f.Invoke(t.Context(), event)
				if i != 3 {
					require.NoError(t, err)
					require.Contains(t, string(out), fmt.Sprintf(`"body":"/%d"`, i))
					continue
				}
				panicked, ok := errors.AsType[*awslambda.PanicError](err)
				require.True(t, ok)
				require.Equal(t, io.ErrUnexpectedEOF, panicked.Value)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Contains(t, err.Error(), "answer_test.go")
			}
		})
	}
	wg.Wait()
}

// The runtime writes the text of an error into a header. It ends the process if it cannot, or if the report is too
// large. So the text has no DEL, which JSON does not escape, and a bounded length, whatever a handler panics with.
func TestPanicsCanBeReported(t *testing.T) {
	for name, value := range map[string]any{
		"DEL":       "no customer \x7f",
		"large":     strings.Repeat("é", 1<<20),
		"an error":  fmt.Errorf("no customer %s", "\x7f"),
		"all bytes": string([]byte{0, 9, 10, 13, 31, 127, 128, 255}),
	} {
		_, err := serve(t, func(http.ResponseWriter, *http.Request) { panic(value) }).Invoke(t.Context(), golden(t, "url"))
		panicked, ok := errors.AsType[*awslambda.PanicError](err)
		require.True(t, ok, name)
		require.Equal(t, value, panicked.Value, name)
		require.Less(t, len(err.Error()), 20<<10, name)
		require.NotContains(t, err.Error(), "\x7f", name)
		require.Contains(t, err.Error(), "answer_test.go", name) // the stack follows the value
	}
}
