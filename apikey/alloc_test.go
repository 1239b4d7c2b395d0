//go:build !race

package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

func TestVerifyingDoesNotAllocate(t *testing.T) {
	v := newVerifier(t, apikey.Config{Prefix: "ak", Keys: []apikey.Entry{julian}})
	r := request(value)
	bare := v.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := apikey.ID(r); !ok {
			t.Error("no id")
		}
	}))
	w := httptest.NewRecorder()
	scannable := v.Generate()
	_, err := v.Create(t.Context(), apikey.Key{Enabled: true}, scannable)
	require.NoError(t, err)
	ctx := t.Context()
	observed := newVerifier(t, apikey.Config{
		Keys: []apikey.Entry{julian}, Observe: func(context.Context, apikey.Event) {},
	})
	told := observed.Handler(greetNobody)
	bounded := newVerifier(t, apikey.Config{
		Keys: []apikey.Entry{julian}, Pepper: pepper, Journal: journal.Memory(0), MaxStale: time.Hour,
	})
	for _, tt := range []struct {
		name string
		most float64
		run  func()
	}{
		{"VerifyKey", 0, func() { _, _ = v.VerifyKey(ctx, value) }},
		{"VerifyKey, scannable", 0, func() { _, _ = v.VerifyKey(ctx, string(scannable)) }},
		{"Verify", 0, func() { _, _ = v.Verify(r) }},
		{"a refusal: its error", 1, func() { _, _ = v.VerifyKey(ctx, other) }},
		{"Handler: a request and a context", 2, func() { bare.ServeHTTP(w, r) }},
		{"ID without a client", 0, func() { _, _ = apikey.ID(r) }},
		{"VerifyKey, observed", 0, func() { _, _ = observed.VerifyKey(ctx, value) }},
		{"Verify, observed", 0, func() { _, _ = observed.Verify(r) }},
		{"VerifyKey, under MaxStale", 0, func() { _, _ = bounded.VerifyKey(ctx, value) }},
		{"Handler, observed: a request and a context", 2, func() { told.ServeHTTP(w, r) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(1000, tt.run), tt.most, tt.name)
	}
}

// A typical key takes at most 200 bytes of memory.
func TestKeyTakes200Bytes(t *testing.T) {
	n := 100_000
	if heavy {
		n *= 10
	}
	v := newVerifier(t, apikey.Config{})
	before := heap()
	for i := range n {
		_, err := v.Create(t.Context(), apikey.Key{Name: fmt.Sprintf("customer-%07d", i), Enabled: true}, v.Generate())
		require.NoError(t, err)
	}
	each := float64(heap()-before) / float64(n)
	t.Logf("%.1f bytes a key", each)
	require.LessOrEqual(t, each, 200.0)

	ids := slices.Collect(func(yield func(string) bool) {
		for k := range v.Keys() {
			if !yield(k.ID) {
				return
			}
		}
	})
	for _, id := range ids {
		_, err := v.Update(t.Context(), id, func(k *apikey.Key) error { k.Enabled = false; return nil })
		require.NoError(t, err)
	}
	ids = nil
	each = float64(heap()-before) / float64(n)
	t.Logf("%.1f bytes a key that was updated", each)
	require.LessOrEqual(t, each, 200.0)
	runtime.KeepAlive(v)
}

// Unknown values, each a new one, leave no memory and no goroutines behind.
func TestUnknownKeysLeaveNothing(t *testing.T) {
	n := 1_000_000
	if heavy {
		n *= 10
	}
	v := newVerifier(t, apikey.Config{Keys: []apikey.Entry{julian}})
	h := v.Handler(greet)
	ctx := t.Context()
	before, routines := heap(), runtime.NumGoroutine()
	for i := range n {
		if _, err := v.VerifyKey(ctx, strconv.Itoa(i)+value[:30]); !errors.Is(err, apikey.ErrUnknown) {
			t.Fatal(err)
		}
		if i%100 == 0 {
			h.ServeHTTP(httptest.NewRecorder(), request(strings.Repeat("x", 20+i%109)))
		}
	}
	require.Less(t, heap(), before+64<<10)
	// Those of earlier tests may end meanwhile, and the runtime has one for a moment after a collection.
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > routines; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(end), "goroutines stay")
	}
	runtime.KeepAlive(v)
}

func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // pools empty themselves over two collections
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
