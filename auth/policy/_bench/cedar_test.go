package bench

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// Cedar's language has what these documents have: permit and forbid, text with asterisks, numbers, booleans and networks,
// and attributes that may be absent. It has no question marks, no case-insensitive text, no dates, no sets of values
// that a request has without a qualifier, and no ARNs; variables and principals are other things there.

// asked is a request in both languages.
type asked struct {
	ours  policy.Request
	cedar cedar.Request
}

// ownKeys are the keys in the documents, by the name of the attribute in Cedar.
var ownKeys = []policy.Key{{Name: "app:text", Type: "String"}, {Name: "app:number", Type: "Numeric"}, {Name: "app:bool", Type: "Bool"}, {Name: "app:ip", Type: "IPAddress"}}

// literal writes a text in Cedar's language. In a pattern an asterisk is a wildcard.
func literal(s string) string { return strconv.Quote(s) }

// translated is a condition in Cedar's language.
func translated(operator, key string, values []string) string {
	attribute := key[len("app:"):]
	if operator == "Null" {
		return map[string]string{"true": "!(context has " + attribute + ")", "false": "context has " + attribute}[values[0]]
	}
	base, ifExists := strings.CutSuffix(operator, "IfExists")
	var any []string
	for _, v := range values {
		of := "context." + attribute
		switch base {
		case "StringEquals", "StringNotEquals":
			any = append(any, of+" == "+literal(v))
		case "StringLike", "StringNotLike":
			any = append(any, of+" like "+literal(v))
		case "NumericEquals", "NumericNotEquals":
			any = append(any, of+" == "+v)
		case "NumericLessThan":
			any = append(any, of+" < "+v)
		case "NumericLessThanEquals":
			any = append(any, of+" <= "+v)
		case "NumericGreaterThan":
			any = append(any, of+" > "+v)
		case "NumericGreaterThanEquals":
			any = append(any, of+" >= "+v)
		case "Bool":
			any = append(any, of+" == "+v)
		case "IpAddress", "NotIpAddress":
			any = append(any, of+`.isInRange(ip("`+v+`"))`)
		}
	}
	matches := "(context has " + attribute + " && (" + strings.Join(any, " || ") + "))"
	if strings.Contains(base, "Not") {
		matches = "!" + matches // which holds for an absent attribute, as it does here
	}
	if ifExists {
		matches = "(!(context has " + attribute + ") || " + matches + ")"
	}
	return matches
}

// cedarOf translates a document.
func cedarOf(d policy.Document) string {
	var b strings.Builder
	for _, s := range d.Statement {
		var when strings.Builder
		when.WriteString(func(list, not []string) string {
			var any []string
			for _, p := range slices.Concat(list, not) {
				any = append(any, "context.resource like "+literal(p))
			}
			if len(not) > 0 {
				return "!(" + strings.Join(any, " || ") + ")"
			}
			return "(" + strings.Join(any, " || ") + ")"
		}(s.Resource, s.NotResource))
		for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
			for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
				when.WriteString(" && " + translated(operator, key, s.Condition[operator][key]))
			}
		}
		fmt.Fprintf(&b, "%s (principal, action, resource) when { %s };\n", map[string]string{"Allow": "permit", "Deny": "forbid"}[s.Effect], when.String())
	}
	return b.String()
}

// random makes documents and requests.
type random struct{ *rand.Rand }

func (r random) one(of ...string) string { return of[r.IntN(len(of))] }

// text returns some characters, with wildcards if there are any.
func (r random) text(wildcards ...string) (s string) {
	for range r.IntN(5) {
		s += r.one(append([]string{"a", "b", "/", "é"}, wildcards...)...)
	}
	return s
}

// some returns one to three texts.
func (r random) some(text func() string) (list []string) {
	for range 1 + r.IntN(3) {
		list = append(list, text())
	}
	return list
}

func (r random) network() string {
	return r.one("203.0.113.0/24", "203.0.113.128/25", "0.0.0.0/0", "2001:db8::/32", "2001:db8::7/128", "203.0.113.7/32")
}

