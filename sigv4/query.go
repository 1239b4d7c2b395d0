package sigv4

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"strings"
)

// The query parameters of a presigned URL, as indexes of [query.auth] and [authParamNames].
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

// maxAmzParams bounds the parameters named X-Amz-…, because each is compared with all before it: 64 make 2016
// comparisons of two hashes.
const maxAmzParams = 64

// query holds the parameters of a request in canonical form. The text of all of them is in one slice, and a parameter
// is three indexes into it. So sorting moves indexes and no text, and a query that is used again allocates nothing.
//
// The parameters of a presigned URL are also recorded in auth and values, as they are found. So nothing has to search
// for them.
type query struct {
	text   []byte // of each parameter its name, endOfName and its value, in the order in which they were sent
	params []param
	most   int              // the most parameters accepted; 0 means no limit
	room   int              // the most bytes of text accepted, if most is a limit
	full   bool             // a limit was exceeded
	keys   []sortKey        // memory for sort
	sorted []param          // memory for sort
	amz    []amzParam       // the parameters named X-Amz-… that are not of a presigned URL
	auth   [authParams]int  // for each parameter of a presigned URL its index in params plus one, or 0
	values [authParams]span // and where its value is in the query as it was sent
}

// endOfName separates a name from its value in [query.text], until append writes "=" there. It is below all bytes of
// names and values, so that the order of the texts is that of the names, and among equal names that of the values: "a"
// comes before "a-b", though "=" would come after "-".
const endOfName = 0

// param is a parameter: text[start:eq] is its name, and text[eq+1:end] its value.
type param struct{ start, eq, end int }

// sortKey is an index in [query.params], and 8 bytes of that parameter's text.
type sortKey struct {
	head  uint64
	index int
}

// amzParam is an index in [query.params], and the hash of that parameter's name in lower case.
type amzParam struct {
	hash  uint64
	index int
}

// amzSeed is random, so that a client cannot choose names with equal hashes.
var amzSeed = maphash.MakeSeed()

// name, val and pair return the parts of a parameter; a pair is its name, endOfName and its value.
func (q *query) name(p param) []byte { return q.text[p.start:p.eq] }
func (q *query) val(p param) []byte  { return q.text[p.eq+1 : p.end] }
func (q *query) pair(p param) []byte { return q.text[p.start:p.end] }

// key returns the pair that a sort key belongs to.
func (q *query) key(k sortKey) []byte { return q.pair(q.params[k.index]) }

// parse reads a query as it was sent. Only "&" separates parameters, and an empty parameter counts, as in botocore:
// every byte of the query is signed. If it reports false, it returns the name of the parameter that it refuses.
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
			refused, _, _ = cut(refused, '=') // the value may be a session token
			return refused, false
		}
		at += n + 1
	}
	return "", true
}

// add appends the parameter that raw begins with, and returns its length. at is where it begins in the query. It
// reports false for a parameter that is not valid, and for one beyond a limit, which also sets full.
func (q *query) add(raw string, at int) (n int, ok bool) {
	if q.most > 0 && len(q.params) == q.most {
		q.full = true
		return 0, false
	}
	p := param{start: len(q.text)}
	var name, value int
	if q.text, name, ok = appendComponent(q.text, raw, '='); !ok {
		return 0, false
	}
	p.eq, n = len(q.text), name
	q.text = append(q.text, endOfName)
	if name < len(raw) && raw[name] == '=' {
		if name == 0 { // the canonical form of "=" is that of an empty parameter, which readers skip
			return 0, false
		}
		if q.text, value, ok = appendComponent(q.text, raw[name+1:], '&'); !ok {
			return 0, false
		}
		n += 1 + value
	}
	if p.end = len(q.text); q.most > 0 && p.end > q.room {
		q.full = true
		return 0, false
	}
	q.params = append(q.params, p)
	return n, !isAmz(q.name(p)) || q.addAmz(p, span{at + n - value, at + n})
}

// addAmz records a parameter named X-Amz-…, which must be the last in params. v is where its value was sent. It refuses
// one that was sent before in any case of letters, because readers differ in which of the two they take
// (CVE-2022-2385), and a parameter of a presigned URL in another case of letters.
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

// hashFold returns the hash of a name in lower case.
func hashFold(name []byte) uint64 {
	var short [64]byte
	folded := append(short[:0], name...)
	lower(folded)
	return maphash.Bytes(amzSeed, folded)
}

// authParam returns the index of a presigned URL's parameter in [authParamNames], or authParams if the name is another.
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

// authenticates reports whether the query has a parameter that only a presigned URL has, as [mentions] does.
func (q *query) authenticates() bool {
	for i := range queryPayload {
		if q.auth[i] != 0 {
			return true
		}
	}
	return false
}

