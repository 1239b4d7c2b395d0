package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Presign returns the request's URL with a signature in its query, good for the given whole seconds, at most 7 days, in
// which everybody who has the URL can send the request. It leaves the request as it is. The recipient must send the method,
// the headers that [SignerConfig].SignHeader names and, except to S3, the body that the request has. API Gateway accepts a
// presigned URL for 5 minutes, whatever its expiry.
//
// The recipient sends the URL's host, so r.Host must be that or empty; where the URL names none, it is r.Host. It is signed
// in lower case and without the port that its scheme implies, as clients send it. Without a scheme the URL gets "https".
// What [Signer.Sign] refuses is refused, and a body that can be read only once is not spooled. The error is an *[Error].
func (s *Signer) Presign(r *http.Request, expires time.Duration) (string, error) {
	return s.PresignAt(r, expires, time.Now())
}

// PresignAt is [Signer.Presign] at another instant than now.
func (s *Signer) PresignAt(r *http.Request, expires time.Duration, now time.Time) (string, error) {
	url, e := s.presignAt(r, expires, now)
	if e != nil {
		return "", e
	}
	return url, nil
}

func (s *Signer) presignAt(r *http.Request, expires time.Duration, now time.Time) (string, *Error) {
	if expires < time.Second || expires > maxExpires || expires%time.Second != 0 {
		return "", refuse(errExpiresForm, expires.String())
	}
	d := drafts.Get().(*draft)
	defer d.release()
	key, e := s.begin(r, d, now)
	if e != nil {
		return "", e
	}
	host, e := presignedHost(r)
	if e != nil {
		return "", e
	}
	r = withCookies(r)
	payload, e := s.presignedPayload(r, d)
	if e != nil {
		return "", e
	}
	signed, e := s.signedHeaders(r, d, true)
	if e != nil {
		return "", e
	}
	date := formatBasic(now)
	d.query.set("X-Amz-Algorithm", algorithm)
	d.query.set("X-Amz-Credential", key.AccessKeyID, "/", date[:len(day)], s.scope)
	d.query.set("X-Amz-Date", date)
	d.query.set("X-Amz-Expires", strconv.Itoa(int(expires/time.Second)))
	d.query.set("X-Amz-SignedHeaders", signed)
	if key.SessionToken != "" && !s.config.UnsignedToken {
		d.query.set("X-Amz-Security-Token", string(key.SessionToken))
	}
	if e := s.finish(r, d, &key, host, date, signed, payload); e != nil {
		return "", e
	}
	d.query.set("X-Amz-Signature", string(d.signature[:]))
	if key.SessionToken != "" && s.config.UnsignedToken {
		d.query.set("X-Amz-Security-Token", string(key.SessionToken))
	}
	return d.url(r, host), nil
}

// presignedPayload is [Signer.payload], but the query may declare the hash, and S3 does not look at the body of a presigned
// request.
func (s *Signer) presignedPayload(r *http.Request, d *draft) (string, *Error) {
	if i := d.query.auth[queryPayload]; i != 0 {
		if declares(r) {
			return "", refuse(ErrAmbiguousHeader, "X-Amz-Content-Sha256")
		}
		declared := string(d.query.val(d.query.params[i-1])) // escaped, which no hash is
		return declared, checkDeclared(declared)
	}
	if s.config.Rules == S3 && !declares(r) {
		return unsignedPayload, nil
	}
	payload, e := s.payload(r, d)
	if payload == unsignedPayload && !declares(r) { // only S3 takes it for granted
		d.query.set("X-Amz-Content-Sha256", payload)
	}
	return payload, e
}

// Why a URL cannot be presigned.
var (
	errHosts       = errors.New("the request's Host differs from the host of the URL, which the recipient will send")
	errExpiresForm = fmt.Errorf("%w: give whole seconds, 1s to 168h", ErrExpires)
)

// presignedHost returns the host that the recipient of the URL will send.
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
		return "", refuse(fmt.Errorf("%w: %w", ErrMalformedTarget, errHosts), r.Host)
	}
	return sent, nil
}

// plainHost is a host as all clients send it: in lower case (RFC 3986 6.2.2.1), without an empty port or the one that the
// scheme implies (6.2.3), which curl and browsers leave out.
func plainHost(scheme, host string) string {
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(host, port), ":"))
}

// url returns the request's URL with the parameters of the draft, in their canonical form, for its query.
func (d *draft) url(r *http.Request, host string) string {
	scheme := r.URL.Scheme
	if scheme == "" {
		scheme = "https"
	}
	d.out = append(append(append(d.out[:0], scheme...), "://"...), host...)
	if path := r.URL.EscapedPath(); path == "" {
		d.out = append(d.out, '/')
	} else {
		d.out = append(d.out, path...)
	}
	d.out = d.query.append(append(d.out, '?'))
	return string(d.out)
}
