package bench

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/sigv4"
)

// worst are the requests that cost a verifier the most for their bytes. Each is a request with a signature, in the
// header or the query, that has more headers and another target than it had when it was signed. Those that are within
// the limits may verify.
var worst = []struct {
	name      string
	target    string
	header    string // lines
	presigned bool
	authorize string // in place of the Authorization header; "none" for none at all
}{
	{name: "semicolons-1MB", target: "/?" + strings.Repeat(";", 1_000_000)},
	{name: "parameters-1MB", target: "/?" + strings.Repeat("x&", 500_000)},
	{name: "names-1MB", target: "/?" + strings.Repeat("%78-amz-&", 110_000)},
	{name: "parameters-32000", target: "/?" + strings.Repeat("&", 32_000)},
	{name: "parameters-at-limit", target: "/?" + counted(256, "", "&")},
	{name: "escapes-at-limit", target: "/?" + counted(256, "%41", "=%20%20&")},
	{name: "values-differ-at-limit", target: "/?" + counted(256, "a=", "&")},
	{name: "values-alike-at-limit", target: "/?" + strings.Repeat("parameter-of-some-length-and=value&", 255)},
	{name: "long-names-at-limit", target: "/?" + counted(256, strings.Repeat("n", 24), "=+&")},
	{name: "escaped-names-at-limit", target: "/?" + counted(256, strings.Repeat("%41", 8), "=+&")},
	{name: "bytes-to-escape-at-limit", target: "/?a=" + strings.Repeat("!", 5000)},
	{name: "spaces-at-limit", target: "/?a=" + strings.Repeat("+", 5000)},
	{name: "bytes-to-escape-no-signature", target: "/?a=" + strings.Repeat("!", 9900), authorize: "none"},
	{name: "beginnings-at-limit-no-signature", target: "/?" + strings.Repeat("x-&", 3300), authorize: "none"},
	{name: "parameters-1MB-no-signature", target: "/?" + strings.Repeat("x&", 500_000), authorize: "none"},
	{name: "beginnings-1MB-no-signature", target: "/?" + strings.Repeat("%78-am&", 140_000), authorize: "none"},
	{name: "names-1MB-no-signature", target: "/?" + strings.Repeat("%78-amz-&", 110_000), authorize: "none"},
	{name: "parameters-at-limit-of-bytes", target: "/?" + counted(240, "parameter-of-some-length-", "=1&")},
	{name: "parameters-X-Amz", target: "/?" + counted(64, "x-amz-meta-", "=&")},
	{name: "parameters-at-limit-presigned", target: "/?" + counted(249, "", "&"), presigned: true},
	{name: "semicolons-1MB-presigned", target: "/?" + strings.Repeat(";", 1_000_000), presigned: true},
	{name: "path-at-limit", target: "/" + strings.Repeat("%2f", 3200)},
	{name: "names-at-limit", target: "/", header: lines(240, "X-Amz-Meta-", "")},
	{name: "one-header-unsigned", target: "/", header: lines(240, "X-Amz-Meta-", "") + "X-Amz-Meta-Unsigned: x\r\n"},
	{name: "values-at-limit", target: "/", header: strings.Repeat("X-Amz-Meta: v\r\n", 250)},
	{name: "value-at-limit", target: "/", header: "X-Amz-Meta: " + strings.Repeat(" v", 4700) + "\r\n"},
	{name: "values-1MB", target: "/", header: strings.Repeat("X-Amz-Meta: "+strings.Repeat("v", 4000)+"\r\n", 250)},
	{name: "connection-1MB", target: "/", header: "Connection: " + strings.Repeat("a,", 500_000) + "\r\n"},
	{name: "connection-at-limit", target: "/", header: "Connection: " + strings.Repeat("a,", 250) + "\r\n"},
	{name: "unsigned-headers-1MB", target: "/", header: lines(60_000, "U-", "")},
	{name: "unsigned-X-Amz-headers-1MB", target: "/", header: lines(55_000, "X-Amz-U", "")},
	{name: "unsigned-X-Amz-headers-presigned", target: "/?x", header: lines(55_000, "X-Amz-U", ""), presigned: true},
	{name: "authorization-1MB", target: "/", authorize: "AWS4-HMAC-SHA256 " + strings.Repeat("a=,", 330_000)},
	{name: "authorization-at-limit", target: "/", authorize: "AWS4-HMAC-SHA256 " + strings.Repeat("a=,", 3300)},
	{name: "list-at-limit", target: "/", authorize: "AWS4-HMAC-SHA256 Credential=" + keyID + "/20261124/eu-west-1/execute-api/aws4_request, Signature=0, SignedHeaders=" +
		strings.Repeat("a;", 5000)},
	{name: "date-1MB", target: "/", header: "X-Amz-Date: " + strings.Repeat("\xff", 1_000_000) + "\r\n"},
}

