package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// line is what a test reads of a line of the log.
type line struct {
	Level, Layer, Outcome, Reason, Cause, Route, Plan, Client string

	RequestID string `json:"request_id"`
	Omitted   int
}

func lines(t *testing.T, log *bytes.Buffer) (all []line) {
	t.Helper()
	for text := range strings.Lines(log.String()) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		all = append(all, l)
	}
	return all
}

// Each refusal is one line, which has the id of the answer and of the client, if it was proven.
func TestLogTellsRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		tutorial(t, w)
		var reasons []string
		for _, l := range lines(t, w.log) {
			reasons = append(reasons, l.Layer+" "+l.Reason)
			require.Equal(t, []string{"WARN", "refused", "GET /Prod/loyalty/{customerId}"}, []string{l.Level, l.Outcome, l.Route})
			require.NotEmpty(t, l.Cause)
		}
		require.Equal(t, []string{
			"sigv4 missing", "apikey missing", "apikey unknown", "plan throttle throttled", "plan quota quota_exceeded",
		}, reasons)

		w.log.Reset()
		res := send(w.api, http.MethodGet, points, header("x-api-key", apiKey), customer(t))
		last := lines(t, w.log)[0]
		require.Equal(t, []string{planID, apiKeyID}, []string{last.Plan, last.Client})
		require.Equal(t, res.Header.Get("X-Amzn-RequestId"), last.RequestID)
	})
}

// The control plane and the metrics authenticate where no answer is at hand. Their events have its id all the same.
func TestLogHasTheIDsOfTheControlPlane(t *testing.T) {
	for _, target := range []string{"/metrics", "/apikeys"} {
		w := watch(t)
		res := send(w.control, http.MethodGet, target)
		requireStatus(t, http.StatusForbidden, res)
		last := lines(t, w.log)[0]
		require.Equal(t, "sigv4 missing", last.Layer+" "+last.Reason)
		require.NotEmpty(t, last.RequestID)
		require.Equal(t, res.Header.Get("X-Amzn-RequestId"), last.RequestID, target)
	}
}

// What clients send as a proof of who they are is in no line, whether it is good or bad.
func TestLogHasNoSecrets(t *testing.T) { synctest.Test(t, sendSecrets) }

func sendSecrets(t *testing.T) {
	w := watch(t)
	secrets := []string{
		secretKey, ownerSecretKey, apiKey, scrapeKey, w.token, "a-wrong-secret", "a-wrong-key-of-40-characters-0123456789ab",
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln", "dXNlcjpwYXNzd29yZA==", "feedfacefeedface", "c2Vzc2lvbg==",
	}
	presigned := func(r *http.Request) {
		r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=feedfacefeedface"
		r.RequestURI += "?" + r.URL.RawQuery
	}
	signature := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/execute-api/aws4_request, SignedHeaders=host, Signature=feedfacefeedface"
	for _, target := range []string{points, "/Prod/me", "/metrics", "/apikeys"} {
		for _, h := range []http.Handler{w.api, w.control} {
			for _, edits := range [][]edit{
				nil,
				{signed(t, accessKey, "a-wrong-secret", "execute-api")},
				{header("x-api-key", secrets[6]), customer(t)},
				{header("x-api-key", apiKey), customer(t)},
				{header("Authorization", "Bearer "+w.token)},
				{header("Authorization", w.token)},
				{header("Authorization", "Bearer "+secrets[7])},
				{header("Authorization", "Basic "+secrets[8])},
				{header("Authorization", signature)},
				{header("X-Amz-Security-Token", secrets[10]), customer(t)},
				{owner(t)},
			} {
				send(h, http.MethodGet, target, edits...)
				send(h, http.MethodGet, target, append(edits, presigned)...)
				time.Sleep(time.Second) // so that no line is left out
			}
		}
	}
	// Nearly right signatures: one of the same form, one that lacks a digit, and one that comes twice.
	for _, spoil := range []func(string) string{
		func(a string) string { return a[:len(a)-4] + "0000" },
		func(a string) string { return a[:len(a)-1] },
		func(a string) string { return a + ", " + a[strings.LastIndex(a, "Signature="):] },
	} {
		r := httptest.NewRequest(http.MethodGet, base+points, nil)
		customer(t)(r)
		spoilt := spoil(r.Header.Get("Authorization"))
		secrets = append(secrets, spoilt[strings.LastIndex(spoilt, "=")+1:])
		r.Header.Set("Authorization", spoilt)
		r.RequestURI = points
		recorder := httptest.NewRecorder()
		w.api.ServeHTTP(recorder, r)
		requireStatus(t, 403, recorder.Result())
	}
	require.Greater(t, len(lines(t, w.log)), 80)
	require.NotContains(t, w.log.String(), `"omitted":1`)
	for _, secret := range secrets {
		require.NotContains(t, w.log.String(), secret)
	}
}

// A flood of refusals does not fill the disk: 100 lines, then 10 a second, which say how many were left out.
func TestLogIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t)
		for range 1000 {
			send(w.api, http.MethodGet, points)
		}
		require.Len(t, lines(t, w.log), 100)
		time.Sleep(time.Second)
		for range 1000 {
			send(w.api, http.MethodGet, points)
		}
		after := lines(t, w.log)[100:]
		require.Len(t, after, 10)
		require.Equal(t, 900, after[0].Omitted)
		require.Zero(t, after[1].Omitted)
	})
}

// What an operator should look at is an error. What was allowed is not logged.
func TestLogLevels(t *testing.T) {
	var log bytes.Buffer
	tell, err := newDecisionLog(slog.New(slog.NewJSONHandler(&log, nil)))
	require.NoError(t, err)
	for _, v := range []sigv4.Verdict{
		{Outcome: "allowed"},
		{Outcome: "refused"},
		{Outcome: "despite"},
		{Outcome: "failed", Reason: "unavailable"},
		{Outcome: "failed", Reason: "canceled"},
	} {
		v.Err = &sigv4.Error{Err: sigv4.ErrUnavailable}
		tell(t.Context(), sigv4.Event{Verdict: &v})
	}
	var levels []string
	for _, l := range lines(t, &log) {
		levels = append(levels, l.Outcome+" "+l.Level)
	}
	require.Equal(t, []string{"refused WARN", "despite ERROR", "failed ERROR", "failed WARN"}, levels)
}
