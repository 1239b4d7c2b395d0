package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/sigv4"
)

// newDecisionLog returns an Observe function that logs each request that was not allowed: a refusal as a warning; as an
// error what was let through despite a refusal, and what could not be decided unless the client has gone away.
//
// A line has the cause, the id of the client and the id of the answer. It never has the value of an API key, a token or
// a signature, because no [sigv4.Event] has them. The cause may quote what the client has sent, such as the id of an
// access key, but at most some hundred bytes of it.
//
// Anybody can send requests that are refused, as fast as the network goes. So lines are limited: 100 at once, and then
// 10 a second. The next line tells how many were left out. The counters of the other files count all of them.
func newDecisionLog(log *slog.Logger) (func(context.Context, sigv4.Event), error) {
	lines, err := ratelimit.NewBucket(ratelimit.Limit{Rate: 10, Burst: 100})
	if err != nil {
		return nil, err
	}
	var omitted atomic.Int64
	return func(ctx context.Context, e sigv4.Event) {
		if e.Outcome == "allowed" || !log.Enabled(ctx, urgency(e)) {
			return
		}
		if !lines.Allow() {
			omitted.Add(1)
			return
		}
		log.LogAttrs(
			ctx, urgency(e), "request not allowed",
			slog.String("layer", e.Layer),
			slog.String("outcome", e.Outcome),
			slog.String("reason", e.Reason),
			slog.String("cause", e.Err.Error()),
			slog.String("route", e.Route),
			slog.String("plan", e.Plan),
			slog.String("client", e.Client),
			slog.String("request_id", e.RequestID),
			slog.Int64("omitted", omitted.Swap(0)),
		)
	}, nil
}

// urgency returns how urgent it is that somebody reads about the event.
func urgency(e sigv4.Event) slog.Level {
	if e.Outcome == "refused" || e.Reason == "canceled" { // then the client has gone away
		return slog.LevelWarn
	}
	return slog.LevelError
}
