package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

type config struct {
	upstream *url.URL
	secret   string // the upstream's key; empty sends none
	quotas   *ledger.Ledger
	keys     []apikey.Entry
	budget   int64                      // the tokens of a key in a day
	models   map[string]ratelimit.Limit // the requests per second of a key, for each model that may be called
	atOnce   int                        // the requests of a key that may run at once; 0 is no bound
	longest  time.Duration              // that an answer may take
}

// A gateway admits requests and passes them on.
type gateway struct {
	config
	plans *usageplan.Meter
}

// newGateway returns the gateway's handler. A model is a route of the plan, so that each has a throttle.
func newGateway(c config) (http.Handler, error) {
	methods := make(map[string]ratelimit.Limit, len(c.models))
	for model, limit := range c.models {
		methods[resource(model)+"/POST"] = limit
	}
	keys, errKeys := apikey.New(apikey.Config{Keys: c.keys, Source: bearer, ErrorHandler: refuse})
	open, errOpen := ratelimit.NewInFlight(ratelimit.InFlightConfig[string]{Limit: maxOpen, Key: apikey.ID, ErrorHandler: refuse})
	plans, errPlans := usageplan.New(usageplan.Config{
		Ledger: c.quotas, Unit: "tokens", Default: "daily-tokens",
		Plans: []usageplan.Plan{{
			ID: "daily-tokens", Name: "Tokens a day",
			Quotas: []ledger.Quota{{Limit: c.budget, Period: ledger.Daily}},
			Stages: []usageplan.Stage{{API: "openai", Name: "v1", Methods: methods}}, InFlight: usageplan.InFlight{Client: c.atOnce},
		}},
	})
	if err := errors.Join(errKeys, errOpen, errPlans); err != nil {
		return nil, err
	}
	g := &gateway{c, plans}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", keys.Handler(open.Handler(http.HandlerFunc(g.chat))))
	mux.Handle("GET /v1/models", keys.Handler(http.HandlerFunc(g.list)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { refuse(w, r, errPath) })
	return mux, nil
}

func resource(model string) string { return "/chat/completions/" + model }

// bearer returns the API key of a request. The name of the scheme is case-insensitive (RFC 9110 §11.1).
func bearer(r *http.Request) (string, bool) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return value, strings.EqualFold(scheme, "Bearer") && len(r.Header["Authorization"]) == 1
}

// list answers with the models that may be called.
func (g *gateway) list(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID     string `json:"id"`
		Object string `json:"object"`
		Owner  string `json:"owned_by"`
	}
	all := []model{}
	for _, id := range slices.Sorted(maps.Keys(g.models)) {
		all = append(all, model{id, "model", "gateway"})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": all}) // an error means that the client has gone
}

// chat takes the tokens of a request and passes it on. It settles it when the answer has ended. That may be by a panic of
// the proxy, which so ends the answer to a client that has gone.
func (g *gateway) chat(w http.ResponseWriter, r *http.Request) {
	c, err := read(w, r)
	if err == nil && g.models[c.model].Burst == 0 {
		err = errModel
	}
	if err == nil {
		client, _ := apikey.ID(r)
		c.charge, err = g.plans.TakeUpTo(r.Context(), usageplan.Request{
			Client: client, Cost: c.most(),
			Route: usageplan.Route{API: "openai", Stage: "v1", Resource: resource(c.model), Method: http.MethodPost},
		}, c.least())
	}
	if err != nil {
		refuse(w, r, err)
		return
	}
	defer c.charge.Release()
	defer c.settle()
	ctx, cancel := context.WithTimeout(r.Context(), g.longest)
	defer cancel()
	// A client that stops reading must not hold its place without end. It has a little longer than the upstream.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(g.longest + g.longest/20)) // net/http's writer can
	g.pass(w, r.WithContext(ctx), c)
}

// pass sends the request to the upstream, and the answer to w.
func (g *gateway) pass(w http.ResponseWriter, r *http.Request, c *call) {
	c.used = c.charge.Units() // as long as nothing else is known
	body := c.lowered()
	proxy := httputil.ReverseProxy{
		FlushInterval: -1, // each event goes out at once
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(g.upstream)
			p.Out.URL.RawQuery = g.upstream.RawQuery // the API has no query, so that of the client stays here
			p.Out.Header = http.Header{
				"Content-Type": {"application/json"}, "Accept-Encoding": {"identity"}, // what is compressed cannot be counted
			}
			if g.secret != "" {
				p.Out.Header.Set("Authorization", "Bearer "+g.secret)
			}
			p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		},
		ModifyResponse: c.answer,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// If the request was given up, because the client has gone or the time is over, the upstream may have worked.
			if !c.answered && r.Context().Err() == nil {
				c.used = 0
			}
			if !errors.Is(err, context.Canceled) { // the client has not left
				log.Printf("the upstream has failed a request of %s: %v", c.charge.Client, err)
			}
			refuse(w, r, errors.Join(errUpstream, err))
		},
	}
	proxy.ServeHTTP(w, r)
}
