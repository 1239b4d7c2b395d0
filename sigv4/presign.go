package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Presign returns the request's URL with a signature in its query. Everybody who has the URL can send the request until
// it expires. expires is a number of whole seconds, at most 7 days; API Gateway accepts a presigned URL for 5 minutes,
// whatever it says. The request is not changed.
//
// The recipient must send the method of the request, the headers that [SignerConfig].SignHeader selects and, except to
// S3, the body. The recipient sends the URL's host. So r.Host must be that host or empty; if the URL names none, r.Host
// is used. It is signed as clients send it: in lower case and without the default port of its scheme. A URL without a
// scheme gets "https".
//
// Presign refuses what [Signer.Sign] refuses. It does not spool a body that can be read only once. The error is an
// *[Error].
func (s *Signer) Presign(r *http.Request, expires time.Duration) (string, error) {
	return s.PresignAt(r, expires, time.Now())
}

// PresignAt is [Signer.Presign] at a given time instead of now. URLs of one time are equal, so that a caller who rounds
// the time down lets browsers cache what they lead to.
func (s *Signer) PresignAt(r *http.Request, expires time.Duration, now time.Time) (string, error) {
	url, e := s.presignAt(r, expires, now)
	if e != nil {
		return "", e
	}
	return url, nil
}

// presignAt goes the way of [Signer.signAt], but what that puts into headers it puts into the query, before the query
// is signed. Only the signature comes after, and a session token that is not signed.
func (s *Signer) presignAt(r *http.Request, expires time.Duration, now time.Time) (string, *Error) {
	if expires < time.Second || expires > maxExpires || expires%time.Second != 0 {
		return "", refuse(errExpiresForm, expires.String())
	}
	cr := canonicalRequests.Get().(*canonicalRequest)
	defer cr.release()
	key, e := s.begin(r, cr, now)
	if e != nil {
		return "", e
	}
	host, e := presignedHost(r)
	if e != nil {
		return "", e
	}
	r = withCookies(r)
	payload, e := s.presignedPayload(r, cr)
	if e != nil {
		return "", e
	}
	signed, e := s.signedHeaders(r, cr, true)
	if e != nil {
		return "", e
	}
	date := formatBasic(now)
	cr.query.set("X-Amz-Algorithm", algorithm)
	cr.query.set("X-Amz-Credential", key.AccessKeyID, "/", date[:len(day)], s.scope)
	cr.query.set("X-Amz-Date", date)
	cr.query.set("X-Amz-Expires", strconv.Itoa(int(expires/time.Second)))
	cr.query.set("X-Amz-SignedHeaders", signed)
	if !s.config.UnsignedToken {
		cr.query.setToken(key.SessionToken)
	}
	if e := s.finish(r, cr, &key, host, date, signed, payload); e != nil {
		return "", e
	}
	cr.query.set("X-Amz-Signature", string(cr.signature[:]))
	if s.config.UnsignedToken {
		cr.query.setToken(key.SessionToken)
	}
	return cr.url(r, host), nil
}

// setToken adds the session token, if there is one.
func (q *query) setToken(token Secret) {
	if token != "" {
		q.set("X-Amz-Security-Token", string(token))
	}
}

// presignedPayload is [Signer.payload] for a presigned URL: the query may declare the hash, and S3 does not look at the
// body. If the payload is not signed, the query must say so, except to S3, which assumes it.
func (s *Signer) presignedPayload(r *http.Request, cr *canonicalRequest) (string, *Error) {
	if i := cr.query.auth[queryPayload]; i != 0 {
		if declares(r) {
			return "", refuse(errAmbiguousHeader, "X-Amz-Content-Sha256")
		}
		declared := string(cr.query.val(cr.query.params[i-1])) // in canonical form, which is the same for a hash
		return declared, checkDeclared(declared)
	}
	if s.config.S3 && !declares(r) {
		return unsignedPayload, nil
	}
	payload, e := s.payload(r, cr)
	if payload == unsignedPayload && !declares(r) {
		cr.query.set("X-Amz-Content-Sha256", payload)
	}
	return payload, e
}

// Causes for which only a URL cannot be presigned.
var (
	errHosts       = errors.New("the request's Host differs from the host of the URL, which the recipient will send")
	errExpiresForm = fmt.Errorf("%w: give whole seconds, 1s to 168h", errExpires)
)

// presignedHost returns the host that the recipient of the URL will send. It refuses a Host of the request that is
// another, because the recipient does not know of it and the signature would not match.
func presignedHost(r *http.Request) (string, *Error) {
	named := r.URL.Host
	if named == "" {
		named = r.Host
	}
	sent := plainHost(r.URL.Scheme, named)
	switch {
	case sent == "" || !hostBytes.all(sent):
		return "", refuse(errHostForm, sent)
	case r.Host != "" && plainHost(r.URL.Scheme, r.Host) != sent:
		return "", refuse(fmt.Errorf("%w: %w", errMalformedTarget, errHosts), r.Host)
	}
	return sent, nil
}

// plainHost returns a host as all clients send it: in lower case (RFC 3986 6.2.2.1), and without an empty port or the
// default port of the scheme (RFC 3986 6.2.3), which curl and browsers leave out.
func plainHost(scheme, host string) string {
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(host, port), ":"))
}

// url returns the request's URL with the parameters of cr as its query, in canonical form. They are in the order in
// which they were set, the signature last; a verifier sorts them.
func (cr *canonicalRequest) url(r *http.Request, host string) string {
	scheme := r.URL.Scheme
	if scheme == "" {
		scheme = "https"
	}
	cr.out = append(append(append(cr.out[:0], scheme...), "://"...), host...)
	if path := r.URL.EscapedPath(); path == "" {
		cr.out = append(cr.out, '/')
	} else {
		cr.out = append(cr.out, path...)
	}
	cr.out = cr.query.append(append(cr.out, '?'))
	return string(cr.out)
}
