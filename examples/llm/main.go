// Llm is a gateway in front of an API of OpenAI's shape. Each API key has a budget of tokens a day, which is counted
// exactly, in one file, and survives kill -9. Each model has a throttle of its own, and 50 requests of a key may run at
// once. It serves POST /v1/chat/completions, streamed or not, and GET /v1/models:
//
//	OPENAI_API_KEY=… go run ./examples/llm -upstream https://api.openai.com
//
// The URL of the upstream is without /v1. It may be any server with this API, and needs no OPENAI_API_KEY if that server
// wants none: http://127.0.0.1:11434, for example. The models that may be called are in this file, and so are the keys. The
// program prints the key of a customer:
//
//	curl -N http://127.0.0.1:8080/v1/chat/completions -H 'Authorization: Bearer sk-67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU' \
//		-d '{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Say this is a test"}]}'
//
// Answers tell what is left of the budget: in the fields RateLimit and RateLimit-Policy, and in
// X-Ratelimit-Remaining-Tokens as OpenAI has it. A stream tells it before its first event, so what it has reserved by
// then is not left. The log has why an upstream has failed. The client is not told.
//
// A request reserves tokens before it goes on: those of its prompt, estimated as a quarter of the bytes of the body, and
// those of the answer, by max_completion_tokens or max_tokens. If less is left of the budget, it reserves what is left, at
// least 16 tokens for each choice, and max_tokens is lowered to that. A stream without a bound reserves 256 tokens for
// each choice, and takes more as it grows.
//
// A stream is counted as it passes, event by event. While it runs, the answer is estimated: a token for each delta with
// text, or for each four bytes of text if that is more. An event is passed on only after its tokens are taken. If the
// budget does not have them, the stream is cut with an error event, which OpenAI's clients raise as an APIError.
//
// At the end the request is settled with the usage that the upstream reports. The gateway always asks for it
// (stream_options.include_usage), and hides the event from clients that have not. If that is more than the budget has,
// the rest is forgiven. If the client or the upstream leaves before, the estimate counts, without what no delta shows,
// such as hidden reasoning. If the client leaves before the answer has begun, or the answer takes more than ten minutes
// to begin, nobody knows what the upstream has done, and what was reserved counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// longest is how long an answer may take. Then the request to the upstream is given up.
const longest = 10 * time.Minute

// customers are the keys that may call. A real service keeps them in a journal; see examples/loyalty.
var customers = []apikey.Entry{
	{Key: apikey.Key{ID: "fr92a5qpbj", Name: "julianwood", Enabled: true}, Value: "sk-67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU"},
	{Key: apikey.Key{ID: "k7w2m9x4qd", Name: "retired-partner"}, Value: "sk-Qn3vX8kZ2mB7tR5yW1cL9dF6hJ4pS0aG"},
}

// models are the models that may be called, each with the requests per second of one key.
var models = map[string]ratelimit.Limit{
	"gpt-4o":      {Rate: 1, Burst: 2},
	"gpt-4o-mini": {Rate: 20, Burst: 100},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Fatal("llm: ", err)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("llm", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	upstream := flags.String("upstream", "https://api.openai.com", "the API, without /v1; its key is $OPENAI_API_KEY")
	data := flags.String("data", "llm-data", "the folder of the counts")
	budget := flags.Int64("budget", 100_000, "the tokens of a key in a day")
	if err := flags.Parse(args); err != nil {
		return err
	}
	target, err := upstreamURL(*upstream)
	if err != nil {
		return err
	}
	quotas, closeStore, err := openStore(*data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	h, err := newGateway(config{
		upstream: target, secret: os.Getenv("OPENAI_API_KEY"), quotas: quotas,
		keys: customers, budget: *budget, models: models, atOnce: 50, longest: longest,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Gateway on http://%s/v1\nKey %s\n", listener.Addr(), string(customers[0].Value))
	return serve(ctx, listener, h, 5*time.Second)
}

// upstreamURL returns the URL of the upstream. The path of a request, which begins with /v1, is appended to it.
func upstreamURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("-upstream %q is not a URL such as https://api.openai.com", text)
	}
	if strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/v1") {
		return nil, fmt.Errorf("-upstream %q ends with /v1, which each request has already: leave it out", text)
	}
	return u, nil
}

// openStore opens the counts in the folder dir. It makes the folder if there is none.
func openStore(dir string) (*ledger.Ledger, func() error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	file, err := boltstore.Open(filepath.Join(dir, "usage.db")) // from here on, no other process uses the folder
	if err != nil {
		return nil, nil, err
	}
	spent, err := slots.Open(filepath.Join(dir, "slots")) // so that kill -9 wastes nothing of an open lease
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	quotas, err := ledger.New(ledger.Config{
		Engine: file, Slots: spent, SettleWithin: longest + time.Minute, // a minute for answers that are being written
		Observe: func(_ context.Context, e ledger.Event) {
			if e.Operation == "unsettled" {
				log.Printf("a request of %s was never settled: what it has taken stays counted", e.Account.Subject)
			}
		},
	})
	if err != nil {
		return nil, nil, errors.Join(err, spent.Close(), file.Close())
	}
	return quotas, func() error { return errors.Join(quotas.Close(), spent.Close(), file.Close()) }, nil
}
