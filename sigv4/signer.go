package sigv4

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// SignerConfig configures a [Signer].
type SignerConfig struct {
	// Credentials returns what to sign with. It is called for every request, by many goroutines at once, and may return
	// other credentials each time. Required.
	Credentials func(context.Context) (Credentials, error)
	// Region is the region signed for, such as "eu-west-1". Required.
	Region string
	// Service is the service signed for. Empty means "execute-api", or "s3" under S3.
	Service string
	// S3 signs as Amazon S3 and servers like it read requests. [VerifierConfig].S3 says how they differ from others.
	S3 bool

	// SignHeader reports whether to sign a header, given its name in lower case. It is not asked about Host and names
	// that begin with x-amz-, which are always signed, nor about headers that end at the next hop, such as Connection
	// and Expect, which never are. Nil signs all others but those that proxies, tracers and clients add, change or
	// remove, such as User-Agent, Accept-Encoding, Cache-Control, Traceparent, Baggage, Via, X-Request-Id and
	// X-Forwarded-For.
	SignHeader func(name string) bool
	// MaxSpool is the most bytes of a body that are read into memory to be hashed. That is needed if the body can be
	// read only once: it has no GetBody, is no [io.Seeker], and X-Amz-Content-Sha256 does not declare its hash. A
	// [net/http/httputil.ReverseProxy] that signs by [Signer.Transport] needs it for every request with a body. Zero
	// means none: such a request is not signed, with cause [ErrBody]. A longer body is not signed either, with cause
	// [ErrTooLarge].
	MaxSpool int64
	// UnsignedPayload signs UNSIGNED-PAYLOAD in place of the body's hash.
	UnsignedPayload bool
	// UnsignedToken adds the session token after signing, as AWS IoT requires.
	UnsignedToken bool
	// Trace is called with what each signature was made of, to be compared with what a server reports. The canonical
	// request may contain a session token. Nil means no call.
	Trace func(*http.Request, Trace)
}

// Signer signs requests. The zero Signer refuses to, with [ErrNotConfigured]. A Signer may be used by many goroutines
// at once, each with a request of its own.
type Signer struct {
	config SignerConfig
	scope  string // "/region/service/aws4_request"
	keys   *keyCache
}

// NewSigner returns a Signer, or an error with every mistake in the configuration.
func NewSigner(c SignerConfig) (*Signer, error) {
	if c.Service == "" {
		c.Service = defaultService(c.S3)
	}
	if err := errors.Join(
		wrong(c.Credentials == nil, "Credentials is nil"),
		wrong(notElement(c.Region), "Region is empty or names no region"),
		wrong(notElement(c.Service), "Service names no service"),
		wrong(c.MaxSpool < 0, "MaxSpool is negative"),
	); err != nil {
		return nil, err
	}
	return &Signer{config: c, scope: "/" + c.Region + "/" + c.Service + "/" + terminator, keys: newKeyCache()}, nil
}

// Sign adds the headers of a signature to a request that is to be sent: X-Amz-Date, Authorization, X-Amz-Security-Token
// if the credentials are temporary, and X-Amz-Content-Sha256 if the request has a body or goes to S3.
//
// An X-Amz-Content-Sha256 that is there already counts as the body's hash, even if it comes from an earlier Sign: a
// caller who changes the body of a signed request must delete it. Otherwise the body is read from r.GetBody, or from
// r.Body if that is an [io.Seeker], which is set back afterwards. A Date header that is there is set to the time of
// signing. A "+" in the query becomes "%20": every decoder of forms reads both as a space, but verifiers differ over
// "+".
//
// Sign refuses what net/http would send in another form than it is signed: a host that is not ASCII, which must be
// given in Punycode, an IPv6 zone, and a header to be signed whose key is not in canonical form. It also refuses a time
// outside the years 1 to 9999. A request that cannot be signed is left without an Authorization header. The error is an
// *[Error].
func (s *Signer) Sign(r *http.Request) error { return s.SignAt(r, time.Now()) }

// SignAt is [Signer.Sign] at a given time instead of now.
func (s *Signer) SignAt(r *http.Request, now time.Time) error {
	if e := s.signAt(r, now); e != nil {
		delete(r.Header, "Authorization") // an old one would not belong to the new date
		return e
	}
	return nil
}

// signAt is SignAt without the removal of an old signature. A request that begin refuses stays as it is. Any other gets
// the form in which it is sent before it is signed, because that form is what a server sees.
func (s *Signer) signAt(r *http.Request, now time.Time) *Error {
	cr := canonicalRequests.Get().(*canonicalRequest)
	defer cr.release()
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	key, e := s.begin(r, cr, now)
	if e != nil {
		return e
	}
	if e := s.spool(r); e != nil {
		return e
	}
	payload, e := s.payload(r, cr)
	if e != nil {
		return e
	}
	setQuery(r)
	values := &added{formatBasic(now), string(key.SessionToken)}
	s.setHeaders(r, values, payload, now)
	signed, e := s.signedHeaders(r, cr, false)
	if e != nil {
		return e
	}
	if e := checkTrailers(r); e != nil {
		return e
	}
	if e := s.finish(r, cr, &key, host(r), values[0], signed, payload); e != nil {
		return e
	}
	values[2] = cr.authorization(key.AccessKeyID, values[0], s.scope, signed)
	r.Header["Authorization"] = values[2:3:3]
	if s.config.UnsignedToken {
		values.setToken(r.Header)
	}
	return nil
}

// added holds the values of X-Amz-Date, X-Amz-Security-Token and Authorization in one allocation. Each header gets a
// slice of one of them that has no room for more. So Header.Add on one header does not overwrite another.
type added [3]string

