package sigv4

import (
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"strings"
	"time"
)

// maxPairs bounds the parameters of an Authorization header, of which three are known.
const maxPairs = 16

// claim is what a request says of its signature.
type claim struct {
	presigned     bool
	algorithm     string
	credential    string // of a presigned URL with its escapes
	signedHeaders string
	signature     string
	date          string
	dateHeader    bool // the date stood in the Date header
	surplus       bool // a parameter of the Authorization header is unknown or repeated
	expires       string
	hasExpires    bool // also if it is empty
	token         string
	payload       string // the declared payload hash; empty if none is
	hasPayload    bool

	path       string // as sent
	rawQuery   string
	amz        int  // headers beginning with X-Amz-
	underscore bool // one of them has an underscore
	badQuery   bool // the query could not be read; refused is the parameter
	refused    string
	tooLarge   bool        // more was sent than is read
	room       int         // bytes left for the signed headers
	host       []string    // the values of a Host header that net/http has left there, as it does in HTTP/2
	connection [2][]string // the values of Connection and Proxy-Connection

	time                             time.Time
	keyID, day, region, service, end string // the five elements of the credential
	scope                            string // "/region/service/aws4_request"
}

// target returns the path and the query as they were sent, and whether they are a plain path and query. Adapters that make
// requests of events leave RequestURI empty.
func target(r *http.Request) (path, rawQuery string, ok bool) {
	switch {
	case r.RequestURI != "":
		path, rawQuery, _ = cut(r.RequestURI, '?')
	case r.URL == nil:
		return "", "", false
	case r.URL.Opaque != "":
		return r.URL.Opaque, r.URL.RawQuery, false
	default:
		path, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
		if path == "" {
			path = "/"
		}
	}
	return path, rawQuery, strings.HasPrefix(path, "/") && strings.IndexByte(path, '#') < 0
}

// mentions reports whether a query names a parameter of a presigned URL, in any case of letters, escaped or not, between
// separators of any kind: whether it is good or bad is for others to say. It looks at each byte once, for it reads queries
// of any length. It looks closely at no more names than most, and takes a query that has more for one that names ours.
func mentions(rawQuery string, most int) bool {
	for at := 0; at+len(shortestName) <= len(rawQuery); at++ {
		c, next := rawQuery[at], rawQuery[at+1]
		switch {
		case c == '&' || c == ';':
			continue
		case next == '&' || next == ';':
			at++
			continue
		case (c|0x20 == 'x' || c == '%') && mayNameAuth(rawQuery[at:]):
			if most--; most < 0 || namesAuth(rawQuery[at:]) {
				return true
			}
		}
		end := min(at+8, len(rawQuery)) // most names and many parameters are shorter
		for at++; at < end && rawQuery[at] != '&' && rawQuery[at] != ';'; at++ {
		}
		if at == end {
			at += separator(rawQuery[at:])
		}
	}
	return false
}

// shortestName is the shortest of [authParamNames].
const shortestName = "X-Amz-Date"

// separator returns where the first "&" or ";" stands, or the length of s. It looks at eight bytes at a time: a byte that is
// zero after the comparison borrows when one is subtracted from it.
func separator(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		t := s[n : n+8]
		x := uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
			uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
		a, b := x^ones*'&', x^ones*';'
		if found := ((a-ones)&^a | (b-ones)&^b) & tops; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(s) && s[n] != '&' && s[n] != ';' {
		n++
	}
	return n
}

// closely is how many names [mentions] looks at in a query that is too large to be parsed. Such a query is refused anyway,
// unless it belongs to a request that is signed in another way.
const closely = 1000

// mayNameAuth looks at the first bytes of a name, where it is quickly done: nearly all names begin with another letter than
// "x", escaped or not, or do not go on with "-a". There are at least as many bytes as in the shortest name.
func mayNameAuth(s string) bool {
	switch {
	case s[0]|0x20 == 'x':
		return s[1] == '%' || s[1] == '-' && (s[2] == '%' || s[2]|0x20 == 'a')
	case s[0] == '%':
		return (s[1] == '5' || s[1] == '7') && s[2] == '8' && (s[3] == '-' || s[3] == '%')
	}
	return false
}

