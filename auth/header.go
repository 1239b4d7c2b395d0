package auth

import "strings"

var (
	errHeader   = narrow(ErrMalformed, "header member has the wrong type or is missing")
	errType     = narrow(ErrMalformed, "typ is not accepted")
	errCritical = narrow(ErrMalformed, "crit and b64 are not accepted")
)

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

// headerNames are the members that decide about every token. A member with one of these names in another letter case is
// refused.
var headerNames = map[string]bool{"alg": true, "kid": true, "typ": true, "crit": true, "b64": true}

// thumbprint reads a string and skips any other value, since a thumbprint is not used if there is a kid.
func (s *scanner) thumbprint() string {
	if s.peek() == '"' {
		return s.string()
	}
	s.skip()
	return ""
}
