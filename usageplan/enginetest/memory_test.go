package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tallygate/tallygate/usageplan/enginetest"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// What the contract allows passes, however unlike the engines are.
func TestRightEnginesPass(t *testing.T) {
	engines := map[string]func() ledger.Engine{
		"memory":     ledger.NewMemory,
		"optimistic": func() ledger.Engine { return optimistic(bytes.Equal) },
		"odd":        func() ledger.Engine { return odd() },
		"durable": func() ledger.Engine {
			return &durability{Engine: ledger.NewMemory(), ask: func(d *durability, ctx context.Context) error {
				return errors.Join(d.closed(), ctx.Err())
			}}
		},
	}
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.Test(t, func(*testing.T) ledger.Engine { return open() })
		})
	}
}

func TestRightEngineIsReopened(t *testing.T) {
	d := new(disks)
	enginetest.TestReopen(t, func(_ *testing.T, place string) ledger.Engine { return owner{d.open(place)} })
}

func TestRightEngineIsShared(t *testing.T) {
	d := new(disks)
	enginetest.TestShared(t, func(_ *testing.T, place string) ledger.Engine { return d.open(place) })
}

// TestRightEngineIsCut: an engine whose answers get lost returns an error, and repeats only what was not made.
func TestRightEngineIsCut(t *testing.T) {
	enginetest.TestCuts(t, func(*testing.T) (ledger.Engine, func()) {
		n := &network{Engine: ledger.NewMemory()}
		return n, n.cut
	})
}
