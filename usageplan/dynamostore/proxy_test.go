package dynamostore_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy passes connections on to a server, and cuts one in the middle of an answer when it is told to.
type proxy struct {
	net.Listener
	to  string
	cut atomic.Bool // the next answer, of whatever connection
}

func startProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to}
	go p.accept()
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (p *proxy) addr() string { return p.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = from.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(to, from)
			_, _ = from.Close(), to.Close()
		}()
		go p.answer(from, to)
	}
}

// answer passes answers on until either side ends. Of the one that is cut, the client gets the first half.
func (p *proxy) answer(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		cut := p.cut.CompareAndSwap(true, false)
		if cut {
			n /= 2
		}
		if _, err := client.Write(b[:n]); err != nil || cut {
			return
		}
	}
}
