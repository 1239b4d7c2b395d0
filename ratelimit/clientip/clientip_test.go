package clientip_test

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}

func newResolver(t *testing.T, c clientip.Config) *clientip.Resolver {
	t.Helper()
	r, err := clientip.New(c)
	require.NoError(t, err)
	return r
}

func request(remote, header string, lines ...string) *http.Request {
	return &http.Request{RemoteAddr: remote, Header: http.Header{http.CanonicalHeaderKey(header): lines}}
}

func TestNewReportsEveryMistake(t *testing.T) {
	for _, test := range []struct {
		config clientip.Config
		want   string
	}{
		{clientip.Config{Hops: 1}, "clientip: Trusted or Hops without a Header to read: set X-Forwarded-For or Forwarded"},
		{clientip.Config{Trusted: proxies}, "clientip: Trusted or Hops without a Header to read: set X-Forwarded-For or Forwarded"},
		{clientip.Config{Header: "x-forwarded-for"}, "clientip: Header X-Forwarded-For needs one of Trusted and Hops"},
		{clientip.Config{Header: "forwarded", Hops: 1, Trusted: proxies}, "clientip: Header Forwarded needs one of Trusted and Hops"},
		{clientip.Config{Header: "X-Real-IP", Hops: 1}, `clientip: Header "X-Real-IP" is neither X-Forwarded-For nor Forwarded`},
		{
			clientip.Config{Header: "Forwarded", Hops: 33, IPv4Bits: 33, IPv6Bits: 129},
			"clientip: Hops 33 is not within 0 to 32\nclientip: IPv4Bits 33 is not within 0 to 32\nclientip: IPv6Bits 129 is not within 0 to 128",
		},
		{
			clientip.Config{Header: "Forwarded", Hops: -1, IPv4Bits: -1, IPv6Bits: -1},
			"clientip: Hops -1 is not within 0 to 32\nclientip: IPv4Bits -1 is not within 0 to 32\nclientip: IPv6Bits -1 is not within 0 to 128",
		},
		{
			clientip.Config{Header: "Forwarded", Trusted: []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
			"clientip: Trusted[0] invalid Prefix is not the network of an IPv4 or IPv6 address\n" +
				"clientip: Trusted[1] ::ffff:10.0.0.0/104 is not the network of an IPv4 or IPv6 address",
		},
	} {
		_, err := clientip.New(test.config)
		require.EqualError(t, err, test.want)
	}
}

func TestNewCopiesTrusted(t *testing.T) {
	trusted := []netip.Prefix{proxies[0]}
	r := newResolver(t, clientip.Config{Header: "X-Forwarded-For", Trusted: trusted})
	trusted[0] = netip.MustParsePrefix("192.0.2.0/24")
	got, ok := r.Addr(request("192.0.2.9:1", "X-Forwarded-For", "198.51.100.7"))
	require.True(t, ok)
	require.Equal(t, "192.0.2.9", got.String())
}

func TestWithoutHeaderThePeerIsTheClient(t *testing.T) {
	r := newResolver(t, clientip.Config{})
	for _, test := range []struct{ remote, want string }{
		{"192.0.2.1:1234", "192.0.2.1"},
		{"192.0.2.1", "192.0.2.1"}, // as Lambda adapters leave it
		{"[2001:db8::1]:1234", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[::ffff:192.0.2.1]:1234", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"[fe80::1%eth0]:1234", "fe80::1"},
		{"fe80::1%eth0", "fe80::1"},
		{"", ""},
		{"@", ""}, // a Unix socket
		{"pipe", ""},
		{"192.0.2.1:", ""},
		{"192.0.2.1:99999", ""},
		{"192.0.2.1:http", ""},
		{"192.0.2.01", ""},
		{"192.0.2", ""},
		{"[192.0.2.1]", ""},
		{"[192.0.2.1]:80", ""},
		{"[2001:db8::1", ""},
		{"2001:db8::1]", ""},
		{"[[2001:db8::1]]", ""},
		{"[]", ""},
		{":80", ""},
		{" 192.0.2.1", ""},
		{"example.com:80", ""},
	} {
		// Without Config.Header no header counts.
		got, ok := r.Addr(request(test.remote, "X-Forwarded-For", "198.51.100.7"))
		require.Equal(t, test.want != "", ok, test.remote)
		if ok {
			require.Equal(t, test.want, got.String())
		}
	}
}

func TestTrustedProxiesAreSkippedFromTheRight(t *testing.T) {
	for _, test := range []struct {
		remote string
		lines  []string
		want   string
	}{
		{"10.0.0.1:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[2001:db8:1::5]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"203.0.113.1, 198.51.100.7"}, "198.51.100.7"}, // what the client claims
		{"10.0.0.1:1", []string{"203.0.113.1", "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"203.0.113.1,198.51.100.7 , 10.1.1.1", "\t10.2.2.2 "}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"10.9.9.9, 198.51.100.7"}, "198.51.100.7"}, // a claim to be a proxy
		{"10.0.0.1:1", []string{"garbage, 198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{strings.Repeat("1.1.1.1, ", 100) + "198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"2001:db8::7"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"fe80::7%eth9"}, "fe80::7"},
		{"10.0.0.1:1", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7, ::ffff:10.1.1.1"}, "198.51.100.7"},
		{"192.0.2.1:1", []string{"198.51.100.7"}, "192.0.2.1"}, // not through a proxy
		{"10.0.0.1:1", nil, "10.0.0.1"},                        // a proxy itself
		{"10.0.0.1:1", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"10.0.0.1:1", []string{""}, ""},
		{"10.0.0.1:1", []string{" , ,\t"}, ""}, // a list has at least one element
		{"10.0.0.1:1", []string{"", ""}, ""},
		{"10.0.0.1:1", []string{"198.51.100.7, "}, "198.51.100.7"}, // empty elements are skipped
		{"10.0.0.1:1", []string{", 198.51.100.7,,10.2.2.2 ,\t, "}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7", "", " , ", "10.2.2.2", ""}, "198.51.100.7"},
		{"10.0.0.1:1", []string{",,10.3.3.3,, 10.2.2.2", ""}, "10.3.3.3"},
		{"10.0.0.1:1", []string{strings.Repeat(",", 8000) + "198.51.100.7" + strings.Repeat(",", 100)}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7" + strings.Repeat(",", 8192)}, ""},
		{"10.0.0.1:1", slices.Concat([]string{"198.51.100.7"}, make([]string, 8000)), "198.51.100.7"},
		{"10.0.0.1:1", slices.Concat([]string{"198.51.100.7"}, make([]string, 9000)), ""}, // not read that far
		{"10.0.0.1:1", []string{"198.51.100.7, garbage"}, ""},
		{"10.0.0.1:1", []string{"198.51.100.7, garbage, 10.2.2.2"}, ""},
		{"10.0.0.1:1", []string{"unknown"}, ""},
		{"10.0.0.1:1", []string{"198.51.100.7, unknown"}, ""},
		{"10.0.0.1:1", []string{"198.51.100.7, unknown, 10.2.2.2"}, ""},
		{"10.0.0.1:1", []string{"unknown, 198.51.100.7, 10.2.2.2"}, "198.51.100.7"},
		{"10.0.0.1:1", []string{"198.51.100.7:_p"}, ""}, // only Forwarded has such ports
		{"10.0.0.1:1", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"198.51.100.7 203.0.113.1"}, ""},
		{"10.0.0.1:1", []string{strings.Repeat("10.1.1.1,", 32) + "10.1.1.1"}, ""}, // more hops than there are anywhere
		{"10.0.0.1:1", []string{strings.Repeat(" ", 8192) + "198.51.100.7"}, ""},
		{"10.0.0.1:1", []string{strings.Repeat("x", 9000) + ", 198.51.100.7"}, "198.51.100.7"}, // however much the client writes
		{"10.0.0.1:1", []string{"203.0.113.1," + strings.Repeat(" ", 8192) + "10.2.2.2"}, ""},
		{"garbage", []string{"198.51.100.7"}, ""},
		{"", []string{"198.51.100.7"}, ""},
	} {
		r := newResolver(t, clientip.Config{Header: "X-Forwarded-For", Trusted: proxies})
		got, ok := r.Addr(request(test.remote, "X-Forwarded-For", test.lines...))
		require.Equal(t, test.want != "", ok, "%v", test)
		if ok {
			require.Equal(t, test.want, got.String(), "%v", test)
		}
	}
}

func TestHopsCountsFromTheRight(t *testing.T) {
	for _, test := range []struct {
		hops  int
		lines []string
		want  string
	}{
		{1, []string{"198.51.100.7"}, "198.51.100.7"},
		{1, []string{"203.0.113.1, 198.51.100.7"}, "198.51.100.7"},
		{2, []string{"203.0.113.1, 198.51.100.7, 10.0.0.1"}, "198.51.100.7"},
		{2, []string{"203.0.113.1, 198.51.100.7", "10.0.0.1"}, "198.51.100.7"},
		{1, []string{"198.51.100.7,"}, "198.51.100.7"},
		{1, []string{"203.0.113.1, 198.51.100.7 ,, ,"}, "198.51.100.7"},
		{1, []string{"198.51.100.7", ""}, "198.51.100.7"},
		{2, []string{"203.0.113.1,, 198.51.100.7,, 10.0.0.1,"}, "198.51.100.7"},
		{2, []string{"203.0.113.1, 198.51.100.7,", ",", ", 10.0.0.1"}, "198.51.100.7"},
		{2, []string{",, 198.51.100.7"}, ""},
		{2, []string{"198.51.100.7", ""}, ""},
		{2, []string{"198.51.100.7, unknown"}, "198.51.100.7"},
		{1, []string{"[2001:db8::7]:4711,"}, "2001:db8::7"},
		{32, []string{"198.51.100.7" + strings.Repeat(",,10.0.0.1", 31)}, "198.51.100.7"},
		{2, []string{"198.51.100.7, garbage"}, "198.51.100.7"}, // the proxies' own addresses do not count
		{1, nil, ""},
		{2, []string{"198.51.100.7"}, ""},
		{3, []string{"203.0.113.1", "198.51.100.7"}, ""},
		{1, []string{"198.51.100.7, garbage"}, ""},
		{1, []string{""}, ""},
	} {
		r := newResolver(t, clientip.Config{Header: "X-Forwarded-For", Hops: test.hops})
		got, ok := r.Addr(request("whatever", "X-Forwarded-For", test.lines...))
		require.Equal(t, test.want != "", ok, "%v", test)
		if ok {
			require.Equal(t, test.want, got.String(), "%v", test)
		}
	}
}

func TestForwardedIsReadAsRFC7239(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string
	}{
		{[]string{`for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`FOR=198.51.100.7;proto=http;By=203.0.113.43`}, "198.51.100.7"},
		{[]string{`fOr="198.51.100.7"`}, "198.51.100.7"},
		{[]string{`proto=http;by="10.0.0.1:1";for="198.51.100.7:4711"`}, "198.51.100.7"},
		{[]string{`for="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{[]string{`for="[2001:db8:cafe::17]"`}, "2001:db8:cafe::17"},
		{[]string{`for="[::ffff:198.51.100.7]:80"`}, "198.51.100.7"},
		{[]string{`for=203.0.113.1, for=198.51.100.7, for=10.1.1.1`}, "198.51.100.7"},
		{[]string{`for=203.0.113.1,for=198.51.100.7,for="10.1.1.1:80"`}, "198.51.100.7"},
		{[]string{`for=203.0.113.1`, `for=198.51.100.7`, `for="10.1.1.1"`}, "198.51.100.7"},
		{[]string{`for=203.0.113.1;host="a, for=10.9.9.9, b", for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`for=x;host="a\", ", for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;host="a, for=203.0.113.1;b", for=10.1.1.1;host="c,;\",;\\"`}, "198.51.100.7"},
		{[]string{`nonsense`, `for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`nonsense;;=, for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`"`, `for=198.51.100.7`}, "198.51.100.7"}, // an open quote ends with its line
		{[]string{`\`, `for=198.51.100.7`}, "198.51.100.7"},

		// An element ends with semicolons, and may hold empty pairs, extensions and blanks around a semicolon.
		{[]string{`for=198.51.100.7;`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;proto=https;`}, "198.51.100.7"},
		{[]string{`;;for=198.51.100.7;;;proto=https;;`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;proto=https;, for=10.1.1.1;`}, "198.51.100.7"},
		{[]string{`proto=https; for=198.51.100.7 ;	host=a; `}, "198.51.100.7"},
		{[]string{`for="198.51.100.7" ; host="a b"`}, "198.51.100.7"},
		{[]string{`secret=abc;for=198.51.100.7;x-y_z="1;2,3=4"`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;ext=""`}, "198.51.100.7"},

		// Proxies forget to quote ports and brackets. In what is not looked at, that does not matter.
		{[]string{`by="[::1]:4430";for="198.51.100.7:57096";proto=https;host=localhost:4430`}, "198.51.100.7"},
		{[]string{`host=example.com:8443;for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;by=[2001:db8::5]:80;host=[::1]`}, "198.51.100.7"},
		{[]string{`by=2001:db8::5 ; for=198.51.100.7, for=10.1.1.1;host=a:80,`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;host=:`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;host=a:"80"`}, ""},
		{[]string{`for=198.51.100.7;host=a:80 b`}, ""},
		{[]string{`for=198.51.100.7;host:80=a`}, ""},

		// A quoted-pair is the byte after the backslash.
		{[]string{`for=198.51.100.7;host="a\"b"`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7;host="a\\"`}, "198.51.100.7"},
		{[]string{`host="\";for=203.0.113.1;\"";for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`for="198.51.\100.7"`}, "198.51.100.7"},
		{[]string{`for="\[2001:db8::\17\]:80"`}, "2001:db8::17"},
		{[]string{`for="198.51.100.7\""`}, ""},

		// Empty elements do not count.
		{[]string{`for=198.51.100.7, `}, "198.51.100.7"},
		{[]string{`,, for=198.51.100.7 ,,	, for=10.1.1.1,`}, "198.51.100.7"},
		{[]string{`for=198.51.100.7`, ``, ` , `, `for=10.1.1.1`}, "198.51.100.7"},
		{[]string{``}, ""},
		{[]string{` ,, `}, ""},
		{[]string{`;`}, ""}, // not empty, and names nobody
		{[]string{`for=198.51.100.7, ;`}, ""},

		// Nodes that are an address with an obfuscated port, and those that are none.
		{[]string{`for="198.51.100.7:_gateway-1.a_b"`}, "198.51.100.7"},
		{[]string{`for="[2001:db8::17]:_p"`}, "2001:db8::17"},
		{[]string{`for="198.51.100.7:_"`}, ""},
		{[]string{`for="198.51.100.7:_a:b"`}, ""},
		{[]string{`for="198.51.100.7:80:_a"`}, ""},
		{[]string{`for="2001:db8::17:_a"`}, ""},
		{[]string{`for="_hidden:_a"`}, ""},
		{[]string{`for="198.51.100.7:65536"`}, ""},
		{[]string{`for=unknown`}, ""},
		{[]string{`for="unknown:80"`}, ""},
		{[]string{`for=_hidden`}, ""},
		{[]string{`for=198.51.100.7, for=_hidden`}, ""},
		{[]string{`for=_hidden, for=198.51.100.7, for=10.1.1.1`}, "198.51.100.7"},

		// What says two things, or cannot be read.
		{[]string{`for=198.51.100.7;for=198.51.100.8`}, ""},
		{[]string{`for=198.51.100.7;For=198.51.100.7`}, ""},
		{[]string{`for=198.51.100.7;;proto=http;FOR="198.51.100.8";`}, ""},
		{[]string{`", for=198.51.100.7`}, ""},
		{[]string{`for="x, for="198.51.100.7"`}, ""},
		{[]string{`for="198.51.100.7`}, ""},
		{[]string{`for="198.51.100.7\"`}, ""},
		{[]string{`for=198.51.100.7"`}, ""},
		{[]string{`for=198.51.100.7:80`}, ""}, // a colon must be quoted, RFC 7239 section 4
		{[]string{`for=[2001:db8::1]`}, ""},
		{[]string{`for=`}, ""},
		{[]string{`for=;proto=http`}, ""},
		{[]string{`for=""`}, ""},
		{[]string{`for`}, ""},
		{[]string{`for;proto=http`}, ""},
		{[]string{`proto=http`}, ""},
		{[]string{`for = 198.51.100.7`}, ""},
		{[]string{`for= 198.51.100.7`}, ""},
		{[]string{`for="198.51.100.7"x`}, ""},
		{[]string{`for="198.51.100.7""x"`}, ""},
		{[]string{`for=198.51.100.7 x`}, ""},
		{[]string{`for=198.51.100.7 host=a`}, ""},
		{[]string{`for="198.51.100.7" host=a`}, ""},
		{[]string{`for=198.51.100.7@;host=a`}, ""},
		{[]string{`for=198.51.100.7;host=a\b`}, ""},
		{[]string{`=198.51.100.7`}, ""},

		// The client leaves a quote open, or names a host with quotes in it, to move what the proxy appends.
		{[]string{`a="x, for=198.51.100.7;host="y, for=203.0.113.1"`}, ""},
		{[]string{`a="x, for=198.51.100.7;host=", for=203.0.113.1;z=\"b"`}, ""},
		{[]string{`a="x, for=198.51.100.7;host=", for=203.0.113.1;z=\"b";by="10.0.0.1:1"`}, ""},
		{[]string{`a="\, for=198.51.100.7;host="b"`}, ""},

		{[]string{`for=203.0.113.1;a="` + strings.Repeat("x", 8100) + `", for=198.51.100.7`}, "198.51.100.7"},
		{[]string{`for=203.0.113.1;a="` + strings.Repeat("x", 8192) + `", for=198.51.100.7`}, ""}, // quotes are told from the left
		{[]string{strings.Repeat(`"`, 9000), `for=198.51.100.7`}, "198.51.100.7"},
	} {
		all := strings.Join(test.lines, ",")
		nearer := strings.Count(all, `for=10.1.1.1`) + strings.Count(all, `for="10.1.1.1`)
		for name, c := range map[string]clientip.Config{
			"trusted": {Header: "Forwarded", Trusted: proxies},
			"hops":    {Header: "Forwarded", Hops: 1 + nearer},
		} {
			r := newResolver(t, c)
			got, ok := r.Addr(request("10.0.0.1:1", "Forwarded", test.lines...))
			require.Equal(t, test.want != "", ok, "%s: %v", name, test)
			if ok {
				require.Equal(t, test.want, got.String(), "%s: %v", name, test)
			}
		}
	}
}

// With Hops, what the proxies nearer to the server say of each other does not matter.
func TestHopsIgnoresWhatNearerProxiesSay(t *testing.T) {
	for _, test := range []struct {
		hops  int
		lines []string
		want  string
	}{
		{2, []string{`for=198.51.100.7, for=_lb`}, "198.51.100.7"},
		{2, []string{`for=198.51.100.7, proto=https`}, "198.51.100.7"},
		{2, []string{`for=198.51.100.7;, for=unknown;, `}, "198.51.100.7"},
		{3, []string{`for=203.0.113.1, for=198.51.100.7;host="a, b"`, `,`, `by=_a, ;`}, "198.51.100.7"},
		{2, []string{`for=198.51.100.7, `}, ""},
		{2, []string{`for=198.51.100.7, for="`}, ""},
	} {
		got, ok := newResolver(t, clientip.Config{Header: "Forwarded", Hops: test.hops}).Addr(request("", "Forwarded", test.lines...))
		require.Equal(t, test.want != "", ok, "%v", test)
		if ok {
			require.Equal(t, test.want, got.String(), "%v", test)
		}
	}
}

func TestPrefixIsTheNetworkOfAnIPv6Client(t *testing.T) {
	for _, test := range []struct {
		config       clientip.Config
		remote, want string
	}{
		{clientip.Config{}, "192.0.2.1:1", "192.0.2.1/32"},
		{clientip.Config{}, "[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"},
		{clientip.Config{}, "[::ffff:192.0.2.1]:1", "192.0.2.1/32"},
		{clientip.Config{IPv4Bits: 24, IPv6Bits: 48}, "192.0.2.1:1", "192.0.2.0/24"},
		{clientip.Config{IPv4Bits: 24, IPv6Bits: 48}, "[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1::/48"},
		{clientip.Config{IPv6Bits: 128}, "[fe80::1%eth0]:1", "fe80::1/128"},
		{clientip.Config{}, "garbage", ""},
	} {
		got, ok := newResolver(t, test.config).Prefix(request(test.remote, ""))
		require.Equal(t, test.want != "", ok, test.remote)
		if ok {
			require.Equal(t, test.want, got.String())
		}
	}
}

func TestZeroResolverFindsNobody(t *testing.T) {
	for _, r := range []*clientip.Resolver{nil, {}} {
		_, ok := r.Addr(request("192.0.2.1:1", ""))
		require.False(t, ok)
		_, ok = r.Prefix(request("192.0.2.1:1", ""))
		require.False(t, ok)
	}
}
