package fleet

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy passes connections on to a server, and breaks them when it is told to.
type proxy struct {
	net.Listener
	to    string
	write []byte // what each request has that writes

	// Each of these breaks one connection, and is then false again.
	cutRequest atomic.Bool // the server gets the first half of the next request that writes
	cutAnswer  atomic.Bool // the client gets the first half of the next answer
	cutWrite   atomic.Bool // the client gets the first half of the answer to the next request that writes

	delay atomic.Int64 // how long each answer is held back, in nanoseconds
}

// writes are how a request that writes is recognised. In PostgreSQL it is the one with the commit.
var writes = map[string][]byte{
	"redis": []byte("evalsha"), "cluster": []byte("evalsha"),
	"postgres": []byte("commit\x00"), "dynamo": []byte("PutItem"),
}

// proxies stand before the addresses of a place.
type proxies []*proxy

// behind returns the place as it is reached through proxies.
func behind(t testing.TB, p place) (place, proxies) {
	var all proxies
	p.Through = make(map[string]string)
	for _, addr := range p.Addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		one := &proxy{Listener: l, to: addr, write: writes[p.Kind]}
		go one.accept()
		t.Cleanup(func() { _ = one.Close() })
		p.Through[addr] = l.Addr().String()
		all = append(all, one)
	}
	return p, all
}

func (p *proxy) accept() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		go func() {
			server, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = client.Close()
				return
			}
			answers := make(chan bool, 1) // whether the next answer is to be cut
			go p.ask(client, server, answers)
			p.answer(client, server, answers)
		}()
	}
}

// ask passes requests on until either side ends. One that is cut reaches the server by half, and then both ends see
// their connection break.
func (p *proxy) ask(client, server net.Conn, answers chan<- bool) {
	defer client.Close()
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		writes := bytes.Contains(b[:n], p.write)
		cut := writes && p.cutRequest.CompareAndSwap(true, false)
		if cut {
			n /= 2
		} else if writes && p.cutWrite.CompareAndSwap(true, false) {
			select {
			case answers <- true:
			default: // it is to be cut already
			}
		}
		if _, err := server.Write(b[:n]); err != nil || cut {
			return
		}
	}
}

// answer passes answers on until either side ends. Of the one that is cut, the client gets the first half.
func (p *proxy) answer(client, server net.Conn, answers <-chan bool) {
	defer client.Close()
	defer server.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		cut := p.cutAnswer.CompareAndSwap(true, false)
		select {
		case <-answers:
			cut = true
		default:
		}
		if cut {
			n /= 2
		}
		time.Sleep(time.Duration(p.delay.Load()))
		if _, err := client.Write(b[:n]); err != nil || cut {
			return
		}
	}
}

// each does something with every proxy.
func (all proxies) each(f func(*proxy)) {
	for _, p := range all {
		f(p)
	}
}
