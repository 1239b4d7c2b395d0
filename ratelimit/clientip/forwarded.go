package clientip

import (
	"net/netip"
	"strings"
)

// delimited reports whether it is certain where the quoted-strings of a line of Forwarded begin and end, and so which
// commas separate elements: each begins after an equals sign and ends before a delimiter, and no backslash stands
// outside of them.
//
// The last rule is what keeps a client from moving the borders. For example, a client sends for="x with an open quote,
// and a proxy appends an element to that line:
//
//	for="x, for=192.0.2.1;host="example.com"
//
// Read from the left, the proxy's first quote closes the client's. The Host, which the client has chosen, then stands
// outside of quotes and could be written so that it passes for an element. But a proxy writes its quotes in pairs, so
// the last one stays open, and the line is refused. The client can make the number of quotes even only by a quote in
// what the proxy quotes. The proxy escapes that: of the Host a"b it writes "a\"b". The backslash then stands outside of
// quotes, and the line is refused as well.
func delimited(line string) bool {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			return false
		case '"':
			if i == 0 || line[i-1] != '=' {
				return false
			}
			if i = closing(line, i); i < 0 {
				return false
			}
			if end := i + 1; end < len(line) && strings.IndexByte(";, \t", line[end]) < 0 {
				return false
			}
		}
	}
	return true
}

// closing is the index of the quote that closes the quoted-string which is opened at an index, or -1. RFC 9110 section
// 5.6.4.
func closing(s string, opening int) int {
	for i := opening + 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// forwardedFor returns the node of an element's "for" parameter. It is false if there is none, or two, or if the
// element is malformed:
//
//	forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )   RFC 7239 section 4
//	forwarded-pair    = token "=" ( token / quoted-string )
//
// Blanks around a semicolon are accepted as well, and a colon or brackets outside of quotes in other parameters (as in
// host=a:8443), because proxies write them. Neither moves a border. A node must be quoted where the grammar says so.
func forwardedFor(element string) (node string, ok bool) {
	for {
		for element != "" && (element[0] == ';' || blank(element[0])) {
			element = element[1:]
		}
		if element == "" {
			return node, ok
		}
		equals := token(element)
		if equals == 0 || equals == len(element) || element[equals] != '=' {
			return "", false
		}
		isFor := strings.EqualFold(element[:equals], "for")
		value, rest, found := cutValue(element[equals+1:], isFor)
		if !found {
			return "", false
		}
		if isFor {
			if ok {
				return "", false // it says two things
			}
			node, ok = value, true
		}
		for rest != "" && blank(rest[0]) {
			rest = rest[1:]
		}
		if element = rest; element != "" && element[0] != ';' {
			return "", false
		}
	}
}

// cutValue returns the token or the content of the quoted-string that s begins with, and what follows it. If it need
// not be strict, a token may have a port and brackets.
func cutValue(s string, strict bool) (value, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		end := closing(s, 0)
		if end < 0 {
			return "", "", false
		}
		return unescape(s[1:end]), s[end+1:], true
	}
	end := token(s)
	for !strict && end < len(s) && strings.IndexByte(":[]", s[end]) >= 0 {
		end++
		end += token(s[end:])
	}
	return s[:end], s[end:], end > 0
}

// unescape replaces each quoted-pair by its second byte. RFC 9110 section 5.6.4: "Recipients that process the value of
// a quoted-string MUST handle a quoted-pair as if it were replaced by the octet following the backslash."
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' { // never the last byte: closing has skipped a pair
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// parseNode reads a node that is an address, RFC 7239 section 6. "unknown" and an obfuscated identifier are none; the
// port may be obfuscated ("_" and a word), and does not matter.
func parseNode(node string) (netip.Addr, bool) {
	if colon := strings.LastIndex(node, ":_"); colon >= 0 && obfuscated(node[colon+2:]) {
		node = node[:colon]
		if strings.Contains(node, ":") && !strings.HasSuffix(node, "]") {
			return netip.Addr{}, false // another port, or an IPv6 address that must stand in brackets
		}
	}
	return parse(node)
}

// obfuscated reports whether s is what follows the underscore of an obfuscated port, RFC 7239 section 6.3.
func obfuscated(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// token is the length of the token that s begins with, RFC 9110 section 5.6.2.
func token(s string) int {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return i
		}
	}
	return len(s)
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func alphanumeric(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}