// unescaped returns the byte that the head of s stands for, and its length there.
func unescaped(s string) (c byte, n int) {
	switch {
	case s == "":
		return 0, 0
	case s[0] == '%':
		if c, ok := unescape(s); ok {
			return c, 3
		}
	}
	return s[0], 1
}

// namesAuth reports whether the name at the head of s is a parameter's that says of itself that the URL is presigned. The
// payload hash alone does not, which stands last.
func namesAuth(s string) bool {
	var name [len("X-Amz-Security-Token") + 1]byte // the longest of them, and one byte more
	n := 0
	for n < len(name) && s != "" && s[0] != '=' && s[0] != '&' && s[0] != ';' {
		c, length := unescaped(s)
		name[n], s = c, s[length:]
		n++
	}
	if n < len(shortestName) {
		return false
	}
	for i := range queryPayload {
		if known := authParamNames[i]; len(known) == n && strings.EqualFold(string(name[:n]), known) {
			return true
		}
	}
	return false
}

// read takes the claim from the header or the query, whichever it stands in. It parses neither if there is more of them
// than is read; the room that they leave is for the signed headers.
func (c *claim) read(r *http.Request, q *query, most int) *Error {
	h := readHeaders(r.Header)
	if h.odd != "" {
		return refuse(ErrAmbiguousHeader, h.odd)
	}
	c.amz, c.underscore, c.host, c.connection = h.amz, h.underscore, h.host, h.connection
	var plain bool
	c.path, c.rawQuery, plain = target(r)
	c.room = most - len(r.Method) - len(c.path) - len(c.rawQuery)
	for _, value := range h.authorization {
		c.room -= len(value)
	}
	c.tooLarge = c.room < 0
	var malformed *Error
	if len(h.authorization) == 1 && !c.tooLarge {
		if malformed = c.parseAuthorization(&h.authorization[0]); malformed != nil && !mentions(c.rawQuery, math.MaxInt) {
			return malformed // the usual refusal, a bearer token, costs no more than this
		}
	}
	c.badQuery = true
	if plain && !c.tooLarge {
		c.refused, c.badQuery = q.refuses(c.rawQuery)
		c.tooLarge = q.full
	}
	switch {
	case c.tooLarge && len(h.authorization) > 0: // whatever else there is
		return refuse(ErrHeaderTooLarge, "")
	case c.room < 0:
		c.presigned = mentions(c.rawQuery, closely)
	case c.badQuery:
		c.presigned = mentions(c.rawQuery, math.MaxInt)
	default:
		c.presigned = q.authenticates() // which mentions agrees with, and which is known by now
	}
	switch {
	case c.presigned && len(h.authorization) > 0:
		return refuse(ErrTwoMechanisms, "")
	case c.tooLarge && c.presigned:
		return refuse(ErrHeaderTooLarge, "")
	case c.presigned && !plain:
		return refuse(ErrMalformedTarget, c.path)
	case c.presigned:
		return c.readQuery(&h, q)
	case len(h.authorization) == 0:
		return refuseMissing(c.rawQuery)
	case len(h.authorization) > 1:
		return refuseHeader(ErrMalformedAuthorization, new(strings.Join(h.authorization, ", ")))
	case malformed != nil:
		return malformed
	}
	if e := c.readHeader(&h); e != nil {
		return e
	}
	if !plain {
		return refuse(ErrMalformedTarget, c.path)
	}
	return nil
}

// refuseMissing refuses a request without a signature, or with one in the query of version 2, which AWS answers alike.
// Source: Amazon S3 User Guide, "Signing and authenticating REST requests (AWS signature version 2)"; every service's
// version 2 names the key by AWSAccessKeyId.
func refuseMissing(rawQuery string) *Error {
	const name = "AWSAccessKeyId="
	for at := 0; ; at++ {
		i := strings.Index(rawQuery[at:], name)
		if i < 0 {
			return refuse(ErrMissing, "")
		}
		if at += i; at == 0 || rawQuery[at-1] == '&' {
			return refuse(errMissingVersion2, "")
		}
	}
}

