package sigv4

import "net/http"

// Transport returns a RoundTripper that signs each request and sends it by base. Nil means [http.DefaultTransport]. It
// signs a copy: a RoundTripper must not change the request that it is given.
func (s *Signer) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{s, base}
}

type transport struct {
	signer *Signer
	base   http.RoundTripper
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	signed := r.Clone(r.Context())
	if err := t.signer.Sign(signed); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the body, on errors too
		}
		return nil, err
	}
	return t.base.RoundTrip(signed)
}
