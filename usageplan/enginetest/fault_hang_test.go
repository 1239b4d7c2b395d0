package enginetest_test

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// hangFaults make the named case hang.
var hangFaults = []fault{
	{"stays locked after the error", "error of f", over(func() ledger.Engine { return staysLocked() })},
	{"locks in the caller's order", "contention", over(func() ledger.Engine { return lockingInOrder() })},
	{"written rows move to the end", "keys during changes", over(func() ledger.Engine { return movesToEnd() })},
	{"locked while it yields", "keys during changes", over(func() ledger.Engine { return lockedWhileYielding() })},
	{"one iteration at a time", "keys during changes", over(func() ledger.Engine { return oneIteration() })},
	{"stays open after the stop", "keys stopped", over(func() ledger.Engine { return staysOpen() })},
	{"Close waits for ever", "closed at once", closing(func(next ledger.Engine, n int32) error {
		if n > 1 {
			select {}
		}
		time.Sleep(time.Millisecond)
		return next.Close()
	})},
}

func staysLocked() *engine {
	var mu sync.Mutex
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		mu.Lock()
		if err := next.Update(ctx, keys, f); err != nil {
			return err
		}
		mu.Unlock()
		return nil
	}}
}

func lockingInOrder() *engine {
	var mu sync.Mutex
	locks := make(map[string]*sync.Mutex)
	lock := func(key string) *sync.Mutex {
		mu.Lock()
		defer mu.Unlock()
		if locks[key] == nil {
			locks[key] = new(sync.Mutex)
		}
		return locks[key]
	}
	return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		for _, key := range keys {
			lock(key).Lock()
			defer lock(key).Unlock()
			runtime.Gosched()
		}
		return next.Update(ctx, keys, f)
	}}
}

// movesToEnd lists keys in the order of their last write.
func movesToEnd() *engine {
	var mu sync.Mutex
	order, n := make(map[string]int), 0
	e := &engine{Engine: ledger.NewMemory()}
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return next.Update(ctx, keys, func(i int, row []byte) ([]byte, error) {
			out, err := f(i, row)
			mu.Lock()
			defer mu.Unlock()
			if n++; out != nil {
				order[keys[i]] = n
			}
			return out, err
		})
	}
	e.keys = func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for at := 0; ; {
				keys, err := sorted(next, ctx, prefix)
				if err != nil {
					yield("", err)
					return
				}
				mu.Lock()
				keys = slices.DeleteFunc(keys, func(key string) bool { return order[key] <= at })
				slices.SortFunc(keys, func(a, b string) int { return order[a] - order[b] })
				keys = keys[:min(20, len(keys))]
				for _, key := range keys {
					at = order[key]
				}
				mu.Unlock()
				for _, key := range keys {
					if !yield(key, nil) {
						return
					}
				}
				if len(keys) == 0 {
					return
				}
			}
		}
	}
	return e
}

func lockedWhileYielding() *engine {
	var mu sync.RWMutex
	e := &engine{Engine: ledger.NewMemory()}
	e.update = func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		mu.Lock()
		defer mu.Unlock()
		return next.Update(ctx, keys, f)
	}
	e.keys = func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			mu.RLock()
			defer mu.RUnlock()
			next.Keys(ctx, prefix)(yield)
		}
	}
	return e
}

// oneIteration has one cursor.
func oneIteration() *engine {
	var mu sync.Mutex
	return &engine{Engine: ledger.NewMemory(), keys: func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			mu.Lock()
			defer mu.Unlock()
			next.Keys(ctx, prefix)(yield)
		}
	}}
}

// staysOpen has four connections, and does not give back that of an iteration which is stopped.
func staysOpen() *engine {
	connections := make(chan struct{}, 4)
	return &engine{Engine: ledger.NewMemory(), keys: func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			connections <- struct{}{}
			for key, err := range next.Keys(ctx, prefix) {
				if !yield(key, err) {
					return
				}
			}
			<-connections
		}
	}}
}
