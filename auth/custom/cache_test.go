package custom_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
)

func TestResultsAreKeptForTTL(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ttl, kept time.Duration
	}{
		{"default", 0, 300 * time.Second},
		{"a second", time.Second, time.Second},
		{"an hour", time.Hour, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), TTL: tt.ttl})
			verify := func(want int) {
				t.Helper()
				_, err := a.Verify(withToken("t"))
				require.NoError(t, err)
				require.Equal(t, want, calls, tt.name)
			}
			verify(1)
			time.Sleep(tt.kept - time.Nanosecond)
			verify(1)
			time.Sleep(time.Nanosecond)
			verify(2)
		})
	}
	calls := 0
	a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), TTL: -1})
	for i := range 3 {
		_, err := a.Verify(withToken("t"))
		require.NoError(t, err)
		require.Equal(t, i+1, calls)
	}
	a = newAuthorizer(t, custom.Config{Authorize: yes(&calls), TTL: -1, ByRequest: true})
	_, err := a.Verify(withToken())
	require.NoError(t, err)
	require.Equal(t, 4, calls)
}

func TestKeptPolicyIsEvaluatedForEachMethod(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{StageARN: stage, Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
		calls++
		return custom.Result{PrincipalID: "p", Policy: statements(t, "Allow", stage+"/GET/*", "Deny", stage+"/*/admin")}, nil
	}})
	h := a.Handler(greet)
	require.True(t, strings.HasPrefix(send(h, "GET", "/loyalty/1", "t"), "200"))
	require.Equal(t, `403 {"Message":"User is not authorized to access this resource"}`, send(h, "POST", "/loyalty/1", "t"))
	require.Equal(t, `403 {"Message":"User is not authorized to access this resource with an explicit deny"}`, send(h, "GET", "/admin", "t"))
	require.True(t, strings.HasPrefix(send(h, "GET", "/loyalty/2", "t"), "200"))
	require.Equal(t, 1, calls)
}

// Values that differ in one source, or only in where they are split, must not share a result.
func TestAllIdentitySourcesAreTheKey(t *testing.T) {
	a := newAuthorizer(t, custom.Config{
		ByRequest: true, IdentitySources: []source{custom.Header("A"), custom.Query("b")},
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: fmt.Sprintf("%q", e.IdentitySource), Authorized: true}, nil
		},
	})
	for range 2 {
		for _, values := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a", "b"}, {"b", "a"}, {"a", "a"}, {"a\x00b", "c"}, {"a", "b\x00c"}} {
			r := httptest.NewRequest("GET", "/?b="+url.QueryEscape(values[1]), nil)
			r.Header["A"] = values[:1]
			id, err := a.Verify(r)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%q", values[:]), id.PrincipalID)
		}
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	calls := 0
	for _, failure := range []error{custom.ErrUnauthorized, errors.New("down")} {
		var err error
		a := newAuthorizer(t, custom.Config{Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			calls++
			return custom.Result{Authorized: true}, err
		}})
		err = failure
		_, got := a.Verify(withToken("t"))
		require.ErrorIs(t, got, failure)
		err = nil
		_, got = a.Verify(withToken("t"))
		require.NoError(t, got)
	}
	require.Equal(t, 4, calls)
}

// A thousand requests with the same values arrive while the function runs. There must be one call, whose answer all
// get.
func TestConcurrentRequestsShareOneCall(t *testing.T) {
	for _, failure := range []error{nil, errors.New("down"), custom.ErrUnauthorized} {
		synctest.Test(t, func(t *testing.T) {
			var calls, good, bad atomic.Int64
			a := newAuthorizer(t, custom.Config{Authorize: func(ctx context.Context, _ custom.Event) (custom.Result, error) {
				calls.Add(1)
				time.Sleep(time.Second)
				return custom.Result{Authorized: true}, failure
			}})
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if _, err := a.Verify(withToken("t")); err == nil {
						good.Add(1)
					} else if errors.Is(err, failure) {
						bad.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, calls.Load())
			if failure == nil {
				require.EqualValues(t, 1000, good.Load())
			} else {
				require.EqualValues(t, 1000, bad.Load())
			}
		})
	}
}

