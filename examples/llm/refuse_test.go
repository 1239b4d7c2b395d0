package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Refusals have OpenAI's shape and take nothing.
func TestRefusals(t *testing.T) {
	bearing := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Authorization"] = values }
	}
	post := func(path, body string) *http.Request {
		r, err := http.NewRequest(http.MethodPost, path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "bearer "+key) // the scheme is case-insensitive
		return r
	}
	const chat = "/v1/chat/completions"
	for _, tt := range []struct {
		name, path, body string
		edit             func(*http.Request)
		status           int
		kind, code       string
	}{
		{"no key", chat, streaming, bearing(), 401, "invalid_request_error", "invalid_api_key"},
		{"another scheme", chat, streaming, bearing("Basic " + key), 401, "invalid_request_error", "invalid_api_key"},
		{"two keys", chat, streaming, bearing("Bearer "+key, "Bearer "+key), 401, "invalid_request_error", "invalid_api_key"},
		{"an unknown key", chat, streaming, bearing("Bearer sk-00000000000000000000"), 401, "invalid_request_error", "invalid_api_key"},
		{"a disabled key", chat, streaming, bearing("Bearer " + retired), 401, "invalid_request_error", "invalid_api_key"},
		{"no such path", "/v1/embeddings", streaming, nil, 404, "invalid_request_error", "unknown_url"},
		{"no such model", chat, `{"model":"huge"}`, nil, 404, "invalid_request_error", "model_not_found"},
		{"no model", chat, `{}`, nil, 404, "invalid_request_error", "model_not_found"},
		{"no JSON", chat, `model`, nil, 400, "invalid_request_error", "invalid_request"},
		{"no object", chat, `null`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a wrong type", chat, `{"model":"small","stream":"yes"}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"no tokens", chat, `{"model":"small","max_tokens":0}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a bound below 0", chat, `{"model":"small","max_completion_tokens":-5}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a bound that overflows", chat, `{"model":"small","max_tokens":9223372036854775807,"n":3}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"two bounds", chat, `{"model":"small","max_tokens":5,"max_completion_tokens":5}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a bound in other letters", chat, `{"model":"small","Max_Tokens":5}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a name that Go folds", chat, `{"model":"small","\u017ftream":true}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"no choices", chat, `{"model":"small","n":0}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"too many choices", chat, `{"model":"small","n":129}`, nil, 400, "invalid_request_error", "invalid_request"},
		{"a body that is too large", chat, `{"model":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, "invalid_request_error", "request_too_large"},
		{"a prompt beyond the budget", chat, `{"model":"small","messages":["` + strings.Repeat("x", 5000) + `"]}`, nil, 429, "insufficient_quota", "insufficient_quota"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, 1000, func(http.ResponseWriter, *http.Request) { t.Error("the upstream is asked") })
			req := post(r.URL+tt.path, tt.body)
			if tt.edit != nil {
				tt.edit(req)
			}
			res, err := r.Client().Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.status, res.StatusCode)
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			var answer struct{ Error map[string]any }
			require.NoError(t, json.Unmarshal(body, &answer))
			require.Equal(t, tt.kind, answer.Error["type"])
			require.Equal(t, tt.code, answer.Error["code"])
			require.NotEmpty(t, answer.Error["message"])
			require.Contains(t, answer.Error, "param")
			require.Equal(t, tt.status == 401, res.Header.Get("WWW-Authenticate") == "Bearer")
			require.Zero(t, r.used(t))
		})
	}
}

// An error of the upstream costs nothing. The client gets it, unless it is about the gateway's own key.
func TestErrorsOfTheUpstream(t *testing.T) {
	for status, want := range map[int]int{400: 400, 429: 429, 500: 500, 401: 502, 403: 502} {
		r := newRig(t, 1000, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":{"message":"of the upstream"}}`)
		})
		logged := catchLog(t)
		res, text, _ := r.ask(t, streaming)
		require.Equal(t, want, res.StatusCode)
		if want == status {
			require.Equal(t, "1000", res.Header.Get("X-Ratelimit-Remaining-Tokens"), "what was reserved is given back")
			require.Contains(t, res.Header.Get("RateLimit"), `"quota-day";r=1000;t=`)
			require.Empty(t, logged.String())
		} else {
			require.Contains(t, logged.String(), "a request of fr92a5qpbj: it has refused the gateway's key: set OPENAI_API_KEY")
		}
		require.Equal(t, want == status, strings.Contains(text, "of the upstream"))
		if want == status {
			require.Equal(t, "1000", res.Header.Get("X-Ratelimit-Remaining-Tokens"))
		}
		require.Zero(t, r.used(t))
	}
}

