package sigv4

import (
	"slices"
	"strings"
)

// checkScope checks in AWS's order that the host is signed, that the algorithm is ours, and that the credential has an
// accepted scope for the day of the date. A credential that is as it should be is compared as a whole; only another one
// is split. For example, with one region and one service accepted, a good credential is one comparison with
// "/eu-west-1/execute-api/aws4_request", one with the day, and what is left is the access key ID.
func (v *Verifier) checkScope(p *parameters) *Error {
	if strings.Count(p.signedHeaders, ";") >= v.fields {
		return refuse(errHeaderTooLarge, "")
	}
	if !signs(p.signedHeaders, "host") && !signs(p.signedHeaders, ":authority") {
		return refuse(errUnsignedHeader, "host")
	}
	if p.algorithm != algorithm {
		return refuse(errAlgorithm, p.algorithm)
	}
	if p.presigned {
		for i := range v.scopes {
			if p.matchesEscaped(&v.scopes[i]) {
				return nil
			}
		}
		p.credential = decode(p.credential)
	}
	for i := range v.scopes {
		if p.matches(&v.scopes[i]) {
			return nil
		}
	}
	if e := p.splitCredential(); e != nil {
		return e
	}
	return v.wrongScope(p)
}

// splitCredential splits a credential, keyid/date/region/service/aws4_request, into its five elements.
func (p *parameters) splitCredential() *Error {
	if strings.Count(p.credential, "/") != 4 || p.credential[0] == '/' {
		return refuse(errMalformedCredential, p.credential)
	}
	rest := p.credential
	p.keyID, rest, _ = cut(rest, '/')
	p.day, rest, _ = cut(rest, '/')
	p.region, rest, _ = cut(rest, '/')
	p.service, p.end, _ = cut(rest, '/')
	return nil
}

// wrongScope returns an error from which [Error.scopeFaults] finds everything that is wrong with the scope, as AWS
// does. It has the region and the service that the request should have named: the request's own if they are accepted,
// or else the first ones accepted.
func (v *Verifier) wrongScope(p *parameters) *Error {
	return &Error{
		Err: ErrScope, Detail: p.credential, date: p.date,
		region: accepted(v.config.Regions, p.region), service: accepted(v.config.Services, p.service),
	}
}

// accepted returns the name if it is in the list, or else the first of the list.
func accepted(list []string, name string) string {
	if slices.Contains(list, name) {
		return name
	}
	return list[0]
}

// acceptedScope is the end of a credential that the verifier accepts. text is "/region/service/aws4_request", and
// escaped is the same as it stands in a presigned URL.
type acceptedScope struct{ text, escaped, region, service string }

func newAcceptedScope(region, service string) acceptedScope {
	text := "/" + region + "/" + service + "/" + terminator
	return acceptedScope{text, string(appendLiteral(nil, text)), region, service}
}

// matches reports whether the credential has the accepted scope and the day of the date. If so, it sets the elements of
// the credential.
func (p *parameters) matches(s *acceptedScope) bool { return p.matchesEnd(s, s.text, "/") }

// matchesEscaped is matches for a credential that still has the escapes of a presigned URL.
func (p *parameters) matchesEscaped(s *acceptedScope) bool { return p.matchesEnd(s, s.escaped, "%2F") }

// matchesEnd is matches for an accepted end and a slash in the form that the credential has: with escapes in a
// presigned URL, and without them otherwise. So a usual presigned URL needs no decoding, which would allocate. It
// leaves an access key ID with escapes of its own to be decoded first.
//
// From behind it cuts off the end, the 8 digits of the day, and a slash. The rest is the access key ID.
func (p *parameters) matchesEnd(s *acceptedScope, end, slash string) bool {
	rest, ok := strings.CutSuffix(p.credential, end)
	if n := len(rest) - len(day); !ok || n < 0 || rest[n:] != p.date[:len(day)] {
		return false
	}
	keyID, ok := strings.CutSuffix(rest[:len(rest)-len(day)], slash)
	if !ok || keyID == "" || strings.IndexByte(keyID, '/') >= 0 || slash != "/" && strings.ContainsAny(keyID, "%+") {
		return false
	}
	p.keyID, p.day, p.region, p.service, p.scope = keyID, rest[len(rest)-len(day):], s.region, s.service, s.text
	return true
}