// The request that caused the call ends early. The call must go on for the others.
func TestCallOutlivesItsFirstRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		a := newAuthorizer(t, custom.Config{Authorize: func(ctx context.Context, _ custom.Event) (custom.Result, error) {
			calls++
			select {
			case <-time.After(3 * time.Second):
				return custom.Result{Authorized: true}, nil
			case <-ctx.Done():
				return custom.Result{}, ctx.Err()
			}
		}})
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			_, err := a.Verify(withToken("t").WithContext(ctx))
			require.ErrorIs(t, err, custom.ErrFailed)
			require.ErrorIs(t, err, context.Canceled)
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := a.Verify(withToken("t"))
			require.NoError(t, err)
		})
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		require.Equal(t, 1, calls)
	})
}

func TestTimeoutRefusesAndIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, deaf := range []bool{false, true} {
			a := newAuthorizer(t, custom.Config{Timeout: 2 * time.Second, Authorize: func(ctx context.Context, _ custom.Event) (custom.Result, error) {
				if deaf {
					time.Sleep(time.Minute)
					return custom.Result{Authorized: true}, nil
				}
				<-ctx.Done()
				return custom.Result{}, ctx.Err()
			}})
			began := time.Now()
			w := httptest.NewRecorder()
			a.Handler(greet).ServeHTTP(w, withToken("t"))
			require.Equal(t, 2*time.Second, time.Since(began))
			require.Equal(t, 500, w.Code)
			require.Equal(t, `{"message":null}`, w.Body.String())
			if deaf {
				time.Sleep(time.Hour)
				_, err := a.Verify(withToken("t"))
				require.ErrorIs(t, err, custom.ErrFailed, "a late result is not kept")
				time.Sleep(time.Minute) // until the function returns
			}
		}
	})
}

func TestPanicBecomesAnError(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{Authorize: func(context.Context, custom.Event) (custom.Result, error) {
		if calls++; calls == 1 {
			panic("secret")
		}
		runtime.Goexit()
		return custom.Result{}, nil
	}})
	w := httptest.NewRecorder()
	a.Handler(greet).ServeHTTP(w, withToken("t"))
	require.Equal(t, 500, w.Code)
	require.Equal(t, `{"message":null}`, w.Body.String())
	_, err := a.Verify(withToken("t"))
	require.ErrorIs(t, err, custom.ErrFailed)
	require.EqualError(t, err, "custom: function failed: the function ended its goroutine")
	calls = 0
	_, err = a.Verify(withToken("t"))
	require.ErrorContains(t, err, "panic: secret")
	require.ErrorContains(t, err, "cache_test.go", "with its stack")
}

func TestResultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		a := newAuthorizer(t, custom.Config{Authorize: yes(&calls), MaxResults: 100})
		for i := range 1000 {
			_, err := a.Verify(withToken(fmt.Sprint(i)))
			require.NoError(t, err)
			require.LessOrEqual(t, a.Stats().Results, 100)
		}
		require.Equal(t, 100, a.Stats().Results)
		time.Sleep(time.Hour)
		for i := range 50 {
			_, err := a.Verify(withToken(fmt.Sprint("later", i)))
			require.NoError(t, err)
		}
		require.LessOrEqual(t, a.Stats().Results, 100)
		calls = 0
		for i := range 50 {
			_, err := a.Verify(withToken(fmt.Sprint("later", i)))
			require.NoError(t, err)
		}
		require.Less(t, calls, 10, "of the few entries looked at, expired ones go first")
	})
}

// Many identities are verified at once, while some results expire. Each caller must get its own identity.
func TestConcurrentCallersGetTheirOwnIdentity(t *testing.T) {
	a := newAuthorizer(t, custom.Config{
		MaxResults: 20, TTL: time.Millisecond, StageARN: stage,
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: e.AuthorizationToken, Policy: statements(t, "Allow", stage+"/GET/*")}, nil
		},
	})
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := custom.ID(r)
		fmt.Fprint(w, id)
	}))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 300 {
				token := fmt.Sprint("token", (n+i)%30)
				if got := send(h, "GET", "/", token); got != "200 "+token {
					t.Errorf("%s for %s", got, token)
					return
				}
			}
		})
	}
	wg.Wait()
}