// The log has what the client is not told.
func TestUpstreamThatIsDown(t *testing.T) {
	r := newRig(t, 1000, nil)
	r.back.Close()
	logged := catchLog(t)
	res, text, _ := r.ask(t, streaming)
	require.Equal(t, 502, res.StatusCode)
	require.NotContains(t, text, "refused")
	require.Contains(t, logged.String(), "the upstream has failed a request of fr92a5qpbj: dial tcp ")
	require.Zero(t, r.used(t))
}

// catchLog collects what is logged until the test ends.
func catchLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var text bytes.Buffer
	before := log.Writer()
	log.SetOutput(&text)
	t.Cleanup(func() { log.SetOutput(before) })
	return &text
}

func TestUpstreamURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.openai.com":     "",
		"http://127.0.0.1:11434/":    "",
		"https://a.example/openai":   "",
		"api.openai.com":             "is not a URL such as https://api.openai.com",
		"localhost:11434":            "is not a URL such as",
		"ftp://a.example":            "is not a URL such as",
		"":                           "is not a URL such as",
		"https://api.openai.com/v1":  "leave it out",
		"http://127.0.0.1:11434/v1/": "ends with /v1, which each request has already",
	} {
		u, err := upstreamURL(text)
		if want == "" {
			require.NoError(t, err, text)
			require.Equal(t, text, u.String())
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
}

// What cannot be counted is not passed on, and what was reserved for it counts.
func TestAnswerThatCannotBeCounted(t *testing.T) {
	for name, upstream := range map[string]http.HandlerFunc{
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "…")
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1000, upstream)
			res, text, prompt := r.ask(t, `{"model":"small","max_tokens":50}`)
			require.Equal(t, 502, res.StatusCode)
			require.Contains(t, text, "upstream_error")
			require.Equal(t, prompt+50, r.used(t))
		})
	}
}

// An answer counts as what was reserved if its usage tells nothing, whatever its status.
func TestUsageThatTellsNothing(t *testing.T) {
	for _, usage := range []string{`0`, `-5`, `9223372036854775807`, `21.5`, `"21"`} {
		r := newRig(t, 1000, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNonAuthoritativeInfo) // of a proxy on the way, which has changed something
			_, _ = io.WriteString(w, `{"usage":{"total_tokens":`+usage+`}}`)
		})
		res, _, prompt := r.ask(t, `{"model":"small","max_tokens":50}`)
		require.Equal(t, http.StatusNonAuthoritativeInfo, res.StatusCode)
		require.Equal(t, prompt+50, r.used(t), usage)
	}
}

// Each model has a throttle of its own.
func TestThrottlesOfTwoModels(t *testing.T) {
	r := newRig(t, 1000, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"usage":{"total_tokens":1}}`)
	})
	for _, tt := range []struct {
		model string
		want  int
	}{{"big", 200}, {"big", 200}, {"big", 429}, {"small", 200}, {"big", 429}, {"small", 200}} {
		res, text, _ := r.ask(t, `{"model":"`+tt.model+`"}`)
		require.Equal(t, tt.want, res.StatusCode, tt.model)
		if tt.want == 429 {
			require.Contains(t, text, `"type":"requests","param":null,"code":"rate_limit_exceeded"`)
			require.NotEmpty(t, res.Header.Get("Retry-After"))
			require.Empty(t, res.Header.Get("X-Should-Retry"))
		}
	}
	require.EqualValues(t, 4, r.used(t))
}

func TestModels(t *testing.T) {
	r := newRig(t, 1000, nil)
	req, err := http.NewRequest(http.MethodGet, r.URL+"/v1/models", nil)
	require.NoError(t, err)
	for value, want := range map[string]int{key: 200, retired: 401} {
		req.Header.Set("Authorization", "Bearer "+value)
		res, err := r.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode)
		if want == 200 {
			require.JSONEq(t, `{"object":"list","data":[{"id":"big","object":"model","owned_by":"gateway"},{"id":"small","object":"model","owned_by":"gateway"}]}`, string(body))
		}
	}
}
