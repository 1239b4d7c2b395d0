package ledger_test

import (
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

var _ = filepath.Join

func openBolt(t testing.TB, path string) ledger.Engine { return ledger.NewMemory() }
