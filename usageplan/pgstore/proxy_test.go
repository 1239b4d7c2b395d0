package pgstore_test

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy passes connections on to a server, and cuts one in the middle of an answer when it is told to.
type proxy struct {
	net.Listener
	to      string
	cut     atomic.Bool // the next answer, of whatever connection
	commits atomic.Bool // the answer to the next request that has COMMIT
}

func startProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{Listener: l, to: to}
	go p.accept()
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		go p.ask(client, server)
		go p.answer(client, server)
	}
}

// ask passes requests on until either side ends.
func (p *proxy) ask(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		if bytes.Contains(b[:n], []byte("commit\x00")) && p.commits.CompareAndSwap(true, false) {
			p.cut.Store(true)
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
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
