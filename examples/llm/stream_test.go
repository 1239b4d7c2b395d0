package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// metering passes a stream through a call with a prompt of 10 tokens, a budget and a number of choices, and returns what comes out and what
// the call has used.
func metering(t testing.TB, budget, choices int64, body io.Reader) (string, int64) {
	t.Helper()
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
	c := &call{prompt: 10, n: choices}
	c.charge, err = plans.TakeUpTo(t.Context(), usageplan.Request{
		Client: "a", Cost: 20, Route: usageplan.Route{API: "openai", Stage: "v1", Resource: "/", Method: "POST"},
	}, 10)
	require.NoError(t, err)
	out, err := io.ReadAll(c.metered(&http.Response{Body: io.NopCloser(body), Request: new(http.Request).WithContext(t.Context())}))
	require.NoError(t, err)
	require.LessOrEqual(t, c.charge.Units(), budget)
	return string(out), c.used
}

// delta is an event with a delta.
func delta(fields string) string { return `data: {"choices":[{"delta":{` + fields + `}}]}` + "\n\n" }

func TestCounting(t *testing.T) {
	const usage9 = `data: {"choices":[],"usage":{"total_tokens":9}}` + "\n\n"
	for _, tt := range []struct {
		name, in string
		want     int64
		out      string // as in if it is empty
	}{
		{"deltas", delta(`"content":"a"`) + delta(`"content":"b"`), 12, ""},
		{"long deltas", delta(`"content":"` + strings.Repeat("x", 40) + `"`), 20, ""},
		{"short and long", delta(`"content":"a"`) + delta(`"content":"`+strings.Repeat("x", 39)+`"`), 20, ""},
		{"no text", delta(`"role":"assistant","content":""`) + delta(`"content":null`) + delta(``), 10, ""},
		{"other text", delta(`"refusal":"no"`) + delta(`"reasoning_content":"hm"`) + delta(`"reasoning":"hm"`), 13, ""},
		{"a function", delta(`"function_call":{"arguments":"` + strings.Repeat("x", 100) + `"}`), 39, ""},
		{"nothing in a list", delta(`"tool_calls":[],"annotations":{},"audio":null`), 10, ""},
		{"tools", delta(`"tool_calls":null`) + delta(`"tool_calls":[{"index":0,"f":1}]`), 14, ""},
		{"two choices", `data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}` + "\n\n", 12, ""},
		{"comments", ": keep alive\n\nevent: ping\ndata:\n\n", 10, ""},
		{"done", "data: [DONE]\n\n", 10, ""},
		{"not JSON", "data: {\n\n", 11, ""},
		{"lines of one event", "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"a\"}}]}\n\n", 11, ""},
		{"CRLF", "data: [DONE]\r\n\r\n", 10, "data: [DONE]\n\n"},
		{"the last line has no end", "data: [DONE]", 10, "data: [DONE]\n"},
		{"usage at the end", delta(`"content":"a"`) + usage9 + "data: [DONE]\n\n", 9, delta(`"content":"a"`) + "data: [DONE]\n\n"},
		{"usage of 0 tells nothing", delta(`"content":"a"`) + `data: {"choices":[],"usage":{"total_tokens":0}}` + "\n\n", 11, ""},
		{"usage that cannot be", delta(`"content":"a"`) + `data: {"choices":[],"usage":{"total_tokens":9223372036854775807}}` + "\n\n", 11, ""},
		{"usage in each event", `data: {"choices":[{"delta":{"content":"a"}}],"usage":{"total_tokens":17}}` + "\n\n" +
			`data: {"choices":[{"delta":{"content":"a"}}],"usage":{"total_tokens":18}}` + "\n\n", 18, ""},
		{"an error of the upstream", `data: {"error":{"message":"of the upstream"}}` + "\n\n", 10, ""},
		{"an event that is too long", delta(`"content":"a"`) + "data: " + strings.Repeat("x", maxEvent), 11, delta(`"content":"a"`) + string(cut(errUpstream))},
		{"an event of too many lines", strings.Repeat(":"+strings.Repeat("x", 1000)+"\n", maxEvent/1000), 10, string(cut(errUpstream))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, used := metering(t, 1000, 1, strings.NewReader(tt.in))
			if tt.out == "" {
				tt.out = tt.in
			}
			require.Equal(t, tt.out, out)
			require.Equal(t, tt.want, used)
		})
	}
}

// Some servers tell a usage in each event. With several choices, it is that of one of them, until the end. A client that
// leaves before the end would else get the others for nothing.
func TestUsageOfOneChoice(t *testing.T) {
	in := `data: {"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}},{"delta":{"content":"c"}}],"usage":{"total_tokens":11}}` + "\n\n"
	for n, want := range map[int64]int64{1: 11, 3: 13} {
		_, used := metering(t, 1000, n, strings.NewReader(in))
		require.Equal(t, want, used)
	}
}

// Whatever an upstream sends, what passes is a prefix of it, line by line, and an error at most. It never costs more
// than the budget until the usage says so.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		"", delta(`"content":"tok "`), "data: [DONE]\r\n\r\n", "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}\n\n",
		"data: x\r\rdata: y\n\n", ":\n\n", strings.Repeat(delta(`"content":"tok "`), 40), "data: {\"choices\":[{\"delta\":{\"tool_calls\":[]}}]}\n\n",
		`data: {"choices":[{}],"usage":{"total_tokens":-9223372036854775808}}` + "\n\n", `data: {"choices":[{}],"usage":{"total_tokens":9223372036854775807}}` + "\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, used := metering(t, 30, 1, bytes.NewReader(in))
		before, failed := strings.CutSuffix(out, string(cut(usageplan.ErrQuotaExceeded)))
		lines := strings.ReplaceAll(string(in)+"\n", "\r\n", "\n")
		if !strings.Contains(string(in), `usage`) {
			require.True(t, strings.HasPrefix(lines, before), "%q of %q", before, lines)
			require.LessOrEqual(t, used, int64(30))
			require.Equal(t, failed, len(before) < len(strings.TrimSuffix(lines, "\n")))
		}
		if failed {
			var e struct{ Error struct{ Code string } }
			last := out[strings.LastIndex(out, "data: ")+len("data: "):]
			require.NoError(t, json.Unmarshal([]byte(last), &e))
			require.Equal(t, "insufficient_quota", e.Error.Code)
		}
	})
}
