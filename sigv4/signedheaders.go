package sigv4

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// signHeader is the default of [SignerConfig].SignHeader. It leaves out headers that may be different when the request
// arrives: a signature over such a header would fail, with a cause that is hard to find. Anyone on the way can change
// them. So a handler must not trust them, unless [VerifierConfig].SignedHeaders demands that they are signed.
func signHeader(name string) bool {
	switch name {
	case "accept-encoding", "cache-control", "content-length", "from", "max-forwards", "pragma", "referer", "user-agent":
		return false // as the signers of AWS's SDKs for Go, Python and JavaScript do
	case "alt-used", "cdn-loop", "client-cert", "client-cert-chain", "early-data", "forwarded", "true-client-ip", "via",
		"x-client-ip", "x-cluster-client-ip", "x-real-ip", "x-scheme":
		return false // proxies and clients add them; RFC 7239, 7838, 8470, 8586 and 9440 define some
	case "b3", "baggage", "elastic-apm-traceparent", "grpc-trace-bin", "newrelic", "priority", "sentry-trace", "traceparent",
		"tracestate", "uber-trace-id", "x-cloud-trace-context", "x-correlation-id", "x-request-id":
		return false // every hop may change them: W3C Trace Context and Baggage, RFC 9218 5, and what tracers used before
	}
	return !slices.ContainsFunc(unsignedPrefixes[:], func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// unsignedPrefixes are prefixes of names that browsers, load balancers, content delivery networks and tracers set.
var unsignedPrefixes = [...]string{
	"cf-", "cloudfront-", "fastly-", "ot-", "proxy-", "sec-", "uberctx-", "x-amzn-", "x-azure-", "x-b3-", "x-datadog-",
	"x-envoy-", "x-forwarded", "x-original-",
}

// signedHeaders returns the list of the headers to sign, such as "host;x-amz-date". It refuses headers that would not
// arrive as they are signed. It writes the names one after the other into cr.out, in lower case and in the order of the
// map, and keeps their places in cr.names. So it allocates nothing for them.
func (s *Signer) signedHeaders(r *http.Request, cr *canonicalRequest, presign bool) (string, *Error) {
	cr.out = append(cr.out[:0], "host"...)
	cr.names = append(cr.names[:0], span{0, len("host")})
	for key, values := range r.Header {
		if len(values) == 0 {
			continue // net/http does not send it
		}
		start := len(cr.out)
		cr.out = append(cr.out, key...)
		name := cr.out[start:]
		lower(name)
		signed := s.signs(name, values, presign)
		if e := checkHeader(r, key, name, signed, presign); e != nil {
			return "", e
		}
		if signed {
			cr.names = append(cr.names, span{start, len(cr.out)})
		}
	}
	cr.joinNames()
	if e := checkConnection(r.Header["Connection"], cr.list); e != nil {
		return "", e
	}
	return cr.list, nil
}

// joinNames sorts the names and sets cr.list to them, joined. It keeps the string if the list is the one of the request
// before, as it mostly is for one client: that saves the allocation.
func (cr *canonicalRequest) joinNames() {
	slices.SortFunc(cr.names, func(a, b span) int { return bytes.Compare(cr.out[a.start:a.end], cr.out[b.start:b.end]) })
	start := len(cr.out)
	for i, n := range cr.names {
		if i > 0 {
			cr.out = append(cr.out, ';')
		}
		cr.out = append(cr.out, cr.out[n.start:n.end]...)
	}
	if list := cr.out[start:]; string(list) != cr.list {
		cr.list = string(list)
	}
}

// signs reports whether to sign a header other than Host, given its name in lower case. Host is in the list already. A
// presigned URL has the date and the session token in its query, and so does not sign their headers.
//
// The first cases are not for the caller to decide: such a header never arrives as it is, so that a verifier would
// refuse every request.
func (s *Signer) signs(name []byte, values []string, presign bool) bool {
	switch string(name) {
	case "host", "authorization":
		return false
	case "connection", "http2-settings", "keep-alive", "proxy-authorization", "proxy-connection", "te",
		"trailer", "transfer-encoding", "upgrade":
		return false // RFC 9110 7.6.1 and 11.7.2: they end at the next hop
	case "expect":
		return false // RFC 9110 10.1.1: the next hop may answer it, and net/http's server removes it in HTTP/2
	case "user-agent": // net/http does not send an empty one, and sends only the first of several
		if len(values) > 1 || values[0] == "" {
			return false
		}
	case "x-amz-date", "x-amz-security-token":
		return !presign
	}
	if isAmz(name) {
		return true
	}
	if s.config.SignHeader != nil {
		return s.config.SignHeader(string(name))
	}
	return signHeader(string(name))
}

// checkHeader refuses a header that would not arrive as it is signed, or that a server could take for another. For
// example, with the keys "authorization" and "Authorization" in r.Header net/http sends both, and a server may read
// either. http.Header.Set makes the canonical key, so that only a caller who writes to the map can make another.
func checkHeader(r *http.Request, key string, name []byte, signed, presign bool) *Error {
	switch string(name) {
	case "authorization", "connection", "host", "trailer", "transfer-encoding":
		signed = true // if its key has another form, net/http sends it in addition to its own
	case "content-length":
		// net/http sends the length of the body and ignores the header. The recipient of a URL sends a length of its
		// own.
		if signed && !presign && !slices.Equal(r.Header[key], []string{sentLength(r)}) {
			return refuse(errAmbiguousHeader, key)
		}
		signed = true
	}
	switch {
	case signed && http.CanonicalHeaderKey(key) != key:
		return refuse(errKeyForm, key)
	case isAmzHeader(key) && isConfusable(string(name)):
		return refuse(errAmbiguousHeader, key)
	}
	return nil
}

// sentLength returns the Content-Length that net/http sends, whatever the header says, or "" if it sends none.
func sentLength(r *http.Request) string {
	hasBody := r.Body != nil && r.Body != http.NoBody
	if len(r.TransferEncoding) > 0 || r.ContentLength < 0 || r.ContentLength == 0 && hasBody { // it is not known
		return ""
	}
	return strconv.FormatInt(r.ContentLength, 10)
}

// checkConnection refuses a Connection option that names a signed header, because the next hop would remove the header
// (RFC 9110 7.6.1).
func checkConnection(values []string, signed string) *Error {
	for _, value := range values {
		for option := range strings.SplitSeq(value, ",") {
			if name := strings.ToLower(strings.Trim(option, " \t")); signs(signed, name) {
				return refuse(errAmbiguousHeader, "Connection: "+name)
			}
		}
	}
	return nil
}

// checkTrailers refuses trailers that a verifier refuses, because no signature covers them. It looks at r.Trailer and
// at the Trailer header, which net/http sends in HTTP/2.
func checkTrailers(r *http.Request) *Error {
	for _, value := range r.Header["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.Trim(name, " \t"); isForbiddenTrailer(name) {
				return refuse(errUnsignedHeader, strings.ToLower(name))
			}
		}
	}
	return checkTrailer(r)
}

