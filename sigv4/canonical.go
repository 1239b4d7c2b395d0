package sigv4

import (
	"encoding/binary"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"

	unsignedPayload = "UNSIGNED-PAYLOAD"
	emptyHash       = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	hashLength      = len(emptyHash)
)

// canonicalRequest builds a signature: the canonical request, behind it the string to sign, and the signature of that.
// The signer and the verifier build it in the same way: query.parse, begin, headers, then the payload hash, then sign.
//
// For example, "GET /caf%C3%A9?b=2&a=1" with a date has this canonical request. Its path is escaped once more, its
// query is sorted, and its last line is the hash of the body, which is empty:
//
//	GET
//	/caf%25C3%25A9
//	a=1&b=2
//	host:api.example.com
//	x-amz-date:20261124T060000Z
//
//	host;x-amz-date
//	e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
//
// The string to sign has the hash of that text as its last line. The signature is the HMAC of the string to sign, with
// a key that [DeriveKey] derives:
//
//	AWS4-HMAC-SHA256
//	20261124T060000Z
//	20261124/eu-west-1/execute-api/aws4_request
//	688ada08f548b1ef23056b305f4e5e304a57696518d735ef5bae70f1fdd09713
//
// It comes from the pool canonicalRequests and goes back by release. One goroutine uses it at a time. What outlives it
// must be copied out of it.
//
// Source: AWS, "Create a signed AWS API request", steps 1 to 4.
type canonicalRequest struct {
	text      []byte // the canonical request, then the string to sign
	canonic   int    // where the canonical request ends and the string to sign begins
	query     query
	room      int             // bytes of headers that may still be written
	fields    int             // values of headers that may still be written
	names     []span          // of headers: in out while the signer lists them, in the list once headers has written it
	out       []byte          // memory for what the signer makes: the list, the header or the URL
	first     [1<<10 + 1]byte // memory for a body of up to 1 KiB, and one byte to see that it ends
	list      string          // the last list of the signer, which most requests have in common
	digest    *digest
	signature [hashLength]byte
}

var canonicalRequests = sync.Pool{New: func() any {
	return &canonicalRequest{text: make([]byte, 0, 2048), room: math.MaxInt, fields: math.MaxInt, digest: newDigest()}
}}

type span struct{ start, end int }

// maxKept bounds the memory that goes back to the pool, so that one long request does not hold its memory forever.
const maxKept = 64 << 10

// release puts cr back into the pool, without limits: the signer has none, and the verifier sets its own each time. cr
// must not be used afterwards.
func (cr *canonicalRequest) release() {
	cr.room, cr.fields, cr.query.most = math.MaxInt, math.MaxInt, 0
	if cap(cr.text) <= maxKept && cap(cr.query.text) <= maxKept && cap(cr.query.params) <= maxKept/16 {
		canonicalRequests.Put(cr)
	}
}

// begin writes the method, the path and the query, which has been parsed.
func (cr *canonicalRequest) begin(method, path string, s3 bool) {
	if method == "" {
		method = http.MethodGet // as in http.Request
	}
	cr.text = append(append(cr.text[:0], method...), '\n')
	cr.text = append(appendPath(cr.text, path, s3), '\n')
	cr.text = append(cr.query.appendCanonical(cr.text), '\n')
}

// headers writes the headers of a list such as "host;x-amz-date", and then the list. It returns how many names begin
// with x-amz-. It refuses a list that is not sorted, in lower case and without repetition, so that each set of headers
// has one list. Each name must be greater than the one before it, so that the list is sorted and repeats nothing;
// isHeaderName refuses upper case. Afterwards [canonicalRequest.signs] can find a name in the list.
func (cr *canonicalRequest) headers(r *http.Request, host, list string) (amz int, e *Error) {
	cr.names = cr.names[:0]
	last := ""
	for at, more := 0, true; more; at += len(last) + 1 {
		var name string
		name, _, more = cut(list[at:], ';')
		if name <= last || !isHeaderName(name) {
			return 0, refuse(errSignedHeaders, list)
		}
		if last = name; strings.HasPrefix(name, "x-amz-") {
			amz++
		}
		cr.names = append(cr.names, span{at, at + len(name)})
		cr.text = append(append(cr.text, name...), ':')
		if cause := cr.header(r, host, name); cause != nil {
			return 0, refuse(cause, name)
		}
		cr.text = append(cr.text, '\n')
	}
	cr.text = append(append(append(cr.text, '\n'), list...), '\n')
	return amz, nil
}

// isHeaderName reports whether name is a field name in lower case, RFC 9110 5.6.2, or HTTP/2's :authority.
func isHeaderName(name string) bool {
	return name != "" && fieldBytes.all(name) || name == ":authority"
}

// header writes the value of a header, given its name in lower case. net/http keeps Host and Transfer-Encoding in
// fields of the request. A client keeps Content-Length in a field too.
func (cr *canonicalRequest) header(r *http.Request, host, name string) error {
	switch name {
	case "host", ":authority": // RFC 9113 8.3.1: in HTTP/2 the one takes the place of the other
		if !cr.fits(host) {
			return errHeaderTooLarge
		}
		return cr.value(host)
	case "transfer-encoding":
		return cr.values(r.TransferEncoding)
	}
	values, ok := get(r.Header, name)
	if !ok && name == "content-length" && r.ContentLength >= 0 {
		cr.text = strconv.AppendInt(cr.text, r.ContentLength, 10)
		return nil
	}
	return cr.values(values)
}

