package journaltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/journal"
)

// RunFollow has three nodes follow one journal of a server, and tests what they decide by while another node changes
// it. addr is the address of the server. Each node has a proxy, and open returns the journal as it is reached at the
// address of the proxy. So RunFollow can cut a node off. It takes some ten seconds.
//
// Whether a node hears within a second also depends on the machine. So RunFollow logs how long it took, and fails only
// if half of the changes take longer than five seconds. A node that does not hear at all looks after ten.
func RunFollow(t *testing.T, addr string, open func(t *testing.T, addr string) journal.Journal) {
	for name, wrap := range map[string]func(journal.Journal) journal.Journal{
		"notified":      func(j journal.Journal) journal.Journal { return j },
		"notified late": func(j journal.Journal) journal.Journal { return deaf{j} },
	} {
		t.Run(name, func(t *testing.T) {
			f := openFollowers(t, addr, 10*time.Second, func(addr string) journal.Journal {
				return wrap(open(t, addr))
			})
			f.requireChangesAct(t)
		})
	}
	t.Run("partition", func(t *testing.T) {
		f := openFollowers(t, addr, 2*time.Second, func(addr string) journal.Journal { return open(t, addr) })
		f.requirePartitionRefuses(t)
	})
}

// deaf is a journal whose notifications are lost.
type deaf struct{ journal.Journal }

func (deaf) Wait(ctx context.Context, _ uint64) error {
	<-ctx.Done()
	return ctx.Err()
}

// A follower is a node whose state is one number. It reaches the server through its gate.
type follower struct {
	*journal.Topic
	*gate
	value atomic.Int64
}

func (f *follower) apply(items iter.Seq[journal.Item], _ bool) error {
	for it := range items {
		n, err := strconv.ParseInt(string(it.Value), 10, 64)
		if err != nil {
			return err
		}
		f.value.Store(n)
	}
	return nil
}

// put makes n the number of all nodes.
func (f *follower) put(ctx context.Context, n int64) error {
	return f.Change(ctx, "Put", func(uint64) ([]journal.Item, error) {
		return []journal.Item{{Name: "number", Value: fmt.Append(nil, n)}}, nil
	})
}

// decide returns the number by which a request is decided now.
func (f *follower) decide(ctx context.Context) (int64, error) {
	if !f.Fresh(time.Now()) {
		if err := f.Renew(ctx); err != nil {
			return 0, err
		}
	}
	return f.value.Load(), nil
}

type followers []*follower

func openFollowers(
	t *testing.T, addr string, maxStale time.Duration, open func(string) journal.Journal,
) (all followers) {
	t.Helper()
	for range 3 {
		f := &follower{gate: openGate(t, addr)}
		var err error
		f.Topic, err = journal.Follow(t.Context(), open(f.Addr().String()), f.apply)
		must(t, err)
		must(t, f.Keep(maxStale, true))
		t.Cleanup(func() { must(t, f.Topic.Close()) })
		all = append(all, f)
	}
	return all
}

