package enginetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestCuts is for engines that talk to a server. open returns an engine and a function that breaks its connections, so
// that requests and answers get lost; new connections work. The suite calls cut again and again while Updates run, from
// one goroutine. An Update that returns nil was made once, one that fails was made once or not at all, and f never sees
// its own row.
//
// A proxy between the engine and its server is the usual way: cut closes the connections that the proxy has.
func TestCuts(t *testing.T, open func(t *testing.T) (e ledger.Engine, cut func())) {
	t.Run("cuts", func(t *testing.T) {
		defer watch(t)()
		e, cut := open(t)
		defer e.Close()
		testCuts(t, checked{e, t}, cut)
	})
}

// testCuts lets four writers append to the same rows, cuts twenty times or more, and then counts what is in the rows.
//
// A cut comes 200 µs after the last one, but not before an Update has returned nil in between, or 100 ms have passed.
// Otherwise the connections of a slow engine would never live long enough, and on a busy machine all Updates might be
// over before the first cut.
//
// Contract: "An engine that has lost the answer to a write returns an error. It never calls f again with a row that
// this Update may have written itself."
//
// Finds: an engine that repeats a write whose answer was lost. Worked example: it writes the row "ab" for "a". The
// server makes the change and the answer is lost. If the engine tries again, f sees "ab" and returns "abb": one Update
// has counted twice. It also finds an engine that returns nil for a write that never arrived, or that never works again
// after a cut.
func testCuts(t *testing.T, e ledger.Engine, cut func()) {
	const updates, least = 150, 20
	writers := make([]*writer, 4)
	var cuts atomic.Int64
	var worked atomic.Bool // since the last cut
	var wg sync.WaitGroup
	for i := range writers {
		writers[i] = newWriter(e, i)
		wg.Go(func() {
			for n := 0; n < updates || cuts.Load() < least; n++ {
				if n >= updates {
					time.Sleep(time.Millisecond) // a row has a largest length
				}
				if writers[i].append(t, t.Context()) == nil { // an error is what this is about
					worked.Store(true)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		wg.Wait()
	}()
	for last, cutting := time.Now(), true; cutting; {
		select {
		case <-over:
			cutting = false
		case <-time.After(200 * time.Microsecond):
			if worked.Swap(false) || time.Since(last) > 100*time.Millisecond {
				cut()
				cuts.Add(1)
				last = time.Now()
			}
		}
	}
	recovered(t, e)
	// An engine that only returns errors would satisfy verify. So at least one Update must have returned nil.
	sure, unsure := 0, 0
	for k := range contended {
		key := fmt.Sprint("key ", k)
		verify(t, e, key, writers)
		for _, w := range writers {
			sure, unsure = sure+len(w.wrote[key]), unsure+len(w.unsure[key])
		}
	}
	t.Logf("%d rows written, %d unknown", sure, unsure)
	if sure == 0 {
		t.Error("no Update has returned nil between two cuts")
	}
}

// recovery is how long an engine may take until it works again after the last cut. Tests of the suite shorten it.
var recovery = time.Minute

// recovered waits until the engine works again. Connections that the last cut broke may still give errors for a while.
// After a minute that is a fault: nothing has been cut since.
func recovered(t *testing.T, e ledger.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), recovery)
	defer cancel()
	for {
		err := e.Update(ctx, []string{"recovered"}, write("row"))
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("Update, %v after the last cut: %v", recovery, err)
		case <-time.After(time.Millisecond):
		}
	}
}
