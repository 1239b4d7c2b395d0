package authtest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// The ends of the paths of the documents. Anything may come before.
const (
	jwksPath      = "/.well-known/jwks.json"
	discoveryPath = "/.well-known/openid-configuration"
)

// Fail makes the handler answer every request with the given status and no document. Zero ends that.
func (i *Issuer) Fail(status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status = status
}

// Slow makes the handler wait for d before every answer, or until the client has gone. Zero ends that.
func (i *Issuer) Slow(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.delay = d
}

// Fetches returns how many requests for the key set the handler has received, including those that it let fail.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// ServeHTTP serves the key set at any path that ends in /.well-known/jwks.json. At any path that ends in
// /.well-known/openid-configuration it serves the discovery document, which says that the key set is under
// [Issuer.URL].
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	document, status, delay := i.request(r.URL.Path)
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if document == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}

// RoundTrip answers a request as ServeHTTP does, without a network and whatever host the request is for. So the issuer
// can be the Transport in a verifier's Config. In a bubble of testing/synctest time is then fake, including the time
// that [Issuer.Slow] takes, since nothing in the bubble waits for a network.
func (i *Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	res := w.Result()
	res.Request = r
	return res, nil
}

// request counts a request for path. It returns the document there, or nil, and the switches set by Fail and Slow.
func (i *Issuer) request(path string) (document []byte, status int, delay time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case strings.HasSuffix(path, jwksPath):
		i.fetches++
		document = i.document()
	case strings.HasSuffix(path, discoveryPath):
		document = i.discovery()
	}
	return document, i.status, i.delay
}

// discovery returns the discovery document (OpenID Connect Discovery 1.0 section 3).
func (i *Issuer) discovery() []byte {
	text, _ := json.Marshal(map[string]any{ // strings always encode
		"issuer":                                i.url,
		"jwks_uri":                              strings.TrimSuffix(i.url, "/") + jwksPath,
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
	})
	return text
}
