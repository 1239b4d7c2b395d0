package enginetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// testDurable asks an engine that is a [ledger.Durable] several times, also at once with updates. One that is not
// passes. What Durable answers is not for the suite: an engine is tested under settings of any kind.
//
// Contract: "Durable changes nothing and may be called at any time. It is an error under a context that has ended, and
// after Close."
//
// Finds: an engine that answers another time otherwise, although no setting has changed; that tests its durability by a
// row that stays; that ignores the context, so that [ledger.New] hangs with the server; that answers after Close from
// what it has kept.
func testDurable(t *testing.T, e ledger.Engine) {
	d, ok := e.(checked).Engine.(ledger.Durable)
	if !ok {
		return
	}
	put(t, e, "key", "row")
	durable := d.Durable(t.Context()) == nil
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := d.Durable(t.Context()); (err == nil) != durable {
				t.Errorf("Durable: got %v; the call before says that the engine is durable: %v", err, durable)
			}
		})
		put(t, e, "key", "row")
	}
	wg.Wait()
	if keys := list(t, e, ""); len(keys) != 1 {
		t.Errorf("Durable leaves rows: got the keys %q", keys)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, ctx := range map[string]context.Context{"canceled": canceled, "late": late} {
		if d.Durable(ctx) == nil {
			t.Errorf("Durable under a context that is %s: no error", name)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if d.Durable(t.Context()) == nil {
		t.Error("Durable after Close: no error")
	}
}
