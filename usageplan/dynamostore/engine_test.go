package dynamostore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// namespaces makes each store of a test one of its own.
var namespaces atomic.Int64

func fresh() string { return fmt.Sprint("test-", namespaces.Add(1)) }

// TestEngine: the store keeps the contract of engines.
func TestEngine(t *testing.T) {
	s := common(t)
	c := client(options(s.addr))
	enginetest.Test(t, func(t *testing.T) ledger.Engine { return open(t, c, fresh()) })
	place := func(t *testing.T, place string) ledger.Engine { return open(t, client(options(s.addr)), place) }
	enginetest.TestReopen(t, place)
	enginetest.TestShared(t, place)
}

// TestCuts: an Update whose answer is cut in the middle is made once or not at all, also with the retries that the
// client makes by default.
func TestCuts(t *testing.T) {
	s := common(t)
	enginetest.TestCuts(t, func(t *testing.T) (ledger.Engine, func()) {
		p, n := startProxy(t, s.addr), 0
		e := open(t, client(options(p.addr())), fresh())
		return e, func() {
			n++
			p.cut.CompareAndSwap(false, n%10 == 0)
		}
	})
}
