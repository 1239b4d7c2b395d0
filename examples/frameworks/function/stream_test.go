package function_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A handler waits while the client is slow. The answer has 64 MiB, which is more than sockets hold, so the handler
// cannot end before the client reads on, on whatever machine.
func TestStreamWaitsForTheClient(t *testing.T) {
	const parts = 1024
	f := serve(t, "stream")
	var first string
	got, err := f.invokeReading(t.Context(), streamed(t, "/", parts), func(r io.Reader) ([]byte, error) {
		head := make([]byte, 4<<10)
		if _, err := io.ReadFull(r, head); err != nil {
			return nil, err
		}
		time.Sleep(500 * time.Millisecond) // for a handler that would not wait
		first = f.log.String()
		n, err := io.Copy(io.Discard, r)
		return fmt.Appendf(nil, "%d", n+int64(len(head))), err
	})
	require.NoError(t, err)
	require.Nil(t, got.fault)
	require.Equal(t, streamType, got.kind)
	require.Empty(t, first, "the handler has ended before the client has read")
	var n int
	_, err = fmt.Sscan(string(got.body), &n)
	require.NoError(t, err)
	require.Greater(t, n, parts*partSize)
	require.Less(t, n, parts*partSize+1000) // status and header
	require.Eventually(t, func() bool { return f.log.String() != "" }, time.Minute, time.Millisecond)
}

// A panic in mid-stream is the error in the trailer of the answer. What was written has been sent, and the process
// serves the next event.
func TestPanicInMidStream(t *testing.T) {
	f := serve(t, "stream")
	for _, path := range []string{"/panic", "/deep", "/panic"} {
		got, err := f.invoke(t.Context(), streamed(t, path, 3))
		require.NoError(t, err)
		require.NotNil(t, got.fault)
		require.Equal(t, "PanicError", got.fault.Type)
		require.Contains(t, got.fault.Message, "in mid-stream")
		got.fault = nil
		a := answerOf(t, got)
		require.Equal(t, 200, a.StatusCode)
		require.GreaterOrEqual(t, len(a.Body), 2*partSize)
	}
	got, err := f.invoke(t.Context(), streamed(t, "/", 3))
	require.NoError(t, err)
	require.Len(t, answerOf(t, got).Body, 3*partSize)
}

func streamed(t *testing.T, path string, parts int) []byte {
	return sources[5].of(t, sources[5].request(t, "GET", fmt.Sprintf("%s?parts=%d", path, parts), nil))
}
