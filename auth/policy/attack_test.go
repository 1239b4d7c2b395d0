package policy_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// A wildcard in the value of a variable is that character, wherever the variable stands. Else a caller who may choose a
// name or a tag would reach what belongs to others.
func TestWildcardsInValuesAreLiteral(t *testing.T) {
	resource := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"STAGE/GET/${aws:PrincipalTag/home}/*"}`)
	like := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:UserAgent":"${aws:PrincipalTag/home}"}}}`)
	arn := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:user/${aws:PrincipalTag/home}"}}}`)
	for _, home := range []string{"*", "?", "ma*", "????", "**", "*?*", "[a-z]*", "${aws:username}", "${*}", ".*", "%2A", "\uff0a", "\x01", "\x02", "maria/../x"} {
		r := &policy.Request{
			Resource: stage + "/GET/maria/points", Principal: "arn:aws:iam::123456789012:user/maria", UserAgent: "maria",
			PrincipalTags: map[string]string{"home": home},
		}
		require.Equal(t, policy.NoMatch, resource.Evaluate(r), home)
		require.Equal(t, policy.NoMatch, like.Evaluate(r), home)
		require.Equal(t, policy.NoMatch, arn.Evaluate(r), home)
	}
	r := &policy.Request{Resource: stage + "/GET/*/points", UserAgent: "*", PrincipalTags: map[string]string{"home": "*"}}
	require.Equal(t, policy.Allow, resource.Evaluate(r))
	require.Equal(t, policy.Allow, like.Evaluate(r))
}

// A name that stands twice in an object is a mistake, also where two readers would take different ones: by an escape, or
// in another case, which counts for a key and not for an element.
func TestDuplicateNamesAreRefused(t *testing.T) {
	for _, document := range []string{
		`{"Version":"2012-10-17","Statement":[],"Statement":[` + allowAll + `]}`,
		`{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Deny","\u0045ffect":"Allow","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","effect":"Deny","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","Action":"s3:*","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012","AWS":"*"},"Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}},"Condition":{}}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"},"Bool":{}}}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true","aws:SecureTransport":"false"}}}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true","AWS:securetransport":"false"}}}}`,
	} {
		_, err := policy.Parse([]byte(document))
		require.ErrorIs(t, err, policy.ErrInvalid, document)
	}
}

// A question mark is one character of any number of bytes. In a pattern that allows, no wildcard leaves the part of the
// ARN that it stands in, and the last part may have colons.
func TestWildcardsStayInTheirPart(t *testing.T) {
	for pattern, paths := range map[string]map[string]bool{
		"STAGE/GET/?":    {"a": true, "é": true, "€": true, "\U0001F600": true, "": false, "ab": false, "e\u0301": false, "\xff": true, ":": true, "/": true},
		"STAGE/GET/??":   {"e\u0301": true, "é": false, "\xff\xfe": true},
		"STAGE/*/a":      {"b/a": true, "a:a/a": true},
		"STAGE/GET/*":    {"": true, "\n": true, "a:b": true, "\xff": true},
		"STAGE/GET/*:*b": {"a:b": true, "ab": false, "x:y:zb": true},
		"arn:aws:execute-api:*:123456789012:a1b2c3d4e5/Prod/GET/*":      {"a": true},
		"arn:aws:execute-api:*:a1b2c3d4e5/Prod/GET/a:x:*":               {"a:x:y": false},
		"arn:aws:execute-api:eu-west-1:*:a1b2c3d4e5/Prod/GET/?":         {"a": true, "ab": false},
		"arn:aws:execute-api:????????-1:123456789012:a1b2c3d4e5/Prod/*": {"a": false},
	} {
		p := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"`+pattern+`"}`)
		for path, want := range paths {
			require.Equal(t, want, p.Evaluate(&policy.Request{Resource: stage + "/GET/" + path}) == policy.Allow, "%s for %q", pattern, path)
		}
	}
}

// ARNs are compared with regard to case in all parts, actions without, and no letter of another alphabet counts for an
// ASCII one.
func TestCaseOfARNsAndActions(t *testing.T) {
	p := parsed(t, allowGET)
	for _, resource := range []string{
		strings.ToUpper(stage) + "/GET/a", strings.Replace(stage, "arn:", "ARN:", 1) + "/GET/a", strings.Replace(stage, "aws", "AWS", 1) + "/GET/a",
		strings.Replace(stage, "execute-api", "Execute-Api", 1) + "/GET/a", strings.Replace(stage, "Prod", "prod", 1) + "/GET/a", stage + "/get/a",
	} {
		require.Equal(t, policy.NoMatch, p.Evaluate(&policy.Request{Resource: resource}), resource)
	}
	for action, want := range map[string]policy.Decision{
		"execute-api:invoke": policy.Allow, "EXECUTE-API:INVOKE": policy.Allow, "execute-api:Invo\u212ae": policy.NoMatch, "execute-api:\u0130nvoke": policy.NoMatch,
	} {
		require.Equal(t, want, p.Evaluate(&policy.Request{Action: action, Resource: stage + "/GET/a"}), action)
	}
	user := parsed(t, `{"Effect":"Allow","Principal":{"AWS":"`+julian+`"},"Action":"*","Resource":"*"}`)
	for caller, want := range map[string]policy.Decision{julian: policy.Allow, strings.Replace(julian, "julian", "Julian", 1): policy.NoMatch} {
		require.Equal(t, want, (&policy.Set{Resource: user}).Evaluate(&policy.Request{Resource: stage + "/GET/", Principal: caller}), caller)
	}
}

// An account of another partition is another account, even if it has the same number.
func TestPartitionsAreApart(t *testing.T) {
	const china = "arn:aws-cn:iam::123456789012:user/julian"
	all := parsed(t, allowAll)
	same := &policy.Request{Resource: stage + "/GET/", Principal: julian}
	other := &policy.Request{Resource: stage + "/GET/", Principal: china}
	require.Equal(t, policy.Allow, (&policy.Set{Identity: []*policy.Policy{all}}).Evaluate(same))
	require.Equal(t, policy.NoMatch, (&policy.Set{Identity: []*policy.Policy{all}}).Evaluate(other))
	root := parsed(t, `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"*","Resource":"*"}`)
	require.Equal(t, policy.Allow, (&policy.Set{Identity: []*policy.Policy{all}, Resource: root}).Evaluate(same))
	require.Equal(t, policy.NoMatch, (&policy.Set{Identity: []*policy.Policy{all}, Resource: root}).Evaluate(other))
	p := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"`+strings.Replace(stage, "arn:aws:", "arn:aws-cn:", 1)+`/*"}`)
	require.Equal(t, policy.NoMatch, p.Evaluate(same))
}

