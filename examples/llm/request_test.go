package main

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Whatever a client sends, the upstream is asked for no more tokens than are reserved, and always for the usage of a
// stream. The upstream is played by encoding/json, which does not mind capitals and takes the last of equal names.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"a"}`, `{"model":"a","stream":true}`, `{"stream":true,"stream":false,"max_tokens":5}`, `{"n":null,"max_tokens":7,"max_completion_tokens":null}`,
		`{"max_tokens":5,"max_tokens":1000000}`, `{"Max_Tokens":900,"max_tokens":9}`, `{"\u017ftream":true}`, `{"n":128,"max_completion_tokens":1073741824}`,
		`{"n":2,"N":100}`, `{"n":5e0}`, `{"stream":true,"stream_options":{"include_usage":false,"Include_Usage":false}}`, `{"stream":true,"stream_options":{"include_u\u017fage":false}}`,
		`{"stream":true,"stream_options":null}`, `[]`, ``,
	} {
		f.Add(seed, int64(100))
	}
	f.Fuzz(func(t *testing.T, body string, budget int64) {
		c, err := read(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(body)))
		if err != nil || budget < 0 || budget > ledger.MaxUnits {
			return
		}
		quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
		require.NoError(t, err)
		defer func() { require.NoError(t, quotas.Close()) }()
		plans, err := usageplan.New(usageplan.Config{
			Ledger: quotas, Default: "p", Plans: []usageplan.Plan{{
				ID: "p", Name: "P", Quotas: []ledger.Quota{{Limit: budget, Period: ledger.Daily}},
				Throttle: &ratelimit.Limit{Rate: 1, Burst: 1}, Stages: []usageplan.Stage{{API: "openai", Name: "v1"}},
			}},
		})
		require.NoError(t, err)
		c.charge, err = plans.TakeUpTo(t.Context(), usageplan.Request{
			Client: "a", Cost: c.most(), Route: usageplan.Route{API: "openai", Stage: "v1", Resource: "/", Method: "POST"},
		}, c.least())
		if err != nil {
			require.ErrorIs(t, err, usageplan.ErrQuotaExceeded)
			return
		}
		asked := struct {
			N       int64
			Stream  bool
			Options struct {
				Usage bool `json:"include_usage"`
			} `json:"stream_options"`
			Tokens     *int64 `json:"max_tokens"`
			Completion *int64 `json:"max_completion_tokens"`
		}{N: 1}
		require.NoError(t, json.Unmarshal(c.lowered(), &asked))
		require.Equal(t, c.stream, asked.Stream)
		require.True(t, !asked.Stream || asked.Options.Usage)
		bound := asked.Completion
		if bound == nil {
			bound = asked.Tokens
		}
		if bound == nil {
			require.True(t, asked.Stream, "only a stream can be cut")
			return
		}
		require.True(t, asked.Completion == nil || asked.Tokens == nil)
		require.Positive(t, *bound)
		require.LessOrEqual(t, c.prompt+asked.N**bound, c.charge.Units())
		require.LessOrEqual(t, c.charge.Units(), budget)
	})
}
