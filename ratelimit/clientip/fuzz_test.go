package clientip_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// Whatever a client writes to the left of what a trusted proxy adds, the client is whom the proxy reports, or unknown; and
// an address of his own choosing is found by nobody.
func FuzzAddr(f *testing.F) {
	for _, claim := range []string{"", "203.0.113.1", "203.0.113.1, ", `for=203.0.113.1`, `for="203.0.113.1`, `"`, `\`, `for="a\", "`, "[::1", "fe80::1%a,b"} {
		f.Add(claim, "192.0.2.1:80", true)
		f.Add(claim, claim, false)
	}
	f.Fuzz(func(t *testing.T, claim, remote string, separateLine bool) {
		for header, reported := range map[string]string{"X-Forwarded-For": "198.51.100.7", "Forwarded": `for="198.51.100.7:80"`} {
			lines := []string{claim + ", " + reported}
			if separateLine {
				lines = []string{claim, reported}
			}
			for _, c := range []clientip.Config{{Header: header, Hops: 1}, {Header: header, Trusted: proxies}} {
				r := newResolver(t, c)
				got, ok := r.Addr(request("10.0.0.1:1", header, lines...))
				if ok || separateLine {
					require.Equal(t, netip.MustParseAddr("198.51.100.7"), got)
				}
				if got, ok := r.Addr(request("10.0.0.1:1", header, claim)); ok {
					checkAddr(t, got)
				}
			}
		}
		r := newResolver(t, clientip.Config{})
		if got, ok := r.Addr(request(remote, "")); ok {
			checkAddr(t, got)
			p, ok := r.Prefix(request(remote, ""))
			require.True(t, ok)
			require.True(t, p.Contains(got))
			require.Equal(t, p, p.Masked())
		}
	})
}

func checkAddr(t *testing.T, a netip.Addr) {
	require.True(t, a.IsValid())
	require.False(t, a.Is4In6())
	require.Empty(t, a.Zone())
}

// The peer's address is what netip reads.
func FuzzPeer(f *testing.F) {
	for _, remote := range []string{
		"192.0.2.1:80", "192.0.2.1", "0.0.0.0:0", "255.255.255.255:65535", "256.0.0.1:1", "1.2.3.4:65536", "01.2.3.4:1", "00.2.3.4:1",
		"1.2.3:1", "1.2.3.4.5:1", "1..3.4:1", "1.2.3.4:", "1.2.3.4:08", "1.2.3.4:+8", ".1.2.3:1", "1.2.3.4.:1", "[2001:db8::1]:80",
		"[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1", "[fe80::1%eth0]:80", "[192.0.2.1]:80", "2001:db8::1",
	} {
		f.Add(remote)
	}
	r, err := clientip.New(clientip.Config{})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, remote string) {
		if strings.HasPrefix(remote, "[") && strings.HasSuffix(remote, "]") {
			return // netip has no word for it
		}
		want, err := netip.ParseAddr(remote)
		if err != nil {
			var p netip.AddrPort
			p, err = netip.ParseAddrPort(remote)
			want = p.Addr()
		}
		got, ok := r.Addr(request(remote, ""))
		require.Equal(t, err == nil, ok)
		require.Equal(t, want.Unmap().WithZone(""), got)
	})
}
