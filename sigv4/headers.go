package sigv4

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// headers holds the values of the headers that the verifier reads, and what it must know of the names of all others.
type headers struct {
	authorization, amzDate, date, token, payload, host []string // nil if absent

	connection [2][]string // the values of Connection and Proxy-Connection

	amz        int    // how many names begin with X-Amz-
	underscore bool   // one of these names has an underscore
	odd        string // the least name that is not in canonical form; net/http makes none, but an adapter may
}

// readHeaders reads all headers in one pass, because it must find every name that begins with X-Amz-. The switch is
// faster than one lookup in the map for each header. The names in it are the canonical keys of http.Header; a header of
// the signature whose key has another form goes to the default case, and the request is then refused as odd.
func readHeaders(header http.Header) (h headers) {
	for name, values := range header {
		switch name {
		case "Authorization":
			h.authorization = values
			continue
		case "Date":
			h.date = values
			continue
		case "Host":
			h.host = values
			continue
		case "Connection":
			h.connection[0] = values
			continue
		case "Proxy-Connection":
			h.connection[1] = values
			continue
		case "X-Amz-Date":
			h.amzDate = values
		case "X-Amz-Security-Token":
			h.token = values
		case "X-Amz-Content-Sha256":
			h.payload = values
		default:
			if !isAmzHeader(name) {
				if isAuthorization(name) {
					h.odd = lesser(h.odd, name)
				}
				continue
			}
			if http.CanonicalHeaderKey(name) != name {
				h.odd = lesser(h.odd, name)
			}
			h.underscore = h.underscore || strings.IndexByte(name, '_') >= 0
		}
		h.amz++
	}
	return h
}

// lesser returns the name that comes first in the alphabet. An empty one is none.
func lesser(a, b string) string {
	if a == "" || b < a {
		return b
	}
	return a
}

// single returns the value of a header that may be sent only once, or "" if the header is absent. Of two values one
// reader may take the first and another the last.
func single(name string, values []string) (string, *Error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", refuse(errAmbiguousHeader, name)
}

// isAuthorization reports whether a header's name is Authorization, in any case of letters.
func isAuthorization(name string) bool {
	return len(name) == len("Authorization") && strings.EqualFold(name, "Authorization")
}

// isAmzHeader reports whether a header's name begins with X-Amz-, in any case of letters. An underscore counts as a
// dash: "X_Amz-Acl" is one too, so that isConfusable gets to see it. It compares letters by setting the bit
// 0x20, which turns upper case into lower case.
func isAmzHeader(name string) bool {
	return len(name) >= 6 && name[0]|0x20 == 'x' && (name[1] == '-' || name[1] == '_') && name[2]|0x20 == 'a' &&
		name[3]|0x20 == 'm' && name[4]|0x20 == 'z' && (name[5] == '-' || name[5] == '_')
}

// isConfusable reports whether a program behind CGI could take a header for one that begins with X-Amz-, or for one of
// the signature's, because CGI does not tell an underscore from a dash (RFC 3875 4.1.18). name is in lower case and
// passes isAmzHeader. "x-amz_date" and "x_amz-acl" are confusable, "x-amz-meta-a_b" is not.
func isConfusable(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	switch strings.ReplaceAll(name, "_", "-") {
	case "x-amz-date", "x-amz-security-token", "x-amz-content-sha256":
		return true
	}
	return !strings.HasPrefix(name, "x-amz-")
}

// signs reports whether a list of signed headers, such as "host;x-amz-date", has the name. It is for a list that has
// not been checked yet; [canonicalRequest.signs] is faster for one that has.
func signs(list, name string) bool {
	for rest, more := list, true; more; {
		var signed string
		if signed, rest, more = cut(rest, ';'); signed == name {
			return true
		}
	}
	return false
}

// checkSigned refuses a request if a header that must be signed is not. amz is how many names in the list begin with
// x-amz-. The names in the list differ from each other, and each is a header of the request. So if the request has as
// many X-Amz- headers as the list has names, all of them are signed, and none has to be looked up.
//
// For example, a request has X-Amz-Date and X-Amz-Acl. If the list has "x-amz-acl" and "x-amz-date", the counts are
// equal. If it has only "x-amz-date", they are 2 and 1, and findUnsigned finds x-amz-acl.
func (v *Verifier) checkSigned(h http.Header, cr *canonicalRequest, p *parameters, amz int) *Error {
	if p.dateHeader && !cr.signs(p.signedHeaders, "date") {
		return refuse(errUnsignedHeader, "date")
	}
	if p.amz != amz || p.underscore {
		if e := v.findUnsigned(h, cr, p); e != nil {
			return e
		}
	}
	for _, name := range v.required {
		if _, ok := get(h, name); ok && !cr.signs(p.signedHeaders, name) {
			return refuse(errUnsignedHeader, name)
		}
	}
	return nil
}

// findUnsigned refuses an X-Amz- header that is not signed. A confusable one is refused even if it is signed,
// because the verifier and a program behind CGI could take different headers for the same one.
//
// If there are several, a confusable one comes first, and then the least name. So the same request always has the same
// answer, although a map has no order.
func (v *Verifier) findUnsigned(h http.Header, cr *canonicalRequest, p *parameters) *Error {
	confusable, unsigned := "", ""
	for name := range h {
		if !isAmzHeader(name) {
			continue
		}
		lower := strings.ToLower(name)
		switch {
		case isConfusable(lower):
			confusable = lesser(confusable, name)
		case !cr.signs(p.signedHeaders, lower) && !slices.Contains(v.exempt, lower):
			unsigned = lesser(unsigned, lower)
		}
	}
	switch {
	case confusable != "":
		return refuse(errAmbiguousHeader, confusable)
	case unsigned != "":
		return refuse(errUnsignedHeader, unsigned)
	}
	return nil
}

// checkConnection refuses a Connection option that names a signed header. The next proxy would remove that header (RFC
// 9110 7.6.1), and the server behind it would serve another request than the one that was signed. Some proxies read
// Proxy-Connection in the same way (RFC 9112 C.2.2). Each header may have several lines.
func (cr *canonicalRequest) checkConnection(p *parameters) *Error {
	for _, values := range p.connection {
		for _, rest := range values {
			for more := true; more; {
				var option string
				option, rest, more = cut(rest, ',')
				if !cr.fits(option) {
					return refuse(errHeaderTooLarge, "connection")
				}
				if option = textproto.TrimString(option); cr.isSigned(p, option) {
					return refuse(errAmbiguousHeader, "connection: "+option)
				}
			}
		}
	}
	return nil
}

// isSigned reports whether a Connection option names a header that belongs to the signature. All X-Amz- headers do,
// even those that are exempt. Options may be in any case of letters, and the list is in lower case.
func (cr *canonicalRequest) isSigned(p *parameters, option string) bool {
	if isAmzHeader(option) || isAuthorization(option) {
		return true
	}
	var short [64]byte
	name := append(short[:0], option...)
	lower(name)
	return cr.signs(p.signedHeaders, string(name))
}