// get returns the values of a header, given its name in lower case. It does not allocate for names of up to 64 bytes:
// the key is made on the stack, and a map can be asked for a string that is converted from bytes without a copy.
func get(h http.Header, name string) (values []string, ok bool) {
	switch name { // the headers that most requests sign
	case "x-amz-date":
		values, ok = h["X-Amz-Date"]
	case "x-amz-content-sha256":
		values, ok = h["X-Amz-Content-Sha256"]
	case "x-amz-security-token":
		values, ok = h["X-Amz-Security-Token"]
	case "content-type":
		values, ok = h["Content-Type"]
	default:
		var key [64]byte
		values, ok = h[string(canonicalKey(key[:0], name))]
	}
	return values, ok
}

// values writes the values of one header, joined by commas.
func (cr *canonicalRequest) values(values []string) error {
	if len(values) == 0 {
		return errAbsentHeader
	}
	for i, v := range values {
		if i > 0 {
			cr.text = append(cr.text, ',')
		}
		if !cr.fits(v) {
			return errHeaderTooLarge
		}
		if err := cr.value(v); err != nil {
			return err
		}
	}
	return nil
}

// fits counts a value and reports whether it is within the limits. It comes before the value is looked at: in HTTP/2
// two bytes repeat a header of 4 KiB.
func (cr *canonicalRequest) fits(value string) bool {
	cr.room -= len(value) + 1
	cr.fields--
	return cr.room >= 0 && cr.fields >= 0
}

// signs reports whether the list has the name. It must be the list that headers wrote last, of which cr.names has the
// places of the names. They are sorted, so that a request with many headers costs a binary search for each.
func (cr *canonicalRequest) signs(list, name string) bool {
	_, ok := slices.BinarySearchFunc(cr.names, name, func(s span, name string) int {
		return strings.Compare(list[s.start:s.end], name)
	})
	return ok
}

// value writes a header's value in canonical form: without whitespace at its ends, and with each run of whitespace
// inside as one space, also within quotes. For example, ` a  "b   c" ` becomes `a "b c"`. It refuses a line break,
// because one value could then look like several lines of the canonical request. net/http lets none through, but an
// adapter may.
//
// It copies the value first and looks for spaces in the copy: nearly always there are none, and the copy is needed.
func (cr *canonicalRequest) value(v string) error {
	start := len(cr.text)
	cr.text = append(cr.text, v...)
	if !hasSpace(cr.text[start:]) {
		return nil
	}
	cr.text = cr.text[:start]
	gap := false
	for i := range len(v) {
		switch c := v[i]; c {
		case ' ', '\t':
			gap = true
		case '\n', '\r':
			return errAmbiguousHeader
		default:
			if gap && len(cr.text) > start {
				cr.text = append(cr.text, ' ')
			}
			cr.text, gap = append(cr.text, c), false
		}
	}
	return nil
}

// hasSpace reports whether one of the bytes is a space or below it. It looks at eight bytes at a time, because session
// tokens are long.
func hasSpace(b []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		// Subtracting 0x21 from a byte below it borrows, which sets its top bit: 0x20 becomes 0xff, but "a" (0x61)
		// becomes 0x40. Bytes that had the top bit set before do not count. A borrow goes on to the next byte, which
		// may then be marked by mistake, but only if a lower byte was marked rightly.
		if x := binary.LittleEndian.Uint64(b); (x-ones*0x21)&^x&tops != 0 {
			return true
		}
	}
	for _, c := range b {
		if c <= ' ' {
			return true
		}
	}
	return false
}

// end writes the string to sign behind the canonical request, which is complete: its last line is the payload hash. The
// credential scope is written as the day of the date followed by scope, "/region/service/aws4_request".
func (cr *canonicalRequest) end(date, scope string) {
	cr.canonic = len(cr.text)
	cr.text = cr.digest.hash(cr.text)
	cr.text = append(append(cr.text, algorithm+"\n"...), date...)
	cr.text = append(cr.text, '\n')
	cr.text = append(append(append(cr.text, date[:len(day)]...), scope...), '\n')
	cr.text = append(cr.text, emptyHash...) // reserves the place of the hash
	putHex((*[hashLength]byte)(cr.text[len(cr.text)-hashLength:]), &cr.digest.sum)
}

// sign writes the string to sign and sets the signature, in hexadecimal digits. It copies the key from the cache first,
// so that the hash of the canonical request overlaps with the wait for the key's memory. With ten thousand keys in turn
// the key is mostly in main memory.
func (cr *canonicalRequest) sign(keys *keyCache, key *Key, date, scope string) {
	mac := *keys.get(key, date[:len(day)], scope)
	cr.end(date, scope)
	cr.text = cr.digest.mac(&mac, cr.text, cr.canonic)
	putHex(&cr.signature, &cr.digest.sum)
}

// trace returns a copy of what was signed. It is made only for a refusal and for [SignerConfig].Trace.
func (cr *canonicalRequest) trace() *Trace {
	text := string(cr.text)
	return &Trace{CanonicalRequest: text[:cr.canonic], StringToSign: text[cr.canonic:]}
}

// canonicalKey appends the key that a lower-case name has in http.Header: "x-amz-date" becomes "X-Amz-Date".
func canonicalKey(dst []byte, name string) []byte {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper = c == '-'
		dst = append(dst, c)
	}
	return dst
}
