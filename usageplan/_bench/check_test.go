package bench

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

const (
	client   = "fr92a5qpbj"
	keyValue = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	secret   = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	target   = "/Prod/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c"
)

var (
	fast    = ratelimit.Limit{Rate: 1e9, Burst: 1e9} // throttles that never refuse
	request = usageplan.Request{
		Client: client, Cost: 1,
		Route: usageplan.Route{API: "airline-loyalty", Stage: "Prod", Resource: "/loyalty/{customerId}", Method: "GET"},
	}
)

func book(b *testing.B, engine string) *ledger.Ledger {
	config := ledger.Config{Engine: ledger.NewMemory()}
	if engine == "bolt" {
		s, err := boltstore.Open(filepath.Join(b.TempDir(), "usage.db"))
		check(b, err)
		notes, err := slots.Open(filepath.Join(b.TempDir(), "slots"))
		check(b, err)
		b.Cleanup(func() { check(b, notes.Close()); check(b, s.Close()) })
		config.Engine, config.Slots = s, notes
	}
	l, err := ledger.New(config)
	check(b, err)
	b.Cleanup(func() { check(b, l.Close()) })
	return l
}

// plan throttles the method and all methods together, and has a quota: two buckets and an account for each member.
func plan(id string) usageplan.Plan {
	return usageplan.Plan{
		ID: id, Name: id, Throttle: &fast, Quotas: []ledger.Quota{quota},
		Stages: []usageplan.Stage{{API: "airline-loyalty", Name: "Prod", Methods: map[string]ratelimit.Limit{"/loyalty/{customerId}/GET": fast}}},
	}
}

func meter(b *testing.B, engine string, observe func(context.Context, usageplan.Event)) *usageplan.Meter {
	m, err := usageplan.New(usageplan.Config{
		Client: apikey.ID, API: "airline-loyalty", Stage: "Prod", Ledger: book(b, engine),
		Plans:   []usageplan.Plan{plan("basic")},
		Members: []usageplan.Member{{Plan: "basic", Client: client}},
		Journal: journal.Memory(0), Observe: observe,
	})
	check(b, err)
	return m
}

func sinceFloor(b *testing.B) {
	start := time.Now()
	for b.Loop() {
		_ = time.Since(start)
	}
}

