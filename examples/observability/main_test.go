package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tallygate/tallygate/sigv4"
)

const (
	base   = "http://api.example"
	points = "/Prod/loyalty/a900"
)

// watched is a service whose telemetry the test reads.
type watched struct {
	service
	reader *sdk.ManualReader
	log    *bytes.Buffer
}

func watch(t *testing.T) watched {
	t.Helper()
	w := watched{reader: sdk.NewManualReader(), log: new(bytes.Buffer)}
	var err error
	w.service, err = newService(sdk.NewMeterProvider(sdk.WithReader(w.reader)), slog.New(slog.NewJSONHandler(w.log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.close()) })
	return w
}

type edit func(*http.Request)

func header(name, value string) edit { return func(r *http.Request) { r.Header.Set(name, value) } }

func signed(t *testing.T, id string, secret sigv4.Secret, service string) edit {
	t.Helper()
	signer, err := sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: id, Secret: secret}, nil
		},
		Region: region, Service: service,
	})
	require.NoError(t, err)
	return func(r *http.Request) { require.NoError(t, signer.Sign(r)) }
}

func customer(t *testing.T) edit { return signed(t, accessKey, secretKey, "execute-api") }
func owner(t *testing.T) edit    { return signed(t, ownerAccessKey, ownerSecretKey, "apigateway") }

func send(h http.Handler, method, target string, edits ...edit) *http.Response {
	r := httptest.NewRequest(method, base+target, nil)
	r.RequestURI = target
	for _, e := range edits {
		e(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// scrape reads the metrics as Prometheus does.
func (w watched) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	res := send(w.control, http.MethodGet, "/metrics", header("x-api-key", scrapeKey))
	require.Equal(t, http.StatusOK, res.StatusCode)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	require.NoError(t, err)
	return families
}

// counted are a family's counters by the values of their labels.
func counted(f *dto.MetricFamily) map[string]int {
	counts := map[string]int{}
	for _, m := range f.GetMetric() {
		counts[values(m)] = int(m.GetCounter().GetValue())
	}
	return counts
}

// values are those of a metric's labels, in the order of the labels' names.
func values(m *dto.Metric) string {
	var list []string
	for _, l := range m.GetLabel() {
		list = append(list, l.GetValue())
	}
	return strings.Join(list, "|")
}

// collect returns OpenTelemetry's metrics by their names.
func (w watched) collect(t *testing.T) map[string]metricdata.Aggregation {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, w.reader.Collect(t.Context(), &all))
	metrics := map[string]metricdata.Aggregation{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			metrics[m.Name] = m.Data
		}
	}
	return metrics
}

// words writes attributes as "name=value …" in the order of their names.
func words(set attribute.Set) string {
	var list []string
	for _, a := range set.ToSlice() {
		list = append(list, string(a.Key)+"="+a.Value.AsString())
	}
	return strings.Join(list, " ")
}

func requireStatus(t *testing.T, want int, res *http.Response) {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, want, res.StatusCode, string(body))
}

// tutorial is the day of AWS's tutorial: without a signature, without a key, with an unknown one, ten calls of which
// two at once, one that is too fast, and one that is too much. Then a user signs in.
func tutorial(t *testing.T, w watched) {
	t.Helper()
	sign, key := customer(t), header("x-api-key", apiKey)
	requireStatus(t, 403, send(w.api, http.MethodGet, points))
	requireStatus(t, 403, send(w.api, http.MethodGet, points, sign))
	requireStatus(t, 403, send(w.api, http.MethodGet, points, header("x-api-key", strings.Repeat("x", 40)), sign))
	requireStatus(t, 200, send(w.api, http.MethodGet, points, key, sign))
	requireStatus(t, 200, send(w.api, http.MethodGet, points, key, sign))
	requireStatus(t, 429, send(w.api, http.MethodGet, points, key, sign))
	for range 8 {
		time.Sleep(time.Second)
		requireStatus(t, 200, send(w.api, http.MethodGet, points, key, sign))
	}
	time.Sleep(time.Second)
	requireStatus(t, 429, send(w.api, http.MethodGet, points, key, sign))
	requireStatus(t, 200, send(w.api, http.MethodGet, "/Prod/me", header("Authorization", "Bearer "+w.token)))
}

