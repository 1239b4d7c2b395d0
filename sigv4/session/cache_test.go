package session

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

func (c *cache) size() (n int) {
	for i := range c.shards {
		n += len(c.shards[i].young) + len(c.shards[i].old)
	}
	return n
}

// The cache holds the tokens that are in use, and at most twice its size.
func TestCacheIsBounded(t *testing.T) {
	c := newCache(160)
	used := &opened{accessKeyID: "used"}
	c.put("used", used)
	for i := range 100_000 {
		c.put(strconv.Itoa(i), &opened{})
		require.Same(t, used, c.get("used"))
	}
	require.LessOrEqual(t, c.size(), 2*160)
	require.GreaterOrEqual(t, c.size(), 80)
}

// Refused tokens leave nothing in memory.
func TestForgedTokensAreNotRemembered(t *testing.T) {
	k, err := New(Config{SealingKeys: []sigv4.Secret{sigv4.Secret(strings.Repeat("k", 32))}})
	require.NoError(t, err)
	c, err := k.Issue(Session{Principal: "p", Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	for i := range 1000 {
		_, err := k.Key(t.Context(), sigv4.Scope{AccessKeyID: strconv.Itoa(i), SessionToken: c.SessionToken})
		require.ErrorIs(t, err, sigv4.ErrUnknownKey)
	}
	require.Zero(t, k.cache.size())
}

// One session is one *Session for all its requests, whatever else goes on.
func TestKeysServeManyAtOnce(t *testing.T) {
	k, err := New(Config{SealingKeys: []sigv4.Secret{sigv4.Secret(strings.Repeat("k", 32))}, CacheSize: 16})
	require.NoError(t, err)
	var credentials []sigv4.Credentials
	for i := range 64 {
		c, err := k.Issue(Session{Principal: strconv.Itoa(i), Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		credentials = append(credentials, c)
	}
	var wg sync.WaitGroup
	wrong := make(chan string, 8)
	for range 8 {
		wg.Go(func() {
			for i := range 4096 {
				c := credentials[i*7%len(credentials)]
				key, err := k.Key(t.Context(), sigv4.Scope{AccessKeyID: c.AccessKeyID, SessionToken: c.SessionToken})
				if err != nil || key.Secret != c.Secret || key.Principal != strconv.Itoa(i*7%len(credentials)) {
					wrong <- c.AccessKeyID
					return
				}
			}
		})
	}
	wg.Wait()
	require.Empty(t, wrong)
	require.LessOrEqual(t, k.cache.size(), 2*16)
}
