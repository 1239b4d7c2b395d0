package auth

import (
	"strings"
)

// Bounds on a token, which are checked before anything else. Most servers and proxies limit a header to 8 or 16 KiB, so
// a longer token would not arrive. Headers are short: a certificate chain (x5c) is the only long member, and it is not
// used.
const (
	maxToken  = 16 << 10         // bytes of a compact token
	maxHeader = 2 << 10          // bytes of its encoded header
	maxClaims = maxToken / 4 * 3 // bytes of its decoded claims set: 4 characters of base64url are 3 bytes
	// An RSA key of 8192 bits, the largest accepted, signs with 1024 bytes: 1366 characters of base64url.
	maxSignature = 1366
)

var (
	errTooLong  = narrow(ErrMalformed, "token is too long")
	errSegments = narrow(ErrMalformed, "token contains an invalid number of segments")
	errBase64   = narrow(ErrMalformed, "not strict base64url")
	errHeader   = narrow(ErrMalformed, "header member has the wrong type or is missing")
	errType     = narrow(ErrMalformed, "typ is not accepted")
	errCritical = narrow(ErrMalformed, "crit and b64 are not accepted")
)

// compact is the compact serialisation of a JWS (RFC 7515 section 7.1), split but not decoded.
type compact struct {
	signed    string // header, dot and payload, which the signature covers
	header    string
	payload   string
	signature string
	padded    bool // unpad has removed padding
}

// cut splits a token into its three segments. It only looks for dots, in at most 16 KiB, and does not allocate
// (CVE-2025-30204: splitting at every dot makes a token full of dots allocate).
func cut(raw string) (c compact, err error) {
	if len(raw) > maxToken {
		return c, errTooLong
	}
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.IndexByte(signature, '.') >= 0 {
		return c, errSegments
	}
	if len(header) > maxHeader || len(signature) > maxSignature { // they are decoded into arrays of a fixed size
		return c, errTooLong
	}
	return compact{raw[:len(raw)-len(signature)-1], header, payload, signature, false}, nil
}

// header holds the members of a JOSE header that are used.
type header struct {
	algorithm string
	method    *algorithm // nil until the name has been looked up
	key       keyName
	typ       string // lower case, without "application/"
	balanced         // of a load balancer's tokens
}

// parseHeader reads a decoded JOSE header. Members that point to or hold a key (jwk, jku, x5u, x5c) are skipped,
// never followed: the key comes from the issuer's set alone. crit is refused since no extension is understood here
// (RFC 7515 section 4.1.11), and b64 since a JWT must not use it (RFC 7797 section 7).
func parseHeader(s *scanner, text string) (h header, err error) {
	s.reset(text)
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch name {
		case "alg":
			h.algorithm = s.string()
		case "kid":
			if h.key.id = s.string(); h.key.id == "" { // empty means that there is no kid, see keyName
				s.fail(errHeader)
			}
		case "x5t":
			h.key.x5t = s.thumbprint()
		case "x5t#S256":
			h.key.x5tS256 = s.thumbprint()
		case "typ":
			// It is a media type, whose letter case does not count and whose "application/" may be left out (RFC 7515
			// section 4.1.9).
			if h.typ = strings.TrimPrefix(strings.ToLower(s.string()), "application/"); h.typ == "" {
				s.fail(errType)
			}
		case "crit", "b64":
			s.fail(errCritical)
		default:
			if !h.read(s, name) {
				s.unregistered(headerNames)
			}
		}
	}
	switch {
	case s.err != nil:
		return header{}, s.err
	case h.algorithm == "":
		return header{}, errHeader
	// RFC 8725 section 3.11; RFC 9068 section 4 (at+jwt); JWT-SVID section 2.3 (JOSE).
	case h.typ != "" && h.typ != "jwt" && h.typ != "at+jwt" && h.typ != "jose":
		return header{}, errType
	}
	return h, nil
}

// thumbprint reads a string and skips any other value, since a thumbprint is not used if there is a kid.
func (s *scanner) thumbprint() string {
	if s.peek() == '"' {
		return s.string()
	}
	s.skip()
	return ""
}

var headerNames = map[string]bool{"alg": true, "kid": true, "typ": true, "crit": true, "b64": true}

// unregistered skips the value of the member whose name next has just returned and which has no meaning here. It
// refuses the member if its name differs from one with a meaning only in letter case, because another reader may
// confuse the two.
func (s *scanner) unregistered(registered map[string]bool) {
	if s.misnamed(registered) {
		s.fail(errCase)
	}
	s.skip()
}
