package apikey_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// severed is a journal that a node cannot reach while cut is set. It tells of no change while deaf is set.
type severed struct {
	journal.Journal
	cut, deaf atomic.Bool
}

func (s *severed) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if s.cut.Load() {
		return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, errors.New("no route to host")) }
	}
	return s.Journal.Changes(ctx, after)
}

func (s *severed) Wait(ctx context.Context, after uint64) error {
	if s.cut.Load() {
		return errors.New("no route to host")
	}
	if s.deaf.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Journal.Wait(ctx, after)
}

// node returns a verifier that reaches the journal j by a network of its own. The test closes it.
func openNode(t *testing.T, j journal.Journal, edit func(*apikey.Config)) (*apikey.Verifier, *severed) {
	t.Helper()
	network := &severed{Journal: j}
	cfg := apikey.Config{Pepper: pepper, Journal: network, Keys: []apikey.Entry{julian}}
	edit(&cfg)
	v := newVerifier(t, cfg)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v, network
}

func enable(t *testing.T, v *apikey.Verifier, enabled bool) {
	t.Helper()
	_, err := v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error { k.Enabled = enabled; return nil })
	require.NoError(t, err)
}

// A key that one node has disabled is refused by the others at once, and within a second where the notification is
// lost.
func TestADisabledKeyIsRefusedByTheNodesThatFollow(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			j := journal.Memory(0)
			here, _ := openNode(t, j, func(*apikey.Config) {})
			there, network := openNode(t, j, func(c *apikey.Config) { c.Follow = true })
			network.deaf.Store(deaf)
			for i := range 20 {
				enabled := i%2 == 1
				time.Sleep(time.Duration(i) * 70 * time.Millisecond)
				enable(t, here, enabled)
				start := time.Now()
				for {
					synctest.Wait()
					if _, err := there.VerifyKey(t.Context(), value); (err == nil) == enabled {
						break
					}
					time.Sleep(time.Millisecond)
				}
				if deaf {
					require.Less(t, time.Since(start), 502*time.Millisecond)
				} else {
					require.Zero(t, time.Since(start))
				}
			}
		})
	}
}

// A node that cannot hear refuses with 503 when its keys are too old, whatever the key. A key that is malformed or
// missing needs no keys.
func TestANodeThatCannotHearRefusesWith503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []apikey.Event
		despite := false
		j := journal.Memory(0)
		here, _ := openNode(t, j, func(*apikey.Config) {})
		there, network := openNode(t, j, func(c *apikey.Config) {
			c.MaxStale = 5 * time.Second
			c.Observe = func(_ context.Context, e apikey.Event) { told = append(told, e) }
			c.AllowDespite = func(_ *http.Request, err error) bool { return despite && errors.Is(err, apikey.ErrStale) }
		})
		ask := func(value string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			there.Handler(greetNobody).ServeHTTP(w, request(value))
			return w
		}
		network.cut.Store(true)
		enable(t, here, false)
		time.Sleep(5 * time.Second)
		require.Equal(t, 200, ask(value).Code, "it cannot know better")
		time.Sleep(time.Nanosecond)
		for _, value := range []string{value, other} {
			w := ask(value)
			require.Equal(t, 503, w.Code)
			require.Equal(t, `{"message":"Service Unavailable"}`, w.Body.String())
			require.Equal(t, "1", w.Header().Get("Retry-After"))
			last := told[len(told)-1]
			require.Equal(t, []string{"failed", "stale"}, []string{last.Outcome, last.Reason})
			require.ErrorIs(t, last.Err, apikey.ErrStale)
		}
		require.Equal(t, 403, ask("short").Code)
		despite = true
		require.Equal(t, 200, ask(value).Code)
		require.Equal(t, "despite", told[len(told)-1].Outcome)
		_, err := there.VerifyKey(t.Context(), value)
		require.ErrorIs(t, err, apikey.ErrStale, "only Handler asks AllowDespite")

		network.cut.Store(false)
		time.Sleep(time.Second)
		_, err = there.VerifyKey(t.Context(), value)
		require.ErrorIs(t, err, apikey.ErrInactive)
		require.Zero(t, there.Stats().Age)
	})
}

// A request whose client has gone does not wait for the journal, and its refusal says so.
func TestACanceledRequestDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := openNode(t, journal.Memory(0), func(c *apikey.Config) { c.MaxStale = time.Second })
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := v.VerifyKey(ctx, value)
		if err != nil { // the journal may have been as fast
			require.Equal(t, "canceled", err.(*apikey.Error).Reason())
		}
	})
}

// Concurrent edits of one key by nodes that follow lose nothing, and all nodes come to the same keys by themselves.
func TestConcurrentEditsOfFollowersLoseNothing(t *testing.T) {
	j := journal.Memory(0)
	var nodes []*apikey.Verifier
	for range 4 {
		v, _ := openNode(t, j, func(c *apikey.Config) { c.Follow, c.MaxStale = true, time.Minute })
		nodes = append(nodes, v)
	}
	var all sync.WaitGroup
	for _, v := range nodes {
		all.Go(func() {
			for range 25 {
				_, err := v.Update(t.Context(), "fr92a5qpbj", func(k *apikey.Key) error {
					n, err := strconv.Atoi("0" + k.Description)
					k.Description = strconv.Itoa(n + 1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if _, err := v.VerifyKey(t.Context(), value); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, v := range nodes {
		require.Eventually(t, func() bool {
			k, _ := v.Key("fr92a5qpbj")
			return k.Description == "100"
		}, time.Minute, time.Millisecond)
	}
}

func TestFollowingNeedsAJournal(t *testing.T) {
	_, err := apikey.New(apikey.Config{Follow: true, Prefix: "!"})
	require.ErrorContains(t, err, "apikey: Config: without a Journal there is nothing to follow")
	require.ErrorContains(t, err, "prefix", "it names every mistake")
	_, err = apikey.New(apikey.Config{Journal: journal.Memory(0), Pepper: pepper, MaxStale: -1})
	require.ErrorContains(t, err, "apikey: Config: MaxStale -1ns is negative")
	for _, v := range []*apikey.Verifier{nil, {}, newVerifier(t, apikey.Config{})} {
		require.NoError(t, v.Close())
	}
}
