package window_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/tallygate/tallygate/ratelimit/clientip"
	"github.com/tallygate/tallygate/ratelimit/window"
)

// send sends a request and prints the status.
func send(h http.Handler, method, target, remote string) {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })

// Ten requests a minute from each address, AWS WAF's rule in front of everything.
func Example() {
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     10,
		Window:    time.Minute,
		Aggregate: []window.Component{window.IP()},
	})
	if err != nil {
		log.Fatal(err)
	}
	h := rule.Handler(hello)
	for range 10 {
		_, _ = rule.Check(&http.Request{RemoteAddr: "192.0.2.1:4711"})
	}
	send(h, "GET", "/", "192.0.2.1:4712")
	send(h, "GET", "/", "192.0.2.2:4711")
	// Output:
	// 403 {"message":"Forbidden"}
	// 200 hello
}

// Three attempts in any quarter of an hour, by account.
func ExampleLimiter() {
	logins, err := window.New(window.Config[string]{
		AtMost: window.AtMost{Limit: 3, Window: 15 * time.Minute},
		Key: func(r *http.Request) (string, bool) {
			user := r.FormValue("user") // it reads a form in the body into r.Form, where the handler finds it
			return user, user != ""
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	h := logins.Handler(hello)
	for range 4 {
		send(h, "POST", "/login?user=ann", "192.0.2.1:1")
	}
	// Output:
	// 200 hello
	// 200 hello
	// 200 hello
	// 429 {"message":"Too Many Requests"}
}

// Below HTTP.
func ExampleLimiter_Take() {
	mails, err := window.New(window.Config[string]{AtMost: window.AtMost{Limit: 100, Window: 24 * time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(mails.Take("ann", 99).OK, mails.Allow("ann"), mails.Allow("ann"))
	fmt.Println(mails.Take("bob", 101).OK, mails.Peek("bob").Remaining)
	// Output:
	// true true false
	// false 100
}

func ExampleLimiter_SetLimit() {
	l, err := window.New(window.Config[string]{AtMost: window.AtMost{Limit: 100, Window: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	l.Take("ann", 60)
	if err := l.SetLimit(window.AtMost{Limit: 70, Window: time.Hour}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Peek("ann").Remaining)
	// Output: 10
}

// Check decides without answering, for what is not an http.Handler.
func ExampleLimiter_Check() {
	l, err := window.New(window.Config[string]{
		AtMost: window.AtMost{Limit: 5, Window: time.Minute},
		Key:    func(r *http.Request) (string, bool) { return r.Host, true },
	})
	if err != nil {
		log.Fatal(err)
	}
	d, err := l.Check(httptest.NewRequest("GET", "http://example.com/", nil))
	fmt.Println(d.OK, d.Remaining, err)
	// Output: true 4 <nil>
}

// Searches for the same thing by the same client, behind an Application Load Balancer, which adds one entry to the
// header.
func ExampleForwardedIP() {
	client, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1})
	if err != nil {
		log.Fatal(err)
	}
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     100,
		Aggregate: []window.Component{window.ForwardedIP(client), window.QueryArgument("q")},
		ScopeDown: func(r *http.Request) bool { return r.URL.Path == "/search" },
	})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/search?q=shoes", nil)
	r.Header.Set("X-Forwarded-For", "anything, 203.0.113.9")
	d, err := rule.Check(r)
	fmt.Println(d.Remaining, err)
	r.Header.Set("X-Forwarded-For", "something else, 203.0.113.9")
	d, err = rule.Check(r)
	fmt.Println(d.Remaining, err)
	// Output:
	// 99 <nil>
	// 98 <nil>
}

// All requests that change something, from anybody.
func ExampleConstant() {
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     1000,
		Aggregate: []window.Component{window.Constant()},
		ScopeDown: func(r *http.Request) bool { return r.Method != http.MethodGet },
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, method := range []string{"GET", "PUT", "POST"} {
		d, _ := rule.Check(httptest.NewRequest(method, "/", nil))
		fmt.Println(method, d.OK, d.Limit, d.Remaining)
	}
	// Output:
	// GET true 0 0
	// PUT true 1000 999
	// POST true 1000 998
}

// AWS's action Count: to see what a rule would do.
func ExampleRuleConfig_count() {
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     10,
		Aggregate: []window.Component{window.IP()},
		AllowDespite: func(r *http.Request, err error) bool {
			fmt.Println(r.RemoteAddr, err)
			return true
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	h := rule.Handler(hello)
	for range 10 {
		_, _ = rule.Check(&http.Request{RemoteAddr: "192.0.2.1:1"})
	}
	send(h, "GET", "/", "192.0.2.1:2")
	// Output:
	// 192.0.2.1:2 ratelimit: blocked by rate rule
	// 200 hello
}

func ExampleRateRule_Limited() {
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     10,
		Aggregate: []window.Component{window.IP(), window.Path()},
	})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/login", nil)
	r.RemoteAddr = "192.0.2.1:4711"
	for range 25 {
		_, _ = rule.Check(r)
	}
	for _, l := range rule.Limited() {
		fmt.Println(l.Key, l.Requests)
	}
	if err := rule.SetLimit(50, 5*time.Minute); err != nil { // at once, and the counts stay
		log.Fatal(err)
	}
	fmt.Println(len(rule.Limited()))
	// Output:
	// [192.0.2.1 /login] 25
	// 0
}

// A header that the client writes does not identify the client: each value is a key of its own, and a client that
// varies it is never limited.
func Example_incorrectHeaderAsAddress() {
	rule, err := window.NewRateRule(window.RuleConfig{
		Limit:     10,
		Aggregate: []window.Component{window.Header("X-Forwarded-For")}, // wrong: use ForwardedIP
	})
	if err != nil {
		log.Fatal(err)
	}
	passed := 0
	for i := range 1000 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
		if _, err := rule.Check(r); err == nil {
			passed++
		}
	}
	fmt.Println(passed, "of 1000 passed")
	// Output: 1000 of 1000 passed
}