// set adds a parameter. Its value is the parts joined, which are not escaped yet. Only the signer sets any, after it
// has parsed the caller's query; it does not look into auth for them.
func (q *query) set(name string, parts ...string) {
	p := param{start: len(q.text), eq: len(q.text) + len(name)}
	q.text = append(append(q.text, name...), endOfName)
	for _, part := range parts {
		q.text = appendLiteral(q.text, part)
	}
	p.end = len(q.text)
	q.params = append(q.params, p)
}

// raw returns the value of a presigned URL's parameter as it was sent, or "".
func (q *query) raw(raw string, i int) string {
	if q.auth[i] == 0 {
		return ""
	}
	return raw[q.values[i].start:q.values[i].end]
}

// get returns the value of a presigned URL's parameter without its escapes, or "".
func (q *query) get(raw string, i int) string { return decode(q.raw(raw, i)) }

// drop removes a presigned URL's parameter from the canonical form: a signature cannot cover itself. The indexes behind
// it move down by one.
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

// appendCanonical sorts the parameters by name, and equal names by value, both in canonical form. Then it appends them.
func (q *query) appendCanonical(dst []byte) []byte {
	if !slices.IsSortedFunc(q.params, q.compare) {
		q.sort()
	}
	return q.append(dst)
}

// append appends the parameters in their present order, with "=" in place of endOfName.
func (q *query) append(dst []byte) []byte {
	for i, p := range q.params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, q.pair(p)...)
		dst[len(dst)-(p.end-p.eq)] = '='
	}
	return dst
}

// compare orders two parameters by name, and then by value.
func (q *query) compare(a, b param) int { return bytes.Compare(q.pair(a), q.pair(b)) }

// few is the number of parameters below which a plain sort is fastest. Above it, sort keys save most looks at the text.
const few = 12

// sort sorts the parameters.
func (q *query) sort() {
	if len(q.params) < few {
		slices.SortFunc(q.params, q.compare)
		return
	}
	q.keys, q.sorted = q.keys[:0], q.sorted[:0]
	for i := range q.params {
		q.keys = append(q.keys, sortKey{index: i})
	}
	q.text = append(q.text, make([]byte, 8)...) // so that 8 bytes can be read anywhere
	q.sortKeys(q.keys, 0)
	q.text = q.text[:len(q.text)-8]
	for _, k := range q.keys {
		q.sorted = append(q.sorted, q.params[k.index])
	}
	q.params, q.sorted = q.sorted, q.params
}

// sortKeys sorts parameters whose texts have the same first n bytes. It skips all bytes that they have in common, sorts
// by the 8 bytes after them, and then sorts each group that has the same 8 bytes in the same way. So a client that
// sends many parameters with one long prefix does not make each comparison read the prefix.
//
// For example, of "k00000000a", "k00000000b" and "k1", which have "k" in common, the heads are "00000000" twice and
// "1": the first two are a group, in which "00000000" is skipped in turn.
//
// It ends: a group has fewer keys than the call that made it. If all keys have the same head after what they have in
// common, their texts are equal, and it returns.
func (q *query) sortKeys(keys []sortKey, n int) {
	n = q.common(keys, n)
	for i := range keys {
		p := q.params[keys[i].index]
		head := binary.BigEndian.Uint64(q.text[p.start+n:])
		// Bytes beyond the end belong to another text. Zeros, which no value has, take their place.
		if beyond := n + 8 - (p.end - p.start); beyond > 0 {
			head = head >> (8 * beyond) << (8 * beyond)
		}
		keys[i].head = head
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		_, less := bits.Sub64(a.head, b.head, 0) // no branch, because the processor could not predict it
		return -int(less)
	})
	for from, to := 0, 0; from < len(keys); from = to {
		for to = from + 1; to < len(keys) && keys[to].head == keys[from].head; {
			to++
		}
		switch alike := keys[from:to]; {
		case len(alike) == len(keys):
			return
		case len(alike) < few:
			slices.SortFunc(alike, func(a, b sortKey) int { return bytes.Compare(q.key(a)[n:], q.key(b)[n:]) })
		default:
			q.sortKeys(alike, n)
		}
	}
}

// common returns how many bytes all texts have in common at the beginning. n of them are known.
func (q *query) common(keys []sortKey, n int) int {
	first := q.key(keys[0])
	most := len(first)
	for _, k := range keys[1:] {
		text := q.key(k)
		if end := min(most, len(text)); bytes.Equal(first[n:end], text[n:end]) {
			most = end
			continue
		}
		at := n
		for first[at] == text[at] {
			at++
		}
		if most = at; most == n {
			break
		}
	}
	return most
}
