package ledger_test

import (
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/ledgertest"
)

func TestMemory(t *testing.T) {
	ledgertest.Test(t, func(*testing.T) ledger.Store { return ledger.NewOldMemory() })
}