// setCookies gives the Cookie header the form in which it arrives, whatever the version of HTTP: one value, with the
// pairs joined by "; " (RFC 6265 4.2.1). HTTP/2 sends the pairs one by one, and servers join them in this form (RFC
// 9113 8.2.3). For example, the two values "a=1;b=2" and "c=3" become "a=1; b=2; c=3".
func setCookies(h http.Header) {
	values := h["Cookie"]
	if arrivesAlike(values) {
		return
	}
	var pairs []string
	for _, value := range values {
		for pair := range strings.SplitSeq(value, ";") {
			if pair = strings.Trim(pair, " \t"); pair != "" {
				pairs = append(pairs, pair)
			}
		}
	}
	if len(pairs) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{strings.Join(pairs, "; ")}
}

// arrivesAlike reports whether the values of the Cookie header arrive as they are, whatever the version of HTTP.
func arrivesAlike(values []string) bool {
	return len(values) == 0 || len(values) == 1 && values[0] != "" && strings.IndexByte(values[0], ';') < 0
}

// withCookies returns the request as [setCookies] would make it. It does not change r.
func withCookies(r *http.Request) *http.Request {
	if arrivesAlike(r.Header["Cookie"]) {
		return r
	}
	r = r.WithContext(r.Context())
	r.Header = maps.Clone(r.Header)
	setCookies(r.Header)
	return r
}

// lower turns the letters of a name into lower case, in place.
func lower(name []byte) {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
}
