package sigv4

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
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
	text   []byte // name, endOfName and value of each parameter, one after the other in the order of the wire
	params []param
	most   int              // params accepted; 0 means no limit
	room   int              // bytes of text accepted, if there is a limit
	full   bool             // there were more
	keys   []sortKey        // memory of sort
	sorted []param          // memory of sort
	amz    []amzParam       // those of other names that begin with X-Amz-
	auth   [authParams]int  // for each parameter of a presigned URL one more than its index, or 0
	values [authParams]span // where its value stands on the wire
}

// endOfName stands in [query.text] where the equals sign will be. It is below all bytes of names and values, so that the
// texts have the order that the names have, and with equal names the values.
const endOfName = 0

// param is text[start:end], the end of its name at eq.
type param struct{ start, eq, end int }

// sortKey is one of [query.params], and 8 bytes of its text.
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
func (q *query) pair(p param) []byte { return q.text[p.start:p.end] }

func (q *query) key(k sortKey) []byte { return q.pair(q.params[k.index]) }

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
	var name, value int
	if q.text, name, ok = appendComponent(q.text, raw, '='); !ok {
		return 0, false
	}
	p.eq, n = len(q.text), name
	q.text = append(q.text, endOfName)
	if name < len(raw) && raw[name] == '=' {
		if name == 0 { // "=" would have the canonical form of an empty parameter, which readers skip
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
	q.text = append(append(q.text, name...), endOfName)
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
	return q.append(dst)
}

// append appends the parameters in the order that they have.
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

func (q *query) compare(a, b param) int { return bytes.Compare(q.pair(a), q.pair(b)) }

// few parameters are sorted as they are. For more it is worth while to spare comparisons the look at the text.
const few = 12

func (q *query) sort() {
	if len(q.params) < few {
		slices.SortFunc(q.params, q.compare)
		return
	}
	q.keys, q.sorted = q.keys[:0], q.sorted[:0]
	for i := range q.params {
		q.keys = append(q.keys, sortKey{index: i})
	}
	q.text = append(q.text, make([]byte, 8)...) // the last text may be shorter than a head
	q.sortKeys(q.keys, 0)
	q.text = q.text[:len(q.text)-8]
	for _, k := range q.keys {
		q.sorted = append(q.sorted, q.params[k.index])
	}
	q.params, q.sorted = q.sorted, q.params
}

// sortKeys sorts parameters whose texts have the first n bytes in common. It compares the 8 bytes that come after all that
// they have in common, and then does the same with those that do not differ there: a client that gives long names to many
// parameters must not make each comparison read them from the beginning. Each call has fewer keys than its caller, or
// returns at once, as keys that do not differ at all have one head.
func (q *query) sortKeys(keys []sortKey, n int) {
	n = q.common(keys, n)
	for i := range keys {
		p := q.params[keys[i].index]
		head := binary.BigEndian.Uint64(q.text[p.start+n:])
		if beyond := n + 8 - (p.end - p.start); beyond > 0 { // of another text; zeros, which no value has, take their place
			head = head >> (8 * beyond) << (8 * beyond)
		}
		keys[i].head = head
	}
	slices.SortFunc(keys, func(a, b sortKey) int {
		_, less := bits.Sub64(a.head, b.head, 0) // to compare without branches, which cannot be predicted
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

// common returns how many bytes, at least n, the texts of all keys have in common at their beginning.
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
