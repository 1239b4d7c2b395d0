package main

import (
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tallygate/tallygate/sigv4"
)

// The span around a request says which layer refused it and why. An allowed request adds nothing.
func TestSpanTellsTheRefusal(t *testing.T) {
	w := watch(t)
	spans := tracetest.NewInMemoryExporter()
	tracer := trace.NewTracerProvider(trace.WithSyncer(spans)).Tracer("test")
	traced := func(edits ...edit) (*http.Response, string) {
		ctx, span := tracer.Start(t.Context(), "GET")
		res := send(w.api, http.MethodGet, points, append(edits, func(r *http.Request) { *r = *r.WithContext(ctx) })...)
		span.End()
		ended := spans.GetSpans()
		return res, words(attribute.NewSet(ended[len(ended)-1].Attributes...))
	}
	sign, key := customer(t), header("x-api-key", apiKey)
	for range 2 {
		res, told := traced(key, sign)
		requireStatus(t, 200, res)
		require.Empty(t, told)
	}
	res, told := traced(key, sign)
	requireStatus(t, 429, res)
	require.Equal(t, "error.type=throttled http.route=/Prod/loyalty/{customerId} tallygate.layer=plan throttle tallygate.policy=jcfq33 "+
		"tallygate.request_id="+res.Header.Get("X-Amzn-RequestId")+" tallygate.result=refused", told)
}

// Many goroutines count the same and different decisions at once, and none is lost.
func TestConcurrentDecisionsAreCounted(t *testing.T) {
	w := watched{reader: sdk.NewManualReader()}
	m, err := newOtelMetrics(sdk.NewMeterProvider(sdk.WithReader(w.reader)).Meter("test"))
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				m.decision(t.Context(), sigv4.Event{Verdict: &sigv4.Verdict{Outcome: "allowed", Plan: strconv.Itoa(i % 10)}})
			}
		})
	}
	all.Wait()
	points := w.collect(t)["tallygate.decisions"].(metricdata.Sum[int64]).DataPoints
	require.Len(t, points, 10)
	for _, p := range points {
		require.EqualValues(t, 800, p.Value)
	}
}
