package sigv4

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"
)

// Verifier verifies signed requests. The zero Verifier refuses all of them with [ErrNotConfigured]. A Verifier may be
// used by many goroutines at once, each with a request of its own. They do not wait for each other, except to add a
// signing key that is used for the first time on its day.
type Verifier struct {
	config   VerifierConfig
	required []string        // config.SignedHeaders in lower case
	exempt   []string        // headers that need not be signed, in lower case
	scopes   []acceptedScope // one for each region and service
	fields   int             // the most parameters of the query, and the most values of signed headers

	queryRoom int       // the most bytes of the query in canonical form, where one byte may become an escape of three
	keys      *keyCache // nil in a zero Verifier
	dummy     Key       // takes the place of an unknown access key under OneAnswer; its secret is random
}

// NewVerifier returns a Verifier, or an error with every mistake in the configuration. It copies the configuration.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	v := &Verifier{config: c.withDefaults(), keys: newKeyCache(), dummy: Key{Secret: Secret(rand.Text())}}
	for _, region := range v.config.Regions {
		for _, service := range v.config.Services {
			v.scopes = append(v.scopes, newAcceptedScope(region, service))
		}
	}
	// Limits that follow from MaxHeaderBytes. The second is one and a half times as much, without an overflow.
	v.fields = max(v.config.MaxHeaderBytes/bytesPerField, 1)
	v.queryRoom = v.config.MaxHeaderBytes + min(v.config.MaxHeaderBytes, math.MaxInt-v.config.MaxHeaderBytes)/2
	v.required = lowerAll(c.SignedHeaders)
	v.exempt = lowerAll(c.AllowUnsignedHeaders)
	if c.S3 { // its value is the last line of the canonical request, so that it is signed anyway
		v.exempt = append(v.exempt, "x-amz-content-sha256")
	}
	if c.UnsignedToken {
		v.exempt = append(v.exempt, "x-amz-security-token")
	}
	return v, nil
}

// Identity says who signed a request, when, and for what. Its strings share memory with the request. A caller who
// keeps one for long should clone them ([strings.Clone]). The zero value names nobody.
type Identity struct {
	// AccessKeyID is the access key that the request was signed with.
	AccessKeyID string
	// Principal names the holder of the access key, from [Key].
	Principal string
	// Region and Service are those of the credential, and are among the accepted ones.
	Region  string
	Service string
	// Time is when the request was signed, to the second.
	Time time.Time
	// Presigned reports that the signature is in the query.
	Presigned bool
	// UnsignedPayload reports that the signature does not cover the body.
	UnsignedPayload bool
	// Session is that of the [Key], nil if it has none. Package session puts a *session.Session here.
	Session any
}

// Verify returns who signed the request, or why it is refused. If the request declares the hash of its body, the body
// is read only after the signature has been verified. When Verify returns, r.Body holds the whole body, even if the
// request is refused: what was read of it, followed by the rest. The error is an *[Error]. [VerifierConfig].Observe is
// told the decision.
func (v *Verifier) Verify(r *http.Request) (Identity, error) { return v.VerifyAt(r, time.Now()) }

// VerifyAt is [Verifier.Verify] at a given time instead of now. It is for requests that were recorded or put into a
// queue, and for tests with signatures of a fixed date.
func (v *Verifier) VerifyAt(r *http.Request, now time.Time) (Identity, error) {
	var id Identity
	e := v.decide(r, now, &id)
	if e != nil {
		v.name(e, nil, r)
		v.tell(nil, r, id.Principal, e, false)
		return Identity{}, e
	}
	v.tell(nil, r, id.Principal, nil, false)
	return id, nil
}

