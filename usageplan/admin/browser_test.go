package admin_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/usageplan/admin"
)

// A browser visits a page: it keeps cookies by their rules, follows redirects, says what browsers say about a request,
// and sends forms with the fields that it has been shown.
type browser struct {
	t      *testing.T
	server http.Handler
	client http.Client
	at     *url.URL // where it is
	shown  string   // the last answer
	status int
	header http.Header
}

// newBrowser returns a browser without cookies that is at the address.
func newBrowser(t *testing.T, h http.Handler, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	at, err := url.Parse(address)
	require.NoError(t, err)
	return &browser{t: t, server: h, client: http.Client{Jar: jar, Transport: network(h.ServeHTTP)}, at: at}
}

// network is a network with one server. It needs no sockets, so that tests may have a time of their own.
type network func(http.ResponseWriter, *http.Request)

func (serve network) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "192.0.2.7:5000", r.URL.Host
	if in.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{}
	}
	in.URL.Scheme, in.URL.Host = "", ""
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	serve(w, in)
	res := w.Result()
	res.Request = r
	return res, nil
}

// send sends a request and follows redirects. header is what this kind of request adds.
func (b *browser) send(method, to string, body io.Reader, header map[string]string) *browser {
	b.t.Helper()
	ref, err := url.Parse(to)
	require.NoError(b.t, err)
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.at.ResolveReference(ref).String(), body)
	require.NoError(b.t, err)
	for name, value := range header {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	res, err := b.client.Do(r)
	require.NoError(b.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	b.at, b.shown, b.status, b.header = res.Request.URL, string(text), res.StatusCode, res.Header
	return b
}

func (b *browser) get(to string) *browser {
	b.t.Helper()
	return b.send(http.MethodGet, to, nil, map[string]string{"Sec-Fetch-Site": "none"})
}

// post sends a form of the page that is shown, with its token and these fields: name, value, name, value …
func (b *browser) post(to string, fields ...string) *browser {
	b.t.Helper()
	return b.submit(to, b.fields(fields...))
}

// fields returns the fields of a form with the token of the page that is shown.
func (b *browser) fields(fields ...string) url.Values {
	b.t.Helper()
	values := url.Values{}
	if m := tokenField.FindStringSubmatch(b.shown); m != nil {
		values.Set("token", m[1])
	}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return values
}

func (b *browser) submit(to string, values url.Values) *browser {
	b.t.Helper()
	return b.send(http.MethodPost, to, strings.NewReader(values.Encode()), map[string]string{
		"Content-Type": formType, "Sec-Fetch-Site": "same-origin", "Origin": "null", // as under no-referrer
	})
}

// want requires the status of the last answer and texts in it.
func (b *browser) want(status int, texts ...string) *browser {
	b.t.Helper()
	require.Equal(b.t, status, b.status, "%s: %s", b.at, b.shown)
	for _, text := range texts {
		require.Contains(b.t, b.shown, text, "%s", b.at)
	}
	return b
}

const formType = "application/x-www-form-urlencoded"

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// home is where the page of the tests is mounted.
const home = "http://127.0.0.1:8081/admin/"

// newPage returns a page over the plane with owner links.
func newPage(t *testing.T, p *plane, edit ...func(*admin.PageConfig)) (http.Handler, *admin.OwnerLinks) {
	t.Helper()
	links := new(admin.OwnerLinks)
	c := admin.PageConfig{Control: p.Handler.(*admin.Server), Links: links}
	for _, f := range edit {
		f(&c)
	}
	h, err := admin.Page(c)
	require.NoError(t, err)
	return h, links
}

// visitors lets in everybody who has signed in at the page.
var visitors = settings{admin: func(c *admin.Config) {
	c.Authorize = func(_ *http.Request, a admin.Action) error {
		if a.Page {
			return nil
		}
		return io.ErrUnexpectedEOF // any error
	}
}}

// signedIn returns a browser of the owner.
func signedIn(t *testing.T, p *plane, edit ...func(*admin.PageConfig)) *browser {
	t.Helper()
	h, links := newPage(t, p, edit...)
	b := newBrowser(t, h, home)
	b.get(links.New()).want(200, "Sign in")
	return b.post("sign-in", "link", linkField.FindStringSubmatch(b.shown)[1]).want(200, "Signed in as <bdi>owner</bdi>")
}

var linkField = regexp.MustCompile(`name="link" value="([^"]+)"`)

func text(n int64) string { return strconv.FormatInt(n, 10) }
