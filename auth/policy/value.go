package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a request's value may be. A longer one is compared with nothing, so that a client which chooses it
// (aws:UserAgent) cannot make an evaluation slow.
const (
	maxValue  = 2048 // bytes of a text
	maxValues = 64   // elements of a list
)

// presence says whether a request has a key.
type presence uint8

const (
	absent presence = iota
	present
	unfit // a value of the wrong type, or one beyond the bounds
)

// value is the value of a key in a request. Which field holds it depends on the kind of the key. The zero value is a
// key that the request does not have.
type value struct {
	presence presence
	unknown  bool // unfit, and perhaps the request does not have the key at all
	truth    bool
	text     string // also an ARN, and bytes
	list     []string
	number   float64
	date     time.Time
	address  netip.Addr
}

// value returns the value of k. It reads one field of the request and makes nothing that another condition does not
// need: so the values of a request cost nothing until a document asks for them.
func (e *evaluation) value(k *key) value {
	r := e.r
	switch k.source {
	case fromSourceIP:
		return ofAddress(r.SourceIP)
	case fromCurrentTime:
		return ofDate(e.now())
	case fromSecureTransport: // false is a value, not an absent key: "Bool": "false" must deny a request without TLS
		return value{presence: present, truth: r.SecureTransport}
	case fromUserAgent:
		return ofText(r.UserAgent)
	case fromSourceVPCE:
		return ofText(r.SourceVPCE)
	case fromPrincipalARN:
		return ofText(principalARN(r))
	case fromPrincipalAccount:
		_, account := owner(r.Principal)
		return ofText(account)
	case fromPrincipalType:
		return ofText(principalType(r.Principal))
	case fromUserName:
		return ofText(userName(r.Principal))
	case fromPrincipalTag:
		tag, ok := lookUp(r.PrincipalTags, k.tag)
		return exact(tag, ok)
	}
	given, ok := lookUp(r.Values, k.name) // fromValues
	if !ok {
		return value{}
	}
	return convert(given, k)
}

// now returns the time of the request. Without one it reads the clock, and only if a condition asks for the time.
func (e *evaluation) now() time.Time {
	if !e.r.Time.IsZero() {
		return e.r.Time
	}
	if e.clock.IsZero() {
		e.clock = time.Now() // once, so that all conditions see one time
	}
	return e.clock
}

// convert returns a value of [Request.Values] as the kind of k asks. It converts no kind into another: "10" and 10, or
// "true" and true, are different things to different operators, and a guess could let a request through.
//
// A nil, and the zero of an address or a time, are no values: an address that could not be parsed is a zero one. They do
// not count as absent, because NotIpAddress and DateNotEquals hold for an absent key. Nor do they count as there, because
// a denial may ask by Null whether the key is absent.
func convert(given any, k *key) value {
	switch v := given.(type) {
	case nil:
		return value{presence: unfit, unknown: true}
	case string:
		if !k.list && (k.kind == kindText || k.kind == kindARN || k.kind == kindBinary) {
			return exact(v, true)
		}
	case []byte: // the bytes themselves, as those of a string; only the document has them in base64
		if k.kind == kindBinary {
			return exact(string(v), true)
		}
	case []string:
		if k.list {
			return ofList(v)
		}
	case bool:
		if k.kind == kindBool {
			return value{presence: present, truth: v}
		}
	case netip.Addr:
		if !v.IsValid() {
			return value{presence: unfit, unknown: true}
		}
		if k.kind == kindAddress {
			return ofAddress(v)
		}
	case time.Time:
		if v.IsZero() {
			return value{presence: unfit, unknown: true}
		}
		if k.kind == kindDate {
			return ofDate(v)
		}
	case float64, int, int64:
		if k.kind == kindNumber {
			return ofNumber(v)
		}
	}
	return value{presence: unfit}
}

// ofText returns the value of a key that an empty field leaves out: the fields of a Request are strings, which cannot
// say whether they were set. In Request.Values an empty text is a value.
func ofText(s string) value { return exact(s, s != "") }

// exact returns the value of a text, which may be empty. ok is whether the request has the key.
func exact(s string, ok bool) value {
	switch {
	case !ok:
		return value{}
	case len(s) > maxValue:
		return value{presence: unfit}
	}
	return value{presence: present, text: s}
}