// BenchmarkCheck: one decision over two buckets and a quota; the floor is one reading of the clock.
func BenchmarkCheck(b *testing.B) {
	for _, engine := range []string{"memory", "bolt"} {
		b.Run("ledger="+engine+"/impl=ours", func(b *testing.B) {
			m, ctx := meter(b, engine, nil), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Take(ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("ledger="+engine+"/impl=floor", sinceFloor)
	}
}

// BenchmarkObserve: the same decision, observed by nobody and by a function that does nothing.
func BenchmarkObserve(b *testing.B) {
	for _, tt := range []struct {
		impl    string
		observe func(context.Context, usageplan.Event)
	}{{"nil", nil}, {"empty", func(context.Context, usageplan.Event) {}}} {
		b.Run("impl="+tt.impl, func(b *testing.B) {
			m, ctx := meter(b, "memory", tt.observe), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Take(ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInFlight: the same decision, bounded by nothing, and by what may run at once of the client, of the plan and in
// all. Both give the place back, which without a bound is one comparison.
func BenchmarkInFlight(b *testing.B) {
	for _, tt := range []struct {
		impl string
		most int
	}{{"none", 0}, {"three-bounds", 9}} {
		b.Run("impl="+tt.impl, func(b *testing.B) {
			p := plan("basic")
			p.InFlight = usageplan.InFlight{Client: tt.most, Total: tt.most}
			m, err := usageplan.New(usageplan.Config{
				Ledger: book(b, "memory"), Plans: []usageplan.Plan{p}, InFlight: tt.most,
				Members: []usageplan.Member{{Plan: "basic", Client: client}},
			})
			check(b, err)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				c, err := m.Take(ctx, request)
				if err != nil {
					b.Fatal(err)
				}
				c.Release()
			}
		})
	}
}

// BenchmarkWorst: a route among the most method throttles that API Gateway allows in a stage, 20, none of which is spelled as
// it is; the floor is the decision with one that is.
func BenchmarkWorst(b *testing.B) {
	b.Run("input=20-throttles/impl=ours", func(b *testing.B) {
		p := plan("basic")
		p.Stages[0].Methods = make(map[string]ratelimit.Limit)
		for i := range 20 {
			p.Stages[0].Methods[fmt.Sprintf("/loyalty/{customer%d}/a%[1]d/GET", i)] = fast
		}
		p.Stages[0].Methods["/*/*"] = fast
		m, err := usageplan.New(usageplan.Config{Ledger: book(b, "memory"), Plans: []usageplan.Plan{p}, Members: []usageplan.Member{{Plan: "basic", Client: client}}})
		check(b, err)
		for b.Loop() {
			if _, err := m.Take(context.Background(), request); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("input=20-throttles/impl=floor", func(b *testing.B) {
		m := meter(b, "memory", nil)
		for b.Loop() {
			if _, err := m.Take(context.Background(), request); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckParallel: the same from every processor, all for one client, and from one processor.
func BenchmarkCheckParallel(b *testing.B) {
	for _, engine := range []string{"memory", "bolt"} {
		b.Run("ledger="+engine+"/impl=ours", func(b *testing.B) { checkParallel(b, engine) })
		b.Run("ledger="+engine+"/impl=one-core", func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			checkParallel(b, engine)
		})
		b.Run("ledger="+engine+"/impl=floor", func(b *testing.B) {
			start := time.Now()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = time.Since(start)
				}
			})
		})
	}
}

func checkParallel(b *testing.B, engine string) {
	m, ctx := meter(b, engine, nil), context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Take(ctx, request); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// discard is a writer that keeps its header.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header          { return d.header }
func (*discard) Write(text []byte) (int, error) { return len(text), nil }
func (*discard) WriteHeader(int)                {}

// BenchmarkHandler: SigV4, API key and usage plan on a durable ledger around an empty handler. The floor is SigV4's: a
// SHA-256 of 300 bytes and an HMAC-SHA-256 of 150.
func BenchmarkHandler(b *testing.B) {
	b.Run("impl=ours", func(b *testing.B) {
		h, r := chain(b)
		w := &discard{make(http.Header)}
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
		if len(w.header.Values("X-Amzn-Errortype")) > 0 {
			b.Fatal(w.header)
		}
	})
	b.Run("impl=floor", func(b *testing.B) {
		canonical, toSign, mac := make([]byte, 300), make([]byte, 150), hmac.New(sha256.New, make([]byte, 32))
		sum := make([]byte, 0, sha256.Size)
		for b.Loop() {
			hash := sha256.Sum256(canonical)
			copy(toSign, hash[:])
			mac.Reset()
			mac.Write(toSign)
			sum = mac.Sum(sum[:0])
		}
	})
}

func chain(b *testing.B) (http.Handler, *http.Request) {
	signature, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: secret}}.Key, Regions: []string{"eu-west-1"},
	})
	check(b, err)
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: client, Enabled: true}, Value: keyValue}}})
	check(b, err)
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: secret}, nil
		},
		Region: "eu-west-1",
	})
	check(b, err)
	r := httptest.NewRequest(http.MethodGet, "http://api.example"+target, nil)
	r.RequestURI, r.Pattern = target, "GET /Prod/loyalty/{customerId}"
	r.Header.Set("x-api-key", keyValue)
	check(b, signer.Sign(r))
	empty := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	return signature.Handler(keys.Handler(meter(b, "bolt", nil).Handler(empty))), r
}

// BenchmarkCheckDuringChanges: decisions alone, and while a writer changes 100 plans and 1 000 members a
// thousand times a second.
func BenchmarkCheckDuringChanges(b *testing.B) {
	for _, writer := range []bool{false, true} {
		name := "impl=floor" // the same decisions without the writer
		if writer {
			name = "impl=ours"
		}
		b.Run(name, func(b *testing.B) {
			m, ctx := meter(b, "memory", nil), context.Background()
			for i := range 100 {
				check(b, m.Import(ctx, []usageplan.Plan{plan(fmt.Sprintf("plan-%d", i))}, nil))
			}
			if writer {
				stop, stopped := make(chan struct{}), make(chan struct{})
				go func() { defer close(stopped); write(b, m, stop) }()
				defer func() { close(stop); <-stopped }()
			}
			for b.Loop() {
				if _, err := m.Take(ctx, request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// write makes one change a millisecond: a plan, then ten members, round and round.
func write(b *testing.B, m *usageplan.Meter, stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p := plan(fmt.Sprintf("plan-%d", i%100))
		plans, members := []usageplan.Plan{p}, []usageplan.Member(nil)
		if i%11 != 0 {
			plans, members = nil, []usageplan.Member{{Plan: p.ID, Client: fmt.Sprintf("client-%d-%d", i%100, i%1000)}}
		}
		if err := m.Import(context.Background(), plans, members); err != nil {
			b.Error(err)
			return
		}
	}
}
