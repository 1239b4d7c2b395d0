package fleet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// nodeEnv has the spec of a node, and makes a process one.
const nodeEnv = "TALLYGATE_FLEET_NODE"

// TestNodeChild is a node of a fleet: a process of its own. It begins to take when its parent sends a line, and closes
// its ledger when the parent closes the pipe, also by its death.
func TestNodeChild(t *testing.T) {
	arg := os.Getenv(nodeEnv)
	if arg == "" {
		t.Skip("run by the other tests")
	}
	n := node{witness: new(witness)}
	require.NoError(t, json.Unmarshal([]byte(arg), &n.spec))
	n.witness = mapWitness(t, n.spec.Witness)
	l := n.ledger(t)
	n.witness.ready.Store(1)
	in := bufio.NewReader(os.Stdin)
	if _, err := fmt.Fscanln(in, &n.spec.Midnight); err != nil {
		return // the parent has ended
	}
	n.prepare(t, l)
	var wg sync.WaitGroup
	for range n.spec.Workers {
		wg.Go(n.work)
	}
	_, _ = io.Copy(io.Discard, in)
	n.over.Store(true)
	wg.Wait()
	require.Eventually(t, func() bool { return l.Close() == nil }, 5*time.Minute, 10*time.Millisecond)
}

// node takes from all keys of its spec.
type node struct {
	spec    spec
	witness *witness
	refs    []ledger.Ref
	quotas  []ledger.Quota
	over    atomic.Bool
}

// ledger makes the ledger of the node. A server that is down at the moment is asked again.
func (n *node) ledger(t *testing.T) *ledger.Ledger {
	ctx := context.Background()
	c := ledger.Config{Exact: n.spec.Exact, Timeout: n.spec.Timeout, Stale: 200 * time.Millisecond}
	if n.spec.Slots != "" {
		files, err := slots.Open(n.spec.Slots)
		require.NoError(t, err)
		c.Slots = files
	}
	var l *ledger.Ledger
	var err error
	require.Eventually(t, func() bool {
		if c.Engine, err = n.spec.Place.open(ctx); err == nil {
			if n.spec.Forgets > 0 {
				c.Engine = &forgetful{Engine: c.Engine, every: int64(n.spec.Forgets)}
			}
			l, err = ledger.New(c)
		}
		return err == nil
	}, time.Minute, 50*time.Millisecond, "the node does not start")
	return l
}

// prepare makes what each take needs.
func (n *node) prepare(t *testing.T, l *ledger.Ledger) {
	for i := range n.spec.Keys {
		ref, err := l.Ref(n.spec.key(i))
		require.NoError(t, err)
		n.refs, n.quotas = append(n.refs, ref), append(n.quotas, n.spec.quota(i))
	}
}

// work takes until the node is told to stop. What is exhausted is asked for now and then, for as long as that lasts.
func (n *node) work() {
	for !n.over.Load() {
		for range max(1, n.spec.Burst) {
			switch err := n.take(rand.IntN(n.spec.Keys)); {
			case errors.Is(err, ledger.ErrExhausted):
				time.Sleep(5 * time.Millisecond)
			case errors.Is(err, ledger.ErrUnavailable):
				time.Sleep(10 * time.Millisecond)
			case err != nil:
				fmt.Println(err)
				os.Exit(3)
			}
			if n.over.Load() {
				return
			}
		}
		time.Sleep(n.spec.Pause)
	}
}

// take makes one call, and settles it if that is asked for. A settlement that the store does not confirm is made later,
// by the ledger itself.
func (n *node) take(i int) error {
	ctx, c := context.Background(), &n.witness.cells[i]
	c.begun.Add(1)
	charge, err := n.refs[i].TakeAt(ctx, time.Now().Add(n.spec.Skew), n.quotas[i], 1)
	switch {
	case errors.Is(err, ledger.ErrExhausted):
		c.refused.Add(1)
		return err
	case err != nil:
		c.failed.Add(1)
		return err
	}
	period := 0
	if charge.Balance().Start.Unix() >= n.spec.Midnight {
		period = 1
	}
	c.granted[period].Add(1)
	if !n.spec.Settles || rand.IntN(8) > 0 {
		return nil
	}
	c.settling.Add(1)
	if err = charge.Settle(ctx, 0); err == nil {
		c.settled.Add(1)
	}
	return err
}