// An empty condition constrains nothing, an empty list of values is refused, and ForAllValues over an absent key holds:
// in a statement that denies that is the safe side, in one that allows Lint warns.
func TestEmptyConditions(t *testing.T) {
	for _, empty := range []string{`{}`, `{"StringEquals":{}}`} {
		p := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+empty+`}`)
		require.Equal(t, policy.Allow, p.Evaluate(&policy.Request{Resource: stage + "/GET/"}))
	}
	for _, bad := range []string{`{"StringEquals":{"aws:UserAgent":[]}}`, `{"StringEquals":null}`, `{"":{}}`, `[]`, `null`, `""`, `{"StringEquals":{"aws:UserAgent":null}}`} {
		_, err := policy.Parse([]byte(`{"Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + bad + `}}`))
		require.ErrorIs(t, err, policy.ErrInvalid, bad)
	}
	for effect, want := range map[string]policy.Decision{"Allow": policy.Allow, "Deny": policy.Deny} {
		p := withCondition(t, effect, "ForAllValues:StringEquals", "app:texts", []string{"a"})
		require.Equal(t, want, p.Evaluate(&policy.Request{Resource: stage + "/GET/"}))
	}
}

// An address that is written in another way is the same address, in a gate as well: a client reaches a server by IPv6
// and IPv4, and a link-local one has a zone.
func TestAddressesInEveryForm(t *testing.T) {
	deny := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*"},`+condition("Deny", "IpAddress", "aws:SourceIp", `["203.0.113.0/24","fe80::/10"]`))
	g := newGate(t, byUser(deny))
	for address, want := range map[string]policy.Decision{
		"203.0.113.7": policy.Deny, "::ffff:203.0.113.7": policy.Deny, "::ffff:cb00:7107": policy.Deny, "fe80::1%eth0": policy.Deny, "fe80::1": policy.Deny,
		"198.51.100.7": policy.Allow, "2001:db8::1": policy.Allow, "64:ff9b::cb00:7107": policy.Allow,
	} {
		a := netip.MustParseAddr(address)
		require.Equal(t, want, deny.Evaluate(&policy.Request{Resource: stage + "/GET/", SourceIP: a}), address)
		r := call(http.MethodGet, "/Prod/a")
		r.RemoteAddr = netip.AddrPortFrom(a, 40000).String()
		require.Equal(t, want == policy.Allow, g.Check(r) == nil, address)
	}
}

// The gate reads no header that a client could use to choose its own address, transport or endpoint.
func TestGateTrustsNoHeader(t *testing.T) {
	p := parsed(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{
		"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"aws:SourceVpce":"vpce-1a2b3c4d"}}}`)
	r := call(http.MethodGet, "/Prod/a")
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "True-Client-Ip", "X-Amzn-Vpce-Id", "X-Forwarded-Proto", "X-Forwarded-Ssl"} {
		r.Header.Set(name, map[bool]string{true: "https", false: "203.0.113.7"}[strings.HasPrefix(name, "X-Forwarded-P")])
	}
	e, err := newGate(t, byUser(p)).Explain(r)
	require.NoError(t, err)
	held := map[string]bool{}
	for _, s := range e.Steps {
		held[s.Path[strings.LastIndexByte(s.Path, '.')+1:]] = s.Holds
	}
	require.False(t, held["aws:SourceIp"] || held["aws:SecureTransport"] || held["aws:SourceVpce"], "%v", e)
}
