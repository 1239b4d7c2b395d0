package awslambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/awslambda"
)

const delimiter = "\x00\x00\x00\x00\x00\x00\x00\x00"

func streamOf(t *testing.T, event []byte, handler http.HandlerFunc) *awslambda.Response {
	t.Helper()
	r, err := serve(t, handler).Stream(t.Context(), event)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// prelude splits a stream into its header and the rest.
func prelude(t *testing.T, text string) (got answer, body string) {
	t.Helper()
	head, body, ok := strings.Cut(text, delimiter)
	require.True(t, ok, "%q", text)
	require.NoError(t, json.Unmarshal([]byte(head), &got))
	return got, body
}

func TestStreamBeginsWithThePrelude(t *testing.T) {
	for _, name := range []string{"url", "rest"} {
		r := streamOf(t, golden(t, name), func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, "<html>\xff")
		})
		require.Equal(t, "application/vnd.awslambda.http-integration-response", r.ContentType())
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		got, body := prelude(t, string(text))
		require.Equal(t, answer{StatusCode: 201, Headers: map[string]string{"Content-Type": "text/html; charset=utf-8"}, Cookies: []string{"a=1", "b=2"}}, got)
		require.Equal(t, "<html>\xff", body)
	}
}

// The runtime takes an answer for a stream if it is a reader whose JSON is an empty object.
func TestResponseHasTheShapeOfAStream(t *testing.T) {
	r := streamOf(t, golden(t, "url"), func(http.ResponseWriter, *http.Request) {})
	require.Equal(t, "{}", string(encode(t, r)))
	var _ io.ReadCloser = r
}

// Kinds that cannot stream get the answer of Invoke.
func TestOtherKindsGetTheWholeAnswer(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }
	for _, name := range []string{"http1", "http2", "alb", "alb_multi"} {
		want, err := serve(t, handler).Invoke(t.Context(), golden(t, name))
		require.NoError(t, err)
		r := streamOf(t, golden(t, name), handler)
		require.Equal(t, "application/json", r.ContentType())
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	}
}

// What is flushed arrives before the handler returns, and the handler waits until it is read.
func TestFlushedPartsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrote := 0
		r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, "tick ")
				require.NoError(t, http.NewResponseController(w).Flush())
				wrote++
				time.Sleep(time.Hour)
			}
		})
		part := make([]byte, 1000)
		n, err := r.Read(part)
		require.NoError(t, err)
		_, body := prelude(t, string(part[:n]))
		require.Empty(t, body)
		synctest.Wait()
		require.Zero(t, wrote, "nobody has read the first part")
		for i := range 3 {
			n, err := r.Read(part)
			require.NoError(t, err)
			require.Equal(t, "tick ", string(part[:n]))
			synctest.Wait()
			require.Equal(t, i+1, wrote)
		}
		_, err = r.Read(part)
		require.Equal(t, io.EOF, err)
	})
}

// A handler that does not flush waits as soon as it is 4 KiB ahead of the reader.
func TestSlowReaderHoldsTheHandlerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1000
		wrote := 0
		r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				_, err := w.Write(make([]byte, size))
				require.NoError(t, err)
				wrote += size
			}
		})
		synctest.Wait()
		require.LessOrEqual(t, wrote, 4<<10)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		_, body := prelude(t, string(text))
		require.Len(t, body, 1000*size)
	})
}

// An error before the header is settled is a function error. After that it ends the stream.
func TestErrorsInStreams(t *testing.T) {
	fail := map[string]struct {
		fail func()
		text string
	}{
		"panic":  {func() { panic("oh no") }, "the handler panicked: oh no"},
		"abort":  {func() { panic(http.ErrAbortHandler) }, awslambda.ErrAborted.Error()},
		"goexit": {runtime.Goexit, "the handler did not return"},
	}
	for name, tt := range fail {
		f := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a"); tt.fail() })
		_, err := f.Stream(t.Context(), golden(t, "url"))
		require.ErrorContains(t, err, tt.text, name)
		for _, kind := range []string{"url", "rest", "alb"} { // as a whole
			invoke := f.Invoke
			if kind == "alb" { // cannot be streamed
				invoke = func(ctx context.Context, event []byte) ([]byte, error) {
					_, err := f.Stream(ctx, event)
					return nil, err
				}
			}
			_, err = invoke(t.Context(), golden(t, kind))
			require.ErrorContains(t, err, tt.text, "%s, %s", name, kind)
		}

		r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 5000))
			tt.fail()
		})
		text, err := io.ReadAll(r)
		require.ErrorContains(t, err, tt.text, name)
		_, body := prelude(t, string(text))
		require.Len(t, body, 5000, name)
	}
	r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6000")
		_, _ = w.Write(make([]byte, 5000))
	})
	_, err := io.ReadAll(r)
	require.ErrorIs(t, err, awslambda.ErrAborted)
}

// The invocation's deadline ends a stream, even one whose handler goes on.
func TestDeadlineEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/started" {
				w.(http.Flusher).Flush()
			}
			time.Sleep(time.Hour)
			_, err := w.Write(make([]byte, 5000))
			require.Error(t, err)
		})
		r, err := f.Stream(ctx, with(t, golden(t, "url"), map[string]any{"rawPath": "/started"}))
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, r.Close())
		_, err = f.Stream(ctx, golden(t, "url"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Hour) // until the handlers have returned
	})
}

// Close ends the handler's context, and its writes fail.
func TestCloseEndsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed error
		r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			_, failed = w.Write(make([]byte, 5000))
		})
		require.NoError(t, r.Close())
		synctest.Wait()
		require.ErrorIs(t, failed, io.ErrClosedPipe)
	})
}

func TestHeadHasNoBodyInStreams(t *testing.T) {
	event := strings.Replace(string(golden(t, "url")), `"method": "POST"`, `"method": "HEAD"`, 1)
	r := streamOf(t, []byte(event), func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5000)) })
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	got, body := prelude(t, string(text))
	require.Equal(t, "5000", got.Headers["Content-Length"])
	require.Empty(t, body)
}

// The runtime sends the error of a stream in a trailer, and net/http's server takes trailers of 4 KiB. So the text is
// short as JSON too, whatever a handler panics with.
func TestPanicsInMidStreamFitInATrailer(t *testing.T) {
	for _, value := range []string{"", "a", "\x01", "\n", "<", "\xff", "é", "\u2028", "😀", "\x7f"} {
		r := streamOf(t, golden(t, "url"), func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 5000))
			panic(strings.Repeat(value, 5000))
		})
		_, err := io.ReadAll(r)
		require.ErrorContains(t, err, "the handler panicked", "%q", value)
		require.LessOrEqual(t, len(encode(t, err.Error())), 2802, "%q", value)
		panicked, ok := errors.AsType[*awslambda.PanicError](err)
		require.True(t, ok)
		require.Contains(t, string(panicked.Stack), "stream_test.go", "the field has more than the text")
	}
}
