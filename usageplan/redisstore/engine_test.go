package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// namespaces makes each store of a test one of its own.
var namespaces atomic.Int64

func fresh() string { return fmt.Sprint("test-", namespaces.Add(1)) }

// testEngine executes the contract of engines. connect returns a client of its own for each call.
func testEngine(t *testing.T, connect func(t testing.TB) redis.UniversalClient) {
	c := connect(t)
	enginetest.Test(t, func(t *testing.T) ledger.Engine { return open(t, c, fresh()) })
	place := func(t *testing.T, place string) ledger.Engine { return open(t, connect(t), place) }
	enginetest.TestReopen(t, place)
	enginetest.TestShared(t, place)
}

// TestEngine: the store keeps the contract of engines on a single server, also over connections that break.
func TestEngine(t *testing.T) {
	s := start(t)
	testEngine(t, func(t testing.TB) redis.UniversalClient { return client(t, options(s.addr)) })
}

// TestCuts: an Update whose answer is cut in the middle is made once or not at all, also with retries of the client,
// which Open refuses. Only every tenth cut is made, as a client needs several answers to connect.
func TestCuts(t *testing.T) {
	s := start(t)
	for _, retries := range []int{0, 3} { // none, and the default
		enginetest.TestCuts(t, func(t *testing.T) (ledger.Engine, func()) {
			p, n := startProxy(t, s.addr), 0
			c := client(t, options(p.addr()))
			e := open(t, c, fresh())
			c.Options().MaxRetries = retries // behind the back of Open
			return e, func() {
				n++
				p.cut.CompareAndSwap(false, n%10 == 0)
			}
		})
	}
}
