package sigv4

import (
	"net/http"
	"strings"
)

// Transport returns a RoundTripper that signs each request and sends it by base; nil means [http.DefaultTransport]. It
// signs a copy, because a RoundTripper must not change a request. A body that can be read only once needs
// [SignerConfig].MaxSpool. [http.Client.CloseIdleConnections] closes the idle connections of base.
//
// A redirect to another host, to another port, or from https to http is refused with [ErrRedirect]: the signature and
// the session token would go to a server that the first one has chosen. A caller who trusts that server sends it a
// request of its own.
func (s *Signer) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{s, base}
}

// transport signs each request and sends it by base.
type transport struct {
	signer *Signer
	base   http.RoundTripper
}

// RoundTrip signs a clone: r and its header stay as the caller has made them, in case the caller sends it again.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	signed := r.Clone(r.Context())
	if err := t.sign(signed); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must close the body, even if it fails
		}
		return nil, err
	}
	return t.base.RoundTrip(signed)
}

// CloseIdleConnections is the method that [http.Client.CloseIdleConnections] calls.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// sign signs the request. r.Response is what has redirected the client to it, and nil for its first request.
func (t *transport) sign(r *http.Request) error {
	if r.Response != nil && r.URL != nil && !sameServer(r.Response.Request, r) {
		return refuse(ErrRedirect, r.URL.Host)
	}
	return t.signer.Sign(r)
}

// sameServer reports whether a redirect stays with the server that sent it. From http to https it stays, the other way
// it does not: everybody on the way could read the session token.
func sameServer(from, to *http.Request) bool {
	return from != nil && from.URL != nil && strings.EqualFold(from.URL.Host, to.URL.Host) &&
		(from.URL.Scheme != "https" || to.URL.Scheme == "https")
}
