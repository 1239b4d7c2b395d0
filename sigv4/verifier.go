package sigv4

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
)

// VerifierConfig configures a [Verifier].
type VerifierConfig struct {
	// Keys is the key source: it returns the key with the scope's access key ID, or an error that wraps [ErrUnknownKey].
	// Any other error is a failure of the source and answered with 503. It is called once per request, whether or not the
	// signature will match, by many goroutines at once. Required. [Keyring] is one in memory.
	Keys func(context.Context, Scope) (Key, error)
	// Regions are the regions accepted, such as "eu-west-1". Required.
	Regions []string
	// Services are the services accepted. Empty means "execute-api" under [ExecuteAPI], "s3" under [S3]; [Generic] has no
	// default.
	Services []string
	// Rules is how requests are read. Zero means [ExecuteAPI].
	Rules Rules

	// MaxAge is how long a signature is good for. Zero means 5 minutes. A fraction of a second does not count, here and in
	// the two fields below.
	MaxAge time.Duration
	// MaxAhead is how far in the future a signature may be dated. Zero means 5 minutes.
	MaxAhead time.Duration
	// MaxExpires is the longest X-Amz-Expires accepted on a presigned URL, which is then good for that long. Zero means
	// 7 days, the most that AWS allows, except under [ExecuteAPI]: API Gateway holds a presigned URL to MaxAge and only
	// wants X-Amz-Expires to be well formed. A URL without X-Amz-Expires is good for MaxAge or MaxExpires, whichever is
	// shorter; [S3] refuses it.
	MaxExpires time.Duration

	// SignedHeaders are headers that must be signed where a request has them, such as "Content-Type". Those that must be
	// signed always are Host and all that begin with X-Amz-; nothing here adds to or takes from them.
	SignedHeaders []string
	// AllowUnsignedHeaders are headers beginning with X-Amz- that need not be signed, since a proxy adds them, such as
	// CloudFront's X-Amz-Cf-Id.
	AllowUnsignedHeaders []string
	// AllowUnsignedPayload accepts UNSIGNED-PAYLOAD in place of the payload hash, so that nothing vouches for the body. The
	// handler reads it as it comes in and gets an [http.MaxBytesError] after MaxBody bytes. Without AllowUnsignedPayload,
	// such a request is accepted only if it has no body.
	AllowUnsignedPayload bool
	// UnsignedToken expects the session token outside the signature, added after signing as AWS IoT wants it. The token
	// is compared all the same.
	UnsignedToken bool
	// AllowUncleanPath accepts paths with empty segments or dot segments, which are normalised for the signature but not
	// for the handler. [S3] accepts them always, as parts of object keys.
	AllowUncleanPath bool
	// MaxBody is the most bytes of a body accepted. Zero means 10 MiB, API Gateway's limit; negative means no limit.
	MaxBody int64

	// MaxHeaderBytes is the most bytes accepted of the request line, the Authorization header and the signed headers
	// together. It also bounds how many parameters the query may have, one for every 40 bytes, how many values the signed
	// headers, and the canonical form of the query, which may be half as long again. Zero means 10 240, API Gateway's limit,
	// and thus 256 of each and 15 360 bytes; negative means no limit but net/http's, [http.Server].MaxHeaderBytes. At any
	// value, 64 parameters may have names that begin with X-Amz-. What exceeds it is refused with [ErrHeaderTooLarge].
	MaxHeaderBytes int

	// ExternalHost is the host that clients sign, where a proxy replaces the Host header. Empty means the Host header.
	// X-Forwarded-Host is never read, as anyone can send it. It is no URL: "api.example.com", or with a port that clients
	// sign, "api.example.com:8443".
	ExternalHost string
	// PathPrefix is what a proxy has cut off the path that clients sign, such as "/Prod", with the escapes that they send.
	PathPrefix string

	// OneAnswer answers an unknown access key as a signature that does not match, so that nobody can try out access keys. The
	// two also cost the same: the body is read for both. API Gateway's answers tell the two apart.
	OneAnswer bool
	// Explain adds the canonical request and the string to sign to the answer to a signature that does not match, as API
	// Gateway does. They hold nothing but what the client has sent. Each line is cut to 256 bytes; [Error].Trace has all.
	Explain bool
	// AllowDespite reports whether [Verifier.Handler] passes on a request that was refused, for a dry run or to stay open
	// while the key source is down ([ErrUnavailable]). It is called with the *[Error]. The next handler gets the request
	// without an identity, an outer verifier's included, and with its whole body, which ends in an [http.MaxBytesError]
	// after MaxBody bytes. Nothing is set in the response. A body that was found too large stays refused, and so does all
	// that a zero Verifier is asked. [Verifier.Verify] and [Verifier.Authenticate] still refuse. Nil means never.
	AllowDespite func(*http.Request, error) bool
	// ErrorHandler answers refusals, the headers of [Error.SetHeader] already set. Nil means [Error.ServeHTTP]. The error
	// is an *[Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

// The window of API Gateway either way, its limits on bodies and on the request line and header values together (API Gateway
// Developer Guide, "Quotas for configuring and running an HTTP API"), and AWS's longest life of a presigned URL.
const (
	defaultWindow  = 5 * time.Minute
	defaultMaxBody = 10 << 20
	defaultHeader  = 10_240
	maxExpires     = 7 * 24 * time.Hour // 604 800 s
)

// bytesPerField makes a request cost little more than its bytes, however many fields are made of them: 10 240 / 40 = 256.
const bytesPerField = 40

// Verifier verifies signed requests. The zero Verifier refuses all with [ErrNotConfigured]. A Verifier may be used by many
// goroutines at once; none of them waits for another, except where a signing key is seen for the first time on its day.
type Verifier struct {
	config   VerifierConfig
	required []string // config.SignedHeaders in lower case
	exempt   []string // config.AllowUnsignedHeaders in lower case, and what the rules exempt
	scopes   []acceptedScope
	fields   int // parameters of the query that are read, and as many values of signed headers

	queryRoom int // bytes of the query in canonical form, which is hashed: a byte that is not escaped yet makes three
	keys      *keyCache
	dummy     Key // verifies what an unknown access key has signed, if there is to be one answer
}

// NewVerifier returns a Verifier, or every mistake of the configuration. It copies the configuration.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("sigv4: %w", err)
	}
	v := &Verifier{config: c.withDefaults(), keys: newKeyCache(), dummy: Key{Secret: Secret(rand.Text())}}
	for _, region := range v.config.Regions {
		for _, service := range v.config.Services {
			v.scopes = append(v.scopes, newAcceptedScope(region, service))
		}
	}
	v.fields = max(v.config.MaxHeaderBytes/bytesPerField, 1)
	v.queryRoom = v.config.MaxHeaderBytes + min(v.config.MaxHeaderBytes, math.MaxInt-v.config.MaxHeaderBytes)/2
	v.required = lowerAll(c.SignedHeaders)
	v.exempt = lowerAll(c.AllowUnsignedHeaders)
	if c.Rules == S3 { // its value stands in the canonical request anyway, and clients rely on it
		v.exempt = append(v.exempt, "x-amz-content-sha256")
	}
	if c.UnsignedToken {
		v.exempt = append(v.exempt, "x-amz-security-token")
	}
	return v, nil
}

