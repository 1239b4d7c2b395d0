package sigv4

import (
	"net/http"
	"strings"
	"time"
)

// The lengths that are read. API Gateway takes 10 240 bytes of request line and headers together.
const (
	maxTarget        = 32 << 10
	maxAuthorization = 16 << 10
	maxSignedHeaders = 256
)

// claim is what a request says of its signature.
type claim struct {
	presigned     bool
	algorithm     string
	credential    string
	signedHeaders string
	signature     string
	date          string
	dateHeader    string // the lower-case name of the header that gave the date; empty if presigned
	expires       string
	token         string
	payload       string // the declared payload hash; empty if none is
	hasPayload    bool

	path     string // as sent
	rawQuery string
	badQuery bool // the query could not be read; refused is the parameter
	refused  string

	time                             time.Time
	keyID, day, region, service, end string // the five elements of the credential
	scope                            string // "/region/service/aws4_request"
	list                             headerList
}

// target returns the path and the query as they were sent. Adapters that make requests of events leave RequestURI empty.
func target(r *http.Request) (path, rawQuery string, ok bool) {
	uri := r.RequestURI
	if uri == "" {
		if r.URL == nil || r.URL.Opaque != "" {
			return "", "", false
		}
		path, rawQuery = r.URL.EscapedPath(), r.URL.RawQuery
		if path == "" {
			path = "/"
		}
	} else {
		path, rawQuery, _ = strings.Cut(uri, "?")
	}
	ok = len(path)+len(rawQuery) <= maxTarget && strings.HasPrefix(path, "/") && strings.IndexByte(path, '#') < 0
	return path, rawQuery, ok
}

// mentions reports whether a query that could not be read may hold a signature.
func mentions(rawQuery string) bool {
	for i := range len(rawQuery) - 5 {
		if rawQuery[i]|0x20 == 'x' && isAmz([]byte(rawQuery[i:i+6])) {
			return true
		}
	}
	return false
}

// read takes the claim from the header or the query, whichever it stands in.
func (c *claim) read(r *http.Request, q *query) *Error {
	var plain bool
	if c.path, c.rawQuery, plain = target(r); !plain {
		q.parse("")
	} else if refused, ok := q.parse(c.rawQuery); !ok {
		c.badQuery, c.refused = true, refused
	}
	header := r.Header["Authorization"]
	c.presigned = q.authenticates() || c.badQuery && len(header) == 0 && mentions(c.rawQuery)
	switch {
	case c.presigned && len(header) > 0:
		return refuse(ErrTwoMechanisms, "")
	case c.presigned:
		return c.readQuery(r, q)
	case len(header) == 0:
		return refuse(ErrNoCredential, "")
	case len(header) > 1:
		return refuse(ErrMalformedAuthorization, strings.Join(header, ", "))
	}
	if e := c.readHeader(r, header[0]); e != nil {
		return e
	}
	if !plain {
		return refuse(ErrMalformedTarget, r.RequestURI)
	}
	return nil
}

// readHeader reads an Authorization header.
func (c *claim) readHeader(r *http.Request, header string) *Error {
	if e := c.parseAuthorization(header); e != nil {
		return e
	}
	var e *Error
	if c.date, _, e = single(r.Header, "X-Amz-Date"); e != nil {
		return e
	}
	if c.dateHeader = "x-amz-date"; c.date == "" {
		c.date, c.dateHeader = r.Header.Get("Date"), "date"
	}
	if missing := c.missing(); missing != 0 {
		return &Error{Err: ErrMissingParameter, Detail: header, missing: missing}
	}
	if e = c.parseDate(r.Header["Date"]); e != nil {
		return e
	}
	if c.token, _, e = single(r.Header, "X-Amz-Security-Token"); e != nil {
		return e
	}
	c.payload, c.hasPayload, e = single(r.Header, "X-Amz-Content-Sha256")
	return e
}

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…", the parameters in any order.
func (c *claim) parseAuthorization(header string) *Error {
	scheme, rest, _ := strings.Cut(header, " ")
	if len(header) > maxAuthorization {
		return refuse(ErrMalformedAuthorization, header)
	}
	c.algorithm = scheme
	for more := true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.Trim(pair, " "), "=")
		if !ok {
			return refuse(ErrMalformedAuthorization, header)
		}
		var field *string
		switch name {
		case "Credential":
			field = &c.credential
		case "SignedHeaders":
			field = &c.signedHeaders
		case "Signature":
			field = &c.signature
		}
		if field == nil || *field != "" || strings.IndexByte(value, ' ') >= 0 {
			return &Error{
				Err: ErrMalformedAuthorization, Detail: header,
				message: "Authorization header has an unknown or repeated parameter, or a space in one.",
			}
		}
		*field = value
	}
	return nil
}