// Prometheus reads each decision of the tutorial, once in each layer.
func TestPrometheusCountsTheTutorial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		tutorial(t, w)
		const route = "GET /Prod/loyalty/{customerId}"
		require.Equal(t, map[string]int{ // layer|outcome|plan|reason|route
			"sigv4|refused||missing|" + route:                   1,
			"sigv4|allowed|||" + route:                          14,
			"apikey|refused||missing|" + route:                  1,
			"apikey|refused||unknown|" + route:                  1,
			"apikey|allowed|||" + route:                         12,
			"usageplan|allowed|jcfq33||" + route:                10,
			"plan throttle|refused|jcfq33|throttled|" + route:   1,
			"plan quota|refused|jcfq33|quota_exceeded|" + route: 1,
			"auth|allowed|||GET /Prod/me":                       1,
			"apikey|allowed|||GET /metrics":                     1,
		}, counted(w.scrape(t)["tallygate_decisions_total"]))
	})
}

// OpenTelemetry has the same numbers. What is empty is left out, and a refusal has its reason as the error's type.
func TestOpenTelemetryCountsTheTutorial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		tutorial(t, w)
		counts := map[string]int64{}
		for _, p := range w.collect(t)["tallygate.decisions"].(metricdata.Sum[int64]).DataPoints {
			counts[words(p.Attributes)] = p.Value
		}
		const route = "http.route=/Prod/loyalty/{customerId} tallygate.layer="
		require.Equal(t, map[string]int64{
			"error.type=missing " + route + "sigv4 tallygate.result=refused":                                     1,
			route + "sigv4 tallygate.result=allowed":                                                             14,
			"error.type=missing " + route + "apikey tallygate.result=refused":                                    1,
			"error.type=unknown " + route + "apikey tallygate.result=refused":                                    1,
			route + "apikey tallygate.result=allowed":                                                            12,
			route + "usageplan tallygate.policy=jcfq33 tallygate.result=allowed":                                 10,
			"error.type=throttled " + route + "plan throttle tallygate.policy=jcfq33 tallygate.result=refused":   1,
			"error.type=quota_exceeded " + route + "plan quota tallygate.policy=jcfq33 tallygate.result=refused": 1,
			"http.route=/Prod/me tallygate.layer=auth tallygate.result=allowed":                                  1,
		}, counts)
	})
}

// Clients that send something else each time add no series.
func TestClientsAddNoSeries(t *testing.T) {
	w := watch(t)
	sign := customer(t)
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			hostile := fmt.Sprintf("x%d", i)
			for _, h := range []http.Handler{w.api, w.control} {
				send(h, http.MethodGet, "/"+hostile, header("Authorization", hostile))
				send(h, "M"+hostile, points, header("Authorization", hostile))
			}
			send(w.api, http.MethodGet, "/Prod/loyalty/"+hostile, header("Authorization", "AWS4-HMAC-SHA256 Credential="+hostile))
			send(w.api, http.MethodGet, "/Prod/loyalty/"+hostile, header("x-api-key", strings.Repeat(hostile, 8)), sign)
			send(w.api, http.MethodGet, "/Prod/me?"+hostile, header("Authorization", "Bearer "+hostile+"."+hostile+"."+hostile))
			send(w.control, http.MethodGet, "/metrics?"+hostile, header("x-api-key", hostile))
			send(w.control, http.MethodGet, "/apikeys/"+hostile, header("Host", hostile))
		}
	}
	series := func() (n int) {
		for _, family := range w.scrape(t) {
			n += len(family.GetMetric())
		}
		return n + len(w.collect(t)["tallygate.decisions"].(metricdata.Sum[int64]).DataPoints)
	}
	flood(0, 10)
	want := series()
	flood(10, 1000)
	require.Equal(t, want, series())
	require.Less(t, want, 100)
}

