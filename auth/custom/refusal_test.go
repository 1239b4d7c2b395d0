package custom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
)

// users returns a function that authorizes "good", returns ErrUnauthorized for "bad" and a plain no for "no", and fails
// for everything else. It counts its calls.
func users(calls *atomic.Int64) func(context.Context, custom.Event) (custom.Result, error) {
	return func(_ context.Context, e custom.Event) (custom.Result, error) {
		calls.Add(1)
		switch token := e.AuthorizationToken; {
		case token == "good":
			return custom.Result{PrincipalID: "p", Authorized: true}, nil
		case token == "no":
			return custom.Result{PrincipalID: "p"}, nil
		case strings.HasPrefix(token, "bad"):
			return custom.Result{}, fmt.Errorf("%w: %s", custom.ErrUnauthorized, strings.Repeat("x", 1<<20))
		}
		return custom.Result{}, errors.New("down")
	}
}

func TestRefusalsAreKeptForRefusalTTL(t *testing.T) {
	for _, tt := range []struct {
		name, token      string
		ttl, refusalTTL  time.Duration
		want             error
		kept, afterwards int64 // calls made by three requests within RefusalTTL, and by one after it
	}{
		{"off", "bad", 0, 0, custom.ErrUnauthorized, 3, 4},
		{"off without a cache", "bad", -1, 0, custom.ErrUnauthorized, 3, 4},
		{"refused", "bad", 0, 5 * time.Second, custom.ErrUnauthorized, 1, 2},
		{"refused, results for a shorter time", "bad", time.Second, 5 * time.Second, custom.ErrUnauthorized, 1, 2},
		{"refused without a cache", "bad", -1, 5 * time.Second, custom.ErrUnauthorized, 1, 2},
		{"a plain no without a cache", "no", -1, 5 * time.Second, custom.ErrDenied, 1, 2},
		{"a plain no is a result", "no", time.Minute, 5 * time.Second, custom.ErrDenied, 1, 1},
		{"down", "else", 0, 5 * time.Second, custom.ErrFailed, 3, 4},
		{"down without a cache", "else", -1, 5 * time.Second, custom.ErrFailed, 3, 4},
		{"let in without a cache", "good", -1, 5 * time.Second, nil, 3, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				a := newAuthorizer(t, custom.Config{Authorize: users(&calls), TTL: tt.ttl, RefusalTTL: tt.refusalTTL})
				verify := func() {
					t.Helper()
					_, err := a.Verify(withToken(tt.token))
					require.ErrorIs(t, err, tt.want)
					if errors.Is(err, custom.ErrUnauthorized) {
						w := httptest.NewRecorder()
						err.(*custom.Error).ServeHTTP(w, nil)
						require.Equal(t, 401, w.Code)
						require.Equal(t, "Bearer", w.Header().Get("WWW-Authenticate"))
					}
				}
				verify()
				verify()
				time.Sleep(5*time.Second - time.Nanosecond)
				verify()
				require.Equal(t, tt.kept, calls.Load())
				time.Sleep(time.Nanosecond)
				verify()
				require.Equal(t, tt.afterwards, calls.Load())
			})
		})
	}
}

// A flood of one bad credential makes one call in all. The function's error is not kept.
func TestFloodOfOneBadCredentialMakesOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		slow := users(&calls)
		a := newAuthorizer(t, custom.Config{RefusalTTL: time.Minute, Authorize: func(ctx context.Context, e custom.Event) (custom.Result, error) {
			time.Sleep(time.Second)
			return slow(ctx, e)
		}})
		for range 3 {
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					_, err := a.Verify(withToken("bad"))
					require.ErrorIs(t, err, custom.ErrUnauthorized)
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, calls.Load())
			time.Sleep(15 * time.Second)
		}
		_, err := a.Verify(withToken("bad"))
		require.EqualError(t, err, "custom: Unauthorized (a refusal that is kept)")
	})
}

// A timeout or a panic says nothing about the credential.
func TestFailuresAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		a := newAuthorizer(t, custom.Config{RefusalTTL: time.Minute, Authorize: func(ctx context.Context, _ custom.Event) (custom.Result, error) {
			switch calls++; calls {
			case 1:
				<-ctx.Done()
				return custom.Result{}, custom.ErrUnauthorized // after the timeout, so it must not count
			case 2:
				panic("a bug")
			}
			return custom.Result{Authorized: true}, nil
		}})
		for _, want := range []error{custom.ErrFailed, custom.ErrFailed, nil} {
			_, err := a.Verify(withToken("t"))
			require.ErrorIs(t, err, want)
			synctest.Wait()
		}
		require.Zero(t, a.Stats().Refusals)
	})
}

// A flood of many bad credentials must not grow the memory, and must not push out the result of a good one.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		a := newAuthorizer(t, custom.Config{Authorize: users(&calls), RefusalTTL: 10 * time.Second, MaxResults: 100})
		_, err := a.Verify(withToken("good"))
		require.NoError(t, err)
		for i := range 1000 {
			_, err := a.Verify(withToken(fmt.Sprint("bad", i)))
			require.ErrorIs(t, err, custom.ErrUnauthorized)
			require.LessOrEqual(t, a.Stats().Refusals, 100)
		}
		require.Equal(t, 100, a.Stats().Refusals)
		require.Equal(t, 1, a.Stats().Results)
		calls.Store(0)
		_, err = a.Verify(withToken("good"))
		require.NoError(t, err)
		require.Zero(t, calls.Load())
	})
}
