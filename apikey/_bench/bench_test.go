package bench_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// population is how many keys there are: with -short few, which shows that a benchmark runs and measures nothing.
var population = 1_000_000

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		population /= 20
	}
	os.Exit(m.Run())
}

var pepper = apikey.Secret("a pepper of thirty-two bytes or more")

// registered is a verifier of the population and its values, built once for all benchmarks.
var registered = sync.OnceValues(func() (*apikey.Verifier, []string) {
	values := make([]string, population)
	v, err := apikey.New(apikey.Config{Pepper: pepper})
	if err != nil {
		panic(err)
	}
	for i := range values {
		values[i] = string(v.Generate())
		k := apikey.Key{Name: fmt.Sprintf("customer-%07d", i), Enabled: true}
		if _, err := v.Create(context.Background(), k, apikey.Secret(values[i])); err != nil {
			panic(err)
		}
	}
	runtime.GC()
	return v, values
})

// accesses are the orders in which the values arrive: one key alone, or by Zipf's law over all of them. Each value is
// a copy of its own, made in that order: what a server has just read from the network is in its cache.
func accesses(values []string) map[string][]string {
	law := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(len(values)-1))
	zipf := make([]string, 1<<20)
	for i := range zipf {
		zipf[i] = strings.Clone(values[law.Uint64()])
	}
	return map[string][]string{"hot": {values[0]}, "zipf": zipf}
}

func BenchmarkVerify(b *testing.B) {
	v, values := registered()
	for access, order := range accesses(values) {
		mask := len(order) - 1
		b.Run("access="+access+"/impl=ours", func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.VerifyKey(ctx, order[i&mask]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("access="+access+"/impl=floor", func(b *testing.B) {
			mac := hmac.New(sha256.New, []byte(pepper))
			value := []byte(order[0])
			var sum [sha256.Size]byte
			b.ReportAllocs()
			for b.Loop() {
				mac.Reset()
				mac.Write(value)
				mac.Sum(sum[:0])
			}
		})
	}
}

// BenchmarkObserve verifies one key of a few with nobody to tell, and with a function that does nothing.
func BenchmarkObserve(b *testing.B) {
	value := apikey.Secret("67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT")
	key := apikey.Entry{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: value}
	for _, tt := range []struct {
		impl    string
		observe func(context.Context, apikey.Event)
	}{
		{"nil", nil},
		{"empty", func(context.Context, apikey.Event) {}},
	} {
		v, err := apikey.New(apikey.Config{Keys: []apikey.Entry{key}, Observe: tt.observe})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("impl="+tt.impl, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.VerifyKey(ctx, string(value)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse shows that the time of a refusal does not tell its cause.
func BenchmarkRefuse(b *testing.B) {
	v, values := registered()
	now := time.Now()
	for cause, k := range map[string]*apikey.Key{
		"unknown":  nil,
		"disabled": {},
		"expired":  {Enabled: true, Expires: now},
		"early":    {Enabled: true, NotBefore: now.Add(time.Hour)},
	} {
		value := v.Generate()
		if k != nil {
			if _, err := v.Create(context.Background(), *k, value); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("cause="+cause, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.VerifyKey(ctx, string(value)); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
	runtime.KeepAlive(values)
}

// BenchmarkVerifyDuringChanges verifies one key while another goroutine makes 1000 changes a second, each a key that is
// created, disabled, rotated or deleted.
func BenchmarkVerifyDuringChanges(b *testing.B) {
	v, values := registered()
	for _, writer := range []string{"none", "1000"} {
		b.Run("writer="+writer, func(b *testing.B) {
			ctx := b.Context()
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				if writer != "none" {
					change(v, stop)
				}
			}()
			for b.Loop() {
				if _, err := v.VerifyKey(ctx, values[0]); err != nil {
					b.Fatal(err)
				}
			}
			close(stop)
			<-stopped
		})
	}
}

// BenchmarkPage reads a page of 25 keys out of the population: the newest, those in the middle, and pages by a prefix that
// every key, one of 100 or no key has. The last two look at as many keys as a page may.
func BenchmarkPage(b *testing.B) {
	v, _ := registered()
	middle := uint64(0)
	for range population / 2 / 10_000 {
		_, middle = v.Page("", middle, 10_000)
	}
	for name, page := range map[string]struct {
		prefix string
		before uint64
	}{
		"newest": {}, "middle": {before: middle}, "prefix=all": {"customer-", middle}, "prefix=few": {"customer-04200", 0},
		"prefix=none": {"nobody", middle},
	} {
		b.Run("page="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, next := v.Page(page.prefix, page.before, 25); next == 0 {
					b.Fatal("no more pages")
				}
			}
		})
	}
}

// BenchmarkOpen reads the population from a journal in memory, with and without sealed values.
func BenchmarkOpen(b *testing.B) {
	for _, sealed := range []bool{false, true} {
		cfg := apikey.Config{Pepper: pepper, Journal: journal.Memory(0)}
		if sealed {
			cfg.Sealer, _ = apikey.NewSealer("a sealing key of 32 random bytes")
		}
		fill(b, cfg)
		b.Run(fmt.Sprintf("sealed=%t", sealed), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				before := heap()
				b.StartTimer()
				v, err := apikey.New(cfg)
				b.StopTimer()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(heap()-before)/float64(population), "B/key")
				runtime.KeepAlive(v)
				b.StartTimer()
			}
		})
	}
}

// fill imports the population, as many keys at a time as a change may have.
func fill(b *testing.B, cfg apikey.Config) {
	v, err := apikey.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	const most = 10_000
	for at := 0; at < population; at += most {
		rows := make([]apikey.Row, most)
		for i := range rows {
			rows[i].Key = apikey.Key{Name: fmt.Sprintf("customer-%07d", at+i), Enabled: true}
			rows[i].Value = v.Generate()
		}
		if _, err := v.Import(b.Context(), rows, apikey.ImportOptions{FailOnWarnings: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// change makes a change every millisecond until stop is closed.
func change(v *apikey.Verifier, stop <-chan struct{}) {
	ctx := context.Background()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var k apikey.Key
	var err error
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		switch i % 4 {
		case 0:
			k, err = v.Create(ctx, apikey.Key{Enabled: true}, v.Generate())
		case 1:
			_, err = v.Update(ctx, k.ID, func(k *apikey.Key) error { k.Enabled = false; return nil })
		case 2:
			_, err = v.Rotate(ctx, k.ID, v.Generate(), time.Hour)
		case 3:
			err = v.Delete(ctx, k.ID)
		}
		if err != nil {
			panic(err)
		}
	}
}
