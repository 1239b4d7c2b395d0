package ledger_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// durable is an engine that says how durable its writes are.
type durable struct {
	ledger.Engine
	answer func(context.Context) error
}

func (d durable) Durable(ctx context.Context) error { return d.answer(ctx) }

// TestExactRefusesWeakEngine: exact mode asks the engine once, and takes its error for a mistake in the Config. A
// leased ledger does not ask.
func TestExactRefusesWeakEngine(t *testing.T) {
	weak := errors.New("appendfsync is everysec")
	for _, c := range []struct {
		name   string
		exact  bool
		answer error
		asked  int
	}{
		{"exact, weak", true, weak, 1},
		{"exact, durable", true, nil, 1},
		{"leased, weak", false, weak, 0},
		{"leased, durable", false, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			l, err := ledger.New(ledger.Config{Exact: c.exact, Engine: durable{ledger.NewMemory(), func(context.Context) error {
				asked++
				return c.answer
			}}})
			require.Equal(t, c.asked, asked)
			if c.exact && c.answer != nil {
				require.Nil(t, l)
				require.ErrorIs(t, err, ledger.ErrInvalid)
				require.ErrorIs(t, err, weak)
				require.ErrorContains(t, err, "exact mode needs an engine that makes writes durable: appendfsync is everysec")
				return
			}
			require.NoError(t, err)
			require.NoError(t, l.Close())
		})
	}
}

// TestExactDoesNotWaitForever: an engine whose server does not answer is refused after Config.Timeout.
func TestExactDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		hung := durable{ledger.NewMemory(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		_, err := ledger.New(ledger.Config{Exact: true, Engine: hung, Timeout: 3 * time.Second})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

// TestWeakEngineIsAskedLast: a Config with other mistakes is refused without a round trip to the server.
func TestWeakEngineIsAskedLast(t *testing.T) {
	never := durable{ledger.NewMemory(), func(context.Context) error {
		t.Error("asked")
		return nil
	}}
	_, err := ledger.New(ledger.Config{Exact: true, Engine: never, Block: -1})
	require.ErrorIs(t, err, ledger.ErrInvalid)
}
