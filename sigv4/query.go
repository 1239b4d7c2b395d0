package sigv4

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"
)

// The query parameters of a presigned URL, and the index of each in [query.auth].
const (
	queryAlgorithm = iota
	queryCredential
	querySignature
	querySignedHeaders
	queryDate
	queryExpires
	queryToken
	queryPayload
	authParams
)

var authParamNames = [authParams]string{
	"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires",
	"X-Amz-Security-Token", "X-Amz-Content-Sha256",
}

// maxAmzParams bounds the parameters named X-Amz-…: the hash of each is compared with those before it.
const maxAmzParams = 64

// query holds the parameters of a request in canonical form.
type query struct {
	text   []byte // name=value of each parameter, one after the other in the order of the wire
	params []param
	most   int              // params accepted; 0 means no limit
	full   bool             // there were more
	keys   []sortKey        // memory of sort
	sorted []param          // memory of sort
	amz    []amzParam       // those of other names that begin with X-Amz-
	auth   [authParams]int  // for each parameter of a presigned URL one more than its index, or 0
	values [authParams]span // where its value stands on the wire
}

// param is text[start:end], its equals sign at eq.
type param struct{ start, eq, end int }

// sortKey is one of [query.params], and the first 8 bytes of its name.
type sortKey struct {
	head  uint64
	index int
}

// amzParam is one of [query.params], and the hash of its name in lower case.
type amzParam struct {
	hash  uint64
	index int
}

// amzSeed keeps clients from making names whose hashes are equal.
var amzSeed = maphash.MakeSeed()

func (q *query) name(p param) []byte { return q.text[p.start:p.eq] }
func (q *query) val(p param) []byte  { return q.text[p.eq+1 : p.end] }

// parse reads a query as it was sent. Parameters are separated by "&" only, and an empty one counts, as in botocore: no
// byte of the query may stand outside the signature. It returns the name of the parameter that it refuses.
func (q *query) parse(raw string) (refused string, ok bool) {
	q.text, q.params, q.amz, q.full = q.text[:0], q.params[:0], q.amz[:0], false
	q.auth = [authParams]int{}
	if raw == "" {
		return "", true
	}
	for at := 0; at <= len(raw); {
		n, ok := q.add(raw[at:], at)
		if !ok {
			refused, _, _ = cut(raw[at:], '&')
			refused, _, _ = cut(refused, '=') // a session token may stand in the value
			return refused, false
		}
		at += n + 1
	}
	return "", true
}

// refuses is parse for those who ask what is wrong.
func (q *query) refuses(raw string) (refused string, bad bool) {
	refused, ok := q.parse(raw)
	return refused, !ok
}

// add appends the parameter at the head of raw, which stands at the given place of the query, and returns its length.
func (q *query) add(raw string, at int) (n int, ok bool) {
	if q.most > 0 && len(q.params) == q.most {
		q.full = true
		return 0, false
	}
	p := param{start: len(q.text)}
	equals := componentBytes.span(raw)
	if equals < len(raw) && raw[equals] == '=' {
		n = equals + 1 + componentBytes.span(raw[equals+1:])
	}
	switch {
	case equals == len(raw) || raw[equals] == '&': // a name alone, or nothing
		n = equals
		q.text, p.eq = append(append(q.text, raw[:n]...), '='), p.start+equals
	case equals > 0 && n > 0 && (n == len(raw) || raw[n] == '&'): // the usual case: name=value without escapes
		q.text, p.eq = append(q.text, raw[:n]...), p.start+equals
	default:
		pair, _, _ := cut(raw, '&')
		name, value, _ := cut(pair, '=')
		n, equals = len(pair), len(name)
		if equals == 0 && n > 0 { // "=" would have the canonical form of an empty parameter, which readers skip
			return 0, false
		}
		if q.text, ok = appendComponent(q.text, name); !ok {
			return 0, false
		}
		p.eq = len(q.text)
		if q.text, ok = appendComponent(append(q.text, '='), value); !ok {
			return 0, false
		}
	}
	p.end = len(q.text)
	q.params = append(q.params, p)
	return n, !isAmz(q.name(p)) || q.addAmz(p, span{at + min(equals+1, n), at + n})
}