func (c *VerifierConfig) check() error {
	short := func(d time.Duration) bool { return d > 0 && d < time.Second }
	return errors.Join(
		wrong(c.Keys == nil, "Keys is nil"),
		checkKeyring(c.Keys),
		wrong(len(c.Regions) == 0 || slices.ContainsFunc(c.Regions, notElement), "Regions is empty or names no region"),
		wrong(slices.ContainsFunc(c.Services, notElement), "Services names no service"),
		wrong(len(c.Services) == 0 && c.Rules.service() == "", "Services is empty"),
		wrong(c.Rules > S3, "Rules is unknown"),
		wrong(c.MaxAge < 0 || c.MaxAhead < 0, "MaxAge or MaxAhead is negative"),
		wrong(c.MaxExpires < 0 || c.MaxExpires > maxExpires, "MaxExpires is not within 7 days"),
		wrong(short(c.MaxAge) || short(c.MaxAhead) || short(c.MaxExpires), "MaxAge, MaxAhead or MaxExpires is below a second"),
		wrongIn(c.SignedHeaders, notName, "SignedHeaders has %q, which is no header name"),
		wrongIn(c.AllowUnsignedHeaders, notAmzName,
			"AllowUnsignedHeaders has %q, which does not begin with X-Amz-: only such headers must be signed"),
		wrong(!hostBytes.all(c.ExternalHost), "ExternalHost is not a host, with or without a port, in ASCII"),
		wrong(c.PathPrefix != "" && notPrefix(c.PathPrefix),
			"PathPrefix is not a clean path, escaped, that begins with a slash and does not end in one"),
	)
}

