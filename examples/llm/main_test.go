package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

const (
	key     = "sk-67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU"
	retired = "sk-Qn3vX8kZ2mB7tR5yW1cL9dF6hJ4pS0aG"
)

// A rig is a gateway in front of an upstream that the test plays.
type rig struct {
	*httptest.Server
	back   *httptest.Server // the upstream
	quotas *ledger.Ledger
	asked  chan map[string]any // the bodies that the upstream has got
}

// newRig starts a gateway with a budget of tokens in front of the upstream.
func newRig(t *testing.T, budget int64, upstream http.HandlerFunc) *rig {
	t.Helper()
	return newRigWithin(t, longest, budget, upstream)
}

// newRigWithin is newRig with a bound on how long an answer may take.
func newRigWithin(t *testing.T, longest time.Duration, budget int64, upstream http.HandlerFunc) *rig {
	t.Helper()
	quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), SettleWithin: time.Hour})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, quotas.Close()) })
	r := &rig{quotas: quotas, asked: make(chan map[string]any, 1000)}
	r.back = httptest.NewServer(r.noting(upstream))
	t.Cleanup(r.back.Close)
	target, err := url.Parse(r.back.URL)
	require.NoError(t, err)
	h, err := newGateway(config{
		upstream: target, secret: "sk-of-the-operator", quotas: quotas, budget: budget,
		keys:   customers,
		models: map[string]ratelimit.Limit{"big": {Rate: 1e-6, Burst: 2}, "small": {Rate: 1000, Burst: 1000}},
		atOnce: 50, longest: longest,
	})
	require.NoError(t, err)
	r.Server = httptest.NewServer(h)
	t.Cleanup(r.Close) // waits for all requests
	return r
}

// noting keeps the bodies of requests.
func (r *rig) noting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		asked := map[string]any{"authorization": req.Header.Get("Authorization"), "path": req.URL.Path, "query": req.URL.RawQuery}
		_ = json.Unmarshal(body, &asked)
		r.asked <- asked
		req.Body = io.NopCloser(bytes.NewReader(body))
		next(w, req)
	}
}

// request returns a request for a completion, and the tokens that the gateway estimates for its prompt.
func (r *rig) request(t *testing.T, body string) (*http.Request, int64) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/v1/chat/completions", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	return req, int64(len(body)+3) / 4
}

// ask sends a body and returns the answer, which is read to its end, and the estimate of the prompt.
func (r *rig) ask(t *testing.T, body string) (*http.Response, string, int64) {
	t.Helper()
	req, prompt := r.request(t, body)
	res, err := r.Client().Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, string(text), prompt
}

// used returns the tokens that the key has used, after all requests have ended.
func (r *rig) used(t *testing.T) int64 {
	t.Helper()
	r.Close()
	b, err := r.quotas.Balance(t.Context(), ledger.Key{Plan: "daily-tokens/DAY", Subject: "fr92a5qpbj"}, ledger.Quota{Limit: 1 << 40, Period: ledger.Daily})
	require.NoError(t, err)
	return b.Used
}

// say streams n deltas of one token each.
func say(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Type", "text/event-stream")
	for range n {
		event(w, `{"choices":[{"index":0,"delta":{"content":"tok "}}],"usage":null}`)
	}
}

func event(w http.ResponseWriter, data string) {
	fmt.Fprintf(w, "data: %s\n\n", data)
	_ = http.NewResponseController(w).Flush()
}

// forever streams tokens until the request is given up.
func forever(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		say(w, 1)
	}
}

const streaming = `{"model":"small","stream":true,"messages":[{"role":"user","content":"Say this is a test"}]}`

// An answer that is not streamed is settled with its usage before the client is told what is left.
func TestAnswer(t *testing.T) {
	r := newRig(t, 1000, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ratelimit-Remaining-Tokens", "149984") // of the operator's account
		w.Header().Set("X-Ratelimit-Remaining-Requests", "4999")
		fmt.Fprint(w, `{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}`)
	})
	res, text, prompt := r.ask(t, `{"model":"small","messages":[],"seed":12345678901234567890,"max_tokens":null}`)
	require.Equal(t, 200, res.StatusCode, text)
	require.Contains(t, text, `"total_tokens":21`)
	h := res.Header
	require.Equal(t, "979", h.Get("X-Ratelimit-Remaining-Tokens"))
	require.Equal(t, "1000", h.Get("X-Ratelimit-Limit-Tokens"))
	require.Empty(t, h.Get("X-Ratelimit-Remaining-Requests"), "this is no business of the client")
	require.Contains(t, h.Get("RateLimit"), `"quota-day";r=979;t=`)
	require.Contains(t, h.Get("RateLimit-Policy"), `"quota-day";q=1000;qu="tokens";w=86400`)
	asked := <-r.asked
	require.Equal(t, "Bearer sk-of-the-operator", asked["authorization"])
	require.Equal(t, "/v1/chat/completions", asked["path"])
	require.EqualValues(t, 1000-prompt, asked["max_completion_tokens"], "what is left of the budget")
	require.InDelta(t, 12345678901234567890.0, asked["seed"], 1e4, "it is passed on")
	require.NotContains(t, asked, "stream_options")
	require.EqualValues(t, 21, r.used(t))
}

