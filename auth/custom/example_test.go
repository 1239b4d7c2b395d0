package custom_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/ratelimit/clientip"
)

const stage = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod"

// send returns the answer of h to a request with the given Authorization header.
func send(h http.Handler, method, target, token string) string {
	r := httptest.NewRequest(method, target, nil)
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

var greet = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	id, _ := custom.FromContext(r.Context())
	fmt.Fprint(w, "hello ", id.PrincipalID, " of ", id.Context["tenant"])
})

// This is the authorizer of API Gateway's guide: the token itself says what is allowed.
func Example() {
	readers, err := policy.New(policy.Document{
		Version:   "2012-10-17",
		Statement: []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{stage + "/GET/*"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := custom.New(custom.Config{
		StageARN: stage,
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			switch e.AuthorizationToken {
			case "allow":
				return custom.Result{PrincipalID: "julian", Policy: readers, Context: map[string]any{"tenant": "airline"}}, nil
			case "unauthorized":
				return custom.Result{}, custom.ErrUnauthorized
			}
			return custom.Result{}, fmt.Errorf("token store: %w", context.DeadlineExceeded)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := guard.Handler(greet)
	fmt.Println(send(h, "GET", "/loyalty/1", "allow"))
	fmt.Println(send(h, "POST", "/loyalty/1", "allow"))
	fmt.Println(send(h, "GET", "/loyalty/1", "unauthorized"))
	fmt.Println(send(h, "GET", "/loyalty/1", ""))
	fmt.Println(send(h, "GET", "/loyalty/1", "anything"))
	// Output:
	// 200 hello julian of airline
	// 403 {"Message":"User is not authorized to access this resource"}
	// 401 {"message":"Unauthorized"}
	// 401 {"message":"Unauthorized"}
	// 500 {"message":null}
}

// A REQUEST authorizer identifies callers by a header and a query parameter. Its function returns a plain yes or no.
func ExampleConfig_request() {
	calls := 0
	guard, _ := custom.New(custom.Config{
		ByRequest:       true,
		IdentitySources: []func(*http.Request) (string, bool){custom.Header("X-Tenant"), custom.Query("key")},
		TTL:             time.Minute,
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			calls++
			tenant, key := e.IdentitySource[0], e.IdentitySource[1]
			return custom.Result{PrincipalID: tenant, Authorized: key == "sesame"}, nil
		},
	})
	for range 3 {
		r := httptest.NewRequest("GET", "/?key=sesame", nil)
		r.Header.Set("X-Tenant", "airline")
		id, err := guard.Verify(r)
		fmt.Println(id.PrincipalID, err, calls)
	}
	// Output:
	// airline <nil> 1
	// airline <nil> 1
	// airline <nil> 1
}

// A policy may depend on where a request comes from. Package clientip tells the address, also behind a proxy.
func ExampleConfig_facts() {
	office, err := policy.Parse([]byte(`{"Statement": {
		"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "execute-api:/Prod/GET/*",
		"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
	}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	direct, err := clientip.New(clientip.Config{}) // no proxy in front
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := custom.New(custom.Config{
		StageARN: stage,
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: "till", Policy: office, Context: map[string]any{"tenant": "shop"}}, nil
		},
		Facts: func(r *http.Request, asked *policy.Request) {
			asked.SourceIP, _ = direct.Addr(r)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, address := range []string{"203.0.113.7:50000", "198.51.100.1:50000"} {
		r := httptest.NewRequest("GET", "/loyalty/1", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "token")
		w := httptest.NewRecorder()
		guard.Handler(greet).ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 hello till of shop
	// 403 {"Message":"User is not authorized to access this resource"}
}

// The mistake here is to allow only the method of the current request. The result is kept and serves other methods too,
// so the policy denies those.
func Example_incorrect() {
	guard, _ := custom.New(custom.Config{
		StageARN: stage,
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			p, err := policy.New(policy.Document{
				Version:   "2012-10-17",
				Statement: []policy.Statement{{Effect: "Allow", Action: []string{policy.Invoke}, Resource: []string{e.MethodARN}}},
			})
			return custom.Result{PrincipalID: "julian", Policy: p}, err
		},
	})
	h := guard.Handler(greet)
	fmt.Println(send(h, "GET", "/loyalty/1", "token"))
	fmt.Println(send(h, "GET", "/loyalty/2", "token"))
	// Output:
	// 200 hello julian of <nil>
	// 403 {"Message":"User is not authorized to access this resource"}
}

// Package apikey can take UsageIdentifierKey as its Source, in place of the header X-API-Key.
func ExampleUsageIdentifierKey() {
	guard, _ := custom.New(custom.Config{
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{Authorized: true, UsageIdentifierKey: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"}, nil
		},
	})
	h := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := custom.UsageIdentifierKey(r)
		fmt.Fprint(w, len(key), ok)
	}))
	fmt.Println(send(h, "GET", "/", "token"))
	// Output: 200 40 true
}

// Verify decides and sends no answer. Present reports whether there is a credential to decide about.
func ExampleAuthorizer_Verify() {
	guard, _ := custom.New(custom.Config{
		ValidationExpression: "Bearer [a-z]+",
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: "julian", Authorized: true}, nil
		},
	})
	r := httptest.NewRequest("GET", "/", nil)
	_, err := guard.Verify(r)
	fmt.Println(guard.Present(r), err)
	r.Header.Set("Authorization", "Basic eA==")
	_, err = guard.Verify(r)
	fmt.Println(guard.Present(r), err)
	r.Header.Set("Authorization", "Bearer x")
	id, err := guard.Verify(r)
	fmt.Println(id.PrincipalID, err)
	// Output:
	// false custom: request lacks an identity source
	// false custom: identity source is ambiguous, too long or not matched by the expression
	// julian <nil>
}

// In a test of a handler, NewContext takes the place of the authorizer.
func ExampleNewContext() {
	ctx := custom.NewContext(context.Background(), custom.Identity{PrincipalID: "julian", Context: map[string]any{"tenant": "airline"}})
	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	w := httptest.NewRecorder()
	greet(w, r)
	fmt.Println(w.Body)
	fmt.Println(custom.ID(r))
	// Output:
	// hello julian of airline
	// julian true
}

// The mistake here is to ignore the error of Authenticate. The request is then nil, so the first use of it panics:
// nothing is served, and net/http closes the connection.
func Example_incorrectIgnoredError() {
	guard, _ := custom.New(custom.Config{
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{}, custom.ErrUnauthorized
		},
	})
	defer func() { fmt.Println("panic:", recover() != nil) }()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "token")
	r, _ = guard.Authenticate(r)
	greet(httptest.NewRecorder(), r)
	fmt.Println("served")
	// Output: panic: true
}

// RefusalTTL keeps the refusal of a credential, so that a client that repeats it does not cause a call each time.
func ExampleConfig_refusalTTL() {
	calls := 0
	guard, _ := custom.New(custom.Config{
		RefusalTTL: 5 * time.Second,
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			calls++
			return custom.Result{}, custom.ErrUnauthorized
		},
	})
	h := guard.Handler(greet)
	for range 3 {
		fmt.Println(send(h, "GET", "/", "stolen"))
	}
	fmt.Println(calls, "call")
	// Output:
	// 401 {"message":"Unauthorized"}
	// 401 {"message":"Unauthorized"}
	// 401 {"message":"Unauthorized"}
	// 1 call
}

// A metric may have the closed words of a decision as labels. The client and the error belong in the log.
func ExampleConfig_observe() {
	guard, err := custom.New(custom.Config{
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			return custom.Result{PrincipalID: "ada", Authorized: e.AuthorizationToken == "sesame"}, nil
		},
		Observe: func(_ context.Context, d custom.Decision) {
			fmt.Printf("count: %s %s %q\n", d.Layer, d.Outcome, d.Reason)
			fmt.Printf("log: client %q, request %q, %v\n", d.Client, d.RequestID, d.Err)
		},
		RequestID: func(*http.Request) string { return "c1d2" }, // such as the id of the trace
	})
	if err != nil {
		panic(err)
	}
	send(guard.Handler(greet), "GET", "/loyalty/1", "sesame")
	send(guard.Handler(greet), "GET", "/loyalty/1", "")
	// Output:
	// count: custom allowed ""
	// log: client "ada", request "c1d2", <nil>
	// count: custom refused "missing"
	// log: client "", request "c1d2", custom: request lacks an identity source
}

// An AllowDespite that is always true makes a dry run: a request that would be refused is logged and served without an
// identity.
func ExampleConfig_allowDespite() {
	guard, _ := custom.New(custom.Config{
		Authorize: func(context.Context, custom.Event) (custom.Result, error) {
			return custom.Result{}, custom.ErrUnauthorized
		},
		AllowDespite: func(_ *http.Request, err error) bool { fmt.Println("would refuse:", err); return true },
	})
	h := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, proven := custom.ID(r)
		fmt.Fprint(w, "proven: ", proven)
	}))
	fmt.Println(send(h, "GET", "/", "token"))
	// Output:
	// would refuse: custom: Unauthorized
	// 200 proven: false
}