// wrong returns a mistake of a configuration, or nil.
func wrong(is bool, mistake string) error {
	if !is {
		return nil
	}
	return errors.New(mistake)
}

// wrongIn returns a mistake of a list, with the first element that is one, or nil.
func wrongIn(list []string, is func(string) bool, mistake string) error {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return fmt.Errorf(mistake, list[i])
	}
	return nil
}

// notName reports whether s cannot be a header's name.
func notName(s string) bool { return s == "" || !tokenBytes.all(s) }

// notAmzName reports whether s cannot be the name of a header that must be signed for its name.
func notAmzName(s string) bool { return notName(s) || !isAmz([]byte(s)) }

// notPrefix reports whether clients cannot have signed a path that begins with s.
func notPrefix(s string) bool {
	_, err := url.PathUnescape(s)
	return err != nil || !prefixBytes.all(s) || s[0] != '/' || strings.HasSuffix(s, "/") || !isClean(s)
}

// notElement reports whether s cannot stand in a credential scope.
func notElement(s string) bool { return s == "" || strings.ContainsAny(s, "/ ,=\n") }

func (c VerifierConfig) withDefaults() VerifierConfig {
	c.Regions = slices.Clone(c.Regions)
	c.Services = slices.Clone(c.Services)
	if len(c.Services) == 0 {
		c.Services = []string{c.Rules.service()}
	}
	c.MaxAge = orDefault(c.MaxAge, defaultWindow)
	c.MaxAhead = orDefault(c.MaxAhead, defaultWindow)
	if c.Rules != ExecuteAPI {
		c.MaxExpires = orDefault(c.MaxExpires, maxExpires)
	}
	if c.MaxBody = orDefault(c.MaxBody, defaultMaxBody); c.MaxBody < 0 {
		c.MaxBody = math.MaxInt64
	}
	if c.MaxHeaderBytes = orDefault(c.MaxHeaderBytes, defaultHeader); c.MaxHeaderBytes < 0 {
		c.MaxHeaderBytes = math.MaxInt
	}
	c.SignedHeaders, c.AllowUnsignedHeaders = nil, nil // kept in lower case
	return c
}

func orDefault[T ~int | ~int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

func lowerAll(names []string) []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	return lower
}

// Identity is a verified signature: who has signed, when, and for what. Its strings share memory with the request's.
type Identity struct {
	AccessKeyID string
	// Principal names the holder of the access key, from [Key].
	Principal string
	Region    string
	Service   string
	// Time is when the request was signed, to the second.
	Time time.Time
	// Presigned reports that the signature stood in the query.
	Presigned bool
	// UnsignedPayload reports that nothing vouches for the body.
	UnsignedPayload bool
}

// Present reports whether the request carries an AWS signature, good or bad, in its header or of version 4 in its query.
func (v *Verifier) Present(r *http.Request) bool {
	for name, values := range r.Header {
		if !isAuthorization(name) {
			continue
		}
		for _, h := range values {
			if len(h) >= 4 && (strings.EqualFold(h[:4], "AWS4") || strings.EqualFold(h[:4], "AWS ")) {
				return true
			}
		}
	}
	path, rawQuery, _ := target(r)
	if v != nil && len(r.Method)+len(path)+len(rawQuery) > v.config.MaxHeaderBytes {
		return mentions(rawQuery, closely)
	}
	return mentions(rawQuery, math.MaxInt)
}

