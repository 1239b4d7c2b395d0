package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan/journal"
)

const value = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"

var julian = apikey.Entry{
	Key:   apikey.Key{ID: "fr92a5qpbj", Name: "julianwood", Enabled: true},
	Value: value,
}

// get returns the answer of h to a GET with the given values of X-API-Key.
func get(h http.Handler, values ...string) string {
	r := httptest.NewRequest("GET", "/Prod/loyalty/1", nil)
	r.Header["X-Api-Key"] = values
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return fmt.Sprint(w.Code, " ", w.Body)
}

var greet = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	client, _ := apikey.FromContext(r.Context())
	fmt.Fprint(w, "hello ", client.Key().Name)
})

func Example() {
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := keys.Handler(greet)
	fmt.Println(get(h, value))
	fmt.Println(get(h))
	fmt.Println(get(h, "someOtherValueOfFortyCharacters012345678"))
	// Output:
	// 200 hello julianwood
	// 403 {"message":"Forbidden"}
	// 403 {"message":"Forbidden"}
}

// One function can observe all packages of this module. The layer, outcome, reason, plan and route are fit for the labels
// of a metric. The error is for logs.
func ExampleConfig_observe() {
	keys, err := apikey.New(apikey.Config{
		Keys: []apikey.Entry{julian},
		Observe: func(_ context.Context, e apikey.Event) {
			fmt.Println(e.Layer, e.Outcome, e.Reason, "client:", e.Client, "error:", e.Err)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := keys.Handler(greet)
	get(h, value)
	get(h, "someOtherValueOfFortyCharacters012345678")
	get(h)
	fmt.Printf("%+v\n", keys.Stats())
	// Output:
	// apikey allowed  client: fr92a5qpbj error: <nil>
	// apikey refused unknown client:  error: apikey: API key is not registered
	// apikey refused missing client:  error: apikey: request carries no API key
	// {Keys:1 Values:1 Revision:0 Behind:false Age:0s}
}

// A key is created disabled unless Enabled is set, as in API Gateway.
func ExampleVerifier_Create() {
	keys, _ := apikey.New(apikey.Config{})
	secret := keys.Generate()
	k, err := keys.Create(context.Background(), apikey.Key{Name: "mobile app", Enabled: true}, secret)
	fmt.Println(len(k.ID), k.Name, err)
	fmt.Println(len(secret), "characters, shown to the owner once as string(secret); printed:", secret)
	_, err = keys.VerifyKey(context.Background(), string(secret))
	fmt.Println(err)
	// Output:
	// 10 mobile app <nil>
	// 40 characters, shown to the owner once as string(secret); printed: REDACTED
	// <nil>
}

func ExampleVerifier_Update() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	h := keys.Handler(greet)
	_, err := keys.Update(context.Background(), "fr92a5qpbj", func(k *apikey.Key) error {
		k.Enabled = false
		return nil
	})
	fmt.Println(err)
	fmt.Println(get(h, value))
	// Output:
	// <nil>
	// 403 {"message":"Forbidden"}
}

// Both values are accepted for a day. The id stays, so that usage is counted together.
func ExampleVerifier_Rotate() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	next := keys.Generate()
	k, err := keys.Rotate(context.Background(), "fr92a5qpbj", next, 24*time.Hour)
	fmt.Println(k.ID, err)
	h := keys.Handler(greet)
	fmt.Println(get(h, value))
	fmt.Println(get(h, string(next)))
	// Output:
	// fr92a5qpbj <nil>
	// 200 hello julianwood
	// 200 hello julianwood
}

func ExampleVerifier_Import() {
	keys, _ := apikey.New(apikey.Config{})
	file := `Name, key, description, Enabled, usageplanIds
MyKey, apikeyapikeyapikeyapikeyapikey1, An imported key, TRUE, 'c7y23b,qeu9pf'
Short, tooshort, Not long enough, TRUE,
`
	rows, err := apikey.ReadCSV(strings.NewReader(file))
	if err != nil {
		log.Fatal(err)
	}
	rows, err = keys.Import(context.Background(), rows, apikey.ImportOptions{})
	fmt.Println(rows[0].Key.Name, len(rows[0].Key.ID), rows[0].PlanIDs, err)
	fmt.Println(rows[1].Err)
	// Output:
	// MyKey 10 [c7y23b qeu9pf] <nil>
	// Line 3: API Key value should be at least 20 characters
}

// By a prefix, scanners find leaked keys, and the verifier refuses invented ones without a lookup.
func ExampleVerifier_Pattern() {
	keys, _ := apikey.New(apikey.Config{Prefix: "air"})
	secret := keys.Generate()
	fmt.Println(keys.Pattern())
	fmt.Println(regexp.MustCompile(keys.Pattern()).MatchString("key: " + string(secret)))

	_, err := keys.VerifyKey(context.Background(), "air_000000000000000000000000000000000000")
	fmt.Println(err)
	// Output:
	// \bair_[0-9A-Za-z]{36}\b
	// true
	// apikey: API key is not registered: no key has a value of this form
}

// Every change is in the journal before it is visible, and the next process reads it. A journal that outlives the
// process comes from a store, such as boltstore.
func ExampleConfig_journal() {
	cfg := apikey.Config{
		Keys:    []apikey.Entry{julian},
		Pepper:  apikey.Secret("thirty-two bytes from a secret store"),
		Journal: journal.Memory(0),
	}
	keys, _ := apikey.New(cfg)
	_, err := keys.Update(context.Background(), "fr92a5qpbj", func(k *apikey.Key) error {
		k.Enabled = false
		return nil
	})
	fmt.Println(err)

	keys, _ = apikey.New(cfg) // the next process
	k, _ := keys.Key("fr92a5qpbj")
	fmt.Println(k.Name, k.Enabled)
	// Output:
	// <nil>
	// julianwood false
}

// Two nodes share a journal. A node sees the changes of the other one after Refresh, for example once a second, or
// whenever the journal's Wait returns.
func ExampleVerifier_Refresh() {
	cfg := apikey.Config{Pepper: "thirty-two bytes from a secret store", Journal: journal.Memory(0)}
	here, _ := apikey.New(cfg)
	there, _ := apikey.New(cfg)
	_, _ = there.Create(context.Background(), apikey.Key{ID: "fr92a5qpbj", Enabled: true}, value)

	_, err := here.VerifyKey(context.Background(), value)
	fmt.Println(err)
	fmt.Println(here.Refresh(context.Background()))
	client, err := here.VerifyKey(context.Background(), value)
	fmt.Println(client.ID(), err)
	// Output:
	// apikey: API key is not registered
	// <nil>
	// fr92a5qpbj <nil>
}

// With a sealer, values can be shown again, and the journal tells to whom they were. To change its key, put the new one
// first.
func ExampleVerifier_Reveal() {
	older, newer := apikey.Secret("32 random bytes: the older key.."), apikey.Secret("32 random bytes: the newer key..")
	sealer, _ := apikey.NewSealer(newer, older)
	keys, _ := apikey.New(apikey.Config{
		Keys: []apikey.Entry{julian}, Sealer: sealer,
		Journal: journal.Memory(0), Pepper: "thirty-two bytes from a secret store",
	})
	ctx := journal.NewContext(context.Background(), journal.Origin{Actor: "AKIDEXAMPLE"})
	values, err := keys.Reveal(ctx, "fr92a5qpbj", "unknown000")
	fmt.Println(len(values), string(values["fr92a5qpbj"]), err)
	for c, err := range keys.History(ctx, "fr92a5qpbj") {
		fmt.Println(c.Operation, c.Actor, err)
	}
	// Output:
	// 1 67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT <nil>
	// RevealApiKey AKIDEXAMPLE <nil>
}

// The journal tells who has changed a key, and when.
func ExampleVerifier_History() {
	keys, _ := apikey.New(apikey.Config{Pepper: "thirty-two bytes from a secret store", Journal: journal.Memory(0)})
	ctx := journal.NewContext(context.Background(), journal.Origin{Actor: "AKIDEXAMPLE"})
	k, _ := keys.Create(ctx, apikey.Key{Enabled: true}, keys.Generate())
	_, _ = keys.Rotate(ctx, k.ID, keys.Generate(), time.Hour)
	for c, err := range keys.History(ctx, k.ID) {
		fmt.Println(c.Operation, c.Actor, err)
	}
	// Output:
	// RotateApiKey AKIDEXAMPLE <nil>
	// CreateApiKey AKIDEXAMPLE <nil>
}

// Without HTTP, as for gRPC metadata or in a Lambda authorizer, the value is enough.
func ExampleVerifier_VerifyKey() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	client, err := keys.VerifyKey(context.Background(), value)
	fmt.Println(client.ID(), client.Key().Name, err)
	// Output: fr92a5qpbj julianwood <nil>
}

