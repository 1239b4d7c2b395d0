package sigv4_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a request as it is sent. It signs itself by the letter of AWS's description, in the plainest way, so that the
// package is tested with something that shares no code with it.
type wire struct {
	method, target string
	header         []string // lines
	body           string
}

// newWire returns a request to the API that the tests guard, ready to be signed.
func newWire(method, target string, header ...string) *wire {
	return &wire{method: method, target: target, header: append([]string{"Host: api.example.com"}, header...)}
}

// spec is what to sign with, and in what form; each attack changes something in it.
type spec struct {
	algorithm, keyID, secret            string
	date, day, region, service, closing string
	signed                              string // the list of signed headers; empty means all but Authorization
	path, query                         string // canonical; empty means as in the target
	payload                             string // empty means the hash of the body
	expires                             string
}

func newSpec(edit []func(*spec)) spec {
	date := time.Now().UTC().Format("20060102T150405Z")
	s := spec{
		"AWS4-HMAC-SHA256", iamKeyID, iamSecret, date, date[:8], "eu-west-1", "execute-api", "aws4_request",
		"", "", "", "", "300",
	}
	for _, f := range edit {
		f(&s)
	}
	return s
}

// at dates the signature.
func at(d time.Duration) func(*spec) {
	return func(s *spec) {
		s.date = time.Now().UTC().Add(d).Format("20060102T150405Z")
		s.day = s.date[:8]
	}
}

func (s *spec) credential() string {
	return strings.Join([]string{s.keyID, s.day, s.region, s.service, s.closing}, "/")
}

// signature computes step 1 to 3 of AWS's description.
func (w *wire) signature(s spec) string {
	var b strings.Builder
	b.WriteString(w.method + "\n" + s.path + "\n" + s.query + "\n")
	for name := range strings.SplitSeq(s.signed, ";") {
		b.WriteString(name + ":" + strings.Join(w.values(name), ",") + "\n")
	}
	b.WriteString("\n" + s.signed + "\n" + s.payload)
	_, scope, _ := strings.Cut(s.credential(), "/")
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{s.day, s.region, s.service, s.closing} {
		key = hmacSum(key, part)
	}
	return hex.EncodeToString(hmacSum(key, "AWS4-HMAC-SHA256\n"+s.date+"\n"+scope+"\n"+hash(b.String())))
}

func hmacSum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// values returns a header's values as they are signed.
func (w *wire) values(name string) (values []string) {
	for _, line := range w.header {
		key, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(key, strings.Replace(name, ":authority", "host", 1)) {
			values = append(values, strings.Join(strings.Fields(value), " "))
		}
	}
	return values
}

// complete fills in what is not set.
func (w *wire) complete(s *spec) {
	if s.signed == "" {
		var names []string
		for _, line := range w.header {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, strings.ToLower(name))
		}
		slices.Sort(names)
		s.signed = strings.Join(slices.Compact(names), ";")
	}
	path, query, _ := strings.Cut(w.target, "?")
	if s.path == "" {
		s.path = strings.ReplaceAll(path, "%", "%25")
	}
	if s.query == "" {
		s.query = query
	}
	if s.payload == "" {
		s.payload = hash(w.body)
	}
}

// sign adds X-Amz-Date and Authorization.
func (w *wire) sign(edit ...func(*spec)) *wire {
	s := newSpec(edit)
	w.header = append(w.header, "X-Amz-Date: "+s.date)
	w.complete(&s)
	w.header = append(w.header, "Authorization: "+s.algorithm+" Credential="+s.credential()+", SignedHeaders="+s.signed+
		", Signature="+w.signature(s))
	return w
}

// presign adds the query parameters.
func (w *wire) presign(edit ...func(*spec)) *wire {
	s := newSpec(edit)
	w.complete(&s)
	params := []string{
		"X-Amz-Algorithm=" + s.algorithm, "X-Amz-Credential=" + url.QueryEscape(s.credential()), "X-Amz-Date=" + s.date,
		"X-Amz-Expires=" + s.expires, "X-Amz-SignedHeaders=" + url.QueryEscape(s.signed),
	}
	if s.query != "" {
		params = append(params, strings.Split(s.query, "&")...)
	}
	params = slices.DeleteFunc(params, func(p string) bool { return p == "X-Amz-Expires=absent" })
	slices.Sort(params)
	s.query = strings.Join(params, "&")
	path, _, _ := strings.Cut(w.target, "?")
	w.target = path + "?" + s.query + "&X-Amz-Signature=" + w.signature(s)
	return w
}

// with sends more headers than were signed.
func (w *wire) with(lines ...string) *wire {
	w.header = append(w.header, lines...)
	return w
}

// replace changes the request after it was signed, wherever it has the text.
func (w *wire) replace(old, with string) *wire {
	w.target = strings.Replace(w.target, old, with, 1)
	for i, line := range w.header {
		w.header[i] = strings.Replace(line, old, with, 1)
	}
	return w
}

// withBody sets the body before signing.
func (w *wire) withBody(body string) *wire {
	w.body = body
	return w
}

func (w *wire) String() string {
	text := w.method + " " + w.target + " HTTP/1.1\r\n" + strings.Join(w.header, "\r\n") + "\r\n"
	if w.body != "" && len(w.values("content-length")) == 0 && len(w.values("transfer-encoding")) == 0 {
		text += "Content-Length: " + itoa(len(w.body)) + "\r\n"
	}
	return text + "Connection: close\r\n\r\n" + w.body
}

// send sends raw bytes to a server and returns its final answer.
func send(t *testing.T, address, raw string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = conn.Write([]byte(raw))
	require.NoError(t, err)
	for reader := bufio.NewReader(conn); ; {
		response, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		if response.StatusCode != http.StatusContinue {
			return response
		}
	}
}
