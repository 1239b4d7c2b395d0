// Package clientip finds the address of the client of a request, behind proxies or not, for limits by address.
//
//	ip, err := clientip.New(clientip.Config{Header: "X-Forwarded-For", Hops: 1}) // one proxy in front
//	limiter, err := ratelimit.New(ratelimit.Config[netip.Prefix]{Limit: limit, Key: ip.Prefix})
//
// # What is believed
//
// X-Forwarded-For and Forwarded are written by the client first; each proxy adds the address it was called from at the
// right end. So the list is worth something from the right, as far as the proxies are one's own, and nothing beyond. This
// package walks it from the right, over all lines of the header, and stops at the first address that a trusted proxy
// reports and that is not itself a trusted proxy. It never takes the leftmost entry for its place. Headers with a single
// address, such as X-Real-IP or True-Client-IP, cannot be told from the client's own and are not supported.
//
// Which proxies are trusted is said in one of two ways. [Config.Trusted] lists their addresses; a request that comes from
// elsewhere is the client's own, and its header is not looked at. [Config.Hops] is their number, for proxies whose
// addresses are not known beforehand, such as those of AWS: 1 behind an Application Load Balancer or API Gateway, 2 behind
// CloudFront and one of these. With Hops the server MUST NOT be reachable but through the proxies.
//
// # What is refused
//
// An entry that is not an address, an address with a zone of its own interface excepted, ends the walk: the client is then
// unknown, and false is returned. So it is if there are fewer entries than Hops, and for a RemoteAddr that is none. A limiter
// refuses such a request; it does not get a bucket without limit.
//
// # Addresses as keys
//
// An IPv6 client commonly owns a network of 64 bits and can call from any of its 2^64 addresses, so [Resolver.Prefix] keys
// by /64. IPv4 addresses mapped into IPv6 (::ffff:192.0.2.1) are unwrapped first, and zones are dropped.
//
// Sources: RFC 7239 (Forwarded), RFC 4291 section 2.5.5.2 (mapped addresses), RFC 6177 (end sites), the AWS documentation
// of X-Forwarded-For for Application Load Balancers.
package clientip