// setToken sets the session token, if there is one.
func (a *added) setToken(h http.Header) {
	if a[1] != "" {
		h["X-Amz-Security-Token"] = a[1:2:2]
	}
}

// setHeaders sets what is to be signed to the form in which it is sent: the cookies, the date, the session token and
// the payload hash. A Date that is there gets the time of the signature, so that the request has one time.
func (s *Signer) setHeaders(r *http.Request, values *added, payload string, now time.Time) {
	setCookies(r.Header)
	if len(r.Header["Date"]) > 0 {
		r.Header["Date"] = []string{now.UTC().Format(http.TimeFormat)}
	}
	r.Header["X-Amz-Date"] = values[0:1:1]
	delete(r.Header, "X-Amz-Security-Token") // of an earlier signature
	if !s.config.UnsignedToken {
		values.setToken(r.Header)
	}
	if !declares(r) && (s.config.S3 || payload != emptyHash) { // S3 requires it
		r.Header["X-Amz-Content-Sha256"] = []string{payload}
	}
}

// authorization returns the Authorization header, whose signature has been made.
func (cr *canonicalRequest) authorization(keyID, date, scope, signed string) string {
	cr.out = append(append(append(cr.out[:0], algorithm+" Credential="...), keyID...), '/')
	cr.out = append(append(append(cr.out, date[:len(day)]...), scope...), ", SignedHeaders="...)
	cr.out = append(append(append(cr.out, signed...), ", Signature="...), cr.signature[:]...)
	return string(cr.out)
}

// Causes of the signer that say what the caller must change. Each wraps the cause that a verifier has.
var (
	errCredentials = fmt.Errorf("%w: Credentials returned no secret, or no access key ID", errMalformedCredential)
	errHostForm    = fmt.Errorf("%w: the host is empty, or not ASCII: write an international name in Punycode", errMalformedTarget)
	errKeyForm     = fmt.Errorf("%w: its key is not in canonical form: use http.Header.Set", errAmbiguousHeader)
)

// begin gets the credentials and parses the query. It refuses what cannot be signed, before it changes the request.
func (s *Signer) begin(r *http.Request, cr *canonicalRequest, now time.Time) (c Credentials, e *Error) {
	if s == nil || s.keys == nil {
		return c, refuse(ErrNotConfigured, "")
	}
	c, err := s.config.Credentials(r.Context())
	switch {
	case err != nil:
		return c, refuse(fmt.Errorf("%w: %w", ErrUnavailable, err), "")
	case notElement(c.AccessKeyID) || c.Secret == "":
		return c, refuse(errCredentials, c.AccessKeyID)
	}
	if e := checkSendable(r, now); e != nil {
		return c, e
	}
	switch refused, ok := cr.query.parse(sentQuery(r.URL.RawQuery)); {
	case cr.query.full:
		return c, refuse(errHeaderTooLarge, "")
	case !ok:
		return c, refuse(errAmbiguousQuery, refused)
	}
	if cr.query.authenticates() {
		return c, refuse(errTwoMechanisms, "")
	}
	return c, nil
}

// checkSendable refuses a request whose method, URL or host net/http does not send, or not as they are, and a time that
// the date has no digits for.
func checkSendable(r *http.Request, now time.Time) *Error {
	switch {
	case !tokenBytes.all(r.Method) || r.Method == http.MethodConnect: // RFC 9110 9.3.6: the target of CONNECT has no path
		return refuse(errMalformedTarget, r.Method)
	case r.URL == nil || r.URL.Opaque != "":
		return refuse(errMalformedTarget, "the URL is nil or opaque")
	case host(r) == "" || !hostBytes.all(host(r)):
		return refuse(errHostForm, host(r))
	}
	if year := now.UTC().Year(); year < 1 || year > 9999 {
		return refuse(errMalformedDate, now.UTC().String())
	}
	return nil
}

// sentQuery returns a query in the form in which it is sent. A "+" becomes the escaped space that it means to every
// decoder of forms. A byte that may not be in a query (RFC 3986 3.4) is escaped: servers refuse some of them, such as a
// space, and differ over others. What could be read in two ways stays as it is, and [query.parse] refuses it.
func sentQuery(raw string) string {
	if queryBytes.all(raw) {
		return raw
	}
	return string(appendEscaped(nil, strings.ReplaceAll(raw, "+", " "), queryBytes))
}

// setQuery replaces the query by the one that is signed.
func setQuery(r *http.Request) {
	sent := sentQuery(r.URL.RawQuery)
	if sent == r.URL.RawQuery {
		return
	}
	r.URL.RawQuery = sent
	if r.RequestURI != "" { // a request made for a test of a server
		r.RequestURI = r.URL.RequestURI()
	}
}

// finish writes the canonical request and signs it. It signs a path with dot segments as if they were removed, as the
// SDKs do; the path is sent as it is.
func (s *Signer) finish(r *http.Request, cr *canonicalRequest, c *Credentials, host, date, signed, payload string) *Error {
	path := r.URL.EscapedPath()
	switch {
	case path == "":
		path = "/"
	case path[0] != '/': // net/http would send it as it is, but a request target begins with a slash (RFC 9112 3.2.1)
		return refuse(errMalformedTarget, path)
	case !s.config.S3 && !isClean(path):
		path = normalize(path)
	}
	cr.begin(r.Method, path, s.config.S3)
	if _, e := cr.headers(r, host, signed); e != nil {
		return e
	}
	cr.text = append(cr.text, payload...)
	cr.sign(s.keys, &Key{Secret: c.Secret}, date, s.scope)
	if s.config.Trace != nil {
		s.config.Trace(r, *cr.trace())
	}
	return nil
}

// host returns the host that net/http will send.
func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}
