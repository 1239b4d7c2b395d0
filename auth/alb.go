package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

// ALB is an Application Load Balancer that signs users in. issuer is the OpenID provider or the user pool where they
// sign in, and clients are the load balancer's client IDs there. The load balancer passes a token for the user to the
// service in the header field X-Amzn-Oidc-Data:
//
//	auth.Config{
//		Issuers: []auth.Issuer{auth.ALB(arn, "https://login.example", "client")},
//		Source: func(r *http.Request) (string, bool) {
//			token := r.Header.Get("X-Amzn-Oidc-Data")
//			return token, token != ""
//		},
//	}
//
// These tokens differ from JWTs. Their segments may be padded, and iss, client, exp and signer are in the header. All
// four are checked. signer must be loadBalancer, the ARN of this load balancer, because any customer of AWS can have
// another load balancer of the same Region sign anything. [Token].Client is the client; there is no audience.
//
// Each key is fetched separately, by its kid, which is a UUID, under [Issuer].JWKS. ALB derives that URL from the ARN.
// At most eight keys are held. A key is replaced only if no token has needed it for more than an hour. Only the load
// balancer should be able to reach the service: while many forged kids arrive, a token with a key that is not yet known
// is answered with 503. Source:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
func ALB(loadBalancer, issuer string, clients ...string) Issuer {
	place, err := balancerKeysAt(loadBalancer)
	return Issuer{
		URL: issuer, Audiences: slices.Clone(clients), JWKS: place, Algorithms: []string{"ES256"},
		kind: kindALB, signer: loadBalancer, err: err,
	}
}

// balancerKeysAt returns the URL under which a load balancer's keys are.
func balancerKeysAt(arn string) (string, error) {
	region, ok := regionOfBalancer(arn)
	if !ok {
		return "", fmt.Errorf("%q is not the ARN of an Application Load Balancer", arn)
	}
	domain, err := domainOf(region)
	if strings.HasPrefix(region, "us-gov-") {
		return "https://s3-" + region + ".amazonaws.com/aws-elb-public-keys-prod-" + region, nil
	}
	return "https://public-keys.auth.elb." + region + "." + domain, err
}

// regionOfBalancer returns the Region in the ARN of a load balancer, such as
// arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/loyalty/50dc6c495c0c9188.
func regionOfBalancer(arn string) (region string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "elasticloadbalancing" {
		return "", false
	}
	partition, ofAWS := strings.CutPrefix(parts[1], "aws") // aws, aws-cn, aws-us-gov
	path, isApplication := strings.CutPrefix(parts[5], "loadbalancer/app/")
	name, id, _ := strings.Cut(path, "/")
	ok = ofAWS && strings.Trim(partition, lowerCase+"-") == "" && consistsOf(parts[3], lowerCase+digits+"-") &&
		consistsOf(parts[4], digits) && len(parts[4]) == 12 &&
		isApplication && consistsOf(name, letters+digits+"-") && consistsOf(id, hexDigits)
	return parts[3], ok
}

// balanced holds the header members that only a load balancer's token has.
type balanced struct {
	signer, issuer, client string
	expiry                 time.Time
}

// read reads the value of a header member if it is one of these. A JWT of another issuer may contain them too, with any
// value.
func (b *balanced) read(s *scanner, name string) bool {
	switch name {
	case "signer":
		b.signer, _ = s.optionalString()
	case "iss":
		b.issuer, _ = s.optionalString()
	case "client":
		b.client, _ = s.optionalString()
	case "exp":
		b.expiry = s.optionalDate()
	default:
		return false
	}
	return true
}

// findBalancer returns the load balancer that the header names as signer and issuer, or nil.
func (k *core) findBalancer(b balanced) *issuerState {
	if b.signer == "" {
		return nil
	}
	for _, issuer := range k.issuers {
		if issuer.kind == kindALB && b.signer == issuer.signer && b.issuer == issuer.URL {
			return issuer
		}
	}
	return nil
}

func (s *issuerState) sameBalancer(other *issuerState) bool {
	return other.kind == kindALB && other.signer == s.signer && other.URL == s.URL
}

