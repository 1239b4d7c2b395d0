//go:build !race

package custom_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/custom"
)

// A query source does not allocate, and does not decode a value that is too long.
func TestQueryDoesNotAllocate(t *testing.T) {
	for name, query := range map[string]string{
		"plain": "a=b&key=k&c", "escaped name": "%6b%65%79=k", "escapes": strings.Repeat("%41", 100_000), "parameters": strings.Repeat("&a", 100_000),
		"too long": "key=" + strings.Repeat("%41", 100_000), "twice": "key=%41&key=%41",
	} {
		find, r := custom.Query("key"), &http.Request{URL: &url.URL{RawQuery: query}}
		require.Zero(t, testing.AllocsPerRun(10, func() { find(r) }), name)
	}
}

// With a result that is kept, Verify allocates the list of values and a closure for the call, which it does not make.
func TestKeptResultsHardlyAllocate(t *testing.T) {
	calls := 0
	a := newAuthorizer(t, custom.Config{Authorize: yes(&calls)})
	r := withToken("Bearer " + strings.Repeat("a", 400))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = a.Verify(r) }), 2.0)
	require.Equal(t, 1, calls)
}

// To tell an Observe of an allowed request allocates nothing.
func TestObserveAllocatesNothingForAllowedRequests(t *testing.T) {
	calls, told := 0, 0
	r := withToken("Bearer token")
	measure := func(c custom.Config) float64 {
		c.Authorize = yes(&calls)
		a := newAuthorizer(t, c)
		return testing.AllocsPerRun(100, func() { _, _ = a.Verify(r) })
	}
	want := measure(custom.Config{})
	require.Equal(t, want, measure(custom.Config{Observe: func(_ context.Context, d custom.Decision) {
		if d.Outcome == "allowed" {
			told++
		}
	}}))
	require.Equal(t, 101, told) // AllocsPerRun calls once more than it counts
}
