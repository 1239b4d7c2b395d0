package sigv4

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// maxPairs bounds the parameters that are read of an Authorization header. SigV4 has three. A few more are read so that
// a header with a surplus one gets AWS's text for that.
const maxPairs = 16

// parameters is what a request says about its signature. The client wrote all of it, and none of it is verified yet. A
// signature has the same parameters in the Authorization header and in the query of a presigned URL, so that all checks
// behind [parameters.read] are the same for both.
//
// The strings share memory with the request. [Verifier.VerifyAt] keeps the struct on its stack, so that it costs no
// allocation.
type parameters struct {
	// The signature, from the Authorization header or from the query.
	presigned     bool // it is in the query
	algorithm     string
	credential    string // of a presigned URL with its escapes, until checkScope decodes it
	signedHeaders string // such as "host;x-amz-date"
	signature     string
	date          string // as in 20261124T060000Z, once parseDate has accepted it
	dateHeader    bool   // date is the value of the Date header
	surplus       bool   // the Authorization header has an unknown or repeated parameter
	expires       string
	hasExpires    bool   // the query has X-Amz-Expires, which may be empty
	token         string // the session token
	payload       string // the declared payload hash
	hasPayload    bool   // a payload hash is declared, which may be empty

	// The request around it.
	path       string // as sent
	rawQuery   string
	amz        int  // how many headers have names that begin with X-Amz-
	underscore bool // one of these names has an underscore
	badQuery   bool // the query is not valid; refused names the parameter
	refused    string
	tooLarge   bool        // the request exceeds a limit
	room       int         // how many bytes the signed headers may have
	host       []string    // the values of the Host header, which net/http leaves in the header only in HTTP/2
	connection [2][]string // the values of Connection and Proxy-Connection

	// What parseDate and checkScope have made of the date and the credential.
	time                             time.Time
	keyID, day, region, service, end string // the five elements of the credential
	scope                            string // "/region/service/aws4_request"
}

// target returns the path and the query as they were sent. ok reports whether they are a plain path and query, and not
// the absolute form of a target, an opaque URL, or a path with a "#". RequestURI is empty in requests that an adapter
// made of events; then r.URL is read.
//
// RequestURI comes first because it is what the client has signed. Layers such as http.StripPrefix change r.URL.
func target(r *http.Request) (path, rawQuery string, ok bool) {
	switch {
	case r.RequestURI != "":
		path, rawQuery, _ = cut(r.RequestURI, '?')
	case r.URL == nil:
		return "", "", false
	case r.URL.Opaque != "":
		return r.URL.Opaque, r.URL.RawQuery, false
	default:
		path, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
		if path == "" {
			path = "/"
		}
	}
	return path, rawQuery, strings.HasPrefix(path, "/") && strings.IndexByte(path, '#') < 0
}

// read reads the parameters from the Authorization header or from the query, and refuses a request that has both. most
// bounds the bytes of the request line and the Authorization header. q holds the query afterwards.
//
// The order decides what a hostile request costs, and which of several mistakes the answer names. Lengths are counted
// before anything is parsed. A bearer token, which is the usual wrong Authorization header, is refused before the query
// is parsed. Only then is it known whether the query has a signature too.
func (p *parameters) read(r *http.Request, q *query, most int) *Error {
	h := readHeaders(r.Header)
	if h.odd != "" {
		return refuse(errAmbiguousHeader, h.odd)
	}
	p.amz, p.underscore, p.host, p.connection = h.amz, h.underscore, h.host, h.connection
	plain := p.count(r, h.authorization, most)
	var malformed *Error
	if len(h.authorization) == 1 && !p.tooLarge {
		if malformed = p.parseAuthorization(&h.authorization[0]); malformed != nil && !mentions(p.rawQuery, math.MaxInt) {
			return malformed
		}
	}
	valid := false
	if plain && !p.tooLarge {
		p.refused, valid = q.parse(p.rawQuery)
		p.tooLarge = q.full
	}
	p.badQuery = !valid
	if p.tooLarge && len(h.authorization) > 0 { // even if the query is presigned as well
		return refuse(errHeaderTooLarge, "")
	}
	p.presigned = p.isPresigned(q)
	switch {
	case p.presigned && len(h.authorization) > 0:
		return refuse(errTwoMechanisms, "")
	case p.presigned && p.tooLarge:
		return refuse(errHeaderTooLarge, "")
	case p.presigned && !plain:
		return refuse(errMalformedTarget, p.path)
	case p.presigned:
		return p.readQuery(&h, q)
	case len(h.authorization) == 0:
		return refuseMissing(p.rawQuery)
	case len(h.authorization) > 1:
		return refuseHeader(errMalformedAuthorization, new(strings.Join(h.authorization, ", ")))
	case malformed != nil:
		return malformed
	}
	if e := p.readHeader(&h); e != nil {
		return e
	}
	if !plain {
		return refuse(errMalformedTarget, p.path)
	}
	return nil
}

