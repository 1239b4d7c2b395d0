package function_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Lambda's managed instances give a process several events at once. If one handler panics, one invocation fails. The
// other seven are answered, and the process lives on.
func TestOnePanicOfEightLosesOneInvocation(t *testing.T) {
	f := serve(t, "eight", "AWS_LAMBDA_MAX_CONCURRENCY=8")
	answered, failed := eightAtOnce(t, f)
	require.Len(t, failed, 1)
	require.Contains(t, failed[0], "one of eight")
	require.Len(t, answered, 7)
	got, err := f.invoke(t.Context(), sources[5].of(t, sources[5].request(t, "GET", "/", nil)))
	require.NoError(t, err)
	for _, pid := range answered {
		require.Equal(t, answerOf(t, got).Body, pid)
	}

	answered, failed = eightAtOnce(t, serve(t, "eight, lambdaurl", "AWS_LAMBDA_MAX_CONCURRENCY=8"))
	t.Logf("under lambdaurl the same panic loses %d of 8, and leaves %d", len(failed), len(answered))
}

// The runtime ends the process if it cannot report an error or deliver an answer. No client can bring that about: not by
// a DEL in a path with which the handler panics, and not by an answer that is too large only as JSON.
func TestNoClientEndsTheProcess(t *testing.T) {
	f := serve(t, "echo")
	s := sources[5]
	for target, want := range map[string]string{
		"/a%7Fb?times=x":       "the handler panicked: no number for /a",
		"/%01%01?times=500000": "it has 65", // 3 bytes each time, and 13 as JSON
		"/%FF?times=2500000":   "it has 6",
	} {
		got, err := f.invoke(t.Context(), s.of(t, s.request(t, "GET", target, nil)))
		require.NoError(t, err, target)
		require.NotNil(t, got.fault, target)
		require.Contains(t, got.fault.Message, want, target)
	}
	got, err := f.invoke(t.Context(), s.of(t, s.request(t, "GET", "/a?times=2", nil)))
	require.NoError(t, err)
	require.Equal(t, "/a/a", answerOf(t, got).Body)
}

// eightAtOnce invokes a function eight times at once, one of which panics. It returns the answers and the errors.
func eightAtOnce(t *testing.T, f *process) (answered, failed []string) {
	var (
		wait     sync.WaitGroup
		outcomes [8]outcome
		errs     [8]error
	)
	for n := range 8 {
		path := "/"
		if n == 3 {
			path = "/panic"
		}
		event := sources[5].of(t, sources[5].request(t, "GET", path, nil))
		wait.Go(func() { outcomes[n], errs[n] = f.invoke(t.Context(), event) })
	}
	wait.Wait()
	for n, got := range outcomes {
		switch {
		case errs[n] != nil:
			failed = append(failed, errs[n].Error())
		case got.fault != nil:
			failed = append(failed, got.fault.Message)
		default:
			answered = append(answered, answerOf(t, got).Body)
		}
	}
	return answered, failed
}

// The runtime reads the next event into the slice of the last one. What a handler has kept of its request stays as it
// was. A function that keeps slices shows that the runtime really does so.
func TestSlicesOfEventsAreReused(t *testing.T) {
	s := sources[0]
	event := func(mark string) []byte {
		r := s.request(t, "GET", "/"+mark+"?a="+mark, nil)
		r.Header.Set("X-Kept", mark)
		return s.of(t, r)
	}
	ours, careless := serve(t, "keeper"), serve(t, "careless")
	changed := 0
	for n := range 40 { // each slice comes from a pool that a garbage collection empties
		mark := strings.Repeat(string(rune('a'+n%20)), 20)
		got, err := ours.invoke(t.Context(), event(mark))
		require.NoError(t, err)
		last, err := careless.invoke(t.Context(), event(mark))
		require.NoError(t, err)
		if n == 0 {
			continue
		}
		before := strings.Repeat(string(rune('a'+(n-1)%20)), 20)
		body := answerOf(t, got).Body
		require.Contains(t, body, "/Prod/"+before+"?a="+before+" "+before+" a1b2c3d4e5 "+s.host)
		require.NotContains(t, body, mark)
		var text string
		require.NoError(t, json.Unmarshal(last.body, &text))
		if !strings.Contains(text, before) {
			changed++
		}
	}
	require.Positive(t, changed, "the runtime has not used a slice again")
	t.Logf("the runtime has used %d of 39 slices again at once", changed)
}
