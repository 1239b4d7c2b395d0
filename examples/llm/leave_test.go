package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A request that takes too long is given up. Nobody knows what the upstream has done, so what was reserved counts.
func TestUpstreamThatHangs(t *testing.T) {
	r := newRigWithin(t, 50*time.Millisecond, 1000, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	req, prompt := r.request(t, `{"model":"small","max_tokens":50}`)
	if res, err := r.Client().Do(req); err == nil { // on a busy machine, the time for the answer may be over as well
		require.Equal(t, 502, res.StatusCode)
		require.NoError(t, res.Body.Close())
	}
	require.Equal(t, prompt+50, r.used(t))
}

// A client that asks and does not read the answer holds its place no longer than an answer may take.
func TestClientThatDoesNotRead(t *testing.T) {
	wide := bytes.Repeat([]byte(": a comment, which costs nothing\n\n"), 10_000)
	r := newRigWithin(t, 200*time.Millisecond, 1000, func(w http.ResponseWriter, r *http.Request) {
		say(w, 5)
		for r.Context().Err() == nil {
			_, _ = w.Write(wide) // more than all buffers on the way hold
		}
	})
	conn, err := net.Dial("tcp", r.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		key, len(streaming), streaming)
	require.NoError(t, err)
	_, _ = conn.Read(make([]byte, 1)) // the answer has begun, or the time is over already
	used := r.used(t)                 // waits until the gateway has no request any more
	require.LessOrEqual(t, used, int64(len(streaming)+3)/4+step)
	require.Positive(t, used)
}

// A key that sends many bodies slowly holds the memory of some requests only, and not the gateway.
func TestBodiesThatAreSentSlowly(t *testing.T) {
	r := newRig(t, 1000, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"usage":{"total_tokens":1}}`) })
	slow := make([]net.Conn, maxOpen)
	for i := range slow {
		conn, err := net.Dial("tcp", r.Listener.Addr().String())
		require.NoError(t, err)
		slow[i] = conn
		_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", key)
		require.NoError(t, err)
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line, "its body is being read")
	}
	res, text, _ := r.ask(t, `{"model":"small"}`)
	require.Equal(t, 429, res.StatusCode)
	require.Contains(t, text, "at once")
	require.Empty(t, res.Header.Get("Retry-After"))
	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Zero(t, r.used(t))
}

// If the gateway is stopped, streams that take too long are cut off and settled.
func TestStopSettles(t *testing.T) {
	r := newRig(t, 1000, func(w http.ResponseWriter, r *http.Request) {
		say(w, 5)
		<-r.Context().Done()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	var running atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer running.Add(-1)
		running.Add(1)
		r.Config.Handler.ServeHTTP(w, req)
	})
	go func() { ended <- serve(ctx, listener, h, time.Millisecond) }()
	req, prompt := r.request(t, strings.Replace(streaming, "{", `{"max_tokens":500,`, 1))
	req.URL.Host = listener.Addr().String()
	res, err := r.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	lines := bufio.NewScanner(res.Body)
	for range 10 { // an event has two lines
		require.True(t, lines.Scan())
	}
	stop()
	require.NoError(t, <-ended)
	require.Zero(t, running.Load(), "the store is closed after serve")
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(rest), "upstream_error", "the client is told that this is not the end of the answer")
	require.Equal(t, prompt+5, r.used(t))
}

// The client's query is no business of the upstream.
func TestQueryStays(t *testing.T) {
	r := newRig(t, 1000, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"usage":{"total_tokens":1}}`) })
	req, _ := r.request(t, `{"model":"small"}`)
	req.URL.RawQuery = "max_tokens=100000"
	res, err := r.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	require.Empty(t, (<-r.asked)["query"])
}