// requireChangesAct raises the number by one again and again on one node, while the others decide. It measures how long
// after the acknowledgement of a change each of them still decides by an older number.
func (all followers) requireChangesAct(t *testing.T) {
	const changes = 40
	writer, others := all[0], all[1:]
	var acknowledged [changes + 1]atomic.Int64 // the instants, by number
	start := time.Now()
	since := func() int64 { return int64(time.Since(start)) + 1 }
	ctx, cancel := context.WithCancel(t.Context())
	var deciding sync.WaitGroup
	lags := make(chan time.Duration, changes*len(others))
	first := writer.value.Load()
	for _, f := range others {
		deciding.Go(func() {
			for next := int64(1); next <= changes && ctx.Err() == nil; time.Sleep(200 * time.Microsecond) {
				n, err := f.decide(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				for now := since(); next <= n-first; next++ {
					lag := time.Duration(0) // a node may hear before the writer is told
					if at := acknowledged[next].Load(); at > 0 {
						lag = max(0, time.Duration(now-at))
					}
					lags <- lag
				}
			}
		})
	}
	for n := int64(1); n <= changes; n++ {
		must(t, writer.put(ctx, first+n))
		acknowledged[n].Store(since())
		time.Sleep(time.Duration(n*7%50) * time.Millisecond)
	}
	late := time.AfterFunc(time.Minute, cancel)
	deciding.Wait()
	defer late.Stop()
	defer cancel()
	close(lags)
	requireHeard(t, lags, changes*len(others))
}

// requireHeard logs how long after its acknowledgement a change was still unknown to a node.
func requireHeard(t *testing.T, lags <-chan time.Duration, want int) {
	var all []time.Duration
	for lag := range lags {
		all = append(all, lag)
	}
	if len(all) != want {
		t.Fatalf("%d changes have acted on a node, want %d", len(all), want)
	}
	slices.Sort(all)
	from := 0
	for _, bound := range []time.Duration{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 30} {
		to, _ := slices.BinarySearch(all, bound*time.Millisecond)
		if to > from {
			t.Logf("below %6d ms: %4d", bound, to-from)
		}
		from = to
	}
	t.Logf("median %v, longest %v", all[len(all)/2], all[len(all)-1])
	if all[len(all)/2] > 5*time.Second {
		t.Error("half of the changes take longer than five seconds")
	}
}

// requirePartitionRefuses cuts one node off. The others go on. It decides by what it knows until that is too old, and
// then refuses. When the way is free again, it knows what the others have done.
func (all followers) requirePartitionRefuses(t *testing.T) {
	ctx, cut := t.Context(), all[2]
	_, err := cut.decide(ctx)
	must(t, err)
	before := cut.value.Load()
	cut.shut()
	start := time.Now()
	must(t, all[0].put(ctx, before+1))
	for err == nil {
		soon(t, start)
		time.Sleep(time.Millisecond)
		_, err = cut.decide(ctx)
	}
	refused(t, err)
	t.Logf("refused after %v", time.Since(start))
	for range 200 {
		_, err := cut.decide(ctx)
		refused(t, err)
		time.Sleep(time.Millisecond)
	}
	for _, err := all[1].decide(ctx); err != nil; _, err = all[1].decide(ctx) { // on a busy machine
		soon(t, start)
		time.Sleep(time.Millisecond)
	}
	cut.free()
	start = time.Now()
	for n := int64(0); n != before+1; n, _ = cut.decide(ctx) {
		soon(t, start)
		time.Sleep(time.Millisecond)
	}
	t.Logf("recovered after %v", time.Since(start))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, journal.ErrUnavailable) {
		t.Fatalf("%v, want %v", err, journal.ErrUnavailable)
	}
}

func soon(t *testing.T, start time.Time) {
	t.Helper()
	if time.Since(start) > time.Minute {
		t.Fatal("nothing has happened for a minute")
	}
}

// A gate is a proxy of a server. While it is shut, connections stay open and nothing passes, as behind a cable that was
// pulled.
type gate struct {
	net.Listener
	to string

	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func openGate(t *testing.T, to string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g := &gate{Listener: l, to: to, open: make(chan struct{})}
	close(g.open)
	go g.accept()
	t.Cleanup(func() { _ = l.Close() })
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) free() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) accept() {
	for {
		from, err := g.Accept()
		if err != nil {
			return
		}
		go func() {
			to, err := net.Dial("tcp", g.to)
			if err != nil {
				_ = from.Close()
				return
			}
			go g.pass(from, to)
			g.pass(to, from)
		}()
	}
}

// pass passes on what comes from a connection until one of the two ends.
func (g *gate) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	_, _ = io.Copy(throughGate{to, g}, from)
}

// throughGate writes when the gate is open.
type throughGate struct {
	io.Writer
	gate *gate
}

func (w throughGate) Write(b []byte) (int, error) {
	w.gate.mu.Lock()
	open := w.gate.open
	w.gate.mu.Unlock()
	<-open
	return w.Writer.Write(b)
}