var errMissingVersion2 = fmt.Errorf("%w: %w", ErrMissing, ErrVersion2)

// headers are those that the verifier reads.
type headers struct {
	authorization, amzDate, date, token, payload, host []string

	connection [2][]string // the values of Connection and Proxy-Connection

	amz        int    // how many there are with names that begin with X-Amz-
	underscore bool   // one of them has an underscore in its name
	odd        string // the name of one that is not in canonical form, which net/http never makes but adapters may
}

// readHeaders goes through all headers once, since it must see all names that begin with X-Amz-.
func readHeaders(header http.Header) (h headers) {
	for name, values := range header {
		switch name {
		case "Authorization":
			h.authorization = values
			continue
		case "Date":
			h.date = values
			continue
		case "Host":
			h.host = values
			continue
		case "Connection":
			h.connection[0] = values
			continue
		case "Proxy-Connection":
			h.connection[1] = values
			continue
		case "X-Amz-Date":
			h.amzDate = values
		case "X-Amz-Security-Token":
			h.token = values
		case "X-Amz-Content-Sha256":
			h.payload = values
		default:
			if !isAmzHeader(name) {
				if isAuthorization(name) {
					h.odd = name
				}
				continue
			}
			if http.CanonicalHeaderKey(name) != name {
				h.odd = name
			}
			h.underscore = h.underscore || strings.IndexByte(name, '_') >= 0
		}
		h.amz++
	}
	return h
}

// isAuthorization reports whether a header's name is Authorization in any case of letters.
func isAuthorization(name string) bool {
	return len(name) == len("Authorization") && strings.EqualFold(name, "Authorization")
}

// isAmzHeader reports whether a header's name begins with X-Amz-, underscores taken for dashes.
func isAmzHeader(name string) bool {
	return len(name) >= 6 && name[0]|0x20 == 'x' && (name[1] == '-' || name[1] == '_') && name[2]|0x20 == 'a' &&
		name[3]|0x20 == 'm' && name[4]|0x20 == 'z' && (name[5] == '-' || name[5] == '_')
}