// decide is VerifyAt without Observe. It sets *id, which is a parameter because it would be copied as a result. If the
// signature is valid but the request is refused, only the Principal is set. v may be nil.
func (v *Verifier) decide(r *http.Request, now time.Time, id *Identity) *Error {
	if v == nil || v.keys == nil {
		return refuse(ErrNotConfigured, "")
	}
	cr := canonicalRequests.Get().(*canonicalRequest)
	defer cr.release()
	var p parameters
	e := v.verify(r, cr, &p, now, id)
	if e != nil {
		guardTrailers(r) // the caller may serve the request all the same
		e.AccessKeyID = p.accessKeyID()
	}
	return e
}

// verify makes the checks in AWS's order: the mechanism, the syntax, the date, the host, the algorithm and the scope.
// Then come those for which AWS has no text, and last the key, the signature and the session token. So the key source
// is asked only about a request that is well formed, current and for an accepted scope, and the body is read after
// that.
func (v *Verifier) verify(r *http.Request, cr *canonicalRequest, p *parameters, now time.Time, id *Identity) *Error {
	cr.query.most, cr.query.room = v.fields, v.queryRoom
	if e := p.read(r, &cr.query, v.config.MaxHeaderBytes); e != nil {
		return e
	}
	if e := v.checkWindow(p, now); e != nil {
		return e
	}
	if e := v.checkScope(p); e != nil {
		return e
	}
	if e := v.canonicalize(r, cr, p); e != nil {
		return e
	}
	body, e := v.payload(r, p)
	if e != nil {
		return e
	}
	var key Key
	if e = v.checkSignature(r, cr, p, &body, &key); e != nil {
		return e
	}
	id.Principal = cmp.Or(key.Principal, p.keyID)
	if e = v.checkKey(p, &key, now); e != nil {
		return e
	}
	if body.line != "" { // else checkSignature has read the body, because its hash was the line
		if e = v.checkBody(r, cr, &body); e != nil {
			return e
		}
	}
	if body.unsigned && r.Body != nil && r.Body != http.NoBody { // the handler reads the body as it arrives
		r.Body = v.newStream(r, false)
	}
	id.AccessKeyID, id.Region, id.Service, id.Time = p.keyID, p.region, p.service, p.time
	id.Presigned, id.UnsignedPayload, id.Session = p.presigned, body.unsigned, key.Session
	return nil
}

// canonicalize writes the canonical request up to the payload hash. It refuses what could be read in two ways. The
// order of the refusals is ours: AWS answers all of them as a mismatch.
func (v *Verifier) canonicalize(r *http.Request, cr *canonicalRequest, p *parameters) *Error {
	switch {
	case len(p.signature) != hashLength:
		return refuse(errMalformedSignature, "") // without the signature: it may be a good one in upper case
	case p.badQuery:
		return refuse(errAmbiguousQuery, p.refused)
	case !tokenBytes.all(r.Method):
		return refuse(errMalformedTarget, r.Method)
	}
	path, e := v.path(p)
	if e != nil {
		return e
	}
	if p.presigned { // the signature does not cover itself, nor what was added after it
		cr.query.drop(querySignature)
		if v.config.UnsignedToken {
			cr.query.drop(queryToken)
		}
	}
	cr.begin(r.Method, path, v.config.S3)
	cr.room, cr.fields = p.room, v.fields // only from here on are headers written
	host, e := v.host(r, p)
	if e != nil {
		return e
	}
	amz, e := cr.headers(r, host, p.signedHeaders)
	if e != nil {
		return e
	}
	if len(r.Trailer) > 0 {
		if e = checkTrailer(r); e != nil {
			return e
		}
	}
	if e = cr.checkConnection(p); e != nil {
		return e
	}
	return v.checkSigned(r.Header, cr, p, amz)
}

// path returns the path that the client has signed: with the prefix that a proxy removes, and clean.
func (v *Verifier) path(p *parameters) (string, *Error) {
	path := v.config.PathPrefix + p.path
	switch {
	case v.config.S3 || isClean(path):
		return path, nil
	case v.config.AllowUncleanPath:
		return normalize(path), nil
	}
	return "", refuse(errUncleanPath, path)
}