// addAmz refuses a parameter named X-Amz-… that was there before in any case of letters, since readers differ in which one
// they take, and a parameter of a presigned URL in another case of letters. (CVE-2022-2385 was such a confusion.)
func (q *query) addAmz(p param, v span) bool {
	name := q.name(p)
	if i := authParam(name); i < authParams {
		seen := q.auth[i] != 0
		q.auth[i], q.values[i] = len(q.params), v
		return !seen
	}
	for _, known := range authParamNames {
		if len(name) == len(known) && strings.EqualFold(string(name), known) {
			return false
		}
	}
	this := amzParam{hashFold(name), len(q.params) - 1}
	for _, other := range q.amz {
		if other.hash == this.hash && bytes.EqualFold(name, q.name(q.params[other.index])) {
			return false
		}
	}
	q.amz = append(q.amz, this)
	q.full = len(q.amz) > maxAmzParams
	return !q.full
}

// hashFold hashes a name in lower case.
func hashFold(name []byte) uint64 {
	var short [64]byte
	folded := append(short[:0], name...)
	lower(folded)
	return maphash.Bytes(amzSeed, folded)
}

// authParam returns the index of a presigned URL's parameter, or authParams.
func authParam(name []byte) int {
	for i := range authParamNames {
		if string(name) == authParamNames[i] {
			return i
		}
	}
	return authParams
}

// isAmz reports whether a name begins with "x-amz-" in any case of letters.
func isAmz(name []byte) bool {
	return len(name) >= 6 && name[0]|0x20 == 'x' && name[1] == '-' && name[2]|0x20 == 'a' && name[3]|0x20 == 'm' &&
		name[4]|0x20 == 'z' && name[5] == '-'
}

// authenticates reports whether any parameter of a presigned URL is there.
func (q *query) authenticates() bool {
	for i := range queryPayload {
		if q.auth[i] != 0 {
			return true
		}
	}
	return false
}

// set adds a parameter. Its value is the parts one after the other, not escaped.
func (q *query) set(name string, parts ...string) {
	p := param{start: len(q.text), eq: len(q.text) + len(name)}
	q.text = append(append(q.text, name...), '=')
	for _, part := range parts {
		q.text = appendLiteral(q.text, part)
	}
	p.end = len(q.text)
	q.params = append(q.params, p)
}

// raw returns the value of a presigned URL's parameter as it was sent.
func (q *query) raw(raw string, i int) string {
	if q.auth[i] == 0 {
		return ""
	}
	return raw[q.values[i].start:q.values[i].end]
}

// get returns what the value of a presigned URL's parameter stands for.
func (q *query) get(raw string, i int) string { return decode(q.raw(raw, i)) }

// drop takes a presigned URL's parameter out of the canonical form.
func (q *query) drop(i int) {
	at := q.auth[i] - 1
	if at < 0 {
		return
	}
	q.params = slices.Delete(q.params, at, at+1)
	for j := range q.auth {
		if q.auth[j] > at+1 {
			q.auth[j]--
		}
	}
}

// appendCanonical sorts the parameters by name and then by value, both as encoded, and appends them.
func (q *query) appendCanonical(dst []byte) []byte {
	if !slices.IsSortedFunc(q.params, q.compare) {
		q.sort()
	}
	for i, p := range q.params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, q.text[p.start:p.end]...)
	}
	return dst
}

// sort compares the heads of the names first, which spares most comparisons the look at the text. A name that is shorter
// than its head is filled up with zeros, which no name has.
func (q *query) sort() {
	q.keys = q.keys[:0]
	for i, p := range q.params {
		var head [8]byte
		copy(head[:], q.text[p.start:min(p.eq, p.start+len(head))])
		q.keys = append(q.keys, sortKey{binary.BigEndian.Uint64(head[:]), i})
	}
	slices.SortFunc(q.keys, func(a, b sortKey) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return q.compare(q.params[a.index], q.params[b.index])
	})
	q.sorted = q.sorted[:0]
	for _, k := range q.keys {
		q.sorted = append(q.sorted, q.params[k.index])
	}
	q.params, q.sorted = q.sorted, q.params
}

func (q *query) compare(a, b param) int {
	if c := bytes.Compare(q.name(a), q.name(b)); c != 0 {
		return c
	}
	return bytes.Compare(q.val(a), q.val(b))
}
