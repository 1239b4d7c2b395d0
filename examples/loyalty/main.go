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

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	listeners, err := listen(o.addr, o.admin)
	if err != nil {
		return err
	}
	defer func() { _, _ = listeners[0].Close(), listeners[1].Close() }()
	pool, tokens, err := userPool(o)
	if err != nil {
		return err
	}
	s, err := openStore(o.data, o.seal)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	o.admin = listeners[1].Addr().String() // the port may have been 0
	svc, err := newService(o, pool, s, accountLimit)
	if err != nil {
		return err
	}
	if err := printHelp(out, listeners[0], o, tokens, o.pageLink(svc.links)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop() // if one server fails, the other ends too
		ended <- serve(ctx, listeners[1], svc.owner)
	}()
	err = serve(ctx, listeners[0], withUsers(tokens.users, svc.api))
	stop()
	return errors.Join(err, <-ended)
}

// listen listens on the addresses of the API and the owner.
func listen(addr, admin string) ([2]net.Listener, error) {
	first, err := net.Listen("tcp", addr)
	if err != nil {
		return [2]net.Listener{}, err
	}
	second, err := net.Listen("tcp", admin)
	if err != nil {
		return [2]net.Listener{}, errors.Join(err, first.Close())
	}
	return [2]net.Listener{first, second}, nil
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
