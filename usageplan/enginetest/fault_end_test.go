package enginetest_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// endFaults are of contexts that end, of Close, and of what an engine may offer.
var endFaults = []fault{
	{"Update ignores its context", "ended context", updating(func(next ledger.Engine, _ context.Context, keys []string, f decide) error {
		return next.Update(context.Background(), keys, f)
	})},
	{"Update sees too late that its context ended", "ended context", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		return errors.Join(next.Update(context.Background(), keys, f), ctx.Err())
	})},
	{"Update sees no deadline", "ended context", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			ctx = context.Background()
		}
		return next.Update(ctx, keys, f)
	})},
	{"Load ignores its context", "ended context", over(func() ledger.Engine {
		return &engine{Engine: ledger.NewMemory(), load: func(next ledger.Engine, _ context.Context, key string) ([]byte, error) {
			return next.Load(context.Background(), key)
		}}
	})},
	{"goes on in the background", "ended context", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		if ctx.Err() == nil {
			return next.Update(ctx, keys, f)
		}
		row, err := f(0, nil)
		go func() {
			_ = next.Update(context.Background(), keys[:1], func(int, []byte) ([]byte, error) { return row, nil })
		}()
		return errors.Join(err, ctx.Err())
	})},
	{"no error when the context ends", "context ends", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		for i := range keys {
			if err := next.Update(context.Background(), keys[i:i+1], func(_ int, row []byte) ([]byte, error) {
				out, err := f(i, row)
				if ctx.Err() != nil {
					return nil, err
				}
				return out, err
			}); err != nil {
				return err
			}
		}
		return nil
	})},
	{"undoes wrongly when the context ends", "context ends", updating(func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
		err := next.Update(ctx, keys, f)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), next.Update(context.Background(), keys, func(int, []byte) ([]byte, error) { return []byte{}, nil }))
		}
		return err
	})},
	{"a second Close is an error", "closed", closing(func(next ledger.Engine, n int32) error {
		if n > 1 {
			return errClosed
		}
		return next.Close()
	})},
	{"a third Close is an error", "closed", closing(func(next ledger.Engine, n int32) error {
		if n > 2 {
			return errClosed
		}
		return next.Close()
	})},
	{"Close does nothing", "closed", closing(func(ledger.Engine, int32) error { return nil })},
	{"Close at once is an error", "closed at once", over(func() ledger.Engine { return closingAlone() })},
	{"Close comes late", "closed at once", closing(func(next ledger.Engine, _ int32) error {
		time.AfterFunc(time.Minute, func() { _ = next.Close() }) // later than a busy machine makes any call
		return nil
	})},
	{"Update works after Close", "closed", over(func() ledger.Engine { return open("update") })},
	{"Load works after Close", "closed", over(func() ledger.Engine { return open("load") })},
	{"Keys works after Close", "closed", over(func() ledger.Engine { return open("keys") })},
	{"Keys ends in silence after Close", "closed", over(func() ledger.Engine {
		return &engine{Engine: ledger.NewMemory(), keys: func(next ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for key, err := range next.Keys(ctx, prefix) {
					if err != nil || !yield(key, nil) {
						return
					}
				}
			}
		}}
	})},
	{"f is called after Close", "closed", over(func() ledger.Engine {
		return &engine{Engine: ledger.NewMemory(), update: func(next ledger.Engine, ctx context.Context, keys []string, f decide) error {
			rows := make([][]byte, len(keys))
			for i, key := range keys {
				row, _ := next.Load(ctx, key)
				var err error
				if rows[i], err = f(i, row); err != nil {
					return err
				}
			}
			return next.Update(ctx, keys, func(i int, _ []byte) ([]byte, error) { return rows[i], nil })
		}}
	})},
	{"durable now and then", "durable", durable(func(d *durability, _ context.Context) error {
		if d.calls++; d.calls%2 == 0 {
			return errors.New("weak")
		}
		return nil
	})},
	{"durability ignores the context", "durable", durable(func(d *durability, _ context.Context) error { return d.closed() })},
	{"durability after Close", "durable", durable(func(_ *durability, ctx context.Context) error { return ctx.Err() })},
	{"durability leaves a row", "durable", durable(func(d *durability, ctx context.Context) error {
		return d.Update(ctx, []string{"probe"}, func(int, []byte) ([]byte, error) { return []byte("row"), nil })
	})},
	{"another owner each time", "owner and clock", over(func() ledger.Engine { return &restless{Engine: ledger.NewMemory()} })},
	{"a clock that goes back", "owner and clock", over(func() ledger.Engine { return &backwards{Engine: ledger.NewMemory()} })},
	{"a clock that stands at zero", "owner and clock", over(func() ledger.Engine { return noTime{ledger.NewMemory()} })},
}

// closing tells close how often it was called.
func closing(close func(next ledger.Engine, n int32) error) func(*testing.T) {
	return over(func() ledger.Engine {
		var n atomic.Int32
		return &engine{Engine: ledger.NewMemory(), close: func(next ledger.Engine) error { return close(next, n.Add(1)) }}
	})
}

func closingAlone() *engine {
	var mu sync.Mutex
	return &engine{Engine: ledger.NewMemory(), close: func(next ledger.Engine) error {
		if !mu.TryLock() {
			return errors.New("is being closed")
		}
		defer mu.Unlock()
		time.Sleep(100 * time.Millisecond) // in which the others come, also on a busy machine
		return next.Close()
	}}
}

// open is closed, but for one method.
func open(method string) *engine {
	memory, closed := ledger.NewMemory(), ledger.NewMemory()
	var is atomic.Bool
	pick := func(name string) ledger.Engine {
		if is.Load() && name != method {
			return closed
		}
		return memory
	}
	return &engine{
		Engine: memory,
		update: func(_ ledger.Engine, ctx context.Context, keys []string, f decide) error {
			return pick("update").Update(ctx, keys, f)
		},
		load: func(_ ledger.Engine, ctx context.Context, key string) ([]byte, error) {
			return pick("load").Load(ctx, key)
		},
		keys: func(_ ledger.Engine, ctx context.Context, prefix string) iter.Seq2[string, error] {
			return pick("keys").Keys(ctx, prefix)
		},
		close: func(ledger.Engine) error { is.Store(true); return closed.Close() },
	}
}

// durability is an engine that is a [ledger.Durable].
type durability struct {
	ledger.Engine
	mu    sync.Mutex
	calls int
	ask   func(*durability, context.Context) error
}

func durable(ask func(*durability, context.Context) error) func(*testing.T) {
	return over(func() ledger.Engine { return &durability{Engine: ledger.NewMemory(), ask: ask} })
}

func (d *durability) Durable(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ask(d, ctx)
}

// closed is an error if the engine is closed.
func (d *durability) closed() error {
	_, err := d.Load(context.Background(), "key")
	return err
}

type restless struct {
	ledger.Engine
	n uint32
}

func (r *restless) Owner() uint32 { r.n++; return r.n }

type backwards struct {
	ledger.Engine
	n time.Duration
}

func (b *backwards) Now(context.Context) (time.Time, error) {
	b.n -= time.Minute
	return time.Now().Add(b.n), nil
}

type noTime struct{ ledger.Engine }

func (noTime) Now(context.Context) (time.Time, error) { return time.Time{}, nil }
