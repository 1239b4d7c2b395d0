package clientip_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// Whatever a client writes to the left of what a trusted proxy adds, Addr finds the address that the proxy reports, or
// none. It never finds one that the client has chosen.
func FuzzAddr(f *testing.F) {
	for _, claim := range []string{
		`a="x`, `a="\`, `a="x, for=1.1.1.1;host="`, `for=1.1.1.1;`, `,,;,`, `x=\"`, `for="1.1.1.1:_a";a=""`, strings.Repeat(",", 9000),
		"", "203.0.113.1", "203.0.113.1, ", `for=203.0.113.1`, `for="203.0.113.1`, `"`, `\`, `for="a\", "`, "[::1", "fe80::1%a,b",
	} {
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
			return // netip reads no such form
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

// The grammar of RFC 7239 section 4, with the blanks around semicolons that are also accepted.
var (
	pair     = `[!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+=(?:[!#$%&'*+\-.^_` + "`" + `|~0-9A-Za-z]+|"(?:[^"\\]|\\[^\n])*")`
	element  = `[ \t]*(?:` + pair + `)?(?:[ \t]*;[ \t]*(?:` + pair + `)?)*[ \t]*`
	field    = regexp.MustCompile(`^` + element + `(?:,` + element + `)*$`)
	elements = regexp.MustCompile(`(?:"(?:[^"\\]|\\.)*"|[^",])+`)
	pairs    = regexp.MustCompile(`(?:"(?:[^"\\]|\\.)*"|[^";])+`)
	escape   = regexp.MustCompile(`\\(.)`)
)

// reported is the node of the rightmost element of a well-formed field, read the long way.
func reported(line string) (node string, ok bool) {
	last := ""
	for _, e := range elements.FindAllString(line, -1) {
		if strings.Trim(e, " \t") != "" {
			last = e
		}
	}
	for _, p := range pairs.FindAllString(last, -1) {
		name, value, _ := strings.Cut(strings.Trim(p, " \t"), "=")
		if strings.ToLower(name) != "for" {
			continue
		}
		if ok {
			return "", false
		}
		if ok = true; strings.HasPrefix(value, `"`) {
			value = escape.ReplaceAllString(value[1:len(value)-1], "$1")
		}
		node = value
	}
	return node, ok
}

// A field that RFC 7239 allows is read as the RFC says, which is how reported reads it. No other field makes Addr
// panic.
func FuzzForwarded(f *testing.F) {
	for _, line := range []string{
		"for=192.0.2.1", `for="[2001:db8::1]:80";proto=https;`, `FOR="192.0.2.1:80"; host="a\"b,;"`, `a=b, for=192.0.2.1, ,`, ";;for=192.0.2.1;;",
		`for=192.0.2.1;for=192.0.2.2`, `for="192.0.2.\1"`, `for=unknown`, `for="192.0.2.1:_p"`, `a="\\", for=192.0.2.1;a="\\\""`, `for = 192.0.2.1`,
		`a="x, for=192.0.2.1;host="y\"z"`, `a="=", for=192.0.2.1`, `a="\"=", for=192.0.2.1`, `a="=\"", for=192.0.2.1;a="=\"="`,
	} {
		f.Add(line)
	}
	r, err := clientip.New(clientip.Config{Header: "Forwarded", Hops: 1})
	require.NoError(f, err)
	peer, err := clientip.New(clientip.Config{}) // reads what a node may be, but for obfuscated ports
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 4096 || strings.ContainsAny(line, "\r\n") || !utf8.ValidString(line) {
			return // net/http lets no line break through; the expressions above know runes only
		}
		got, ok := r.Addr(request("", "Forwarded", line))
		if !field.MatchString(line) {
			return
		}
		node, is := reported(line)
		want, is2 := peer.Addr(request(node, ""))
		if strings.Contains(node, ":_") {
			return
		}
		require.Equal(t, is && is2, ok, "%q: node %q", line, node)
		require.Equal(t, want, got, "%q: node %q", line, node)
	})
}