// The metrics are for the owner and for Prometheus.
func TestMetricsNeedACredential(t *testing.T) {
	w := watch(t)
	for name, tt := range map[string]struct {
		edits  []edit
		status int
	}{
		"nothing":                {nil, 403},
		"a client's key":         {[]edit{header("x-api-key", apiKey)}, 403},
		"a customer's signature": {[]edit{customer(t)}, 403},
		"Prometheus":             {[]edit{header("x-api-key", scrapeKey)}, 200},
		"the owner":              {[]edit{owner(t)}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			requireStatus(t, tt.status, send(w.control, http.MethodGet, "/metrics", tt.edits...))
			requireStatus(t, 403, send(w.api, http.MethodGet, "/metrics", tt.edits...))
		})
	}
}

// The names follow the conventions of Prometheus, and the alerts in the package documentation name what there is.
func TestPrometheusNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		tutorial(t, w)
		families := w.scrape(t)
		for _, family := range families {
			problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
			require.NoError(t, err)
			require.Empty(t, problems)
		}
		source, err := os.ReadFile("main.go")
		require.NoError(t, err)
		named := regexp.MustCompile(`(?m)^//.*?(tallygate_\w+)`).FindAllStringSubmatch(string(source), -1)
		require.Len(t, named, 7)
		for _, name := range named {
			require.Contains(t, families, strings.TrimSuffix(name[1], "_count"))
		}
	})
}

// The program serves the API and, on the other address, the metrics and the control plane. It ends on a signal.
func TestProgram(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, in) }()
	var printed strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Each refusal") {
		printed.WriteString(lines.Text() + "\n")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // the log
	require.NotContains(t, printed.String(), "{{")
	found := regexp.MustCompile(`API=(http://\S+)/Prod CONTROL=(http://\S+)`).FindStringSubmatch(printed.String())
	require.Len(t, found, 3, printed.String())
	for _, tt := range []struct {
		url    string
		edits  []edit
		status int
	}{
		{found[1] + points, nil, 403},
		{found[1] + points, []edit{header("x-api-key", apiKey), customer(t)}, 200},
		{found[2] + "/usageplans", []edit{owner(t)}, 200},
		{found[2] + "/usageplans", []edit{header("x-api-key", scrapeKey)}, 403},
		{found[2] + "/metrics", []edit{header("x-api-key", scrapeKey)}, 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
		require.NoError(t, err)
		for _, e := range tt.edits {
			e(r)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		requireStatus(t, tt.status, res)
		require.NoError(t, res.Body.Close())
	}
	cancel()
	require.NoError(t, <-ended)
}

// An address that is taken ends the program.
func TestProgramNeedsItsAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, args := range [][]string{
		{"-addr", taken.Addr().String()}, {"-addr", "127.0.0.1:0", "-admin", taken.Addr().String()}, {"-addr", "nowhere"},
	} {
		require.Error(t, run(t.Context(), args, io.Discard))
	}
}

// BenchmarkDecision is what each way of looking adds to a decision.
func BenchmarkDecision(b *testing.B) {
	t, err := newTelemetry(sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())), slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	allowed := sigv4.Event{
		Verdict: &sigv4.Verdict{Layer: "usageplan", Outcome: "allowed", Plan: planID}, Route: "GET /Prod/loyalty/{customerId}",
	}
	for _, way := range []struct {
		name string
		tell func(context.Context, sigv4.Event)
	}{{"prometheus", t.prom.decision}, {"opentelemetry", t.otel.decision}, {"log", t.log}} {
		b.Run("impl="+way.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				way.tell(b.Context(), allowed)
			}
		})
	}
}