// counted joins names that differ in their number, in the order that is the worst to sort.
func counted(n int, prefix, suffix string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix + strconv.Itoa(i*7919%n) + suffix)
	}
	return strings.TrimSuffix(b.String(), "&")
}

func lines(n int, prefix, value string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix + strconv.Itoa(i) + ": " + value + "\r\n")
	}
	return b.String()
}

// BenchmarkWorst compares impl=ours, which is Present, Verify and the text of the answer, with impl=floor, which is what
// net/http's server does with the same bytes around an empty handler, and a verification that succeeds. Ours must stay
// within 3 times the floor.
func BenchmarkWorst(b *testing.B) {
	v := newVerifier(b, sigv4.Keyring{keyID: {Secret: secret}})
	valid := sign(b, request("GET", target, nil), newSigner(b, keyID, ""))
	for _, w := range worst {
		raw := wireOf(b, w.target, w.header, w.authorize, w.presigned)
		b.Run("input="+w.name, func(b *testing.B) {
			b.Run("impl=ours", func(b *testing.B) {
				r := parse(b, raw)
				b.ReportAllocs()
				answered := 0 // bytes
				for b.Loop() {
					v.Present(r)
					if _, err := v.VerifyAt(r, now); err != nil {
						answered += len(err.(*sigv4.Error).ErrorMessage())
					}
				}
			})
			b.Run("impl=floor", func(b *testing.B) {
				served := 0
				serve(&endless{raw: raw, left: b.N}, func(http.ResponseWriter, *http.Request) {
					served++
					_, _ = v.VerifyAt(valid, now)
				})
				require.Equal(b, b.N, served)
			})
		})
	}
}

// serve has a server read requests from one connection to its end.
func serve(conn *endless, handler http.HandlerFunc) {
	closed := make(chan struct{})
	server := http.Server{Handler: handler, MaxHeaderBytes: 2 << 20, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}}
	_ = server.Serve(&single{conn: conn})
	<-closed
}

// single is a listener that accepts one connection.
type single struct {
	net.Listener
	conn net.Conn
}

func (l *single) Accept() (net.Conn, error) {
	conn := l.conn
	if l.conn = nil; conn == nil {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (*single) Close() error   { return nil }
func (*single) Addr() net.Addr { return new(net.TCPAddr) }

// endless is a connection on which a client sends one request many times and ignores the answers.
type endless struct {
	raw      []byte
	at, left int
}

func (c *endless) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.raw[c.at:])
	if c.at += n; c.at == len(c.raw) {
		c.at = 0
		c.left--
	}
	return n, nil
}

func (*endless) Write(p []byte) (int, error)      { return len(p), nil }
func (*endless) Close() error                     { return nil }
func (*endless) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (*endless) RemoteAddr() net.Addr             { return new(net.TCPAddr) }
func (*endless) SetDeadline(time.Time) error      { return nil }
func (*endless) SetReadDeadline(time.Time) error  { return nil }
func (*endless) SetWriteDeadline(time.Time) error { return nil }

// wireOf is a request with more headers, all of them in the list of signed headers, and a signature that does not
// match.
func wireOf(b *testing.B, target, header, authorize string, presign bool) []byte {
	r := request("GET", "/", nil)
	for line := range strings.Lines(header) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); strings.HasPrefix(name, "X-Amz-Meta") && !strings.HasPrefix(name, "X-Amz-Meta-Unsigned") {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	text := "GET " + target
	if presign {
		url, err := newSigner(b, keyID, "").PresignAt(r, 5*60e9, now)
		require.NoError(b, err)
		_, query, _ := strings.Cut(url, "?")
		text += "&" + query
	} else if err := newSigner(b, keyID, "").SignAt(r, now); err != nil {
		b.Fatal(err)
	}
	text += " HTTP/1.1\r\nHost: " + apiHost + "\r\n" + header
	if authorize == "" {
		authorize = r.Header.Get("Authorization")
	}
	if authorize != "none" && !presign {
		text += "Authorization: " + authorize + "\r\n"
	}
	if !strings.Contains(header, "X-Amz-Date") && !presign {
		text += "X-Amz-Date: " + r.Header.Get("X-Amz-Date") + "\r\n"
	}
	return []byte(text + "\r\n")
}

func parse(b *testing.B, raw []byte) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		b.Fatal(err)
	}
	return r
}