// Verify decides whether the request was signed by the access key that it names. It replaces r.Body by the bytes that it
// has read, followed by those that it has not, also if it refuses the request. It reads them only after the signature has
// been verified if the request declares their hash. The error is an *[Error].
func (v *Verifier) Verify(r *http.Request) (Identity, error) { return v.VerifyAt(r, time.Now()) }

// VerifyAt is [Verifier.Verify] at another instant than now.
func (v *Verifier) VerifyAt(r *http.Request, now time.Time) (Identity, error) {
	if v == nil || v.keys == nil {
		return Identity{}, refuse(ErrNotConfigured, "")
	}
	d := drafts.Get().(*draft)
	defer d.release()
	var c claim
	id, e := v.verify(r, d, &c, now)
	if e != nil {
		guardTrailers(r)
		e.AccessKeyID = c.claimedKey()
		return Identity{}, e
	}
	return id, nil
}

// verify checks in AWS's order: the mechanism, the syntax, the date, the host, the algorithm, the scope, then what AWS
// has no text for, and last the key, the signature and the session token.
func (v *Verifier) verify(r *http.Request, d *draft, c *claim, now time.Time) (id Identity, e *Error) {
	d.query.most, d.query.room = v.fields, v.queryRoom
	if e = c.read(r, &d.query, v.config.MaxHeaderBytes); e != nil {
		return id, e
	}
	if e = v.checkWindow(c, now); e != nil {
		return id, e
	}
	if e = v.checkScope(c); e != nil {
		return id, e
	}
	if e = v.draft(r, d, c); e != nil {
		return id, e
	}
	p, e := v.payload(r, c)
	if e != nil {
		return id, e
	}
	var key Key
	if e = v.checkSignature(r, d, c, &p, &key); e != nil {
		return id, e
	}
	if e = v.checkKey(c, &key, now); e != nil {
		return id, e
	}
	if p.line != "" {
		if e = v.checkBody(r, d, &p); e != nil {
			return id, e
		}
	}
	if p.unsigned && r.Body != nil && r.Body != http.NoBody {
		r.Body = v.newStream(r, false)
	}
	id = Identity{
		AccessKeyID: c.keyID, Principal: key.Principal, Region: c.region, Service: c.service, Time: c.time,
		Presigned: c.presigned, UnsignedPayload: p.unsigned,
	}
	if id.Principal == "" {
		id.Principal = c.keyID
	}
	return id, nil
}

// checkWindow compares whole seconds, as AWS's texts do. They are no time.Duration, which wraps after 292 years: a date of
// the year 2611 would seem to be now.
func (v *Verifier) checkWindow(c *claim, now time.Time) *Error {
	maxAge := v.config.MaxAge
	switch expires, ok := parseExpires(c.expires); {
	case !c.presigned:
	case !c.hasExpires && v.config.Rules != S3: // several SDKs leave it out where the service has a window of its own
		if v.config.MaxExpires > 0 {
			maxAge = min(maxAge, v.config.MaxExpires)
		}
	case !ok || v.config.MaxExpires > 0 && expires > v.config.MaxExpires:
		return refuse(ErrExpires, c.expires)
	case v.config.MaxExpires > 0:
		maxAge = expires
	}
	age := now.Unix() - c.time.Unix()
	switch {
	case age > int64(maxAge/time.Second):
		return &Error{Err: ErrExpired, Detail: c.date, now: now.Unix(), window: maxAge}
	case -age > int64(v.config.MaxAhead/time.Second):
		return &Error{Err: ErrNotYetValid, Detail: c.date, now: now.Unix(), window: v.config.MaxAhead}
	}
	return nil
}

