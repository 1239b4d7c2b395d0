package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// serve answers requests until ctx ends. Those that have begun may then go on for the time grace, and are cut off after
// it. serve waits until they are settled: else all that they have reserved would stay counted.
func serve(ctx context.Context, listener net.Listener, h http.Handler, grace time.Duration) error {
	base, cutOff := context.WithCancel(context.Background())
	defer cutOff()
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	down := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(down)
		if finish(server, grace) != nil {
			cutOff()
			_ = finish(server, 20*time.Second) // only a client that does not read can take longer
		}
	})
	err := server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-down
		return nil
	}
	return err
}

// finish waits for the requests that have begun, no longer than the time.
func finish(server *http.Server, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	return server.Shutdown(ctx)
}
