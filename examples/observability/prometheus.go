package main

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// promMetrics are the metrics for Prometheus. All labels are words of Tallygate or names of the configuration, so no
// client can add a series. None is a client: there are too many of them.
type promMetrics struct {
	decisions, operations *prometheus.CounterVec
	calls, fetches        *prometheus.HistogramVec
}

func newPromMetrics(r prometheus.Registerer) *promMetrics {
	seconds := prometheus.ExponentialBuckets(100e-6, 4, 9) // 100 µs to 6.6 s
	m := &promMetrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallygate_decisions_total", Help: "Decisions about requests, by the layer that decided.",
		}, []string{"layer", "outcome", "reason", "plan", "route"}),
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallygate_ledger_operations_total", Help: "What the ledger has done to accounts.",
		}, []string{"operation", "reason"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallygate_ledger_call_duration_seconds", Help: "How long the ledger's engine took.", Buckets: seconds,
		}, []string{"operation", "reason"}),
		fetches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tallygate_issuer_fetch_duration_seconds", Help: "How long it took to fetch an issuer's keys.", Buckets: seconds,
		}, []string{"issuer", "outcome"}),
	}
	r.MustRegister(m.decisions, m.operations, m.calls, m.fetches)
	m.operations.WithLabelValues("loss", "") // from 0, because increase() does not count the first value of a series
	return m
}

// decision is an Observe function. A request that passes three layers is counted three times, once in each.
func (m *promMetrics) decision(_ context.Context, e sigv4.Event) {
	m.decisions.WithLabelValues(e.Layer, e.Outcome, e.Reason, e.Plan, e.Route).Inc()
}

// ledger is told what a ledger does. Events of accounts have no duration.
func (m *promMetrics) ledger(_ context.Context, e ledger.Event) {
	if e.Account != (ledger.Account{}) {
		m.operations.WithLabelValues(e.Operation, e.Reason).Inc()
		return
	}
	m.calls.WithLabelValues(e.Operation, e.Reason).Observe(e.Duration.Seconds())
}

// fetch is told each fetch of an issuer's keys.
func (m *promMetrics) fetch(_ context.Context, f auth.Fetch) {
	outcome := "fetched"
	if f.Err != nil {
		outcome = "failed"
	}
	m.fetches.WithLabelValues(f.Issuer, outcome).Observe(f.Duration.Seconds())
}

// promLevels registers gauges, which are read when Prometheus asks.
func promLevels(r prometheus.Registerer, levels []level) {
	for _, l := range levels {
		name := "tallygate_" + strings.ReplaceAll(l.name, ".", "_")
		if l.unit == "s" {
			name += "_seconds"
		}
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: l.help}, l.read))
	}
}
