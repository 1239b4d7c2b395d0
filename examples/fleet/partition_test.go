package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A node that is cut off from the store decides by what it knows until that is too old. From then on it refuses with
// 503. When the way is free again, it knows what the owner has done meanwhile.
//
// The requests have a key that nobody has made. A node refuses it by what it knows of keys, and asks nothing else of
// the store. So their 503 comes from MaxStale alone.
func TestPartitionedNodeRefuses(t *testing.T) {
	const unknown = "a-key-that-nobody-has-made"
	store := ownRedis(t)
	f := running(t, options{store: store, quota: 1, rate: 1, burst: 1, stale: time.Minute})
	o := unlimited(t, f)
	way := openGate(t, strings.TrimPrefix(store, "redis://"))
	cut, err := startNode("d", options{store: "redis://" + way.Addr().String(), stale: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cut.close()) })
	require.NoError(t, cut.listen())
	require.NoError(t, cut.until(t.Context(), points, o.value, admitted))
	require.NoError(t, cut.until(t.Context(), points, unknown, forbidden))

	way.shut.Lock()
	start := time.Now()
	require.NoError(t, o.patch(t.Context(), "/apikeys/"+o.key, "replace", "/enabled", "false"))
	require.NoError(t, f.nodes[1].until(t.Context(), points, o.value, forbidden), "the others hear it")
	require.NoError(t, cut.until(t.Context(), points, unknown, away))
	t.Logf("refuses after %v", time.Since(start))
	for range 20 {
		why, wait, err := cut.ask(t.Context(), points, unknown)
		require.NoError(t, err)
		require.Equal(t, away, why)
		require.GreaterOrEqual(t, wait, time.Second, "Retry-After")
	}
	way.shut.Unlock()
	start = time.Now()
	require.NoError(t, again(t.Context(), func() (bool, error) {
		why, _, err := cut.ask(t.Context(), points, o.value)
		require.NotEqual(t, admitted, why, "the key is disabled")
		return why == forbidden, err
	}))
	t.Logf("has heard after %v", time.Since(start))
}

// A gate leads to a server. While shut is locked, nothing passes, and nobody is told.
type gate struct {
	net.Listener
	to   string
	shut sync.RWMutex
}

func openGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{Listener: l, to: to}
	go g.accept()
	t.Cleanup(func() { _ = l.Close() })
	return g
}

func (g *gate) accept() {
	for {
		from, err := g.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", g.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		go g.pass(from, to)
		go g.pass(to, from)
	}
}

// pass passes on what comes from a connection until one of the two ends.
func (g *gate) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(through{to, g}, from)
}

// through writes while the gate is not shut.
type through struct {
	io.Writer
	gate *gate
}

func (w through) Write(b []byte) (int, error) {
	w.gate.shut.RLock()
	defer w.gate.shut.RUnlock()
	return w.Writer.Write(b)
}
