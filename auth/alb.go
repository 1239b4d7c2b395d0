package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

// ALB is an Application Load Balancer that signs users in at an OpenID provider or a user pool, issuer, as one of
// clients, and tells the service behind it who they are in the field X-Amzn-Oidc-Data:
//
//	auth.Config{
//		Issuers: []auth.Issuer{auth.ALB(arn, "https://login.example", "client")},
//		Source: func(r *http.Request) (string, bool) {
//			token := r.Header.Get("X-Amzn-Oidc-Data")
//			return token, token != ""
//		},
//	}
//
// Its tokens are no JWTs by the letter. Their segments may be padded, and iss, client, exp and signer stand in the
// header. All of them are checked: any customer of AWS can have a load balancer of the same Region sign anything, so
// signer must be loadBalancer, the ARN of this one. [Token.Client] is the client; there is no audience. Keys are fetched
// one by one, by the kid, which is a UUID, under [Issuer].JWKS: ALB derives that from the ARN. No more than eight are
// held at a time; a key makes room for another when no token has needed it for more than an hour. Only the load balancer
// may reach the service: a flood of forged kids keeps a key that is not yet known out, with 503. Source:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html
func ALB(loadBalancer, issuer string, clients ...string) Issuer {
	place, err := balancerKeysAt(loadBalancer)
	return Issuer{
		URL: issuer, Audiences: slices.Clone(clients), JWKS: place, Algorithms: []string{"ES256"},
		kind: kindALB, signer: loadBalancer, err: err,
	}
}

var balancerARN = regexp.MustCompile(`^arn:aws[a-z-]*:elasticloadbalancing:([a-z0-9-]+):\d{12}:loadbalancer/app/[A-Za-z0-9-]+/[0-9a-f]+$`)

// balancerKeysAt is where a load balancer's keys are.
func balancerKeysAt(arn string) (string, error) {
	m := balancerARN.FindStringSubmatch(arn)
	if m == nil {
		return "", fmt.Errorf("%q is not the ARN of an Application Load Balancer", arn)
	}
	domain, err := domainOf(m[1])
	if strings.HasPrefix(m[1], "us-gov-") {
		return "https://s3-" + m[1] + ".amazonaws.com/aws-elb-public-keys-prod-" + m[1], nil
	}
	return "https://public-keys.auth.elb." + m[1] + "." + domain, err
}

// balanced is what the header of a load balancer's token says beyond that of a JWT.
type balanced struct {
	signer, issuer, client string
	expiry                 time.Time
}

// read takes the header's member if it is one of these. A JWT of another issuer may have any such member, too.
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

// findBalancer finds the load balancer that signed a token for an issuer.
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

// adopt completes a token by what its header says. Where the claims say it too, they must not say otherwise; of two
// times the earlier counts.
func (s *issuerState) completeALB(t *Token, b balanced) error {
	if t.issuer != "" && t.issuer != s.URL {
		return ErrIssuer
	}
	if b.expiry.IsZero() {
		return errNoExpiry
	}
	if t.expiry.IsZero() || b.expiry.Before(t.expiry) {
		t.expiry = b.expiry
	}
	t.issuer, t.client = s.URL, strings.Clone(b.client) // the decoded header need not stay in memory
	return nil
}

// unpad takes the padding off the segments that have the right one. It stays part of what was signed.
func (c *compact) unpad() {
	for _, segment := range []*string{&c.header, &c.payload, &c.signature} {
		bare := strings.TrimRight(*segment, "=")
		if n := len(*segment) - len(bare); n > 0 && n <= 2 && len(*segment)%4 == 0 {
			*segment, c.padded = bare, true
		}
	}
}

const maxBalancerKeys = 8

// balancerKeys are the key sets of a load balancer, of one key each.
type balancerKeys struct {
	open func(kid string) (*keySet, error)

	mu   sync.Mutex
	sets map[string]*keySet
}

// balancerKeyID is a kid that may become part of a URL.
var balancerKeyID = regexp.MustCompile(`^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// of returns the set of a kid. An unknown one takes the place of a set that nobody uses; if there is none, nothing can
// be known about the token for now.
func (b *balancerKeys) of(kid string, now time.Time) (*keySet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sets[kid]; s != nil {
		return s, nil
	}
	if !balancerKeyID.MatchString(kid) {
		return nil, &Error{Err: ErrKey}
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

// drop makes room for a set. mu must be held.
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

// idle reports whether a set is not about to get a key, and either never had one or had it for long without a token that
// needs it. A set whose keys are only due does not make room: the next token may need it, and a flood of forged kids
// would come before that token.
func (s *keySet) idle(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flight == nil && !now.Before(s.pause) && (s.current.Load() == nil || !now.Before(s.late))
}

// retire makes the cache forget the tokens that the set's keys signed: nobody would notice any more that a key changes.
func (s *keySet) retire() {
	if snap := s.current.Load(); snap != nil {
		for _, k := range snap.keys {
			k.retired.Store(true)
		}
	}
}

// keysOf is the key set that a token with this kid is verified by.
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

// balancerKeySet makes a key set of a public key in PEM (RFC 7468 section 13).
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
