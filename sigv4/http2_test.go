package sigv4_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// field is a header field of HTTP/2 as it is sent.
type field struct{ name, value string }

// headerBlock encodes fields without compression: a literal that is not indexed, with a new name (RFC 7541 6.2.2).
func headerBlock(fields []field) (block []byte) {
	text := func(s string) {
		if len(s) < 127 {
			block = append(block, byte(len(s)))
		} else { // RFC 7541 5.1, a prefix of 7 bits
			block = binary.AppendUvarint(append(block, 127), uint64(len(s)-127))
		}
		block = append(block, s...)
	}
	for _, f := range fields {
		block = append(block, 0)
		text(f.name)
		text(f.value)
	}
	return block
}

// frame is a frame of HTTP/2, RFC 9113 4.1.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(head, stream), payload...)
}

// sendHTTP2 sends one request, whose body and trailers are there if they are not nil.
func sendHTTP2(t *testing.T, address string, fields []field, body []byte, trailers []field) {
	t.Helper()
	const data, headers, settings, endStream, endHeaders = 0, 1, 4, 1, 4
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	raw := append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(settings, 0, 0, nil)...)
	flags := byte(endHeaders)
	if body == nil {
		flags |= endStream
	}
	raw = append(raw, frame(headers, flags, 1, headerBlock(fields))...)
	if body != nil {
		raw = append(raw, frame(data, 0, 1, body)...)
		raw = append(raw, frame(headers, endHeaders|endStream, 1, headerBlock(trailers))...)
	}
	_, err = conn.Write(raw)
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
}

// over is a signed request in the form of HTTP/2, its host in :authority.
func over(w *wire, more ...field) []field {
	fields := []field{{":method", w.method}, {":scheme", "http"}, {":authority", "api.example.com"}, {":path", w.target}}
	for _, line := range w.header[1:] {
		name, value, _ := strings.Cut(line, ": ")
		fields = append(fields, field{strings.ToLower(name), value})
	}
	return append(fields, more...)
}

// What only frames can say that clients do not: net/http keeps a host field next to :authority.
func TestHTTP2FramesAddNothingToASignedRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		fields   []field
		body     []byte
		trailers []field
		want     error
		trailer  http.Header
	}{
		"plain":                      {fields: over(simple().sign())},
		"the same host":              {fields: over(simple().sign(), field{"host", "api.example.com"})},
		"another host":               {fields: over(simple().sign(), field{"host", "evil.example.com"}), want: sigv4.ErrAmbiguousHeader},
		"the host and another":       {fields: over(simple().sign(), field{"host", "api.example.com"}, field{"host", "evil.example.com"}), want: sigv4.ErrAmbiguousHeader},
		"another host, presigned":    {fields: over(simple().presign(), field{"host", "evil.example.com"}), want: sigv4.ErrAmbiguousHeader},
		"te":                         {fields: over(simple().sign(), field{"te", "trailers"})},
		"cookies one by one, signed": {fields: over(cookies(), field{"cookie", "a=1"}, field{"cookie", "b=2"})},
		"a header in two fields":     {fields: over(newWire("GET", loyalty, "X-Amz-Meta: a", "X-Amz-Meta: b").sign())},
		"unsigned twin":              {fields: over(simple().sign(), field{"x_amz_date", "x"}), want: sigv4.ErrAmbiguousHeader},
		"trailer": {
			fields: over(newWire("POST", loyalty).withBody("good").sign(), field{"trailer", "note"}),
			body:   []byte("good"), trailers: []field{{"note", "x"}}, trailer: http.Header{"Note": {"x"}},
		},
		"X-Amz- trailer": {
			fields: over(newWire("POST", loyalty).withBody("good").sign(), field{"trailer", "note, x-amz-acl"}),
			body:   []byte("good"), trailers: []field{{"note", "x"}, {"x-amz-acl", "x"}}, want: sigv4.ErrUnsignedHeader,
		},
		"X-Amz- trailer, not announced": {
			fields: over(newWire("POST", loyalty).withBody("good").sign(), field{"trailer", "note"}),
			body:   []byte("good"), trailers: []field{{"note", "x"}, {"x-amz-acl", "x"}}, trailer: http.Header{"Note": {"x"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			type outcome struct {
				err     error
				trailer http.Header
			}
			decided := make(chan outcome, 1)
			c := sigv4.VerifierConfig{Keys: keyring.Key, Regions: []string{"eu-west-1"}}
			c.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { decided <- outcome{err: err} }
			server := httptest.NewUnstartedServer(newVerifier(t, c).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				decided <- outcome{err, r.Trailer}
			})))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			defer server.Close()
			sendHTTP2(t, server.Listener.Addr().String(), tt.fields, tt.body, tt.trailers)
			select {
			case got := <-decided:
				require.ErrorIs(t, got.err, tt.want)
				require.Equal(t, tt.trailer, got.trailer)
			case <-time.After(time.Minute):
				require.Fail(t, "net/http has refused the request itself")
			}
		})
	}
}

// cookies is signed as a client signs the Cookie header of HTTP/1.1.
func cookies() *wire {
	w := newWire("GET", loyalty, "Cookie: a=1; b=2").sign()
	w.header = append(w.header[:1], w.header[2:]...)
	return w
}
