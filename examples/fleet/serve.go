package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// serveBoth serves the API and the control plane until ctx ends, and prints their addresses. They have two ports, so
// that a firewall can keep clients away from the control plane. Both listen only on this machine.
func serveBoth(ctx context.Context, api, control http.Handler, out io.Writer) error {
	var listeners [2]net.Listener
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // for an error below; Shutdown closes it, too
		listeners[i] = l
	}
	// A listener takes connections from now on, so a process that has read the line can connect.
	if _, err := fmt.Fprintf(out, ready, listeners[0].Addr(), listeners[1].Addr()); err != nil {
		return err
	}
	// Both servers end together, and both have ended when serveBoth returns: the caller closes next what handlers use.
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop() // if one server fails, the other ends too
		ended <- serve(ctx, listeners[1], control)
	}()
	err := serve(ctx, listeners[0], api)
	stop()
	return errors.Join(err, <-ended)
}

// ready is the line that a node prints when it serves. The process that has started it reads the line; see listen.
const ready = "API http://%s control plane http://%s\n"

// serve answers requests until ctx ends. It then waits up to five seconds for the requests that have begun. The
// timeouts keep clients that send slowly, or nothing, from holding connections forever.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute,
	}
	down := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(down)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx) // requests that take longer are cut off
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-down // Serve returns as soon as Shutdown begins, while requests are still under way
	return nil
}
