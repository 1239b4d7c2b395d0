package window

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// A Component is a part of a request by which a [RateRule] tells requests apart. It is made by one of the functions of
// this package; the zero Component is invalid.
//
// If a request has several values of one name, the first counts, as for Header.Get, Request.Cookie and Values.Get, and
// names are compared as these functions compare them. So the rule sees what a handler sees.
type Component struct {
	kind     kind
	name     string
	resolver *clientip.Resolver
}

type kind uint8

const (
	invalid kind = iota
	constant
	address
	header
	cookie
	queryArgument
	queryString
	method
	path
)

// Constant counts all requests together, AWS's aggregate key type CONSTANT. It stands alone, and only together with
// RuleConfig.ScopeDown.
func Constant() Component { return Component{kind: constant} }

// IP is the address of the peer, AWS's aggregate key type IP. For an IPv6 address it is the network of 64 bits. A
// request whose RemoteAddr is not an address, such as one from a Unix socket, lacks it.
func IP() Component { return ForwardedIP(peer) }

var peer, _ = clientip.New(clientip.Config{}) // the zero Config is valid

// ForwardedIP is the client's address behind the operator's own proxies, as the resolver's Prefix finds it. It is AWS's
// FORWARDED_IP, but not the first entry of the header, which any client can write. A request without the header lacks
// it. If the resolver finds no address in the header, the request is counted by the peer that sent it, so a client
// gains nothing by writing nonsense.
func ForwardedIP(resolver *clientip.Resolver) Component {
	return Component{kind: address, resolver: resolver}
}

// Header is the value of a header field. That of Host is the request's Host, where net/http keeps it.
func Header(name string) Component {
	return Component{kind: header, name: http.CanonicalHeaderKey(name)}
}

// Cookie is the value of a cookie.
func Cookie(name string) Component { return Component{kind: cookie, name: name} }

// QueryArgument is the value of an argument of the query string, decoded.
func QueryArgument(name string) Component { return Component{kind: queryArgument, name: name} }

// QueryString is all of the query string, as it was sent. A request without one, or with an empty one, lacks it.
func QueryString() Component { return Component{kind: queryString} }

// Method is the method of the request.
func Method() Component { return Component{kind: method} }

// Path is the path of the request, decoded.
func Path() Component { return Component{kind: path} }

func (c Component) validate() error {
	switch {
	case c.kind == invalid:
		return fmt.Errorf("window: a Component is made by one of the functions, such as IP")
	case c.kind == address && c.resolver == nil:
		return fmt.Errorf("window: ForwardedIP without a resolver")
	case (c.kind == header || c.kind == cookie) && !token(c.name):
		return fmt.Errorf("window: %q is not the name of a header field or cookie", c.name)
	case c.kind == queryArgument && c.name == "":
		return fmt.Errorf("window: QueryArgument without a name")
	default:
		return nil
	}
}

// token reports whether s is one, RFC 9110 section 5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if digit := c >= '0' && c <= '9'; !letter && !digit && !strings.Contains("!#$%&'*+-.^_`|~", s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

// hash is that of the component's value, false if the request lacks it. It does not allocate.
func (c Component) hash(seed maphash.Seed, r *http.Request) (uint64, bool) {
	switch c.kind {
	case constant:
		return 1, true
	case address:
		network, ok := c.resolver.Prefix(r)
		if !ok {
			network, _ = peer.Prefix(r)
			// The complement keeps these requests apart from those of a client with that address.
			return ^maphash.Comparable(seed, network), c.resolver.Present(r)
		}
		return maphash.Comparable(seed, network), true
	}
	value, ok := c.value(r)
	if !ok {
		return 0, false
	}
	if c.kind == queryArgument && escaped(value) {
		return hashUnescaped(seed, value), true
	}
	return maphash.String(seed, value), true
}

// value is a part of the request. That of a query argument is still encoded.
func (c Component) value(r *http.Request) (string, bool) {
	switch c.kind {
	case header:
		if c.name == "Host" { // net/http takes this field out of the header
			return r.Host, r.Host != ""
		}
		lines := r.Header[c.name]
		if len(lines) == 0 {
			return "", false
		}
		return lines[0], true
	case cookie:
		return findCookie(r.Header["Cookie"], c.name)
	case queryArgument:
		return findArgument(r.URL.RawQuery, c.name)
	case queryString:
		return r.URL.RawQuery, r.URL.RawQuery != ""
	case method:
		return r.Method, true
	case path:
		return r.URL.Path, true
	default:
		return "", false
	}
}

// maxText is how much of a value a listing keeps, in bytes.
const maxText = 256

// text is the value for a listing, "" if the request lacks it. It shares no memory with the request.
func (c Component) text(r *http.Request) string {
	if c.kind == address {
		network, ok := c.resolver.Prefix(r)
		if !ok {
			network, _ = peer.Prefix(r)
			return "unreadable, by way of " + network.Addr().String()
		}
		if network.IsSingleIP() {
			return network.Addr().String()
		}
		return network.String()
	}
	value, _ := c.value(r)
	if c.kind == queryArgument {
		value, _ = url.QueryUnescape(value) // findArgument has seen that it can be
	}
	return strings.Clone(value[:min(len(value), maxText)])
}