func (r random) conditions() map[string]map[string][]string {
	all := map[string]map[string][]string{}
	for range r.IntN(4) {
		suffix := r.one("", "", "IfExists")
		number := func() string { return strconv.Itoa(r.IntN(5)) }
		switch r.IntN(6) {
		case 0:
			all[r.one("StringEquals", "StringNotEquals")+suffix] = map[string][]string{"app:text": r.some(func() string { return r.text() })}
		case 1:
			all[r.one("StringLike", "StringNotLike")+suffix] = map[string][]string{"app:text": r.some(func() string { return r.text("*") })}
		case 2:
			comparison := r.one("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
			all["Numeric"+comparison+suffix] = map[string][]string{"app:number": r.some(number)}
		case 3:
			all["Bool"+suffix] = map[string][]string{"app:bool": {r.one("true", "false")}}
		case 4:
			all[r.one("IpAddress", "NotIpAddress")+suffix] = map[string][]string{"app:ip": r.some(r.network)}
		case 5:
			all["Null"] = map[string][]string{"app:" + r.one("text", "number", "bool", "ip"): {r.one("true", "false")}}
		}
	}
	return all
}

func (r random) document() policy.Document {
	d := policy.Document{Version: "2012-10-17"}
	for range 1 + r.IntN(4) {
		s := policy.Statement{Effect: r.one("Allow", "Allow", "Deny"), Action: []string{policy.Invoke}, Condition: r.conditions()}
		resources := r.some(func() string { return stage + "/" + r.text("*", "GET") })
		if r.IntN(5) == 0 {
			s.NotResource = resources
		} else {
			s.Resource = resources
		}
		d.Statement = append(d.Statement, s)
	}
	return d
}

func (r random) request() asked {
	a := asked{ours: policy.Request{Resource: stage + "/" + r.text("GET"), Values: map[string]any{}}}
	record := cedar.RecordMap{"resource": cedar.String(a.ours.Resource)}
	if text := r.text(); r.IntN(4) != 0 {
		a.ours.Values["app:text"], record["text"] = text, cedar.String(text)
	}
	if n := r.IntN(5); r.IntN(4) != 0 {
		a.ours.Values["app:number"], record["number"] = n, cedar.Long(n)
	}
	if is := r.IntN(2) == 0; r.IntN(4) != 0 {
		a.ours.Values["app:bool"], record["bool"] = is, cedar.Boolean(is)
	}
	if ip := netip.MustParseAddr(r.one("203.0.113.7", "203.0.113.200", "198.51.100.7", "2001:db8::7", "::1")); r.IntN(4) != 0 {
		a.ours.Values["app:ip"], record["ip"] = ip, types.IPAddr(netip.PrefixFrom(ip, ip.BitLen()))
	}
	a.cedar = cedar.Request{
		Principal: cedar.NewEntityUID("User", "julian"), Action: cedar.NewEntityUID("Action", "Invoke"),
		Resource: cedar.NewEntityUID("API", "a1b2c3d4e5"), Context: cedar.NewRecord(record),
	}
	return a
}

// cedar-go decides alike about every document that can be said in Cedar's language, for every request.
func TestCedarDecidesAlike(t *testing.T) {
	r := random{rand.New(rand.NewPCG(23, 5))}
	decided := map[policy.Decision]int{}
	for range 2000 {
		d := r.document()
		p, err := policy.New(d, ownKeys...)
		require.NoError(t, err)
		text := cedarOf(d)
		set, err := cedar.NewPolicySetFromBytes("policy.cedar", []byte(text))
		require.NoError(t, err, text)
		for range 20 {
			a := r.request()
			ours := p.Evaluate(&a.ours)
			theirs, why := cedar.Authorize(set, cedar.EntityMap{}, a.cedar)
			require.Empty(t, why.Errors, text)
			require.Equal(t, ours == policy.Allow, bool(theirs), "%v for %+v\n%s", ours, a.ours, text)
			decided[ours]++
		}
	}
	for _, decision := range []policy.Decision{policy.NoMatch, policy.Allow, policy.Deny} {
		require.Greater(t, decided[decision], 2000, decision)
	}
}

// Where the two languages differ, IAM's documentation is what ours does, and Cedar's is what theirs does.
func TestWhereCedarDiffers(t *testing.T) {
	one := func(operator, key string, value any, values ...string) (ours, theirs bool) {
		d := policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{
			Effect: "Allow", Action: []string{"*"}, Resource: []string{stage + "/*"}, Condition: map[string]map[string][]string{operator: {key: values}},
		}}}
		p, err := policy.New(d, ownKeys...)
		require.NoError(t, err)
		set, err := cedar.NewPolicySetFromBytes("policy.cedar", []byte(cedarOf(d)))
		require.NoError(t, err)
		record := cedar.RecordMap{"resource": cedar.String(stage + "/GET")}
		switch v := value.(type) {
		case string:
			record["text"] = cedar.String(v)
		case netip.Addr:
			record["ip"] = types.IPAddr(netip.PrefixFrom(v, v.BitLen()))
		}
		decision, _ := cedar.Authorize(set, cedar.EntityMap{}, cedar.Request{
			Principal: cedar.NewEntityUID("User", "julian"), Action: cedar.NewEntityUID("Action", "Invoke"),
			Resource: cedar.NewEntityUID("API", "a"), Context: cedar.NewRecord(record),
		})
		return p.Evaluate(&policy.Request{Resource: stage + "/GET", Values: map[string]any{key: value}}) == policy.Allow, bool(decision)
	}
	ours, theirs := one("StringLike", "app:text", "ab", "a?")
	require.True(t, ours && !theirs, "a question mark is a character of Cedar's")
	ours, theirs = one("IpAddress", "app:ip", netip.MustParseAddr("::ffff:203.0.113.7"), "203.0.113.0/24")
	require.True(t, ours && !theirs, "to Cedar an address that is mapped into IPv6 is not the IPv4 address")
}
