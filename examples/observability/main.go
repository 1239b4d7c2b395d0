// Observability is the loyalty API of examples/loyalty with metrics, traces and logs of what Tallygate decides. Run it
// and paste the lines that it prints.
//
// prometheus.go, otel.go and slog.go are three ways to look. Copy the one that you need.
// telemetry.go joins them, and guards.go gives its functions to all layers.
//
// What is worth an alert, in the words of Prometheus:
//
//	rate(tallygate_decisions_total{outcome="failed",reason!="canceled"}[5m]) > 0       a dependency or the program fails
//	rate(tallygate_decisions_total{outcome="despite"}[5m]) > 0                         requests pass that were refused
//	rate(tallygate_decisions_total{reason="signature_mismatch"}[5m]) > 1               a secret is wrong, or guessed
//	increase(tallygate_ledger_operations_total{operation="loss"}[1h]) > 0              the engine has lost data
//	rate(tallygate_ledger_call_duration_seconds_count{reason=~"timeout|failed"}[5m]) > 0
//	                                                                                   the engine fails; leases still admit
//	tallygate_issuer_failing == 1 and tallygate_issuer_keys_left_seconds < 43200       keys of tokens become too old
//	rate(tallygate_decisions_total{reason="quota_exceeded"}[5m]) > 0                   a client has used up its quota
//
// In a dry run, outcome="despite" counts what would have been refused. So leave the layer or the plan under trial out of
// that alert. To warn a client before its quota is used up, set OnThreshold of the ledger. A service whose keys and plans
// are in a journal also needs levels of Age in the Stats of apikey and usageplan, and an alert if one grows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/otel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "observability:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// run serves until ctx ends. The meter provider is OpenTelemetry's global one, which does nothing until a program sets
// the SDK with its exporter. The lines of the log go to out after the help.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("observability", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "address of the API")
	admin := flags.String("admin", "127.0.0.1:8081", "address of the control plane and the metrics")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := newService(otel.GetMeterProvider(), slog.New(slog.NewJSONHandler(out, nil)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	first, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	second, err := net.Listen("tcp", *admin)
	if err != nil {
		return errors.Join(err, first.Close())
	}
	addresses := strings.NewReplacer("{{api}}", first.Addr().String(), "{{control}}", second.Addr().String(), "{{token}}", s.token)
	if _, err := addresses.WriteString(out, help); err != nil {
		return errors.Join(err, first.Close(), second.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer stop() // if one server fails, the other ends too
		ended <- serve(ctx, second, s.control)
	}()
	err = serve(ctx, first, s.api)
	stop()
	return errors.Join(err, <-ended)
}

// serve answers requests until ctx ends. It then waits up to five seconds for those that have begun.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	down := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(down)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // requests that take longer are cut off
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-down
	return nil
}

// help is what the program prints.
const help = `Loyalty API on http://{{api}}

  API=http://{{api}}/Prod CONTROL=http://{{control}} KEY='x-api-key: ` + apiKey + `'
  SIGN=(--aws-sigv4 aws:amz:` + region + `:execute-api --user ` + accessKey + `:` + secretKey + `)
  points() { curl -s -w ' %{http_code}\n' "$@" $API/loyalty/a900; }
Without a signature 403, without a key 403, then twice 200 and 429 (more than 1 a second and a burst of 2):
  points; points "${SIGN[@]}"; for i in 1 2 3; do points "${SIGN[@]}" -H "$KEY"; done
Eight more of the day's ten, then 429 Limit Exceeded:
  for i in {1..9}; do sleep 1; points "${SIGN[@]}" -H "$KEY"; done
A user who has signed in: 200. The keys of the issuer are fetched once:
  curl -s -H 'Authorization: Bearer {{token}}' $API/me

What came of it, for Prometheus:
  curl -s -H 'x-api-key: ` + scrapeKey + `' $CONTROL/metrics | grep tallygate
The same for the owner, and the owner's control plane:
  OWNER=(--aws-sigv4 aws:amz:` + region + `:apigateway --user ` + ownerAccessKey + `:` + ownerSecretKey + `)
  curl -s "${OWNER[@]}" $CONTROL/metrics | grep tallygate_decisions_total
  export AWS_ACCESS_KEY_ID=` + ownerAccessKey + ` AWS_SECRET_ACCESS_KEY=` + ownerSecretKey + ` AWS_DEFAULT_REGION=` + region + `
  aws apigateway --endpoint-url $CONTROL get-usage --usage-plan-id ` + planID + ` --start-date $(date -u +%F) --end-date $(date -u +%F)
Prometheus cannot sign, but it can send the API key (prometheus.yml):
  scrape_configs:
    - job_name: tallygate
      static_configs: [{targets: ["{{control}}"]}]
      http_headers: {x-api-key: {secrets: [` + scrapeKey + `]}}

Each refusal is a line of the log from here on:
`
