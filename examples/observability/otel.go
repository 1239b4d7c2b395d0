package main

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// otelMetrics are the metrics for OpenTelemetry. Its conventions have no names for access control. So these are ours, in
// the shape of those for the rate limiter of ASP.NET Core (aspnetcore.rate_limiting.requests, with the attributes result
// and policy). error.type and http.route are general conventions.
type otelMetrics struct {
	decisions, operations metric.Int64Counter
	calls, fetches        metric.Float64Histogram
}

func newOtelMetrics(m metric.Meter) (o otelMetrics, err error) {
	var errs [4]error
	seconds := metric.WithExplicitBucketBoundaries(100e-6, 400e-6, 1.6e-3, 6.4e-3, 26e-3, 0.1, 0.4, 1.6, 6.6)
	o.decisions, errs[0] = m.Int64Counter("tallygate.decisions", metric.WithUnit("{decision}"))
	o.operations, errs[1] = m.Int64Counter("tallygate.ledger.operations", metric.WithUnit("{operation}"))
	o.calls, errs[2] = m.Float64Histogram("tallygate.ledger.call.duration", metric.WithUnit("s"), seconds)
	o.fetches, errs[3] = m.Float64Histogram("tallygate.issuer.fetch.duration", metric.WithUnit("s"), seconds)
	return o, errors.Join(errs[:]...)
}

// decision is an Observe function. It counts, and tells the current span why a request was not allowed. A pattern is
// "GET /pets/{id}", its route "/pets/{id}".
func (o otelMetrics) decision(ctx context.Context, e sigv4.Event) {
	set := attributes("tallygate.layer", e.Layer, "tallygate.result", e.Outcome, "error.type", e.Reason,
		"tallygate.policy", e.Plan, "http.route", e.Route[max(strings.IndexByte(e.Route, '/'), 0):])
	o.decisions.Add(ctx, 1, metric.WithAttributes(set...))
	if span := trace.SpanFromContext(ctx); e.Outcome != "allowed" && span.IsRecording() {
		span.SetAttributes(append(set, attribute.String("tallygate.request_id", e.RequestID))...)
	}
}

// ledger is told what a ledger does. Events of accounts have no duration.
func (o otelMetrics) ledger(ctx context.Context, e ledger.Event) {
	set := metric.WithAttributes(attributes("tallygate.operation", e.Operation, "error.type", e.Reason)...)
	if e.Account != (ledger.Account{}) {
		o.operations.Add(ctx, 1, set)
		return
	}
	o.calls.Record(ctx, e.Duration.Seconds(), set)
}

// fetch is told each fetch of an issuer's keys. "_OTHER" is the conventions' word for an error without a class.
func (o otelMetrics) fetch(ctx context.Context, f auth.Fetch) {
	reason := ""
	if f.Err != nil {
		reason = "_OTHER"
	}
	set := attributes("tallygate.issuer", f.Issuer, "error.type", reason)
	o.fetches.Record(ctx, f.Duration.Seconds(), metric.WithAttributes(set...))
}

// attributes makes attributes of names and values. It leaves out what is empty, as the conventions ask. All values are
// words of Tallygate or names of the configuration, so there are few different ones, whatever clients send.
func attributes(pairs ...string) (list []attribute.KeyValue) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, attribute.String(pairs[i], pairs[i+1]))
		}
	}
	return list
}
