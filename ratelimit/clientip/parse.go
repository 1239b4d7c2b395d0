package clientip

import (
	"net/netip"
	"strings"
)

// parse reads an address: 192.0.2.1, 2001:db8::1 or [2001:db8::1], the first and the last with a port or without.
func parse(s string) (netip.Addr, bool) {
	if a, ok := ipv4(s); ok {
		return a, true
	}
	return parseAny(s)
}

// parseAny is parse for what ipv4 does not read. It is a function of its own because that makes the fast path 4 ns
// faster.
func parseAny(s string) (netip.Addr, bool) {
	var a netip.Addr
	var err error
	colon := strings.IndexByte(s, ':')
	switch inner, bracket := strings.CutPrefix(s, "["); {
	case bracket && strings.HasSuffix(inner, "]"):
		a, err = netip.ParseAddr(inner[:len(inner)-1])
		if a.Is4() {
			return netip.Addr{}, false
		}
	case bracket:
		var p netip.AddrPort
		p, err = netip.ParseAddrPort(s)
		a = p.Addr()
	case colon >= 0 && port(s[colon+1:]): // the only colon
		a, err = netip.ParseAddr(s[:colon])
	default:
		a, err = netip.ParseAddr(s)
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// ipv4 reads an IPv4 address with a port in one pass. A server without proxies sees this form most often. It takes a
// third of the time of parseAny, which makes a limit by address faster by a tenth. It reports false for any other form.
func ipv4(s string) (netip.Addr, bool) {
	var octets [4]byte
	const separators = "...:"
	for n := range octets {
		value, i := 0, 0
		for ; i < len(s) && s[i]-'0' <= 9; i++ {
			value = value*10 + int(s[i]-'0')
		}
		if i == 0 || i > 3 || value > 255 || i > 1 && s[0] == '0' || i == len(s) || s[i] != separators[n] {
			return netip.Addr{}, false
		}
		octets[n], s = byte(value), s[i+1:]
	}
	return netip.AddrFrom4(octets), port(s)
}

// port reports whether s is a port in decimal. netip.ParseAddrPort would do, but it takes longer than the address
// itself.
func port(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || n > 65535 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return s != "" && n <= 65535
}