// count reads the target and counts the bytes of the request line and the Authorization header, of which most are
// allowed. What they leave is the room for the signed headers. It reports whether the target is a plain path and query.
func (p *parameters) count(r *http.Request, authorization []string, most int) (plain bool) {
	p.path, p.rawQuery, plain = target(r)
	p.room = most - len(r.Method) - len(p.path) - len(p.rawQuery)
	for _, value := range authorization {
		p.room -= len(value)
	}
	p.tooLarge = p.room < 0
	return plain
}

// isPresigned reports whether the query names a parameter that only a presigned URL has. A query that was parsed knows
// it. One that was not, because it is too large or not valid, is scanned: the answer to a broken signature must
// say what is broken, and not that there is no signature.
func (p *parameters) isPresigned(q *query) bool {
	switch {
	case p.room < 0:
		return mentions(p.rawQuery, closely)
	case p.badQuery:
		return mentions(p.rawQuery, math.MaxInt)
	}
	return q.authenticates()
}

// refuseMissing refuses a request without a signature of version 4. If the query has a signature of version 2, which
// names the key by AWSAccessKeyId for every service, errVersion2 is among the causes. AWS's answer is the same.
//
// Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)".
func refuseMissing(rawQuery string) *Error {
	const name = "AWSAccessKeyId="
	for at := 0; ; at++ {
		i := strings.Index(rawQuery[at:], name)
		if i < 0 {
			return refuse(ErrMissing, "")
		}
		if at += i; at == 0 || rawQuery[at-1] == '&' {
			return refuse(errMissingVersion2, "")
		}
	}
}

var errMissingVersion2 = fmt.Errorf("%w: %w", ErrMissing, errVersion2)

