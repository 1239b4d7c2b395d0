package function_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

// functions are the handlers that the test program can serve as a function. The first of the signed ones is ours, and
// the others are the peers'.
var functions = map[string]func(){
	"signed":              func() { lambda.Start(ours(signed())) },
	"signed, httpadapter": func() { lambda.Start(httpadapter.New(signed()).ProxyWithContext) },
	"signed, adapter 2.0": func() { lambda.Start(httpadapter.NewV2(signed()).ProxyWithContext) },
	"signed, adapter ALB": func() { lambda.Start(httpadapter.NewALB(signed()).ProxyWithContext) },
	"signed, lambdaurl":   func() { lambdaurl.Start(signed()) },
	"eight":               func() { lambda.Start(ours(new(eight))) },
	"eight, lambdaurl":    func() { lambdaurl.Start(new(eight)) },
	"echo":                func() { lambda.Start(ours(http.HandlerFunc(echo))) },
	"keeper":              func() { lambda.Start(ours(new(keeper))) },
	"careless":            func() { lambda.Start(new(careless)) },
	"stream":              func() { lambda.Start(ours(http.HandlerFunc(stream)).Stream) },
	"users":               func() { lambda.Start(ours(users().Handler(http.HandlerFunc(who)))) },
	"authorized":          func() { lambda.Start(ours(authorized().Handler(http.HandlerFunc(who)))) },
	"authorizer, simple":  func() { lambda.Start(deciding(authorizer.Config{Simple: true})) },
	"authorizer, policy":  func() { lambda.Start(deciding(authorizer.Config{})) },
	"authorizer, graph": func() {
		lambda.Start(deciding(authorizer.Config{
			DeniedFields: func(*http.Request) []string { return []string{"Mutation.closeAccount"} },
			TTL:          func(*http.Request) (time.Duration, bool) { return time.Minute, true },
		}))
	},
}

func ours(h http.Handler) *awslambda.Function {
	f, err := awslambda.New(awslambda.Config{Handler: h, BasePaths: map[string]string{"api.example.com": "v1"}})
	if err != nil {
		panic(err)
	}
	return f
}

// signed answers a signed request with the name of the caller and the body.
func signed() http.Handler {
	ring := sigv4.Keyring{accessKey: {Secret: secretKey, Principal: "julianwood"}}
	v, err := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: ring.Key, Regions: []string{"eu-west-1"}, Services: []string{"execute-api"},
	})
	if err != nil {
		panic(err)
	}
	return v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := sigv4.ID(r)
		_, _ = io.WriteString(w, id+" ")
		_, _ = io.Copy(w, r.Body)
	}))
}

// users tells who is signed in. It fetches the key set when a request needs it, and not in the init phase.
func users() *auth.Verifier {
	issuer := auth.OIDC(pool, appClient)
	issuer.JWKS = os.Getenv("JWKS")
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{issuer}, AllowHTTP: true})
	if err != nil {
		panic(err)
	}
	return v
}

// authorized believes the events of one API and one function URL.
func authorized() *auth.Modes {
	a, err := authorizer.NewAuthorized(authorizer.AuthorizedConfig{
		APIs: []string{"a1b2c3d4e5"}, FunctionURLs: []string{"u1v2w3x4y5"},
		Cognito: true, JWT: true, Lambda: true, IAM: true, APIKeys: true, Issuers: map[string][]string{pool: {appClient}},
	})
	if err != nil {
		panic(err)
	}
	return auth.AnyOf(a)
}

// deciding is the authorizer of users.
func deciding(c authorizer.Config) *authorizer.Authorizer {
	c.Mode, c.Principal = users(), auth.ID
	c.Context = func(*http.Request) map[string]any { return map[string]any{"level": 3} }
	a, err := authorizer.New(c)
	if err != nil {
		panic(err)
	}
	return a
}

// who answers who the caller is, by each package that can tell.
func who(w http.ResponseWriter, r *http.Request) {
	for name, told := range map[string]func(*http.Request) (string, bool){
		"auth": auth.ID, "custom": custom.ID, "sigv4": sigv4.ID, "apikey": apikey.ID,
	} {
		if id, ok := told(r); ok {
			w.Header().Set("X-"+name, id)
		}
	}
}

// eight lets the first eight requests come together, and panics at the one for /panic while the others are at work.
// Each answer has the id of the process.
type eight struct {
	mu   sync.Mutex
	come int
	all  sync.WaitGroup
}

func (e *eight) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.arrive()
	e.all.Wait()
	if r.URL.Path == "/panic" {
		panic("one of eight")
	}
	time.Sleep(300 * time.Millisecond) // still at work when the other panics
	fmt.Fprint(w, os.Getpid())
}

// arrive counts a request. The first makes all wait for seven more.
func (e *eight) arrive() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.come++
	switch {
	case e.come == 1:
		e.all.Add(7)
	case e.come <= 8:
		e.all.Done()
	}
}

// echo answers with the path, as often as the query says. For what is not a number it panics with the path.
func echo(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("times"))
	if err != nil {
		panic("no number for " + r.URL.Path)
	}
	_, _ = io.WriteString(w, strings.Repeat(r.URL.Path, n))
}

// keeper answers with what it has kept of the request before: everything that could be a part of its event.
type keeper struct{ before func() string }

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if k.before != nil {
		_, _ = io.WriteString(w, k.before())
	}
	e, _ := awslambda.FromContext(r.Context())
	uri, header := r.RequestURI, r.Header["X-Kept"]
	k.before = func() string {
		return strings.Join([]string{uri, header[0], e.API, e.Domain, string(e.Authorizer), string(e.Identity)}, " ")
	}
}

// careless is a function without this module. It answers with the event before, as it is in the slice now.
type careless struct{ before []byte }

func (s *careless) Invoke(_ context.Context, event []byte) ([]byte, error) {
	answer, err := json.Marshal(string(s.before))
	s.before = event
	return answer, err
}

// partSize is the size of a part that stream writes.
const partSize = 64 << 10

// stream writes as many parts as the query says, and logs when it has written all. It panics then for /panic.
func stream(w http.ResponseWriter, r *http.Request) {
	parts, _ := strconv.Atoi(r.URL.Query().Get("parts"))
	w.Header().Set("Content-Type", "text/plain")
	for range parts {
		if _, err := io.WriteString(w, strings.Repeat("x", partSize)); err != nil {
			return
		}
	}
	fmt.Fprintln(os.Stderr, "all is written")
	switch r.URL.Path {
	case "/panic":
		panic("in mid-stream")
	case "/deep":
		deep(50)
	}
}

// deep panics with a long stack.
func deep(n int) int {
	if n == 0 {
		panic("deep in mid-stream " + strings.Repeat("\x01", 4<<10))
	}
	return 1 + deep(n-1)
}