// Verify decides and does not answer. It is for handlers with answers of their own.
func ExampleVerifier_Verify() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	r := httptest.NewRequest("GET", "/", nil)
	fmt.Println(keys.Present(r))
	_, err := keys.Verify(r)
	fmt.Println(errors.Is(err, apikey.ErrMissing), err)

	r.Header.Set("X-API-Key", value)
	fmt.Println(keys.Present(r))
	client, err := keys.Verify(r)
	fmt.Println(client.ID(), err)
	// Output:
	// false
	// true apikey: request carries no API key
	// true
	// fr92a5qpbj <nil>
}

// Authenticate returns the request with the proof in its context. Combinations of authenticators call it.
func ExampleVerifier_Authenticate() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-API-Key", value)
	r, err := keys.Authenticate(r)
	fmt.Println(err)
	fmt.Println(apikey.ID(r))
	// Output:
	// <nil>
	// fr92a5qpbj true
}

func ExampleVerifier_Delete() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	fmt.Println(keys.Delete(context.Background(), "fr92a5qpbj"))
	fmt.Println(keys.Delete(context.Background(), "fr92a5qpbj"))
	_, err := keys.VerifyKey(context.Background(), value)
	fmt.Println(err)
	// Output:
	// <nil>
	// apikey: no such API key (key fr92a5qpbj)
	// apikey: API key is not registered
}