// parseExpires reads a number of seconds, at least 1 and at most 7 days.
func parseExpires(s string) (time.Duration, bool) {
	if s == "" || len(s) > len("604800") || s[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	d := time.Duration(n) * time.Second
	return d, d <= maxExpires
}

// checkScope checks that the host is signed, the algorithm and the credential, in AWS's order.
func (v *Verifier) checkScope(c *claim) *Error {
	if strings.Count(c.signedHeaders, ";") >= v.fields {
		return refuse(ErrHeaderTooLarge, "")
	}
	if !signs(c.signedHeaders, "host") && !signs(c.signedHeaders, ":authority") {
		return refuse(ErrUnsignedHeader, "host")
	}
	if c.algorithm != algorithm {
		return refuse(ErrAlgorithm, c.algorithm)
	}
	if c.presigned {
		for i := range v.scopes {
			if c.matchesEscaped(&v.scopes[i]) {
				return nil
			}
		}
		c.credential = decode(c.credential)
	}
	for i := range v.scopes {
		if c.matches(&v.scopes[i]) {
			return nil
		}
	}
	if e := c.splitCredential(); e != nil {
		return e
	}
	return v.wrongScope(c)
}

// wrongScope names all that is wrong with a scope, as AWS does.
func (v *Verifier) wrongScope(c *claim) *Error {
	causes := make([]error, 0, 4)
	fault := func(is bool, cause error) {
		if is {
			causes = append(causes, cause)
		}
	}
	fault(!slices.Contains(v.config.Regions, c.region), ErrScopeRegion)
	fault(!slices.Contains(v.config.Services, c.service), ErrScopeService)
	fault(c.end != terminator, ErrScopeTerminator)
	fault(c.day != c.date[:len(day)], ErrScopeDate)
	e := &Error{Err: causes[0], Detail: c.credential, date: c.date, region: v.config.Regions[0], service: v.config.Services[0]}
	if len(causes) > 1 {
		e.Err = errors.Join(causes...)
	}
	return e
}

// draft writes the canonical request up to the payload hash, and refuses what could be read in two ways.
func (v *Verifier) draft(r *http.Request, d *draft, c *claim) *Error {
	path := v.config.PathPrefix + c.path
	switch {
	case len(c.signature) != hashLength:
		return refuse(ErrMalformedSignature, c.signature)
	case c.badQuery:
		return refuse(ErrAmbiguousQuery, c.refused)
	case !tokenBytes.all(r.Method):
		return refuse(ErrMalformedTarget, r.Method)
	case v.config.Rules != S3 && !isClean(path):
		if !v.config.AllowUncleanPath {
			return refuse(ErrUncleanPath, path)
		}
		path = normalize(path)
	}
	if c.presigned {
		d.query.drop(querySignature)
		if v.config.UnsignedToken {
			d.query.drop(queryToken)
		}
	}
	d.begin(r.Method, path, v.config.Rules)
	d.room, d.fields = c.room, v.fields
	for _, host := range c.host {
		if !strings.EqualFold(host, r.Host) { // RFC 9113 8.3.1: Host must not differ from :authority
			return refuse(ErrAmbiguousHeader, "host")
		}
	}
	host := r.Host
	if v.config.ExternalHost != "" {
		host = v.config.ExternalHost
	}
	amz, e := d.headers(r, host, c.signedHeaders)
	if e != nil {
		return e
	}
	if len(r.Trailer) > 0 {
		if e = checkTrailer(r); e != nil {
			return e
		}
	}
	if e = d.checkConnection(c); e != nil {
		return e
	}
	return v.checkSigned(r.Header, d, c, amz)
}

// checkConnection refuses a connection option that names a signed header: the next proxy would take the header away, and
// what is behind it would serve another request than the one that was signed. An option may be in any of several lines.
//
// RFC 9110 7.6.1. Some proxies read Proxy-Connection in the same way, RFC 9112 C.2.2.
func (d *draft) checkConnection(c *claim) *Error {
	for _, values := range c.connection {
		for _, rest := range values {
			for more := true; more; {
				var option string
				option, rest, more = cut(rest, ',')
				if !d.fits(option) {
					return refuse(ErrHeaderTooLarge, "connection")
				}
				if option = textproto.TrimString(option); d.isSigned(c, option) {
					return refuse(ErrAmbiguousHeader, "connection: "+option)
				}
			}
		}
	}
	return nil
}

// isSigned reports whether a connection option names a header that is part of the signature.
func (d *draft) isSigned(c *claim, option string) bool {
	if isAmzHeader(option) || isAuthorization(option) {
		return true
	}
	var short [64]byte
	name := append(short[:0], option...)
	lower(name)
	return d.signs(c.signedHeaders, string(name))
}

// checkSigned refuses headers that must be signed and are not. It counts: the names of the list differ from each other and
// are all there, so that as many X-Amz- headers as there are in the request are all of them.
func (v *Verifier) checkSigned(h http.Header, d *draft, c *claim, amz int) *Error {
	if c.dateHeader && !d.signs(c.signedHeaders, "date") {
		return refuse(ErrUnsignedHeader, "date")
	}
	if c.amz != amz || c.underscore {
		if e := v.findUnsigned(h, d, c); e != nil {
			return e
		}
	}
	for _, name := range v.required {
		if _, ok := get(h, name); ok && !d.signs(c.signedHeaders, name) {
			return refuse(ErrUnsignedHeader, name)
		}
	}
	return nil
}

// findUnsigned refuses an X-Amz- header that is not signed. One that differs from a header of ours in underscores is
// refused even if signed: programs behind CGI and its like cannot tell the two apart.
func (v *Verifier) findUnsigned(h http.Header, d *draft, c *claim) *Error {
	for name := range h {
		if !isAmzHeader(name) {
			continue
		}
		lower := strings.ToLower(name)
		switch {
		case isConfusable(lower):
			return refuse(ErrAmbiguousHeader, name)
		case !d.signs(c.signedHeaders, lower) && !slices.Contains(v.exempt, lower):
			return refuse(ErrUnsignedHeader, lower)
		}
	}
	return nil
}

// checkSignature asks for the key, signs the draft and compares.
func (v *Verifier) checkSignature(r *http.Request, d *draft, c *claim, p *payload, key *Key) *Error {
	var err error
	*key, err = v.config.Keys(r.Context(), Scope{AccessKeyID: c.keyID, Date: c.day, Region: c.region, Service: c.service})
	unknown := errors.Is(err, ErrUnknownKey)
	switch {
	case unknown && !v.config.OneAnswer: // before the body is read
		return refuse(ErrUnknownKey, c.keyID)
	case unknown: // costs what a wrong signature costs, and for the same reasons
		*key = v.dummy
	case err != nil:
		return refuse(fmt.Errorf("%w: %w", ErrUnavailable, err), "")
	case (key.Secret == "") == (key.SigningKey == SigningKey{}):
		return refuse(ErrNotConfigured, c.keyID)
	}
	d.text = append(d.text, p.line...)
	if p.line == "" {
		if e := v.readBody(r, d, p); e != nil {
			return e
		}
		d.text = append(d.text, p.hash[:]...)
	}
	d.sign(v.keys, key, c.date, c.scope)
	var claimed [hashLength]byte
	copy(claimed[:], c.signature)
	if !equal(&d.signature, &claimed) || unknown {
		return v.mismatch(d, c, unknown)
	}
	return nil
}

func (v *Verifier) mismatch(d *draft, c *claim, unknown bool) *Error {
	e := &Error{Err: ErrSignatureMismatch, Trace: d.trace(), explain: v.config.Explain}
	if !hashBytes.all(c.signature) {
		e.Err, e.Detail = ErrMalformedSignature, c.signature
	}
	if unknown {
		e.Err, e.Detail, e.masked = ErrUnknownKey, c.keyID, true
	}
	return e
}

// checkKey checks what goes with temporary credentials.
func (v *Verifier) checkKey(c *claim, key *Key, now time.Time) *Error {
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return refuse(ErrCredentialExpired, c.keyID)
	}
	if subtle.ConstantTimeCompare([]byte(c.token), []byte(key.SessionToken)) != 1 {
		return refuse(ErrSessionToken, c.keyID)
	}
	return nil
}
