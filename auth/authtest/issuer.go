package authtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	old     []*keyring // that are still in the key set
	status  int
	delay   time.Duration
	fetches int
}

// New makes an issuer whose tokens bear the URL issuer as iss, with fresh keys: RSA of 2048 bits twice, P-256 and
// Ed25519. The URL must be absolute. It need not be where the issuer is served, and may hold Microsoft Entra's
// {tenantid}; the claims given to [Issuer.Sign] then say iss and tid.
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
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.document()
}

// document is the key set: the keys that sign first. The caller must hold mu.
func (i *Issuer) document() []byte {
	all := i.keys.signers()
	for _, k := range i.old {
		all = append(all, k.signers()...)
	}
	return document(all...)
}

// Rotate replaces all keys at once, as an issuer does whose keys were stolen: the old ones are gone from the key set, and
// with the next fetch of it the tokens that they signed are refused. See [Issuer.RotateWithOverlap] for the usual way.
//
// A verifier finds the new keys as soon as a token names one, but no earlier than 10 seconds after its last fetch; until
// then such a token is refused with 401. A test need not wait for that: in a bubble of testing/synctest, with the issuer
// as [auth.Config].Transport, time.Sleep takes no time.
//
// [auth.Config]: https://pkg.go.dev/github.com/tallygate/tallygate/auth#Config
func (i *Issuer) Rotate() error { return i.rotate(false) }

// RotateWithOverlap makes fresh keys sign and leaves the old ones in the key set, as issuers do at planned times, so that
// the tokens that they signed stay good. [Issuer.Retire] ends the overlap.
func (i *Issuer) RotateWithOverlap() error { return i.rotate(true) }

func (i *Issuer) rotate(overlap bool) error {
	keys, err := newKeyring()
	if err != nil {
		return fmt.Errorf("authtest: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if overlap {
		i.old = append(i.old, i.keys)
	} else {
		i.old = nil
	}
	i.keys = keys
	return nil
}

// Retire takes all keys out of the key set that do not sign any more. A verifier uses them until its next fetch, up to 15
// minutes later; a request begins that fetch and is itself still judged by the old set. A test in a bubble of
// testing/synctest sleeps for 15 minutes, verifies any token, and calls synctest.Wait: then the old tokens are refused.
func (i *Issuer) Retire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.old = nil
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

// RoundTrip answers a request as ServeHTTP does, whatever host it is for, without a network: the issuer is an
// [http.RoundTripper] for the Transport of a verifier's Config. A bubble of testing/synctest then has nothing to wait for,
// so time in it is fake, also what [Issuer.Slow] takes.
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
