package authtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Where the documents are, whatever stands before in the path.
const (
	jwksPath      = "/.well-known/jwks.json"
	discoveryPath = "/.well-known/openid-configuration"
)

// Issuer issues tokens and serves the documents by which they are verified. Safe for concurrent use.
type Issuer struct {
	url string

	mu      sync.Mutex
	keys    *keyring
	status  int
	delay   time.Duration
	fetches int
}

// New makes an issuer whose tokens bear url as iss, with fresh keys: RSA of 2048 bits twice, P-256 and Ed25519. The
// url must be absolute. It need not be where the issuer is served.
func New(issuer string) (*Issuer, error) {
	if u, err := url.Parse(issuer); err != nil || u.Scheme == "" || u.Host == "" {
		return nil, fmt.Errorf("authtest: %q is not an absolute URL", issuer)
	}
	keys, err := newKeyring()
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	return &Issuer{url: issuer, keys: keys}, nil
}

// URL is the issuer's name, as given to [New].
func (i *Issuer) URL() string { return i.url }

// JWKS is the current key set, a JSON document.
func (i *Issuer) JWKS() []byte { return append([]byte(nil), i.ring().document...) }

// Rotate replaces all keys. The old ones are gone from the key set at once.
func (i *Issuer) Rotate() error {
	keys, err := newKeyring()
	if err != nil {
		return fmt.Errorf("authtest: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
	return nil
}

// Fail makes the handler answer every request with the status, without a document; zero ends that.
func (i *Issuer) Fail(status int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status = status
}

// Slow makes the handler wait so long before every answer, or until the client has gone; zero ends that.
func (i *Issuer) Slow(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.delay = d
}

// Fetches is how many requests for the key set the handler has received, failed ones too.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// ServeHTTP serves the key set at any path that ends in /.well-known/jwks.json, and the discovery document, which
// places the key set under [Issuer.URL], at any that ends in /.well-known/openid-configuration.
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

func (i *Issuer) request(path string) (document []byte, status int, delay time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case strings.HasSuffix(path, jwksPath):
		i.fetches++
		document = i.keys.document
	case strings.HasSuffix(path, discoveryPath):
		document = i.discovery()
	}
	return document, i.status, i.delay
}

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

func (i *Issuer) ring() *keyring {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys
}

// Sign signs any claims with RS256, ES256 or EdDSA. It adds iss, iat (now) and exp (in an hour) where claims have
// none; a nil value leaves the claim out.
func (i *Issuer) Sign(algorithm string, claims map[string]any) (string, error) {
	k := i.ring()
	for _, s := range []*signer{k.access, k.ec, k.ed} {
		if s.method.Alg() == algorithm {
			return i.sign(s, true, claims)
		}
	}
	return "", fmt.Errorf("authtest: %w", errors.New("algorithm is none of RS256, ES256, EdDSA"))
}

func (i *Issuer) sign(s *signer, typ bool, claims map[string]any) (string, error) {
	now := time.Now()
	all := jwt.MapClaims{"iss": i.url, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	t := jwt.NewWithClaims(s.method, all)
	t.Header["kid"] = s.id
	if !typ { // Cognito's headers have kid and alg only
		delete(t.Header, "typ")
	}
	text, err := t.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("authtest: %w", err)
	}
	return text, nil
}
