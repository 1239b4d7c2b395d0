package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// The figures of the moment are the same for both. What leases have spent is told when they report it, so that the last
// unit of the day is still reserved.
func TestLevelsAfterTheTutorial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		tutorial(t, w)
		time.Sleep(time.Minute)
		want := map[string]float64{
			"tallygate.keys": 1, "tallygate.plans": 1, "tallygate.plan.members": 1, "tallygate.tokens": 1, "tallygate.issuer.keys.age": 60,
			"tallygate.issuer.keys.left": 87_240, "tallygate.issuer.failing": 0, // 15 minutes, a day, less the minute
			"tallygate.ledger.keys": 1, "tallygate.ledger.leases": 1, "tallygate.ledger.reserved": 1, "tallygate.ledger.spent": 9,
			"tallygate.ledger.queue": 0, "tallygate.ledger.owed": 0,
		}
		gauges := map[string]float64{}
		for name, data := range w.collect(t) {
			if gauge, ok := data.(metricdata.Gauge[float64]); ok {
				gauges[name] = gauge.DataPoints[0].Value
			}
		}
		require.Equal(t, want, gauges)
		families := w.scrape(t)
		require.InDelta(t, 60, families["tallygate_issuer_keys_age_seconds"].GetMetric()[0].GetGauge().GetValue(), 0)
		require.InDelta(t, 9, families["tallygate_ledger_spent"].GetMetric()[0].GetGauge().GetValue(), 0)
	})
}

// Both have the same histograms: of calls by operation and reason, and of fetches by issuer. What the ledger does to
// accounts is counted, because it has no duration of its own.
func TestTimesTellFailures(t *testing.T) {
	reader := sdk.NewManualReader()
	registry := prometheus.NewRegistry()
	w := watched{reader: reader}
	otelMetrics, err := newOtelMetrics(sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test"))
	require.NoError(t, err)
	tell := telemetry{prom: newPromMetrics(registry), otel: otelMetrics}
	for _, e := range []ledger.Event{
		{Operation: "update", Duration: time.Second},
		{Operation: "update", Duration: time.Second, Reason: "timeout", Err: errors.New("slow")},
		{Operation: "reserve", Account: ledger.Account{Key: ledger.Key{Subject: "c"}}, Granted: 1},
		{Operation: "loss", Account: ledger.Account{Key: ledger.Key{Subject: "c"}}},
		{Operation: "loss", Account: ledger.Account{Key: ledger.Key{Subject: "d"}}},
	} {
		tell.ledger(t.Context(), e)
	}
	tell.fetch(t.Context(), auth.Fetch{Issuer: "https://issuer.example", Duration: time.Second})
	tell.fetch(t.Context(), auth.Fetch{Issuer: "https://issuer.example", Duration: time.Second, Err: errors.New("what a server says")})

	otel := map[string]int64{}
	for name, data := range w.collect(t) {
		switch data := data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				otel[name+" "+words(p.Attributes)] = p.Value
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				otel[name+" "+words(p.Attributes)] = int64(p.Sum)
			}
		}
	}
	require.Equal(t, map[string]int64{
		"tallygate.ledger.call.duration tallygate.operation=update":                                 1,
		"tallygate.ledger.call.duration error.type=timeout tallygate.operation=update":              1,
		"tallygate.ledger.operations tallygate.operation=reserve":                                   1,
		"tallygate.ledger.operations tallygate.operation=loss":                                      2,
		"tallygate.issuer.fetch.duration tallygate.issuer=https://issuer.example":                   1,
		"tallygate.issuer.fetch.duration error.type=_OTHER tallygate.issuer=https://issuer.example": 1,
	}, otel)

	prom := map[string]float64{}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			prom[f.GetName()+" "+values(m)] = m.GetHistogram().GetSampleSum() + m.GetCounter().GetValue()
		}
	}
	require.Equal(t, map[string]float64{
		"tallygate_ledger_call_duration_seconds update|":                         1,
		"tallygate_ledger_call_duration_seconds update|timeout":                  1,
		"tallygate_ledger_operations_total reserve|":                             1,
		"tallygate_ledger_operations_total loss|":                                2,
		"tallygate_issuer_fetch_duration_seconds https://issuer.example|fetched": 1,
		"tallygate_issuer_fetch_duration_seconds https://issuer.example|failed":  1,
	}, prom)
}