// readHeader reads what goes with an Authorization header.
func (c *claim) readHeader(h *headers) (e *Error) {
	if c.date, e = single("X-Amz-Date", h.amzDate); e != nil {
		return e
	}
	if len(h.amzDate) == 0 && len(h.date) == 1 {
		c.date, c.dateHeader = h.date[0], true
	}
	if missing := c.missing(); missing != 0 {
		e = refuseHeader(ErrMissingParameter, &h.authorization[0])
		e.missing = missing
		return e
	}
	if c.surplus {
		return refuseHeader(ErrMalformedAuthorization, &h.authorization[0])
	}
	if e = c.parseDate(); e != nil {
		return e
	}
	if c.token, e = single("X-Amz-Security-Token", h.token); e != nil {
		return e
	}
	c.hasPayload = len(h.payload) > 0
	c.payload, e = single("X-Amz-Content-Sha256", h.payload)
	return e
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", the parameters in any order. One
// too many is refused only after those missing have been named, which is what AWS does first.
func (c *claim) parseAuthorization(header *string) *Error {
	var rest string
	var seen uint8 // the parameters so far, as bits: an empty one counts
	c.algorithm, rest, _ = cut(*header, ' ')
	for n, more := 0, true; more; n++ {
		var pair string
		pair, rest, more = cut(rest, ',')
		for pair != "" && pair[0] == ' ' {
			pair = pair[1:]
		}
		var field *string
		var value string
		var bit uint8
		switch {
		case strings.HasPrefix(pair, "Credential="):
			field, value, bit = &c.credential, pair[len("Credential="):], noCredential
		case strings.HasPrefix(pair, "SignedHeaders="):
			field, value, bit = &c.signedHeaders, pair[len("SignedHeaders="):], noSignedHeaders
		case strings.HasPrefix(pair, "Signature="):
			field, value, bit = &c.signature, pair[len("Signature="):], noSignature
		case n == maxPairs || strings.IndexByte(pair, '=') < 0:
			return refuseHeader(ErrMalformedAuthorization, header)
		}
		if field == nil || seen&bit != 0 {
			c.surplus = true
			continue
		}
		*field, seen = value, seen|bit
	}
	return nil
}

// cut is strings.Cut for one byte.
func cut(s string, sep byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// readQuery reads the parameters of a presigned URL.
func (c *claim) readQuery(h *headers, q *query) *Error {
	if c.badQuery {
		return refuse(ErrAmbiguousQuery, c.refused)
	}
	c.algorithm = q.get(c.rawQuery, queryAlgorithm)
	c.credential = q.raw(c.rawQuery, queryCredential) // decoded only if it must be: the allocation is a tenth of the cost
	c.signature = q.get(c.rawQuery, querySignature)
	c.signedHeaders = q.get(c.rawQuery, querySignedHeaders)
	c.date = q.get(c.rawQuery, queryDate)
	c.expires, c.hasExpires = q.get(c.rawQuery, queryExpires), q.auth[queryExpires] != 0
	c.token = q.get(c.rawQuery, queryToken)
	if missing := c.missing(); missing != 0 {
		return &Error{Err: ErrMissingParameter, missing: missing | inQuery}
	}
	if e := c.parseDate(); e != nil {
		return e
	}
	if len(h.amzDate) > 0 || len(h.token) > 0 { // which of the two would count, the header or the parameter?
		return refuse(ErrAmbiguousHeader, "X-Amz-Date or X-Amz-Security-Token beside a presigned query")
	}
	return c.readPayload(h, q)
}

// readPayload takes the declared payload hash of a presigned request from the header or the query.
func (c *claim) readPayload(h *headers, q *query) (e *Error) {
	c.hasPayload = len(h.payload) > 0
	if c.payload, e = single("X-Amz-Content-Sha256", h.payload); e != nil || q.auth[queryPayload] == 0 {
		return e
	}
	if c.hasPayload {
		return refuse(ErrAmbiguousHeader, "X-Amz-Content-Sha256")
	}
	c.payload, c.hasPayload = q.get(c.rawQuery, queryPayload), true
	return nil
}

// single returns the value of a header that may be sent once.
func single(name string, values []string) (string, *Error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", refuse(ErrAmbiguousHeader, name)
}

// missing returns the parameters that are missing, as bits.
func (c *claim) missing() (missing uint8) {
	for i, s := range [...]string{c.algorithm, c.credential, c.signature, c.signedHeaders, c.date} {
		if s == "" {
			missing |= noAlgorithm << i
		}
	}
	return missing
}

// parseDate reads the date. A Date header next to X-Amz-Date says nothing, whatever its value: X-Amz-Date overrides it.
// Source: AWS IAM User Guide, "Elements of an AWS API request signature".
func (c *claim) parseDate() *Error {
	var ok bool
	if c.time, ok = parseBasic(c.date); !ok {
		return refuse(ErrMalformedDate, c.date)
	}
	return nil
}

// parseBasic reads a date in the one form that SigV4 allows.
func parseBasic(s string) (t time.Time, ok bool) {
	if len(s) != len(basicFormat) || s[8] != 'T' || s[15] != 'Z' {
		return t, false
	}
	year, month, day := number(s[:4]), number(s[4:6]), number(s[6:8])
	hour, minute, second := number(s[9:11]), number(s[11:13]), number(s[13:15])
	if year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		uint(hour) > 23 || uint(minute) > 59 || uint(second) > 59 {
		return t, false
	}
	seconds := ((int64(days(year, month, day))*24+int64(hour))*60+int64(minute))*60 + int64(second)
	return time.Unix(seconds, 0).UTC(), true
}

// formatBasic is time.Time.Format with [basicFormat], in a fourth of the time.
func formatBasic(t time.Time) string {
	text := [len(basicFormat)]byte([]byte(basicFormat))
	year, month, day := t.UTC().Date()
	hour, minute, second := t.UTC().Clock()
	for i, n := range [...]int{year / 100, year, int(month), day} {
		text[2*i], text[2*i+1] = byte('0'+n/10%10), byte('0'+n%10)
	}
	for i, n := range [...]int{hour, minute, second} {
		text[2*i+9], text[2*i+10] = byte('0'+n/10), byte('0'+n%10)
	}
	return string(text[:])
}

// number reads decimal digits, or returns a number below zero.
func number(s string) int {
	n := 0
	for i := range len(s) {
		c := int(s[i]) - '0'
		if uint(c) > 9 {
			return -1
		}
		n = n*10 + c
	}
	return n
}

// days returns the days from 1970-01-01 to a date of the Gregorian calendar, as time.Date does in three times the time.
// Years count from March, so that the leap day is their last; 400 of them have 146 097 days; 719 468 days lie between
// 0000-03-01 and 1970-01-01.
func days(year, month, day int) int {
	month -= 3
	if month < 0 {
		month, year = month+12, year-1
	}
	return year*365 + year/4 - year/100 + year/400 + (153*month+2)/5 + day - 1 - 719_468
}

// daysIn returns the length of a month of the Gregorian calendar.
func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// splitCredential reads keyid/date/region/service/aws4_request.
func (c *claim) splitCredential() *Error {
	if strings.Count(c.credential, "/") != 4 || c.credential[0] == '/' {
		return refuse(ErrMalformedCredential, c.credential)
	}
	rest := c.credential
	c.keyID, rest, _ = cut(rest, '/')
	c.day, rest, _ = cut(rest, '/')
	c.region, rest, _ = cut(rest, '/')
	c.service, c.end, _ = cut(rest, '/')
	return nil
}

// acceptedScope is the end of a credential that the verifier accepts: "/region/service/aws4_request", also as a presigned
// URL has it.
type acceptedScope struct{ text, escaped, region, service string }

func newAcceptedScope(region, service string) acceptedScope {
	text := "/" + region + "/" + service + "/" + terminator
	return acceptedScope{text, string(appendLiteral(nil, text)), region, service}
}

// matches reads a credential that ends as accepted and is for the day of the date.
func (c *claim) matches(s *acceptedScope) bool { return c.matchesEnd(s, s.text, "/") }

// matchesEscaped is matches before the credential is decoded.
func (c *claim) matchesEscaped(s *acceptedScope) bool { return c.matchesEnd(s, s.escaped, "%2F") }

func (c *claim) matchesEnd(s *acceptedScope, end, slash string) bool {
	rest, ok := strings.CutSuffix(c.credential, end)
	if n := len(rest) - len(day); !ok || n < 0 || rest[n:] != c.date[:len(day)] {
		return false
	}
	keyID, ok := strings.CutSuffix(rest[:len(rest)-len(day)], slash)
	if !ok || keyID == "" || strings.IndexByte(keyID, '/') >= 0 || slash != "/" && strings.ContainsAny(keyID, "%+") {
		return false
	}
	c.keyID, c.day, c.region, c.service, c.scope = keyID, rest[len(rest)-len(day):], s.region, s.service, s.text
	return true
}

// claimedKey returns the access key ID that the credential names, or nothing if there is no credential.
func (c *claim) claimedKey() string {
	if c.keyID != "" {
		return c.keyID
	}
	end := strings.IndexByte(c.credential, '/')
	if escaped := strings.Index(c.credential, "%2F"); c.presigned && escaped >= 0 && (end < 0 || escaped < end) {
		end = escaped
	}
	if end < 0 {
		return ""
	}
	if c.presigned {
		return decode(c.credential[:end])
	}
	return c.credential[:end]
}

// isHeaderName reports whether name is a field name in lower case, RFC 9110 5.6.2, or HTTP/2's :authority.
func isHeaderName(name string) bool {
	return name != "" && fieldBytes.all(name) || name == ":authority"
}

// signs reports whether a list of signed headers has the name.
func signs(list, name string) bool {
	for rest, more := list, true; more; {
		var signed string
		if signed, rest, more = cut(rest, ';'); signed == name {
			return true
		}
	}
	return false
}
