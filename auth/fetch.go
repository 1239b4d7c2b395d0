package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultFetchTimeout limits the fetch of one document. API Gateway has the same limit for each of the two (HTTP
	// API quotas: JWKS and OpenID configuration endpoint timeouts).
	defaultFetchTimeout = 1500 * time.Millisecond
	maxFetchTimeout     = time.Minute

	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery 1.0 section 4

	maxRedirects = 3
	maxURL       = 2048 // bytes of a jwks_uri, which reaches logs when its fetch fails

	// mediaTypes is the Accept header. Some servers, such as Kubernetes, answer 406 if the key set's own type (RFC 7517
	// section 8.5.2) is missing, and others if JSON is missing.
	mediaTypes = "application/json, application/jwk-set+json"
)

// source fetches a key set. It must end within its own time limits, because the context that a [keySet] passes has no
// deadline. Calls for one key set overlap only if the process was frozen, see [flight].
type source func(context.Context) (*fetched, error)

// fetched is a key set with the lifetime that the response gave it, from minTTL to maxTTL.
type fetched struct {
	keyList
	ttl time.Duration
}

// fetcher gets documents from issuers, with limits on time, size and redirects.
type fetcher struct {
	client    *http.Client // without Timeout, since get sets a deadline for each document
	allowHTTP bool
	timeout   time.Duration // of one document, redirects included
}

// newFetcher returns the fetcher that all issuers of a verifier share.
func newFetcher(c Config) *fetcher {
	return &fetcher{&http.Client{Transport: c.Transport, CheckRedirect: sameHost}, c.AllowHTTP, c.FetchTimeout}
}

// sameHost allows redirects only to the same scheme and host. The operator trusts the host in the configuration. An
// open redirect on it must not let another host, or anyone on the way over http, supply the keys.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if first := via[0].URL; r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
		return errors.New("redirect to another host")
	}
	return nil
}

// keySet returns a source for the key set at a URL. Its lifetime is that of the response, so it begins with the fetch
// and not when the server last changed the set.
func (f *fetcher) keySet(url string, rules keyRules) source {
	return func(ctx context.Context) (*fetched, error) {
		body, h, err := f.get(ctx, url)
		if err != nil {
			return nil, err
		}
		list, err := parseKeySet(body, rules)
		if err != nil {
			return nil, err
		}
		return &fetched{list, lifetime(h)}, nil
	}
}

// discovered returns a source for the key set that the issuer's discovery document names. The document is fetched every
// time, whatever its own lifetime is: an issuer may move its keys while the old URL still answers, and fetches are
// rare. If either fetch fails, the source fails.
func (f *fetcher) discovered(issuer string, rules keyRules) source {
	return func(ctx context.Context) (*fetched, error) {
		uri, err := f.discover(ctx, issuer)
		if err != nil {
			return nil, err
		}
		return f.keySet(uri, rules)(ctx)
	}
}

// discover returns the jwks_uri of the discovery document. Its issuer must be the given one (OpenID Connect Discovery
// 1.0 sections 4 and 4.3). Otherwise a provider that serves the documents of many issuers could hand out the keys of
// one for another. The key set may be on another host, as Google's is.
func (f *fetcher) discover(ctx context.Context, issuer string) (string, error) {
	// The document for all tenants of Microsoft Entra is at the path common, while its issuer has {tenantid} there.
	place := strings.ReplaceAll(strings.TrimSuffix(issuer, "/"), tenantMark, "common")
	body, _, err := f.get(ctx, place+discoveryPath)
	if err != nil {
		return "", err
	}
	doc, err := parseDiscovery(string(body))
	if err != nil {
		return "", fmt.Errorf("discovery document: %w", err)
	}
	if doc.issuer != issuer {
		return "", fmt.Errorf("discovery document is of issuer %.256q", doc.issuer)
	}
	if err := checkURL(doc.jwksURI, f.allowHTTP); err != nil {
		return "", fmt.Errorf("discovery document: jwks_uri: %w", err)
	}
	return doc.jwksURI, nil
}

// discovery holds the members of a discovery document that are used (OpenID Connect Discovery 1.0 section 3).
type discovery struct{ issuer, jwksURI string }

var discoveryNames = map[string]bool{"issuer": true, "jwks_uri": true}

// parseDiscovery reads a discovery document as strictly as a token, because it says where the keys are. The budget of
// the scanner applies to each member separately: some documents list hundreds of languages and claims, and get bounds
// their length.
func parseDiscovery(document string) (d discovery, err error) {
	var s scanner
	s.reset(strings.TrimPrefix(document, byteOrderMark))
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch name {
		case "issuer":
			d.issuer = s.string()
		case "jwks_uri":
			d.jwksURI = s.string()
		default:
			s.unregistered(discoveryNames)
		}
		s.values = 0 // a full budget for the next member
	}
	switch {
	case s.err != nil:
		return discovery{}, errors.New(s.err.(*detail).text)
	case d.issuer == "" || d.jwksURI == "":
		return discovery{}, errors.New("issuer or jwks_uri is not there, or empty")
	case len(d.jwksURI) > maxURL:
		return discovery{}, errors.New("jwks_uri is too long")
	}
	return d, nil
}

// get reads one document of at most maxKeySet bytes, within the time limit. The header is that of the last response
// after redirects. Only the status 200 is accepted.
//
// A failure that comes much later than the time limit is that of a process that was frozen. The margin is for a
// scheduler that is late.
func (f *fetcher) get(ctx context.Context, url string) ([]byte, http.Header, error) {
	began := time.Now()
	body, h, err := f.read(ctx, url)
	if err != nil && wallTime(began, time.Now()) > f.timeout+f.timeout/4 {
		err = fmt.Errorf("%w: %w", errFrozen, err)
	}
	return body, h, err
}

// read does what get does.
func (f *fetcher) read(ctx context.Context, url string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", mediaTypes)
	res, err := f.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answered %.64s", url, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1)) // one more, to tell a longer document
	if err == nil && len(body) > maxKeySet {
		err = fmt.Errorf("%s answered more than %d bytes", url, maxKeySet)
	}
	return body, res.Header, err
}

// lifetime returns how long a response may be used: Cache-Control's max-age minus Age, limited to minTTL and maxTTL
// (RFC 9111 sections 4.2 and 5.2.2). If there are several max-age, the first counts (RFC 9111 section 4.2.1). Example:
// max-age=3600 and Age: 600 give 50 minutes. Expires is not used.
func lifetime(h http.Header) time.Duration {
	ttl, aged := defaultTTL, false
	for part := range strings.SplitSeq(strings.ToLower(strings.Join(h.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "no-store", name == "no-cache":
			return minTTL
		case name == "max-age" && !aged:
			ttl, aged = seconds(strings.Trim(value, `"`))-seconds(h.Get("Age")), true
		}
	}
	return min(max(ttl, minTTL), maxTTL)
}

// seconds reads a delta-seconds. Any other text counts as zero, so that a lifetime that cannot be read is a short one.
// A number that is too large counts as 2³¹ (RFC 9111 section 1.2.2).
func seconds(text string) time.Duration {
	if strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		n = 1 << 31
	}
	return time.Duration(n) * time.Second
}
