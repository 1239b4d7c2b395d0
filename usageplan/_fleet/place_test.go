package fleet

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// place is how a process reaches a store.
type place struct {
	Kind      string   // the name of its backend
	Addrs     []string // of its servers
	Namespace string

	// Through has, for the address of a server, that of the proxy before it.
	Through map[string]string
}

// through returns the address to connect to.
func (p place) through(addr string) string {
	if proxy, ok := p.Through[addr]; ok {
		return proxy
	}
	return addr
}

// open opens the store by a client of its own. The client is closed by the end of the process.
func (p place) open(ctx context.Context) (ledger.Engine, error) {
	switch p.Kind {
	case "redis", "cluster":
		return p.openRedis(ctx)
	case "postgres":
		return p.openPostgres(ctx)
	case "dynamo":
		return p.openDynamo(ctx)
	}
	return nil, fmt.Errorf("no backend %q", p.Kind)
}

// forgetful is a store that confirms some writes without making them.
type forgetful struct {
	ledger.Engine
	every int64
	calls atomic.Int64
}

func (e *forgetful) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if e.calls.Add(1)%e.every != 0 {
		return e.Engine.Update(ctx, keys, f)
	}
	for i, key := range keys {
		row, err := e.Load(ctx, key)
		if err == nil {
			_, err = f(i, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spec is what the nodes of a fleet do.
type spec struct {
	Place   place
	Exact   bool
	Timeout time.Duration // of the ledger

	Keys  int
	Limit int64
	Wide  bool // every second key has a limit that is never reached

	Workers int           // goroutines of a node
	Burst   int           // how many calls each of them makes before it rests,
	Pause   time.Duration // and for how long
	Settles bool          // every eighth charge is given back

	Forgets int // one write in so many is confirmed and not made; 0 is none

	Period   time.Duration // how long the period goes on when the nodes begin; 0 is twelve hours
	Midnight int64         // when it ends, Unix time; the nodes are told when they begin
	Skew     time.Duration // how far the node's clock is ahead
	Slots    string        // the folder of the node's slots; "" is none
	Witness  string        // the file of the node's witness
}

func (s *spec) key(i int) ledger.Key { return ledger.Key{Plan: "fleet", Subject: fmt.Sprint(i)} }

// wideLimit is never reached.
const wideLimit = 1 << 40

// quota has a day that ends at Midnight: of all places on earth, one has its midnight then.
func (s *spec) quota(i int) ledger.Quota {
	const day = 24 * 60 * 60
	q := ledger.Quota{Limit: s.Limit, Period: ledger.Daily, Location: time.FixedZone("fleet", day-int(s.Midnight%day))}
	if s.Wide && i%2 == 1 {
		q.Limit = wideLimit
	}
	return q
}