// ofList returns the value of a key with several values. Without a text in any of them it is a key that the request
// does not have, so that "Null": "false" keeps it from passing ForAllValues: it prevents "missing context keys or
// context keys with empty values from evaluating to true" (IAM User Guide, "Multivalued context key examples"). An
// empty text next to others is a value like them.
func ofList(list []string) value {
	n := 0
	for _, s := range list {
		n += len(s)
	}
	switch {
	case len(list) > maxValues || n > maxValue:
		return value{presence: unfit}
	case n == 0:
		return value{}
	}
	return value{presence: present, list: list}
}

// ofAddress returns the value of an address. An IPv4 address that is mapped into IPv6 is that IPv4 address, and a zone
// is left out: netip.Prefix.Contains would be false for both, and a denial of the network would not apply.
func ofAddress(a netip.Addr) value {
	if !a.IsValid() {
		return value{}
	}
	return value{presence: present, address: a.Unmap().WithZone("")}
}

// ofDate returns the value of a time. AWS's aws:CurrentTime has whole seconds, so a fraction is cut off: at 12:00:00.5
// the time is still "at or before" 12:00:00.
func ofDate(t time.Time) value {
	if t.IsZero() {
		return value{}
	}
	return value{presence: present, date: time.Unix(t.Unix(), 0).UTC()}
}

// ofNumber returns the value of a number. Beyond 2^53 not every integer has a float64 of its own: 2^53 + 1 becomes
// 2^53. Such a number could equal one of the document that it is not equal to, so it is unfit.
func ofNumber(given any) value {
	const exactly = 1 << 53
	n := 0.0
	switch v := given.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	}
	if !(-exactly <= n && n <= exactly) { // also NaN
		return value{presence: unfit}
	}
	return value{presence: present, number: n}
}

// insert appends the value of k as text to b, for a variable or for an explanation. A date is in the form of ISO 8601,
// or in seconds if the key is aws:EpochTime. Bytes and lists have no text: grammar.variable refuses them as variables,
// and Policy.saw prints them itself.
func (e *evaluation) insert(b []byte, k *key) ([]byte, presence) {
	v := e.value(k)
	if v.presence != present {
		return b, v.presence
	}
	switch k.kind {
	case kindText, kindARN:
		b = append(b, v.text...)
	case kindNumber:
		b = strconv.AppendFloat(b, v.number, 'f', -1, 64)
	case kindBool:
		b = strconv.AppendBool(b, v.truth)
	case kindAddress:
		b = v.address.AppendTo(b)
	case kindDate:
		if k.numeric {
			return strconv.AppendInt(b, v.date.Unix(), 10), present
		}
		b = v.date.AppendFormat(b, time.RFC3339)
	}
	return b, present
}

// lookUp returns the element of m with a name, which is compared without regard to case. If several names differ in
// case only, it is the one that is spelled like name, else the smallest. It must not be the first that is found: Go
// visits a map in another order each time, and one request would get different decisions.
func lookUp[V any](m map[string]V, name string) (found V, ok bool) {
	if found, ok = m[name]; ok { // nearly always: authors and applications copy the names of AWS
		return found, true
	}
	first := ""
	for spelled, v := range m {
		if len(spelled) == len(name) && sameName(spelled, name) && (!ok || spelled < first) {
			first, found, ok = spelled, v, true
		}
	}
	return found, ok
}

// sameName reports whether two names of the same length are equal but for the case of ASCII letters. The names of tags
// may have other letters, whose case counts: to fold it would need a rule that IAM does not give.
func sameName(a, b string) bool {
	for i := range len(a) {
		if a[i] != b[i] && lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

// lowerByte returns c in lower case if it is an ASCII letter.
func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// arnParts returns the partition, service, account and resource of an ARN of IAM or STS. The resource may have colons.
// For example, arn:aws:sts::123456789012:assumed-role/clerk/julian gives aws, sts, 123456789012 and
// assumed-role/clerk/julian.
func arnParts(arn string) (partition, service, account, resource string, ok bool) {
	rest, isARN := strings.CutPrefix(arn, "arn:")
	partition, rest, _ = strings.Cut(rest, ":")
	service, rest, _ = strings.Cut(rest, ":")
	_, rest, _ = strings.Cut(rest, ":") // the region
	account, resource, ok = strings.Cut(rest, ":")
	if !isARN || !ok {
		return "", "", "", "", false
	}
	return partition, service, account, resource, true
}
