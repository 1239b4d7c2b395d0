package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// telemetry is told everything and passes it on. A program usually has one way to count, not two.
type telemetry struct {
	registry *prometheus.Registry
	meter    metric.Meter

	prom *promMetrics
	otel otelMetrics
	log  func(context.Context, sigv4.Event)
}

func newTelemetry(meters metric.MeterProvider, log *slog.Logger) (t telemetry, err error) {
	var errs [2]error
	t.registry, t.meter = prometheus.NewRegistry(), meters.Meter("github.com/tallygate/tallygate")
	t.prom = newPromMetrics(t.registry)
	t.otel, errs[0] = newOtelMetrics(t.meter)
	t.log, errs[1] = newDecisionLog(log)
	return t, errors.Join(errs[:]...)
}

// decision is the Observe function of all layers.
func (t telemetry) decision(ctx context.Context, e sigv4.Event) {
	t.prom.decision(ctx, e)
	t.otel.decision(ctx, e)
	t.log(ctx, e)
}

// fetch is told each fetch of an issuer's keys.
func (t telemetry) fetch(ctx context.Context, f auth.Fetch) {
	t.prom.fetch(ctx, f)
	t.otel.fetch(ctx, f)
}

// ledger is told what the ledger does with its engine.
func (t telemetry) ledger(ctx context.Context, e ledger.Event) {
	t.prom.ledger(ctx, e)
	t.otel.ledger(ctx, e)
}

// watch adds the figures of the layers.
func (t telemetry) watch(levels []level) error {
	promLevels(t.registry, levels)
	return otelLevels(t.meter, levels)
}