// host returns the host that the client has signed. It is r.Host, unless a proxy replaces that. In HTTP/2 a request may
// have :authority, which net/http puts into r.Host, and a Host header too, which must not differ (RFC 9113 8.3.1).
func (v *Verifier) host(r *http.Request, p *parameters) (string, *Error) {
	for _, host := range p.host {
		if !strings.EqualFold(host, r.Host) {
			return "", refuse(errAmbiguousHeader, "host")
		}
	}
	if v.config.ExternalHost != "" {
		return v.config.ExternalHost, nil
	}
	return r.Host, nil
}

// askForKey sets *key to the key that the request names. If the key is unknown, the request is refused at once, before
// its body is read. Under OneAnswer, *key is then a dummy and unknown is true: the verification goes on, so that it
// costs as much as that of a wrong signature.
func (v *Verifier) askForKey(r *http.Request, p *parameters, key *Key) (unknown bool, e *Error) {
	var err error
	*key, err = v.config.Keys(r.Context(), Scope{p.keyID, p.day, p.region, p.service, Secret(p.token)})
	switch {
	case errors.Is(err, ErrUnknownKey):
		if !v.config.OneAnswer {
			return true, refuse(ErrUnknownKey, p.keyID)
		}
		*key = v.dummy
		return true, nil
	case err != nil:
		return false, refuse(unavailable(r.Context(), err), "")
	case !key.isUsable():
		return false, refuse(ErrNotConfigured, p.keyID)
	}
	return false, nil
}

// checkSignature asks for the key, completes the canonical request, signs it and compares the signatures. If no payload
// hash is declared, it reads the body. It sets *key, which checkKey needs.
func (v *Verifier) checkSignature(r *http.Request, cr *canonicalRequest, p *parameters, body *payload, key *Key) *Error {
	unknown, e := v.askForKey(r, p, key)
	if e != nil {
		return e
	}
	cr.text = append(cr.text, body.line...)
	if body.line == "" {
		if e := v.readBody(r, cr, body); e != nil {
			return e
		}
		cr.text = append(cr.text, body.hash[:]...)
	}
	cr.sign(v.keys, key, p.date, p.scope)
	var sent [hashLength]byte // p.signature has that length
	copy(sent[:], p.signature)
	if !equal(&cr.signature, &sent) || unknown {
		return v.mismatch(cr, p, unknown)
	}
	return nil
}

// mismatch refuses a signature that does not match, one that is not hexadecimal, and the signature of an unknown access
// key. Their causes differ, for the log. Their answer is the same, so that a client does not learn which access keys
// exist.
func (v *Verifier) mismatch(cr *canonicalRequest, p *parameters, unknown bool) *Error {
	e := &Error{Err: ErrSignatureMismatch, Trace: cr.trace(), explain: v.config.Explain}
	if !hashBytes.all(p.signature) {
		e.Err = errMalformedSignature
	}
	if unknown {
		e.Err, e.Detail, e.masked = ErrUnknownKey, p.keyID, true
	}
	return e
}

// checkKey checks the expiry and the session token of temporary credentials. It comes after the signature, so that only
// the holder of the secret learns that a token is wrong or that the credentials have expired.
func (v *Verifier) checkKey(p *parameters, key *Key, now time.Time) *Error {
	if !key.Expires.IsZero() && !isAhead(key.Expires, now) {
		return refuse(errCredentialExpired, p.keyID)
	}
	if subtle.ConstantTimeCompare([]byte(p.token), []byte(key.SessionToken)) != 1 {
		return refuse(ErrSessionToken, p.keyID)
	}
	return nil
}

// isAhead reports whether an instant is still to come, by both clocks. A key source may keep an Expires that it made from
// time.Now, which has a monotonic reading. That clock stands still while a machine sleeps. Round(0) removes the reading.
func isAhead(instant, now time.Time) bool {
	return now.Before(instant) && now.Round(0).Before(instant.Round(0))
}
