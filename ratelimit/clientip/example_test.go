package clientip_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// A limit by address, behind one load balancer.
func Example() {
	ip, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1})
	if err != nil {
		log.Fatal(err)
	}
	limiter, err := ratelimit.New(ratelimit.Config[netip.Prefix]{
		Limit: ratelimit.Limit{Rate: 1.0 / 3600, Burst: 1},
		Key:   ip.Prefix,
	})
	if err != nil {
		log.Fatal(err)
	}
	h := limiter.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, forwarded := range []string{
		"2001:db8:1:2::a",
		"2001:db8:1:2::b",              // another address of the same network
		"203.0.113.9, 2001:db8:1:2::c", // and one with a claim to be somebody else
		"2001:db8:1:3::a",
		"nobody",
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-For", forwarded)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 429
	// 429
	// 200
	// 403
}

func ExampleResolver_Addr() {
	ip, err := clientip.New(clientip.Config{
		Header:  "Forwarded",
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Header.Add("Forwarded", `for=203.0.113.1`)                                 // the client's claim
	r.Header.Add("Forwarded", `for="198.51.100.7:81";proto=https, for=10.0.0.2`) // the proxies' report
	fmt.Println(ip.Addr(r))
	// Output: 198.51.100.7 true
}

func ExampleResolver_Prefix() {
	ip, err := clientip.New(clientip.Config{})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "[2001:db8:1:2:3:4:5:6]:4711"
	fmt.Println(ip.Prefix(r))
	// Output: 2001:db8:1:2::/64 true
}

// The leftmost entry is what the client wrote. A limit by it can be evaded by writing another address each time, and
// made to lock out a third party.
func Example_incorrectLeftmost() {
	leftmost := func(r *http.Request) (string, bool) { return r.Header.Get("X-Forwarded-For"), true }
	limiter, err := ratelimit.New(ratelimit.Config[string]{Limit: ratelimit.Limit{Burst: 1}, Key: leftmost})
	if err != nil {
		log.Fatal(err)
	}
	for _, claim := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-For", claim)
		_, err := limiter.Check(r)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
}
