package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/metric"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
	"github.com/tallygate/tallygate/sigv4"
)

// service is the loyalty API, and its control plane with the metrics.
type service struct {
	api, control http.Handler
	token        string // of a user who has signed in
	close        func() error
}

// newService puts the layers around the API. Their decisions go to Prometheus, to the meters and to the log.
func newService(meters metric.MeterProvider, log *slog.Logger) (service, error) {
	t, errTelemetry := newTelemetry(meters, log)
	pool, token, errPool := signIn()
	if err := errors.Join(errTelemetry, errPool); err != nil {
		return service{}, err
	}
	g, err := newGuards(t, pool)
	if err != nil {
		return service{}, err
	}
	control, err := g.control()
	if err = errors.Join(err, t.watch(g.levels())); err != nil {
		return service{}, errors.Join(err, g.quotas.Close())
	}
	return service{g.api(), g.watched(control, t.registry), token, g.quotas.Close}, nil
}

// api is the loyalty API. The mux is outside of the layers, so that their events have its pattern as the route.
func (g guards) api() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /Prod/loyalty/{customerId}", g.callers.Handler(g.keys.Handler(g.plans.Handler(http.HandlerFunc(loyalty)))))
	mux.Handle("GET /Prod/me", g.users.Handler(http.HandlerFunc(me)))
	mux.Handle("/", &sigv4.Error{Err: sigv4.ErrMissing}) // API Gateway's answer to a path that it does not know
	return named(mux)
}

// watched is the control plane with the metrics, for the owner. Prometheus cannot sign, so it has an API key.
func (g guards) watched(control http.Handler, registry prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", auth.AnyOf(g.owners, g.scrapers).Handler(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})))
	mux.Handle("/", control)
	return named(mux)
}

// named gives every request an id, as API Gateway does. The answer has it as a header, and the layers inside get it by
// requestID. A header alone would not do: a mode of auth.AnyOf, and what authenticates for the control plane, see no
// answer.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		id := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		w.Header().Set("X-Amzn-RequestId", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, id)))
	})
}

type requestKey struct{}

// requestID is the RequestID of all layers: the id that named has given. So all events about a request have it, also
// those of requests that are allowed.
func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestKey{}).(string)
	return id
}

// signIn returns a user pool of this process, which serves its keys without a network, and an ID token of a user.
func signIn() (*authtest.Issuer, string, error) {
	pool, err := authtest.New(auth.Cognito(region, poolID, poolClient).URL)
	if err != nil {
		return nil, "", err
	}
	token, err := pool.IDToken(authtest.User{Username: "julianwood", Client: poolClient})
	return pool, token, err
}

// loyalty answers GET /loyalty/{customerId}: here, all customers have the same points.
func loyalty(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"points":900,"level":"bronze","remainingPoints":49100}`)
}

// me answers GET /me.
func me(w http.ResponseWriter, r *http.Request) {
	token, _ := auth.FromContext(r.Context())
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"sub":%q}`, token.Subject)
}
