package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdaurl"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"github.com/tallygate/tallygate/auth/awslambda"
)

// echo reads the request as handlers do, and answers with a small JSON object.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_ = r.Header.Get("Authorization")
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, `{"message":"hello","points":1234}`)
})

// lambda.Start(f) takes a Function as it is.
var _ lambda.Handler = (*awslambda.Function)(nil)

// invoke is a function from an event to an answer, as the runtime calls it.
type invoke func(context.Context, []byte) ([]byte, error)

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	event, err := os.ReadFile(filepath.Join("..", "testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var compact bytes.Buffer // Lambda delivers events without blanks
	if err := json.Compact(&compact, event); err != nil {
		tb.Fatal(err)
	}
	return compact.Bytes()
}

func ours(tb testing.TB) *awslambda.Function {
	tb.Helper()
	f, err := awslambda.New(awslambda.Config{Handler: echo})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// cases are the events, and what serves them. The peers get the event through the runtime's own handler, which decodes
// and encodes their types: that is what a function pays.
func cases(tb testing.TB) map[string]map[string]invoke {
	f := ours(tb)
	decoded := func(handler any) invoke { return lambda.NewHandler(handler).Invoke }
	return map[string]map[string]invoke{
		"rest":      {"ours": f.Invoke, "httpadapter": decoded(httpadapter.New(echo).ProxyWithContext)},
		"http2":     {"ours": f.Invoke, "httpadapter": decoded(httpadapter.NewV2(echo).ProxyWithContext)},
		"alb_multi": {"ours": f.Invoke, "httpadapter": decoded(httpadapter.NewALB(echo).ProxyWithContext)},
		"url":       {"ours": f.Invoke, "lambdaurl": decoded(lambdaurl.Wrap(echo))},
		"stream":    {"ours": decoded(f.Stream), "lambdaurl": decoded(lambdaurl.Wrap(echo))},
	}
}

func eventOf(tb testing.TB, name string) []byte {
	if name == "stream" {
		name = "url"
	}
	return golden(tb, name)
}

func BenchmarkInvoke(b *testing.B) {
	all := cases(b)
	for _, name := range []string{"rest", "http2", "alb_multi", "url", "stream"} {
		event := eventOf(b, name)
		b.Run("event="+name, func(b *testing.B) {
			for _, who := range []string{"ours", "httpadapter", "lambdaurl"} {
				f, ok := all[name][who]
				if !ok {
					continue
				}
				b.Run("impl="+who, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := f(b.Context(), event); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			b.Run("impl=unmarshal", func(b *testing.B) { // the floor of the peers: the event alone, into Go values
				b.ReportAllocs()
				for b.Loop() {
					var v struct {
						Headers               map[string]string
						MultiValueHeaders     map[string][]string
						QueryStringParameters map[string]string
						Body                  string
					}
					if err := json.Unmarshal(event, &v); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// Each answers each event with the handler's body, so that the benchmark compares like with like.
func TestAllAnswer(t *testing.T) {
	for name, impls := range cases(t) {
		for who, f := range impls {
			out, err := f(t.Context(), eventOf(t, name))
			if err != nil || !bytes.Contains(out, []byte("hello")) {
				t.Errorf("%s %s: %s %v", name, who, out, err)
			}
		}
	}
}

// Ours allocates less than each peer.
func TestAllocations(t *testing.T) {
	for name, impls := range cases(t) {
		event := eventOf(t, name)
		allocations := map[string]float64{}
		for who, f := range impls {
			allocations[who] = testing.AllocsPerRun(50, func() { _, _ = f(t.Context(), event) })
		}
		for who, n := range allocations {
			if who != "ours" && n <= allocations["ours"] {
				t.Errorf("%s: ours %v, %s %v", name, allocations["ours"], who, n)
			}
		}
	}
}
