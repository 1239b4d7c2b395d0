// Package clientip finds the address of the client of a request, behind proxies or not, for limits by address.
//
//	ip, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1}) // one proxy in front
//	limiter, err := ratelimit.New(ratelimit.Config[netip.Prefix]{Limit: limit, Key: ip.Prefix})
//
// # What is believed
//
// The client may write X-Forwarded-For and Forwarded itself. Each proxy then adds, at the right end, the address that
// called it. So the entries at the right are true as far as the proxies are the operator's own, and the others prove
// nothing. This package walks the list from the right, over all lines of the header. It stops at the first address that
// a trusted proxy reports and that is not itself a trusted proxy. It never uses an entry because it is the leftmost
// one. Headers with a single address, such as X-Real-IP or True-Client-IP, are not supported: nothing shows whether a
// proxy or the client wrote them.
//
// The configuration names the trusted proxies in one of two ways. [Config.Trusted] lists their addresses; a request
// that comes from elsewhere is the client's own, and its header is not looked at. [Config.Hops] is their number, for
// proxies whose addresses are not known beforehand, such as those of AWS: 1 behind an Application Load Balancer or API
// Gateway, 2 behind CloudFront and one of these. With Hops the server MUST NOT be reachable except through the proxies.
//
// # How the headers are read
//
// The lines of a header are one list. Empty elements are skipped and do not count as hops (RFC 9110 section 5.6.1.2).
// An element of X-Forwarded-For is an address, with a port or without; an IPv6 address with a port stands in brackets.
// An element of Forwarded is read by RFC 7239: names in any case, values that are tokens or quoted, quoted-pairs, empty
// pairs such as a semicolon at the end, parameters of any name, ports that are obfuscated. Blanks around its semicolons
// are accepted too, and ports and brackets without quotes in other parameters than "for", as in host=a:8443. The last
// 8192 bytes of a header are read, each a few times at most. Addr and Prefix do not allocate, except for a quoted value
// of "for" that has a backslash.
//
// # What is refused
//
// An element that reports no address (unknown, an obfuscated name, a malformed element, an element of Forwarded with
// two "for" parameters or none) ends the walk. The client is then unknown, and false is returned. The same holds for a
// header without any element, for fewer elements than Hops, for more than 32 trusted proxies in a row, and for a
// RemoteAddr that is not an address. With Hops, only the element that counts is read; the ones to its right may say
// anything.
//
// A line of Forwarded is not read at all if it is uncertain where its quotes begin and end, as with an open quote, or
// with a backslash outside of quotes. A client may have sent that so that what the proxies append is read in another
// way. A limiter refuses such a request, so it does not escape the limit.
//
// # Addresses as keys
//
// An IPv6 client commonly owns a network of 64 bits and can call from any of its 2^64 addresses, so [Resolver.Prefix]
// keys by /64. IPv4 addresses mapped into IPv6 (::ffff:192.0.2.1) are unwrapped first, and zones are dropped.
//
// The files: clientip.go is the resolver, walk.go goes over the elements of a header, forwarded.go reads those of
// Forwarded, and parse.go reads addresses.
//
// Sources: RFC 7239 (Forwarded), RFC 9110 sections 5.3, 5.6.1 and 5.6.4 (lists and quoted strings), RFC 4291 section
// 2.5.5.2 (mapped addresses), RFC 6177 (end sites), the AWS documentation of X-Forwarded-For for Application Load
// Balancers.
package clientip
