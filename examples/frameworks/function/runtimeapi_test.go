package function_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runtimeAPI is Lambda's Runtime API, by which a function gets its events. It has the four routes that AWS documents in
// "Using the Lambda runtime API": the next event, the answer to one, the error of one, and the error of the init phase.
type runtimeAPI struct {
	server *httptest.Server
	events chan *invocation
	failed chan string // the error of an init phase

	mu       sync.Mutex
	underWay map[string]*invocation
	count    int
}

// invocation is one event and what becomes of it.
type invocation struct {
	id    string
	event []byte
	read  func(io.Reader) ([]byte, error) // reads the answer
	done  chan outcome
}

// outcome is what a function has posted for an event: an answer or an error. A stream can have both.
type outcome struct {
	kind  string // the media type of the answer
	body  []byte
	fault *functionError
}

// functionError is the error of an invocation.
type functionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (e *functionError) Error() string { return e.Type + ": " + e.Message }

// newRuntimeAPI serves a Runtime API until the test ends.
func newRuntimeAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	a := &runtimeAPI{events: make(chan *invocation), failed: make(chan string, 1), underWay: make(map[string]*invocation)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.fault)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", a.initError)
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

// next hands out an event when there is one.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done(): // the function has ended
	case i := <-a.events:
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:loyalty")
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
		_, _ = w.Write(i.event)
	}
}

const (
	maxPayload = 6 << 20 // of an answer that is no stream (Lambda quotas)
	streamType = "application/vnd.awslambda.http-integration-response"
)

// response takes an answer. A stream that breaks off has its error in the trailer.
func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	i := a.take(r.PathValue("id"))
	if i == nil {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	body, err := i.read(r.Body)
	if r.Header.Get("Content-Type") != streamType && len(body) > maxPayload {
		http.Error(w, "payload too large", http.StatusRequestEntityTooLarge)
		i.done <- outcome{fault: &functionError{Type: "test", Message: "payload too large"}}
		return
	}
	got := outcome{kind: r.Header.Get("Content-Type"), body: body}
	if text := r.Trailer.Get("Lambda-Runtime-Function-Error-Body"); text != "" {
		got.fault = &functionError{}
		fault, errBase64 := base64.StdEncoding.DecodeString(text)
		err = errors.Join(err, errBase64, json.Unmarshal(fault, got.fault))
	}
	if err != nil {
		got.fault = &functionError{Type: "test", Message: err.Error()}
	}
	w.WriteHeader(http.StatusAccepted)
	i.done <- got
}

// fault takes the error of an invocation.
func (a *runtimeAPI) fault(w http.ResponseWriter, r *http.Request) {
	i := a.take(r.PathValue("id"))
	if i == nil {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	got := outcome{fault: &functionError{}}
	if err := json.NewDecoder(r.Body).Decode(got.fault); err != nil {
		got.fault = &functionError{Type: "test", Message: err.Error()}
	}
	w.WriteHeader(http.StatusAccepted)
	i.done <- got
}

func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	select {
	case a.failed <- string(text):
	default:
	}
	w.WriteHeader(http.StatusAccepted)
}

// take returns an invocation that is under way, once.
func (a *runtimeAPI) take(id string) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.underWay[id]
	delete(a.underWay, id)
	return i
}

// begin offers an event to the function. read takes the answer, at its own pace.
func (a *runtimeAPI) begin(event []byte, read func(io.Reader) ([]byte, error)) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	i := &invocation{fmt.Sprintf("c6af9ac6-7b61-11e6-9a41-%012d", a.count), event, read, make(chan outcome, 1)}
	a.underWay[i.id] = i
	return i
}

// invoke gives an event to a function and returns what becomes of it. It fails if the function ends.
func (f *process) invoke(ctx context.Context, event []byte) (outcome, error) {
	return f.invokeReading(ctx, event, io.ReadAll)
}

// invokeReading is invoke with a client that reads the answer in its own way.
func (f *process) invokeReading(
	ctx context.Context, event []byte, read func(io.Reader) ([]byte, error),
) (outcome, error) {
	i := f.api.begin(event, read)
	select {
	case f.api.events <- i:
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	case <-f.ended:
		return outcome{}, errEnded
	}
	select {
	case got := <-i.done:
		return got, nil
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	case <-f.ended:
		return outcome{}, errEnded
	}
}

var errEnded = errors.New("the process of the function has ended")

// answer is what Lambda gives the client.
type answer struct {
	StatusCode        int
	Headers           map[string]string
	MultiValueHeaders map[string][]string
	Body              string
	IsBase64Encoded   bool
}

// header returns the first value of a field, in whichever form the answer has it.
func (a answer) header(name string) string {
	if values := a.MultiValueHeaders[name]; len(values) > 0 {
		return values[0]
	}
	return a.Headers[name]
}

// answerOf reads an answer in either form: one JSON object, or an object, eight zero bytes and the body.
func answerOf(t *testing.T, got outcome) (a answer) {
	t.Helper()
	if got.fault != nil {
		require.NoError(t, got.fault)
	}
	text, body, streamed := bytes.Cut(got.body, make([]byte, 8))
	require.NoError(t, json.Unmarshal(text, &a), "%q", got.body)
	switch {
	case streamed:
		a.Body = string(body)
	case a.IsBase64Encoded:
		body, err := base64.StdEncoding.DecodeString(a.Body)
		require.NoError(t, err)
		a.Body = string(body)
	}
	return a
}
