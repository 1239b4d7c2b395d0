//go:build unix

package function_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

// frozen is how long a process is frozen. It is more than twice the time that users gives a fetch, 1.5 s. So a fetch
// that has begun before is too old after the thaw, and another may overtake it.
const frozen = 4 * time.Second

// Lambda freezes a process between invocations. SIGSTOP does the same: its goroutines stand still, and clocks do not.
func TestFreeze(t *testing.T) {
	t.Run("before the fetch, with an event sent into the freeze", func(t *testing.T) {
		t.Parallel()
		f, keys := withKeys(t)
		freeze(t, f)
		asked := f.ask(t, keys)
		thaw(t, f)
		require.Equal(t, 200, asked())
		require.EqualValues(t, 1, keys.fetches.Load())
	})
	t.Run("after the fetch", func(t *testing.T) {
		t.Parallel()
		f, keys := withKeys(t)
		require.Equal(t, 200, f.ask(t, keys)())
		freeze(t, f)
		thaw(t, f)
		require.Equal(t, 200, f.ask(t, keys)())
		require.EqualValues(t, 1, keys.fetches.Load())
	})
	for _, answers := range []bool{true, false} {
		name := "during a fetch whose answer is lost"
		if answers {
			name = "during a fetch that is answered in the freeze"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, keys := withKeys(t)
			release := keys.hold(t)
			first := f.ask(t, keys)
			<-keys.begun
			freeze(t, f)
			if answers {
				release()
			}
			thaw(t, f)
			require.Contains(t, []int{200, 503}, first(), "a good token is never refused with 401")
			require.Equal(t, 200, f.ask(t, keys)(), "the first request after the thaw")
			require.LessOrEqual(t, keys.fetches.Load(), int64(2), "at most one fetch more")
		})
	}
}

// keySet serves the key set of an issuer. It can hold back the first answer.
type keySet struct {
	*authtest.Issuer
	token   string
	fetches atomic.Int64
	begun   chan struct{}
	held    chan struct{}
}

func (k *keySet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.fetches.Add(1) == 1 && k.held != nil {
		close(k.begun)
		<-k.held
	}
	k.Issuer.ServeHTTP(w, r)
}

// hold holds back the first answer until release is called, or the test ends.
func (k *keySet) hold(t *testing.T) (release func()) {
	k.begun, k.held = make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(k.held) })
	t.Cleanup(release)
	return release
}

// withKeys starts the function users, which has not fetched yet.
func withKeys(t *testing.T) (*process, *keySet) {
	t.Helper()
	issuer, err := authtest.New(pool)
	require.NoError(t, err)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient})
	require.NoError(t, err)
	keys := &keySet{Issuer: issuer, token: token}
	server := httptest.NewServer(keys)
	t.Cleanup(server.Close)
	return serve(t, "users", "JWKS="+server.URL+"/.well-known/jwks.json"), keys
}

// ask sends an event with a token. status waits for the answer and returns its status.
func (f *process) ask(t *testing.T, keys *keySet) (status func() int) {
	t.Helper()
	r := sources[5].request(t, "GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+keys.token)
	event, done := sources[5].of(t, r), make(chan struct{})
	var (
		got outcome
		err error
	)
	go func() {
		defer close(done)
		got, err = f.invoke(t.Context(), event)
	}()
	return func() int {
		<-done
		require.NoError(t, err)
		return answerOf(t, got).StatusCode
	}
}

func freeze(t *testing.T, f *process) {
	t.Helper()
	require.NoError(t, f.Process.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { _ = f.Process.Signal(syscall.SIGCONT) })
	time.Sleep(frozen)
}

func thaw(t *testing.T, f *process) {
	t.Helper()
	require.NoError(t, f.Process.Signal(syscall.SIGCONT))
}