// completeALB copies iss, client and exp from the header to the token. If the claims have an iss too, it must be the
// same. If they have an exp too, the earlier one counts.
func (s *issuerState) completeALB(t *claimSet, b balanced) error {
	if t.Issuer != "" && t.Issuer != s.URL {
		return ErrIssuer
	}
	if b.expiry.IsZero() {
		return errNoExpiry
	}
	if t.Expiry.IsZero() || b.expiry.Before(t.Expiry) {
		t.Expiry = b.expiry
	}
	t.Issuer, t.clientID = s.URL, strings.Clone(b.client) // a clone, so that the decoded header can be freed
	return nil
}

// unpad removes correct padding from the segments. signed keeps it, since the signature covers it.
func (c *compact) unpad() {
	for _, segment := range []*string{&c.header, &c.payload, &c.signature} {
		bare := strings.TrimRight(*segment, "=")
		if n := len(*segment) - len(bare); n > 0 && n <= 2 && len(*segment)%4 == 0 {
			*segment, c.padded = bare, true
		}
	}
}

const maxBalancerKeys = 8 // held at a time; see ALB

// balancerKeys holds the key sets of a load balancer, by kid. Each has one key.
type balancerKeys struct {
	open func(kid string) (*keySet, error) // makes a set that fetches the key

	mu   sync.Mutex // guards sets
	sets map[string]*keySet
}

// of returns the set of a kid. If the kid is new and there are maxBalancerKeys sets, it replaces an idle one. If none
// is idle, the error is ErrUnavailable.
func (b *balancerKeys) of(kid string, now time.Time) (*keySet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sets[kid]; s != nil {
		return s, nil
	}
	if !isGUID(kid) { // it becomes part of a URL
		return nil, &Error{Err: errKey}
	}
	if len(b.sets) >= maxBalancerKeys && !b.drop(now) {
		return nil, &Error{Err: fmt.Errorf("%w: too many keys at a time", ErrUnavailable), RetryAfter: retryPause}
	}
	s, err := b.open(kid)
	if err == nil {
		b.sets[strings.Clone(kid)] = s
	}
	return s, err
}

// drop removes an idle set and reports whether there was one. The caller must hold mu.
func (b *balancerKeys) drop(now time.Time) bool {
	for kid, s := range b.sets {
		if s.idle(now) {
			delete(b.sets, kid)
			s.retire()
			return true
		}
	}
	return false
}

// idle reports whether a set may be dropped: no fetch is running or has just ended, and the set has no key, or its key
// is late because no token has needed it for an hour. A set whose key is only due is kept. The next token may need it,
// and forged kids could otherwise push it out before that token arrives.
func (s *keySet) idle(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == nil && !now.Before(s.pause) && (s.current.Load() == nil || !now.Before(s.late))
}

// retire makes the cache discard the tokens that the set's keys signed. A dropped set is not fetched again, so a change
// of its key would not be noticed.
func (s *keySet) retire() {
	if snap := s.current.Load(); snap != nil {
		for _, k := range snap.keys {
			k.retired.Store(true)
		}
	}
}

// keysOf returns the key set that verifies a token with this kid.
func (s *issuerState) keysOf(kid string, now time.Time) (*keySet, error) {
	if s.balancer == nil {
		return s.keys, nil
	}
	return s.balancer.of(kid, now)
}

// balancerKey fetches the one key of a load balancer that is published under its kid.
func (f *fetcher) balancerKey(place, kid string, rules keyRules) source {
	return func(ctx context.Context) (*fetched, error) {
		body, h, err := f.get(ctx, strings.TrimSuffix(place, "/")+"/"+kid)
		if err != nil {
			return nil, err
		}
		list, err := balancerKeySet(body, kid, rules)
		if err != nil {
			return nil, err
		}
		return &fetched{list, lifetime(h)}, nil
	}
}

// balancerKeySet converts a public key in PEM to a key set (RFC 7468 section 13).
func balancerKeySet(text []byte, kid string, rules keyRules) (keyList, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return keyList{}, errors.New("no public key in PEM")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return keyList{}, err
	}
	jwk, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, ALG: jwkset.AlgES256}})
	if err != nil {
		return keyList{}, err
	}
	set, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	if err != nil {
		return keyList{}, err
	}
	return parseKeySet(set, rules)
}
