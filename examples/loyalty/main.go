// Loyalty is the airline loyalty API of AWS's "Controlling serverless API access, part 2", guarded by Tallygate on a
// plain net/http server. Run it and paste the lines that it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loyalty:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
}

// options are the flags of the command line.
type options struct {
	addr, data           string
	issuer, jwks, client string // of a user pool; empty for the demo issuer
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("loyalty", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flags.StringVar(&o.data, "data", "", "folder of the quota ledger, which survives kill -9 (default a temporary one, which only an orderly end removes)")
	flags.StringVar(&o.issuer, "issuer", "", "issuer of a Cognito user pool (default a demo issuer inside this program)")
	flags.StringVar(&o.jwks, "jwks", "", "JWKS URL of that issuer (default the issuer's /.well-known/jwks.json)")
	flags.StringVar(&o.client, "client", "", "app client id that its tokens must be for")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.addr == "":
		return o, errors.New("-addr is empty")
	case (o.issuer == "") != (o.client == ""):
		return o, errors.New("-issuer and -client go together")
	case o.issuer == "" && o.jwks != "":
		return o, errors.New("-jwks needs -issuer")
	}
	for _, u := range []string{o.issuer, o.jwks} {
		if parsed, err := url.Parse(u); err != nil || u != "" && parsed.Host == "" {
			return o, fmt.Errorf("%q is not an absolute URL", u)
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	pool, tokens, err := userPool(o)
	if err != nil {
		return err
	}
	quotas, closeLedger, err := openLedger(o.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLedger()) }()
	api, err := newAPI(pool, quotas, accountLimit)
	if err != nil {
		return err
	}
	if err := printHelp(out, "http://"+listener.Addr().String(), o, tokens); err != nil {
		return err
	}
	return serve(ctx, listener, api)
}

// serve answers requests until ctx ends. It then waits up to five seconds for those that have begun.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, // a slow body ends, too
	}
	down := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(down)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // requests that take longer are cut off
	})
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-down
		return nil
	}
	return err
}
