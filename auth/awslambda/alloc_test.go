//go:build !race

package awslambda_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// An invocation allocates what its request and its answer consist of, and little else: the copy of the event, the
// request with its URL, header and body, the answer with its header and body. Half of it is one for each unusual field.
func TestInvocationsAllocateLittle(t *testing.T) {
	f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain"}
		_, _ = io.WriteString(w, "ok")
	})
	for name, most := range map[string]float64{"rest": 40, "http1": 40, "http2": 40, "url": 40, "alb": 40, "alb_multi": 40} {
		event := golden(t, name)
		got := testing.AllocsPerRun(100, func() { _, _ = f.Invoke(t.Context(), event) })
		t.Log(name, got)
		require.LessOrEqual(t, got, most, name)
	}
}