// The upstream is asked for no more tokens than are reserved.
func TestBoundIsLowered(t *testing.T) {
	for _, tt := range []struct {
		name, body, bound string
		budget            int64
		want              func(prompt int64) any // of the bound that the upstream gets
	}{
		{"enough", `{"model":"small","max_tokens":50}`, "max_tokens", 1000, func(int64) any { return 50.0 }},
		{"less is left", `{"model":"small","max_tokens":50}`, "max_tokens", 40, func(p int64) any { return float64(40 - p) }},
		{"the present name", `{"model":"small","max_completion_tokens":500}`, "max_completion_tokens", 100, func(p int64) any { return float64(100 - p) }},
		{"choices share", `{"model":"small","max_tokens":50,"n":3}`, "max_tokens", 100, func(p int64) any { return float64((100 - p) / 3) }},
		{"a stream", `{"model":"small","max_tokens":50,"stream":true}`, "max_tokens", 40, func(p int64) any { return float64(40 - p) }},
		{"a stream without a bound", `{"model":"small","stream":true}`, "max_completion_tokens", 100, func(int64) any { return nil }},
		{"no bound", `{"model":"small"}`, "max_completion_tokens", 1 << 20, func(int64) any { return float64(usual) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.budget, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"usage":{"total_tokens":1}}`) })
			res, text, prompt := r.ask(t, tt.body)
			require.Equal(t, 200, res.StatusCode, text)
			require.Equal(t, tt.want(prompt), (<-r.asked)[tt.bound])
			require.EqualValues(t, 1, r.used(t))
		})
	}
}

// Each event goes out at once. The usage counts, and the client sees it if it has asked for it.
func TestStream(t *testing.T) {
	for _, asks := range []bool{false, true} {
		goOn := make(chan struct{})
		r := newRig(t, 1000, func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				say(w, 1)
				<-goOn // until the client has the token
			}
			event(w, `{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`)
			event(w, "[DONE]")
		})
		body := streaming
		if asks {
			body = strings.Replace(body, "{", `{"stream_options":{"include_usage":true,"include_obfuscation":false},`, 1)
		}
		req, prompt := r.request(t, body)
		res, err := r.Client().Do(req)
		require.NoError(t, err)
		require.Contains(t, res.Header.Get("RateLimit"), fmt.Sprintf(`"quota-day";r=%d;t=`, 1000-prompt-step))
		lines := bufio.NewScanner(res.Body)
		for range 3 {
			require.True(t, lines.Scan())
			require.Contains(t, lines.Text(), "tok ")
			require.True(t, lines.Scan())
			require.Empty(t, lines.Text())
			goOn <- struct{}{}
		}
		var rest []string
		for lines.Scan() {
			rest = append(rest, lines.Text())
		}
		require.NoError(t, lines.Err())
		want := []string{"data: [DONE]", ""}
		options := map[string]any{"include_usage": true}
		if asks {
			want = append([]string{`data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`, ""}, want...)
			options["include_obfuscation"] = false
		}
		require.Equal(t, want, rest)
		require.Equal(t, options, (<-r.asked)["stream_options"])
		require.EqualValues(t, 10, r.used(t))
		require.NoError(t, res.Body.Close())
	}
}

// deltas counts the tokens in a streamed answer, and returns the error at its end, if there is one.
func deltas(t *testing.T, text string) (n int64, code string) {
	t.Helper()
	for event := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		data, is := strings.CutPrefix(event, "data: ")
		require.True(t, is, event)
		require.Empty(t, code, "the error is the last event")
		n += int64(strings.Count(data, "tok "))
		var e struct{ Error *struct{ Code string } }
		if json.Unmarshal([]byte(data), &e) == nil && e.Error != nil {
			code = e.Error.Code
		}
	}
	return n, code
}

// A stream is cut when the budget ends, to the token, and the upstream is given up.
func TestCutExactlyAtTheLimit(t *testing.T) {
	for _, budget := range []int64{50, step, step + 40, 1000} {
		gone := make(chan struct{})
		r := newRig(t, budget, func(w http.ResponseWriter, r *http.Request) {
			forever(w, r)
			close(gone)
		})
		res, text, prompt := r.ask(t, streaming)
		require.Equal(t, 200, res.StatusCode)
		n, code := deltas(t, text)
		require.Equal(t, budget-prompt, n)
		require.Equal(t, "insufficient_quota", code)
		<-gone
		res, text, _ = r.ask(t, streaming)
		require.Equal(t, 429, res.StatusCode)
		require.Contains(t, text, `"type":"insufficient_quota","param":null,"code":"insufficient_quota"`)
		require.Equal(t, "false", res.Header.Get("X-Should-Retry"))
		require.NotEmpty(t, res.Header.Get("Retry-After"))
		require.Contains(t, res.Header.Get("RateLimit"), `"quota-day";r=0;t=`)
		require.Equal(t, budget, r.used(t))
	}
}

// A delta that costs more than is left is not passed on, and not counted.
func TestDeltaThatIsNotPaid(t *testing.T) {
	r := newRig(t, 50, func(w http.ResponseWriter, r *http.Request) {
		say(w, 10)
		event(w, `{"choices":[{"delta":{"content":"`+strings.Repeat("much", 100)+`"}}]}`)
		forever(w, r)
	})
	_, text, prompt := r.ask(t, streaming)
	n, code := deltas(t, text)
	require.EqualValues(t, 10, n)
	require.NotContains(t, text, "much")
	require.Equal(t, "insufficient_quota", code)
	require.Equal(t, prompt+10, r.used(t))
}

// Fifty streams at once use the budget up, to the token.
func TestBudgetIsExact(t *testing.T) {
	const streams, budget = 50, 20_000
	r := newRig(t, budget, forever)
	type result struct {
		status int
		text   string
		err    error
	}
	results := make(chan result)
	var prompt int64
	for range streams {
		var req *http.Request
		req, prompt = r.request(t, streaming)
		go func() {
			res, err := r.Client().Do(req)
			if err != nil {
				results <- result{err: err}
				return
			}
			text, err := io.ReadAll(res.Body)
			results <- result{res.StatusCode, string(text), errors.Join(err, res.Body.Close())}
		}()
	}
	var sum int64
	for range streams {
		one := <-results
		require.NoError(t, one.err)
		if one.status == 429 {
			require.Contains(t, one.text, "insufficient_quota", "the others had reserved all before")
			continue
		}
		n, code := deltas(t, one.text)
		require.Equal(t, "insufficient_quota", code)
		sum += prompt + n
	}
	require.EqualValues(t, budget, sum, "what the clients have got")
	require.EqualValues(t, budget, r.used(t), "what is counted")
}

// More requests of a key than may run at once are refused, until one ends.
func TestAtOnce(t *testing.T) {
	goOn := make(chan struct{})
	r := newRig(t, 1_000_000, func(w http.ResponseWriter, r *http.Request) {
		say(w, 1)
		<-goOn
	})
	var open []*http.Response
	for range 50 {
		req, _ := r.request(t, streaming)
		res, err := r.Client().Do(req)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		open = append(open, res)
	}
	res, text, _ := r.ask(t, streaming)
	require.Equal(t, 429, res.StatusCode)
	require.Contains(t, text, "at once")
	require.Empty(t, res.Header.Get("Retry-After"), "nobody knows when one ends")
	close(goOn)
	for _, res := range open {
		_, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	r.Close() // waits until all have ended
	r.Server = httptest.NewServer(r.Config.Handler)
	t.Cleanup(r.Server.Close)
	res, _, _ = r.ask(t, streaming)
	require.Equal(t, 200, res.StatusCode)
}

// If the client or the upstream leaves, what has passed until then counts.
func TestLeaving(t *testing.T) {
	t.Run("the client", func(t *testing.T) {
		r := newRig(t, 1000, func(w http.ResponseWriter, r *http.Request) {
			say(w, 5)
			<-r.Context().Done() // the gateway gives the request up
		})
		req, prompt := r.request(t, streaming)
		res, err := r.Client().Do(req)
		require.NoError(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, 5*len(`data: {"choices":[{"index":0,"delta":{"content":"tok "}}],"usage":null}`+"\n\n")))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, prompt+5, r.used(t))
	})
	t.Run("the upstream", func(t *testing.T) {
		r := newRig(t, 1000, func(w http.ResponseWriter, r *http.Request) {
			say(w, 5)
			fmt.Fprint(w, "data: {\"choices\":[{\"del")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		_, text, prompt := r.ask(t, streaming)
		n, code := deltas(t, text)
		require.EqualValues(t, 5, n)
		require.Equal(t, "upstream_error", code)
		require.Equal(t, prompt+5, r.used(t))
	})
	t.Run("the upstream, before it answers", func(t *testing.T) {
		r := newRig(t, 1000, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		res, text, _ := r.ask(t, streaming)
		require.Equal(t, 502, res.StatusCode)
		require.Contains(t, text, "upstream_error")
		require.Zero(t, r.used(t))
	})
	t.Run("the client, before the answer", func(t *testing.T) {
		begun := make(chan struct{})
		r := newRig(t, 1000, func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
		})
		req, prompt := r.request(t, `{"model":"small","max_tokens":50}`)
		ctx, cancel := context.WithCancel(req.Context())
		go func() { <-begun; cancel() }()
		_, err := r.Client().Do(req.WithContext(ctx))
		require.Error(t, err)
		require.Equal(t, prompt+50, r.used(t), "nobody knows what the upstream has done")
	})
}
