package pgstore_test

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
	p := connect(t, options(t, s.url()))
	enginetest.Test(t, func(t *testing.T) ledger.Engine { return open(t, p, fresh()) })
	place := func(t *testing.T, place string) ledger.Engine { return open(t, connect(t, options(t, s.url())), place) }
	enginetest.TestReopen(t, place)
	enginetest.TestShared(t, place)
}
