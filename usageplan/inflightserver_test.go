package usageplan_test

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan"
)

// serving is a server whose clients get cats. The places are those of the plan of [atOnce].
func serving(t *testing.T, h http.Handler) *httptest.Server {
	mux := http.NewServeMux()
	mux.Handle(catsPattern, h)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func callFrom(ctx context.Context, s *httptest.Server, client string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/dev/cats", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Verified-Client", client)
	res, err := s.Client().Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// A client that hangs up frees no place while its request still runs. To see that the test would find a handler that
// does, it also runs such a one.
func TestAPlaceIsHeldUntilTheHandlerReturns(t *testing.T) {
	for name, tt := range map[string]struct {
		wrap func(*usageplan.Meter, http.Handler, chan<- bool) http.Handler
		want int // the answer to the next request
	}{
		"Handler": {func(m *usageplan.Meter, next http.Handler, freed chan<- bool) http.Handler {
			freed <- false
			return m.Handler(next)
		}, http.StatusTooManyRequests},
		"frees when the client leaves": {func(m *usageplan.Meter, next http.Handler, freed chan<- bool) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := m.Check(r)
				if err != nil {
					err.(http.Handler).ServeHTTP(w, r)
					return
				}
				context.AfterFunc(r.Context(), func() { c.Release(); freed <- true })
				next.ServeHTTP(w, r)
			})
		}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			m := meter(t, usageplan.Config{Plans: []usageplan.Plan{atOnce(1, 0)}, Default: "p"})
			started, left, finish, freed := make(chan bool, 1), make(chan bool, 1), make(chan bool), make(chan bool, 8)
			var calls atomic.Int64
			ended := make(chan bool, 1)
			s := serving(t, tt.wrap(m, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if calls.Add(1) > 1 {
					return
				}
				defer func() { ended <- true }()
				started <- true
				<-r.Context().Done()
				left <- true
				<-finish
			}), freed))
			end := sync.OnceFunc(func() { close(finish) })
			t.Cleanup(end) // before the server closes, which waits for the handler
			ctx, hangUp := context.WithCancel(t.Context())
			gone := make(chan bool)
			go func() {
				defer close(gone)
				_, _ = callFrom(ctx, s, "a")
			}()
			<-started
			hangUp()
			<-gone
			<-left
			<-freed
			status, err := callFrom(t.Context(), s, "a")
			require.NoError(t, err)
			require.Equal(t, tt.want, status)
			end()
			<-ended
		})
	}
}

// Over a real server, with handlers that return, panic, abort and exit, and with clients that hang up at any moment, no
// more requests run than may, and in the end no place is lost.
func TestServerNeverRunsMoreThanMay(t *testing.T) {
	const perClient, total, most = 3, 5, 4
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, InFlight: usageplan.InFlight{Client: perClient, Total: total}}}, Default: "p",
		InFlight: most,
	})
	var byClient [2]atomic.Int64
	var running, served atomic.Int64
	s := serving(t, m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(r.Header.Get("Verified-Client")[0] - 'a')
		mine, n := byClient[i].Add(1), running.Add(1)
		defer func() { byClient[i].Add(-1); running.Add(-1) }()
		if mine > perClient || n > most {
			t.Errorf("%d of the client run, %d in all", mine, n)
		}
		switch served.Add(1) % 6 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			runtime.Goexit()
		case 2:
			<-r.Context().Done() // until the client hangs up; those that do not hang up by themselves get no such call
		case 3:
			_, _ = w.Write([]byte("a part"))
			panic(http.ErrAbortHandler)
		}
	})))
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 25))
			for range heavy(400) {
				hangUpAfter(t, s, string(rune('a'+i%2)), random.IntN(4))
			}
		})
	}
	all.Wait()
	s.Close() // waits for the handlers
	require.Positive(t, served.Load())
	require.Zero(t, running.Load())
	require.Zero(t, m.Stats().InFlight)
}

// hangUpAfter sends a request on a connection of its own and hangs up: with half of the request sent, with all of it sent,
// in mid-answer, or after the first line of the answer.
func hangUpAfter(t *testing.T, s *httptest.Server, client string, step int) {
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	head := "GET /dev/cats HTTP/1.1\r\nHost: a\r\nVerified-Client: " + client + "\r\n"
	_, _ = io.WriteString(conn, head)
	if step == 0 {
		return
	}
	_, _ = io.WriteString(conn, "\r\n")
	switch step {
	case 2: // the server sees that no more comes, and ends the request's context
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = bufio.NewReader(conn).ReadByte()
	case 3:
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = bufio.NewReader(conn).ReadString('\n')
	}
}