// API Gateway's GetApiKeys lists the newest first, by pages, and filters by the beginning of the name.
func ExampleVerifier_Page() {
	var entries []apikey.Entry
	for i, name := range []string{"client-a", "other", "client-b", "client-c"} {
		entries = append(entries, apikey.Entry{
			Key:   apikey.Key{ID: fmt.Sprintf("key000000%d", i), Name: name},
			Value: apikey.Secret(fmt.Sprintf("aValueOfFortyCharacters0123456789012345%d", i)),
		})
	}
	keys, _ := apikey.New(apikey.Config{Keys: entries})
	for next, more := uint64(0), true; more; more = next != 0 {
		var page []apikey.Key
		page, next = keys.Page("client", next, 2)
		for _, k := range page {
			fmt.Print(" ", k.Name)
		}
		fmt.Println(".")
	}
	// Output:
	//  client-c client-b.
	//  client-a.
}

// All keys, the newest first.
func ExampleVerifier_Keys() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	_, _ = keys.Create(context.Background(), apikey.Key{Name: "mobile app"}, keys.Generate())
	for k := range keys.Keys() {
		fmt.Println(k.Name)
	}
	// Output:
	// mobile app
	// julianwood
}

// AppSync's keys expire, 7 days from now unless told otherwise, on the hour.
func ExampleAppSync() {
	secret, expires, err := apikey.AppSync(time.Time{})
	fmt.Println(string(secret[:4]), len(secret), expires.Minute(), err)
	// Output: da2- 30 0 <nil>
}

// In a test of a handler, NewContext takes the place of the verifier.
func ExampleNewContext() {
	client, err := apikey.NewClient(apikey.Key{ID: "fr92a5qpbj", Name: "julianwood"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := apikey.NewContext(context.Background(), client)
	w := httptest.NewRecorder()
	greet(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	fmt.Println(w.Body)
	// Output: hello julianwood
}

// ID is what limits count by.
func ExampleID() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	h := keys.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := apikey.ID(r)
		fmt.Fprintf(w, "%s %t", id, ok)
	}))
	fmt.Println(get(h, value))
	// Output: 200 fr92a5qpbj true
}