// readHeader reads the headers that go with an Authorization header: the date, the session token and the payload hash.
// AWS names what is missing before what is wrong, and a surplus parameter before a bad date.
func (p *parameters) readHeader(h *headers) (e *Error) {
	if p.date, e = single("X-Amz-Date", h.amzDate); e != nil {
		return e
	}
	if len(h.amzDate) == 0 && len(h.date) == 1 {
		p.date, p.dateHeader = h.date[0], true
	}
	if missing := p.missing(); missing != 0 {
		e = refuseHeader(errMissingParameter, &h.authorization[0])
		e.missing = missing
		return e
	}
	if p.surplus {
		return refuseHeader(errMalformedAuthorization, &h.authorization[0])
	}
	if e = p.parseDate(); e != nil {
		return e
	}
	if p.token, e = single("X-Amz-Security-Token", h.token); e != nil {
		return e
	}
	p.hasPayload = len(h.payload) > 0
	p.payload, e = single("X-Amz-Content-Sha256", h.payload)
	return e
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", with the parameters in any
// order, and with or without spaces after the commas. It refuses only what is not a list of name=value pairs. An
// unknown or repeated parameter sets surplus, which readHeader refuses after it has looked for missing ones.
//
// It takes a pointer to the header, as [Error] keeps one: the text is needed only if it is refused.
func (p *parameters) parseAuthorization(header *string) *Error {
	var rest string
	var seen uint8 // the parameters read so far, as bits; one with an empty value is read too
	p.algorithm, rest, _ = cut(*header, ' ')
	for n, more := 0, true; more; n++ {
		var pair string
		pair, rest, more = cut(rest, ',')
		for pair != "" && pair[0] == ' ' {
			pair = pair[1:]
		}
		var field *string
		var value string
		var bit uint8
		switch {
		case strings.HasPrefix(pair, "Credential="):
			field, value, bit = &p.credential, pair[len("Credential="):], noCredential
		case strings.HasPrefix(pair, "SignedHeaders="):
			field, value, bit = &p.signedHeaders, pair[len("SignedHeaders="):], noSignedHeaders
		case strings.HasPrefix(pair, "Signature="):
			field, value, bit = &p.signature, pair[len("Signature="):], noSignature
		case n == maxPairs || strings.IndexByte(pair, '=') < 0:
			return refuseHeader(errMalformedAuthorization, header)
		}
		if field == nil || seen&bit != 0 {
			p.surplus = true
			continue
		}
		*field, seen = value, seen|bit
	}
	return nil
}

// cut is strings.Cut with a separator of one byte, which strings.IndexByte finds.
func cut(s string, sep byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// readQuery reads the parameters of a presigned URL. The query has been parsed, so that none is there twice.
func (p *parameters) readQuery(h *headers, q *query) *Error {
	if p.badQuery {
		return refuse(errAmbiguousQuery, p.refused)
	}
	p.algorithm = q.get(p.rawQuery, queryAlgorithm)
	p.credential = q.raw(p.rawQuery, queryCredential) // decoded only if need be: the allocation is a tenth of the cost
	p.signature = q.get(p.rawQuery, querySignature)
	p.signedHeaders = q.get(p.rawQuery, querySignedHeaders)
	p.date = q.get(p.rawQuery, queryDate)
	p.expires, p.hasExpires = q.get(p.rawQuery, queryExpires), q.auth[queryExpires] != 0
	p.token = q.get(p.rawQuery, queryToken)
	if missing := p.missing(); missing != 0 {
		return &Error{Err: errMissingParameter, missing: missing | inQuery}
	}
	if e := p.parseDate(); e != nil {
		return e
	}
	if len(h.amzDate) > 0 || len(h.token) > 0 { // it is not clear whether the header counts or the parameter
		return refuse(errAmbiguousHeader, "X-Amz-Date or X-Amz-Security-Token next to a presigned query")
	}
	return p.readPayload(h, q)
}

// readPayload reads the declared payload hash of a presigned request. It may stand in the header or in the query, but
// not in both.
func (p *parameters) readPayload(h *headers, q *query) (e *Error) {
	p.hasPayload = len(h.payload) > 0
	if p.payload, e = single("X-Amz-Content-Sha256", h.payload); e != nil || q.auth[queryPayload] == 0 {
		return e
	}
	if p.hasPayload {
		return refuse(errAmbiguousHeader, "X-Amz-Content-Sha256")
	}
	p.payload, p.hasPayload = q.get(p.rawQuery, queryPayload), true
	return nil
}

// missing returns the parameters that are missing or empty, as bits of [Error]. The order of the list is that of the
// bits, noAlgorithm first.
func (p *parameters) missing() (missing uint8) {
	for i, s := range [...]string{p.algorithm, p.credential, p.signature, p.signedHeaders, p.date} {
		if s == "" {
			missing |= noAlgorithm << i
		}
	}
	return missing
}

// accessKeyID returns the access key ID that the credential names, or "" if there is no credential. It is for the log
// and may be called before the credential has been split or decoded: a request that is refused early has a name too. In
// a presigned URL the slash behind it may be escaped or not, so that the first of both ends it.
func (p *parameters) accessKeyID() string {
	if p.keyID != "" {
		return p.keyID
	}
	end := strings.IndexByte(p.credential, '/')
	if escaped := strings.Index(p.credential, "%2F"); p.presigned && escaped >= 0 && (end < 0 || escaped < end) {
		end = escaped
	}
	if end < 0 {
		return ""
	}
	if p.presigned {
		return decode(p.credential[:end])
	}
	return p.credential[:end]
}
