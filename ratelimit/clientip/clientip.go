package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
)

// Config says where the client's address is found. The zero Config uses the peer's address, for a server without
// proxies.
type Config struct {
	// Header is the header that the proxies write, "X-Forwarded-For" or "Forwarded", in any case. It requires either
	// Trusted or Hops, and these require it. "" reads neither header.
	Header string
	// Trusted are the networks of the proxies. A proxy is recognised by its address: the one that calls the server by
	// RemoteAddr, each other one by the element that the proxy after it wrote.
	Trusted []netip.Prefix
	// Hops is the number of proxies, at most 32. The client's address is the Hops-th element from the right; empty
	// elements of the list do not count. With Hops the server MUST NOT be reachable except through the proxies.
	Hops int
	// IPv4Bits and IPv6Bits are the lengths of the networks that Prefix returns; 0 is 32 and 64.
	IPv4Bits, IPv6Bits int
}

// maxHops bounds the elements that are looked at. A client may write thousands of addresses of trusted proxies.
const maxHops = 32

// A Resolver finds client addresses. It is immutable. The zero Resolver, and a nil one, find none.
type Resolver struct {
	config Config
	header string // canonical
}

// New makes a resolver from a copy of c. The error joins every mistake in c.
func New(c Config) (*Resolver, error) {
	header := http.CanonicalHeaderKey(c.Header)
	if errs := c.mistakes(header); errs != nil {
		return nil, errors.Join(errs...)
	}
	c.Trusted = slices.Clone(c.Trusted)
	if c.IPv4Bits == 0 {
		c.IPv4Bits = 32
	}
	if c.IPv6Bits == 0 {
		c.IPv6Bits = 64
	}
	return &Resolver{config: c, header: header}, nil
}

// mistakes returns every mistake in c. The header is c.Header in canonical form.
func (c *Config) mistakes(header string) (errs []error) {
	mistake := func(format string, args ...any) { errs = append(errs, fmt.Errorf("clientip: "+format, args...)) }
	switch header {
	case "":
		if len(c.Trusted) > 0 || c.Hops != 0 {
			mistake("Trusted or Hops without a Header to read: set X-Forwarded-For or Forwarded")
		}
	case "X-Forwarded-For", "Forwarded":
		if (len(c.Trusted) > 0) == (c.Hops != 0) {
			mistake("Header %s needs one of Trusted and Hops", header)
		}
	default:
		mistake("Header %q is neither X-Forwarded-For nor Forwarded", c.Header)
	}
	if c.Hops < 0 || c.Hops > maxHops {
		mistake("Hops %d is not within 0 to %d", c.Hops, maxHops)
	}
	if c.IPv4Bits < 0 || c.IPv4Bits > 32 {
		mistake("IPv4Bits %d is not within 0 to 32", c.IPv4Bits)
	}
	if c.IPv6Bits < 0 || c.IPv6Bits > 128 {
		mistake("IPv6Bits %d is not within 0 to 128", c.IPv6Bits)
	}
	for i, p := range c.Trusted {
		if !p.IsValid() || p.Addr().Is4In6() {
			mistake("Trusted[%d] %v is not the network of an IPv4 or IPv6 address", i, p)
		}
	}
	return errs
}

// Present reports whether the request has what the address is read from: the header or, where the resolver reads none,
// a RemoteAddr that is an address. What is present may still be unreadable.
func (r *Resolver) Present(req *http.Request) bool {
	if r == nil || r.header == "" {
		_, ok := r.Addr(req)
		return ok
	}
	return len(req.Header[r.header]) > 0
}

// Prefix is the network of the client's address, the key of a limit by address. False means that the client is unknown.
func (r *Resolver) Prefix(req *http.Request) (netip.Prefix, bool) {
	a, ok := r.Addr(req)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := r.config.IPv6Bits
	if a.Is4() {
		bits = r.config.IPv4Bits
	}
	if bits == a.BitLen() { // as for IPv4 by default: there is nothing to mask
		return netip.PrefixFrom(a, bits), true
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// Addr is the client's address, without a zone and never an IPv4 address mapped into IPv6. False means that the client
// is unknown. If all addresses are those of trusted proxies, or if a trusted proxy sends no header, as for its own
// health checks, the address is that of the farthest proxy.
func (r *Resolver) Addr(req *http.Request) (netip.Addr, bool) {
	if r == nil || r.config.IPv6Bits == 0 { // not made by New
		return netip.Addr{}, false
	}
	if r.config.Hops > 0 {
		return r.byHops(req)
	}
	a, ok := parse(req.RemoteAddr)
	if !ok || r.header == "" || !r.trusted(a) {
		return a, ok
	}
	w := r.walk(req)
	for range maxHops {
		element, more := w.next()
		if !more {
			return a, w.whole() // all of them are trusted: the request began at the farthest
		}
		if a, ok = r.read(element); !ok || !r.trusted(a) {
			return a, ok
		}
	}
	return netip.Addr{}, false
}

// read returns the address that an element reports.
func (r *Resolver) read(element string) (netip.Addr, bool) {
	if r.header != "Forwarded" {
		return parse(element)
	}
	node, ok := forwardedFor(element)
	if !ok {
		return netip.Addr{}, false
	}
	return parseNode(node)
}

// byHops is Addr by the number of proxies: the Hops-th element from the right, whatever the peer's address is. The
// elements to its right are counted and not read, because the addresses of these proxies are not known.
func (r *Resolver) byHops(req *http.Request) (netip.Addr, bool) {
	w := r.walk(req)
	var element string
	for range r.config.Hops {
		var more bool
		if element, more = w.next(); !more {
			return netip.Addr{}, false
		}
	}
	return r.read(element)
}

// trusted reports whether a is the address of a proxy of Config.Trusted.
func (r *Resolver) trusted(a netip.Addr) bool {
	for _, p := range r.config.Trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