// readQuery reads the parameters of a presigned URL.
func (c *claim) readQuery(r *http.Request, q *query) *Error {
	if c.badQuery {
		return refuse(ErrAmbiguousQuery, c.refused)
	}
	c.algorithm = q.get(c.rawQuery, queryAlgorithm)
	c.credential = q.get(c.rawQuery, queryCredential)
	c.signature = q.get(c.rawQuery, querySignature)
	c.signedHeaders = q.get(c.rawQuery, querySignedHeaders)
	c.date = q.get(c.rawQuery, queryDate)
	c.expires = q.get(c.rawQuery, queryExpires)
	c.token = q.get(c.rawQuery, queryToken)
	if missing := c.missing(); missing != 0 {
		return &Error{Err: ErrMissingParameter, missing: missing | inQuery}
	}
	if e := c.parseDate(nil); e != nil {
		return e
	}
	for _, name := range [...]string{"X-Amz-Date", "X-Amz-Security-Token"} {
		if len(r.Header[name]) > 0 { // which of the two would count?
			return refuse(ErrAmbiguousHeader, name)
		}
	}
	return c.readPayload(r, q)
}

// readPayload takes the declared payload hash of a presigned request from the header or the query.
func (c *claim) readPayload(r *http.Request, q *query) (e *Error) {
	if c.payload, c.hasPayload, e = single(r.Header, "X-Amz-Content-Sha256"); e != nil || q.auth[queryPayload] == 0 {
		return e
	}
	if c.hasPayload {
		return refuse(ErrAmbiguousHeader, "X-Amz-Content-Sha256")
	}
	c.payload, c.hasPayload = q.get(c.rawQuery, queryPayload), true
	return nil
}

// single returns the value of a header that may be sent once.
func single(h http.Header, name string) (value string, ok bool, e *Error) {
	switch values := h[name]; len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	return "", false, refuse(ErrAmbiguousHeader, name)
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

// parseDate reads the date. A Date header beside X-Amz-Date must name the same second or the next to it.
func (c *claim) parseDate(beside []string) *Error {
	var ok bool
	if c.time, ok = parseBasic(c.date); !ok {
		return refuse(ErrMalformedDate, c.date)
	}
	for _, date := range beside {
		other, ok := parseBasic(date)
		if !ok {
			other, _ = http.ParseTime(date) // the zero Time of a malformed date is not near
		}
		if other.Sub(c.time).Abs() > time.Second {
			return refuse(ErrAmbiguousHeader, "Date")
		}
	}
	return nil
}

// parseBasic reads a date in the one form that SigV4 allows.
func parseBasic(s string) (t time.Time, ok bool) {
	if len(s) != len(basicFormat) || s[8] != 'T' || s[15] != 'Z' {
		return t, false
	}
	var n [14]int // the digits
	for i, at := 0, 0; at < len(s)-1; at++ {
		if at == 8 {
			continue
		}
		if n[i] = int(s[at]) - '0'; n[i] < 0 || n[i] > 9 {
			return t, false
		}
		i++
	}
	year, month, day := n[0]*1000+n[1]*100+n[2]*10+n[3], n[4]*10+n[5], n[6]*10+n[7]
	hour, minute, second := n[8]*10+n[9], n[10]*10+n[11], n[12]*10+n[13]
	t = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// time.Date takes 30 February for 2 March.
	return t, t.Day() == day && int(t.Month()) == month && t.Hour() == hour && minute < 60 && second < 60
}

// splitCredential reads keyid/date/region/service/aws4_request.
func (c *claim) splitCredential() *Error {
	rest, more := c.credential, true
	for _, field := range [...]*string{&c.keyID, &c.day, &c.region, &c.service, &c.end} {
		if !more {
			return refuse(ErrMalformedCredential, c.credential)
		}
		*field, rest, more = strings.Cut(rest, "/")
	}
	if more {
		return refuse(ErrMalformedCredential, c.credential)
	}
	c.scope = c.credential[min(len(c.keyID)+len("/")+len(c.day), len(c.credential)):]
	return nil
}

// headerList is what stands out in a list of signed headers.
type headerList struct {
	plain bool // sorted, lower-case, without repetition, and not too long
	host  bool
	amz   int // names that begin with x-amz-
}

// listHeaders reads a list like "host;x-amz-date".
func listHeaders(list string) headerList {
	l := headerList{plain: true}
	last := ""
	for rest, more, n := list, true, 0; more; n++ {
		var name string
		name, rest, more = strings.Cut(rest, ";")
		l.plain = l.plain && name > last && n < maxSignedHeaders && isHeaderName(name)
		l.host = l.host || name == "host" || name == ":authority"
		if strings.HasPrefix(name, "x-amz-") {
			l.amz++
		}
		last = name
	}
	return l
}

// isHeaderName reports whether name is a field name in lower case, RFC 9110 5.6.2, or HTTP/2's :authority.
func isHeaderName(name string) bool {
	for i := range len(name) {
		if !headerByte[name[i]] {
			return name == ":authority"
		}
	}
	return name != ""
}

// signs reports whether a list of signed headers has the name.
func signs(list, name string) bool {
	for rest, more := list, true; more; {
		var signed string
		if signed, rest, more = strings.Cut(rest, ";"); signed == name {
			return true
		}
	}
	return false
}