// A mistake: the value is secret, and code that counts, logs or stores by it spreads it. Use [apikey.ID] instead.
func Example_incorrect() {
	byValue := func(r *http.Request) (string, bool) {
		v := r.Header.Get("X-API-Key")
		return v, v != "" // also: accepted without being verified
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-API-Key", "made-up")
	fmt.Println(byValue(r))
	fmt.Println(apikey.ID(r)) // no verifier has seen r
	// Output:
	// made-up true
	//  false
}

// A mistake: a key in a query parameter. It works, but every proxy on the way may log the value.
func Example_incorrectSource() {
	keys, _ := apikey.New(apikey.Config{
		Keys: []apikey.Entry{julian},
		Source: func(r *http.Request) (string, bool) {
			query := r.URL.Query() // not r.FormValue, which reads the body
			return query.Get("key"), query.Has("key")
		},
	})
	r := httptest.NewRequest("GET", "/?key="+value, nil)
	_, err := keys.Verify(r)
	fmt.Println(err, strings.Contains(r.URL.String(), value))
	// Output: <nil> true
}

// A mistake: a caller that ignores the error has a nil request. It panics, and serves nothing.
func Example_incorrectIgnoredError() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{julian}})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, _ = keys.Authenticate(r)
		greet(w, r)
	})
	defer func() { fmt.Println("panic:", recover()) }()
	fmt.Println(get(h, "made-up"))
	// Output: panic: runtime error: invalid memory address or nil pointer dereference
}

// A dry run: every request goes on, and what would have been refused is counted. It carries no proof.
func ExampleConfig_allowDespite() {
	refused := 0
	keys, _ := apikey.New(apikey.Config{
		Keys:         []apikey.Entry{julian},
		AllowDespite: func(*http.Request, error) bool { refused++; return true },
	})
	h := keys.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, found := apikey.ID(r)
		fmt.Fprintf(w, "%q %t", id, found)
	}))
	fmt.Println(get(h, value))
	fmt.Println(get(h, "made-up"))
	fmt.Println("would have refused", refused)
	// Output:
	// 200 "fr92a5qpbj" true
	// 200 "" false
	// would have refused 1
}

// A new value is shown to its owner once, as a string: a Secret in an answer is masked.
func ExampleSecret() {
	secret := apikey.Secret(value) // in a program, from Generate
	masked, _ := json.Marshal(map[string]apikey.Secret{"value": secret})
	shown, _ := json.Marshal(map[string]string{"value": string(secret)})
	fmt.Println(string(masked))
	fmt.Println(string(shown))
	// Output:
	// {"value":"REDACTED"}
	// {"value":"67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"}
}

// All keys of one customer count against one quota if the limits take CustomerID.
func ExampleCustomerID() {
	keys, _ := apikey.New(apikey.Config{Keys: []apikey.Entry{
		{Key: apikey.Key{ID: "phone00001", CustomerID: "acme", Enabled: true}, Value: value},
		{Key: apikey.Key{ID: "website001", CustomerID: "acme", Enabled: true}, Value: "anotherValueOfFortyCharacters01234567890"},
	}})
	h := keys.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := apikey.ID(r)
		customer, found := apikey.CustomerID(r)
		fmt.Fprint(w, id, " ", customer, " ", found)
	}))
	fmt.Println(get(h, value))
	fmt.Println(get(h, "anotherValueOfFortyCharacters01234567890"))
	// Output:
	// 200 phone00001 acme true
	// 200 website001 acme true
}

// Two nodes share a journal. A key that is disabled on one of them is refused by the other, which follows.
func ExampleConfig_follow() {
	ctx := context.Background()
	store := journal.Memory(0) // two processes need a store that they share
	open := func() *apikey.Verifier {
		v, err := apikey.New(apikey.Config{
			Keys: []apikey.Entry{julian}, Pepper: "a pepper of thirty-two bytes or more", Journal: store,
			Follow: true, MaxStale: 10 * time.Second, // a node that cannot hear for so long refuses with 503
		})
		if err != nil {
			panic(err)
		}
		return v
	}
	here, there := open(), open()
	defer here.Close()
	defer there.Close()
	_, err := there.VerifyKey(ctx, value)
	fmt.Println(err)
	if _, err := here.Update(ctx, "fr92a5qpbj", func(k *apikey.Key) error { k.Enabled = false; return nil }); err != nil {
		panic(err)
	}
	for there.Stats().Revision < here.Stats().Revision {
		time.Sleep(time.Millisecond) // less than a second in all
	}
	_, err = there.VerifyKey(ctx, value)
	fmt.Println(err)
	// Output:
	// <nil>
	// apikey: API key is not active: it is disabled (key fr92a5qpbj)
}
