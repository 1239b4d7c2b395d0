package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fetchTimeout bounds one fetch, discovery included; API Gateway waits as long for each of the two documents (HTTP API
// quotas: JWKS and OpenID configuration endpoint timeouts).
const fetchTimeout = 1500 * time.Millisecond

const maxRedirects = 3

// source fetches a key set, by the end of the context. It is not called again before it has returned.
type source func(context.Context) (*fetched, error)

// fetched is a key set as it was answered.
type fetched struct {
	keys []*key
	ttl  time.Duration
}

// fetcher gets documents from issuers, within bounds.
type fetcher struct {
	client    *http.Client
	allowHTTP bool
}

func newFetcher(transport http.RoundTripper, allowHTTP bool) *fetcher {
	return &fetcher{&http.Client{Transport: transport, CheckRedirect: sameHost}, allowHTTP}
}

// sameHost follows redirects within one scheme and host only: a key server cannot hand its authority to another.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
		return errors.New("redirect to another host")
	}
	return nil
}

// keySet fetches the set at a URL.
func (f *fetcher) keySet(url string) source {
	return func(ctx context.Context) (*fetched, error) {
		body, h, err := f.get(ctx, url)
		if err != nil {
			return nil, err
		}
		keys, err := parseKeySet(body)
		if err != nil {
			return nil, err
		}
		return &fetched{keys, lifetime(h)}, nil
	}
}

// discovered fetches the set that an issuer's discovery document names. The document is asked for every time: an issuer
// may move its keys while the old place still answers, and a fetch is rare enough.
func (f *fetcher) discovered(issuer string) source {
	return func(ctx context.Context) (*fetched, error) {
		uri, err := f.discover(ctx, issuer)
		if err != nil {
			return nil, err
		}
		return f.keySet(uri)(ctx)
	}
}

// discover reads jwks_uri from the discovery document, which must be the issuer's own (OpenID Connect Discovery 1.0
// sections 4 and 4.3).
func (f *fetcher) discover(ctx context.Context, issuer string) (string, error) {
	place := strings.ReplaceAll(strings.TrimSuffix(issuer, "/"), tenantMark, "common") // see [Issuer].URL
	body, _, err := f.get(ctx, place+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", fmt.Errorf("discovery document: %w", err)
	}
	if doc.Issuer != issuer {
		return "", fmt.Errorf("discovery document is of issuer %q", doc.Issuer)
	}
	if err := checkURL(doc.JWKS, f.allowHTTP); err != nil {
		return "", fmt.Errorf("discovery document: %w", err)
	}
	return doc.JWKS, nil
}

// get reads one document of at most maxKeySet bytes.
func (f *fetcher) get(ctx context.Context, url string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", "application/json")
	res, err := f.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answered %s", url, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err == nil && len(body) > maxKeySet {
		err = fmt.Errorf("%s answered more than %d bytes", url, maxKeySet)
	}
	return body, res.Header, err
}

// lifetime is how long an answer may be used: Cache-Control's max-age less Age, within bounds (RFC 9111 sections 4.2
// and 5.2.2).
func lifetime(h http.Header) time.Duration {
	ttl := defaultTTL
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "no-store", "no-cache":
			return minTTL
		case "max-age":
			ttl = seconds(strings.Trim(value, `"`)) - seconds(h.Get("Age"))
		}
	}
	return min(max(ttl, minTTL), maxTTL)
}

// seconds reads a delta-seconds; what is none counts as zero.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
