package policy_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// own are the keys of an application, one of each type.
var own = []policy.Key{
	{Name: "app:Text", Type: "String"},
	{Name: "app:Arn", Type: "ARN"},
	{Name: "app:Number", Type: "Numeric"},
	{Name: "app:Date", Type: "Date"},
	{Name: "app:Bool", Type: "Bool"},
	{Name: "app:Binary", Type: "Binary"},
	{Name: "app:Address", Type: "IPAddress"},
	{Name: "app:Texts", Type: "ArrayOfString"},
	{Name: "app:Arns", Type: "ArrayOfARN"},
}

// conditional returns the policy of one statement with one condition; the values are JSON.
func conditional(t testing.TB, effect, operator, key, values string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(fmt.Appendf(nil, `{"Version":"2012-10-17","Statement":{"Effect":%q,"Action":"*","Resource":"*","Condition":{%q:{%q:%s}}}}`,
		effect, operator, key, values), own...)
	require.NoError(t, err)
	return p
}

// holds reports whether a condition holds, which must not depend on the effect of its statement.
func holds(t *testing.T, operator, key, values string, r policy.Request) bool {
	t.Helper()
	allowed := conditional(t, "Allow", operator, key, values).Evaluate(&r) == policy.Allow
	require.Equal(t, allowed, conditional(t, "Deny", operator, key, values).Evaluate(&r) == policy.Deny, "%s %s %s", operator, key, values)
	return allowed
}

func date(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at
}

// Each operator, with the value of the request (nil: the request does not have the key) and the values of the document.
func TestOperators(t *testing.T) {
	const (
		bob = "arn:aws:iam::123456789012:user/Bob"
		// The example of "Amazon Resource Name (ARN) condition operators".
		reaching = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt"
		finance  = `"arn:aws:someservice:*:111122223333:finance/*"`
	)
	for _, tt := range []struct {
		operator, key, values string
		has                   any
		want                  bool
	}{
		{"StringEquals", "app:Text", `"a"`, "a", true},
		{"StringEquals", "app:Text", `"a"`, "A", false},
		{"StringEquals", "app:Text", `"a*"`, "ab", false},
		{"StringEquals", "app:Text", `"a*"`, "a*", true},
		{"StringEquals", "app:Text", `"${*}${?}${$}"`, "*?$", true},
		{"StringEquals", "app:Text", `["b","a"]`, "a", true},
		{"StringEquals", "app:Text", `""`, "", true},
		{"StringEquals", "app:Text", `"a"`, nil, false},
		{"StringEquals", "app:Arn", `"` + bob + `"`, bob, true},
		{"StringEqualsIfExists", "app:Text", `"a"`, nil, true},
		{"StringEqualsIfExists", "app:Text", `"a"`, "b", false},
		{"StringNotEquals", "app:Text", `"a"`, "a", false},
		{"StringNotEquals", "app:Text", `["a","b"]`, "b", false},
		{"StringNotEquals", "app:Text", `["a","b"]`, "c", true},
		{"StringNotEquals", "app:Text", `"a"`, nil, true},
		{"StringNotEqualsIfExists", "app:Text", `"a"`, nil, true},
		{"StringEqualsIgnoreCase", "app:Text", `"aB\u00e9"`, "Ab\u00c9", true},
		{"StringEqualsIgnoreCase", "app:Text", `"ab"`, "abc", false},
		{"StringNotEqualsIgnoreCase", "app:Text", `"ab"`, "AB", false},
		{"StringNotEqualsIgnoreCase", "app:Text", `"ab"`, nil, true},
		{"StringLike", "app:Text", `"a*c"`, "abbc", true},
		{"StringLike", "app:Text", `"a*c"`, "ABC", false},
		{"StringLike", "app:Text", `"a?c"`, "a\u00e9c", true},
		{"StringLike", "app:Text", `"a?c"`, "ac", false},
		{"StringLike", "app:Text", `"a${*}c"`, "abc", false},
		{"StringLike", "app:Text", `"a${*}c"`, "a*c", true},
		{"StringLike", "app:Text", `"*"`, "", true},
		{"StringLike", "app:Text", `"*"`, nil, false},
		{"StringLike", "app:Text", finance, reaching, true},
		{"StringLike", "app:Text", `"a?"`, "a\xff", true},
		{"StringNotLike", "app:Text", `"a*"`, "ab", false},
		{"StringNotLike", "app:Text", `"a*"`, "b", true},
		{"StringNotLike", "app:Text", `"a*"`, nil, true},

		{"ArnLike", "app:Arn", finance, reaching, false},
		{"ArnEquals", "app:Arn", finance, reaching, false},
		{"ArnLike", "app:Arn", finance, "arn:aws:someservice:us-east-2:111122223333:finance/a:b", true},
		{"ArnEquals", "app:Arn", `"arn:aws:iam::*:user/B?b"`, bob, true},
		{"ArnEquals", "app:Arn", `"arn:aws:iam::*:user/bob"`, bob, false},
		{"ArnEquals", "app:Arn", `"arn:aws-cn:iam::*:user/Bob"`, bob, false},
		{"ArnEquals", "app:Arn", `"arn:*:*:*:*:*"`, "no arn", false},
		{"ArnNotEquals", "app:Arn", `"arn:aws:iam::*:user/B?b"`, bob, false},
		{"ArnNotLike", "app:Arn", `"arn:aws:iam::*:role/*"`, bob, true},
		{"ArnNotLike", "app:Arn", `"arn:aws:iam::*:role/*"`, nil, true},
		{"ArnLike", "app:Arn", `"arn:*:*:*:*:*"`, nil, false},

		{"NumericEquals", "app:Number", `10`, 10, true},
		{"NumericEquals", "app:Number", `"10.0"`, 10.0, true},
		{"NumericEquals", "app:Number", `["1","1e1"]`, int64(10), true},
		{"NumericEquals", "app:Number", `0.1`, 0.1, true},
		{"NumericNotEquals", "app:Number", `10`, 10, false},
		{"NumericNotEquals", "app:Number", `10`, nil, true},
		{"NumericLessThan", "app:Number", `10`, 10, false},
		{"NumericLessThan", "app:Number", `10`, -1, true},
		{"NumericLessThan", "app:Number", `10`, nil, false},
		{"NumericLessThanIfExists", "app:Number", `10`, nil, true},
		{"NumericLessThanEquals", "app:Number", `10`, 10, true},
		{"NumericLessThanEquals", "app:Number", `10`, 10.5, false},
		{"NumericGreaterThan", "app:Number", `10`, 10, false},
		{"NumericGreaterThan", "app:Number", `[100, 10]`, 11, true},
		{"NumericGreaterThanEquals", "app:Number", `10`, 10, true},
		{"NumericGreaterThanEquals", "app:Number", `-1.5`, -2, false},

		{"DateEquals", "app:Date", `"2020-01-01T00:00:01Z"`, date("2020-01-01T00:00:01.7Z"), true},
		{"DateEquals", "app:Date", `"2020-01-01T01:00:01+01:00"`, date("2020-01-01T00:00:01Z"), true},
		{"DateEquals", "app:Date", `1577836801`, date("2020-01-01T00:00:01Z"), true},
		{"DateEquals", "app:Date", `"2020-01"`, date("2020-01-01T00:00:00Z"), true},
		{"DateNotEquals", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:00Z"), false},
		{"DateNotEquals", "app:Date", `"2020-01-01"`, nil, true},
		{"DateLessThan", "app:Date", `"2020-01-01T00:00Z"`, date("2019-12-31T23:59:59.9Z"), true},
		{"DateLessThan", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:00Z"), false},
		{"DateLessThanEquals", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:00.5Z"), true},
		{"DateLessThanEquals", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:01Z"), false},
		{"DateGreaterThan", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:01Z"), true},
		{"DateGreaterThan", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:00.5Z"), false},
		{"DateGreaterThanEquals", "app:Date", `"2020-01-01"`, date("2020-01-01T00:00:00Z"), true},
		{"DateGreaterThanEquals", "app:Date", `"2020-01-01"`, nil, false},

		{"Bool", "app:Bool", `"true"`, true, true},
		{"Bool", "app:Bool", `false`, true, false},
		{"Bool", "app:Bool", `"False"`, false, true},
		{"Bool", "app:Bool", `["true","false"]`, false, true},
		{"Bool", "app:Bool", `"false"`, nil, false},
		{"BoolIfExists", "app:Bool", `"false"`, nil, true},

		{"BinaryEquals", "app:Binary", `"QmluYXJ5VmFsdWVJbkJhc2U2NA=="`, "BinaryValueInBase64", true},
		{"BinaryEquals", "app:Binary", `["AA==","AP8="]`, []byte{0, 255}, true},
		{"BinaryEquals", "app:Binary", `"AP8="`, []byte{0}, false},
		{"BinaryEquals", "app:Binary", `"AP8="`, nil, false},

		{"IpAddress", "app:Address", `"203.0.113.0/24"`, netip.MustParseAddr("203.0.113.7"), true},
		{"IpAddress", "app:Address", `"203.0.113.0/24"`, netip.MustParseAddr("203.0.114.7"), false},
		{"IpAddress", "app:Address", `"203.0.113.9/24"`, netip.MustParseAddr("203.0.113.7"), true},
		{"IpAddress", "app:Address", `"203.0.113.7"`, netip.MustParseAddr("203.0.113.7"), true},
		{"IpAddress", "app:Address", `"203.0.113.7"`, netip.MustParseAddr("203.0.113.8"), false},
		{"IpAddress", "app:Address", `["203.0.113.0/24","2001:DB8:1234:5678::/64"]`, netip.MustParseAddr("2001:db8:1234:5678::1"), true},
		{"IpAddress", "app:Address", `"2001:db8::1"`, netip.MustParseAddr("2001:db8::2"), false},
		{"IpAddress", "app:Address", `"0.0.0.0/0"`, netip.MustParseAddr("2001:db8::2"), false},
		{"IpAddress", "app:Address", `"203.0.113.0/24"`, netip.MustParseAddr("::ffff:203.0.113.7"), true},
		{"IpAddress", "app:Address", `"fe80::/10"`, netip.MustParseAddr("fe80::1%eth0"), true},
		{"IpAddress", "app:Address", `"0.0.0.0/0"`, nil, false},
		{"IpAddressIfExists", "app:Address", `"203.0.113.0/24"`, nil, true},
		{"NotIpAddress", "app:Address", `["203.0.113.0/24","198.51.100.0/24"]`, netip.MustParseAddr("198.51.100.1"), false},
		{"NotIpAddress", "app:Address", `"203.0.113.0/24"`, netip.MustParseAddr("198.51.100.1"), true},
		{"NotIpAddress", "app:Address", `"203.0.113.0/24"`, nil, true},

		{"Null", "app:Text", `"true"`, nil, true},
		{"Null", "app:Text", `true`, "", false},
		{"Null", "app:Text", `false`, "a", true},
		{"Null", "app:Text", `false`, nil, false},
		{"Null", "app:Texts", `true`, []string{}, true},
		{"Null", "app:Texts", `false`, []string{"a"}, true},
		{"Null", "app:Texts", `false`, []string{"", "a"}, true},
		{"Null", "app:Texts", `false`, []string{"", ""}, false},

		// "Single-valued vs. multivalued context keys".
		{"ForAllValues:StringEquals", "app:Texts", `["a","b"]`, []string{"a", "b", "a"}, true},
		{"ForAllValues:StringEquals", "app:Texts", `["a","b"]`, []string{"a", "c"}, false},
		{"ForAllValues:StringEquals", "app:Texts", `["a"]`, nil, true},
		{"ForAllValues:StringEquals", "app:Texts", `["a"]`, []string{}, true},
		{"ForAllValues:StringEquals", "app:Texts", `["a"]`, []string{""}, true},
		{"ForAllValues:StringNotEquals", "app:Texts", `["a","b"]`, []string{"c", "d"}, true},
		{"ForAllValues:StringNotEquals", "app:Texts", `["a","b"]`, []string{"c", "b"}, false},
		{"ForAllValues:StringNotEquals", "app:Texts", `["a"]`, nil, true},
		{"ForAnyValue:StringEquals", "app:Texts", `["a","b"]`, []string{"c", "b"}, true},
		{"ForAnyValue:StringEquals", "app:Texts", `["a","b"]`, []string{"c"}, false},
		{"ForAnyValue:StringEquals", "app:Texts", `["a"]`, nil, false},
		{"ForAnyValue:StringEquals", "app:Texts", `["a",""]`, []string{""}, false},
		{"ForAnyValue:StringEqualsIfExists", "app:Texts", `["a"]`, []string{"b", "a"}, true},
		{"ForAllValues:StringEqualsIfExists", "app:Texts", `["a"]`, nil, true},
		{"ForAnyValue:StringNotEquals", "app:Texts", `["a","b"]`, []string{"a", "c"}, true},
		{"ForAnyValue:StringNotEquals", "app:Texts", `["a","b"]`, []string{"a", "b"}, false},
		{"ForAnyValue:StringNotEquals", "app:Texts", `["a"]`, nil, false},
		{"ForAnyValue:StringLike", "app:Texts", `"a*"`, []string{"b", "ab"}, true},
		{"ForAnyValue:ArnLike", "app:Arns", `"arn:*:*:*:*:user/*"`, []string{bob}, true},
		{"ForAllValues:StringEquals", "app:Text", `"a"`, "a", true},
		{"ForAllValues:StringEquals", "app:Text", `"a"`, "b", false},
		{"ForAllValues:StringEquals", "app:Text", `"a"`, "", true},
		{"ForAllValues:StringEquals", "app:Text", `"a"`, nil, true},
		{"ForAnyValue:NumericLessThan", "app:Number", `3`, 2, true},
		{"ForAllValues:IpAddress", "app:Address", `"203.0.113.0/24"`, nil, true},
	} {
		var r policy.Request
		if tt.has != nil {
			r.Values = map[string]any{tt.key: tt.has}
		}
		require.Equal(t, tt.want, holds(t, tt.operator, tt.key, tt.values, r), "%s %s %s with %v", tt.operator, tt.key, tt.values, tt.has)
	}
}

// What cannot be judged refuses: a statement that allows does not apply, one that denies does.
func TestUnfitValuesRefuse(t *testing.T) {
	long := strings.Repeat("a", 2049)
	for _, tt := range []struct {
		operator, key, values string
		has                   any
	}{
		{"StringEquals", "app:Text", `"a"`, 1},
		{"StringNotEquals", "app:Text", `"a"`, []string{"b"}},
		{"StringNotLike", "app:Text", `"b"`, long},
		{"StringLikeIfExists", "app:Text", `"*"`, long},
		{"BinaryEquals", "app:Binary", `"AA=="`, 1},
		{"NumericNotEquals", "app:Number", `1`, "2"},
		{"NumericNotEquals", "app:Number", `1`, int64(1 << 60)},
		{"NumericLessThan", "app:Number", `1`, -1e300},
		{"DateLessThan", "app:Date", `"2020-01-01"`, "2019-01-01"},
		{"Bool", "app:Bool", `true`, "true"},
		{"NotIpAddress", "app:Address", `"203.0.113.0/24"`, "198.51.100.1"},
		// No values: an address that could not be parsed, a time that is not known, nothing.
		{"NotIpAddress", "app:Address", `"203.0.113.0/24"`, netip.Addr{}},
		{"NotIpAddressIfExists", "app:Address", `"203.0.113.0/24"`, netip.Addr{}},
		{"ForAllValues:IpAddress", "app:Address", `"203.0.113.0/24"`, netip.Addr{}},
		{"DateNotEquals", "app:Date", `"2020-01-01"`, time.Time{}},
		{"DateLessThanIfExists", "app:Date", `"2020-01-01"`, time.Time{}.In(time.FixedZone("CET", 3600))},
		{"Null", "app:Address", `true`, netip.Addr{}},
		{"Null", "app:Address", `false`, netip.Addr{}},
		{"Null", "app:Date", `true`, time.Time{}},
		{"Null", "app:Date", `false`, time.Time{}},
		{"Null", "app:Text", `true`, nil},
		{"Null", "app:Text", `false`, nil},
		{"NotIpAddress", "app:Address", `"203.0.113.0/24"`, nil},
		{"StringNotEquals", "app:Text", `"a"`, nil},
		{"StringNotEquals", "app:Text", `"a"`, (*string)(nil)},
		{"ForAllValues:StringEquals", "app:Texts", `"a"`, "a"},
		{"ForAllValues:StringEquals", "app:Texts", `"a"`, strings.Split(strings.Repeat("a", 65), "")},
		{"ForAnyValue:StringEquals", "app:Texts", `"a"`, []string{long}},
	} {
		r := policy.Request{Values: map[string]any{tt.key: tt.has}}
		require.Equal(t, policy.NoMatch, conditional(t, "Allow", tt.operator, tt.key, tt.values).Evaluate(&r), "%v", tt)
		require.Equal(t, policy.Deny, conditional(t, "Deny", tt.operator, tt.key, tt.values).Evaluate(&r), "%v", tt)
	}
}

// ForAnyValue is false for an absent key and IfExists is true. Together they refuse.
func TestForAnyValueIfExistsRefuses(t *testing.T) {
	for _, operator := range []string{"ForAnyValue:StringEqualsIfExists", "ForAnyValue:StringNotEqualsIfExists"} {
		require.Equal(t, policy.NoMatch, conditional(t, "Allow", operator, "app:Texts", `"a"`).Evaluate(&policy.Request{}))
		require.Equal(t, policy.Deny, conditional(t, "Deny", operator, "app:Texts", `"a"`).Evaluate(&policy.Request{}))
	}
}

// All operators and all keys of a statement must hold.
func TestConditionsAreAllNeeded(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{
		"StringEquals":{"app:Text":"a","aws:UserAgent":["b","c"]},"NumericLessThan":{"app:Number":"3"}}}}`), own...)
	require.NoError(t, err)
	for _, tt := range []struct {
		text, agent string
		number      int
		want        policy.Decision
	}{
		{"a", "b", 2, policy.Allow},
		{"a", "c", 2, policy.Allow},
		{"b", "b", 2, policy.NoMatch},
		{"a", "a", 2, policy.NoMatch},
		{"a", "b", 3, policy.NoMatch},
	} {
		r := policy.Request{UserAgent: tt.agent, Values: map[string]any{"app:Text": tt.text, "app:Number": tt.number}}
		require.Equal(t, tt.want, p.Evaluate(&r), "%v", tt)
	}
}

// The fields of a request give AWS's keys.
func TestFieldsGiveKeys(t *testing.T) {
	session := policy.Request{
		Principal: "arn:aws:sts::123456789012:assumed-role/clerk/julian", SessionIssuer: "arn:aws:iam::123456789012:role/x/clerk",
		PrincipalTags: map[string]string{"Team": "tills"}, SourceIP: netip.MustParseAddr("203.0.113.7"), SourceVPCE: "vpce-1",
		Time: date("2026-11-30T12:00:00Z"), SecureTransport: true, UserAgent: "curl",
		Values: map[string]any{"aws:userid": "AROA:julian", "aws:SourceVpc": "vpc-1"},
	}
	pathless := session
	pathless.SessionIssuer = ""
	user := policy.Request{Principal: "arn:aws:iam::123456789012:user/x/julian"}
	federated := policy.Request{Principal: "arn:aws:sts::123456789012:federated-user/julian", SessionIssuer: user.Principal}
	root := policy.Request{Principal: "arn:aws:iam::123456789012:root"}
	stranger := policy.Request{Principal: "julian"}
	for _, tt := range []struct {
		r                     policy.Request
		operator, key, values string
		want                  bool
	}{
		{session, "ArnEquals", "aws:PrincipalArn", `"arn:aws:iam::123456789012:role/x/clerk"`, true},
		{pathless, "ArnEquals", "aws:PrincipalArn", `"arn:aws:iam::123456789012:role/clerk"`, true},
		{user, "ArnEquals", "aws:PrincipalArn", `"` + user.Principal + `"`, true},
		{federated, "ArnEquals", "aws:PrincipalArn", `"` + user.Principal + `"`, true},
		{stranger, "StringEquals", "aws:PrincipalArn", `"julian"`, true},
		{policy.Request{}, "Null", "aws:PrincipalArn", `true`, true},
		{session, "StringEquals", "aws:PrincipalAccount", `"123456789012"`, true},
		{stranger, "Null", "aws:PrincipalAccount", `true`, true},
		{session, "StringEquals", "aws:PrincipalType", `"AssumedRole"`, true},
		{user, "StringEquals", "aws:PrincipalType", `"User"`, true},
		{federated, "StringEquals", "aws:PrincipalType", `"FederatedUser"`, true},
		{root, "StringEquals", "aws:PrincipalType", `"Account"`, true},
		{policy.Request{}, "StringEquals", "aws:PrincipalType", `"Anonymous"`, true},
		{stranger, "Null", "aws:PrincipalType", `true`, true},
		{user, "StringEquals", "aws:username", `"julian"`, true},
		{session, "Null", "aws:username", `true`, true},
		{session, "StringEquals", "aws:PrincipalTag/Team", `"tills"`, true},
		{session, "StringEquals", "AWS:principaltag/team", `"tills"`, true},
		{session, "Null", "aws:PrincipalTag/Teams", `true`, true},
		{session, "IpAddress", "aws:SourceIp", `"203.0.113.0/24"`, true},
		{user, "Null", "aws:sourceip", `true`, true},
		{session, "StringEquals", "aws:SourceVpce", `"vpce-1"`, true},
		{user, "StringNotEquals", "aws:SourceVpce", `"vpce-1"`, true},
		{session, "DateEquals", "aws:CurrentTime", `"2026-11-30T12:00:00Z"`, true},
		{user, "DateGreaterThan", "aws:CurrentTime", `"2026-11-28"`, true},
		{session, "NumericLessThanEquals", "aws:EpochTime", `1796040000`, true},
		{session, "NumericLessThan", "aws:EpochTime", `1796040000`, false},
		{session, "DateEquals", "aws:EpochTime", `1796040000`, true},
		{session, "Bool", "aws:SecureTransport", `true`, true},
		{user, "Bool", "aws:SecureTransport", `false`, true},
		{session, "StringLike", "aws:UserAgent", `"c*"`, true},
		{session, "StringEquals", "aws:userid", `"AROA:julian"`, true},
		{session, "StringEquals", "AWS:USERID", `"AROA:julian"`, true},
		{session, "StringEquals", "aws:SourceVpc", `"vpc-1"`, true},
	} {
		require.Equal(t, tt.want, holds(t, tt.operator, tt.key, tt.values, tt.r), "%s %s %s", tt.operator, tt.key, tt.values)
	}
}

// Without a time in the request, its time is now.
func TestZeroTimeIsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"*","Resource":"` + stage + `/${aws:CurrentTime}","Condition":{"DateEquals":{"aws:CurrentTime":"2000-01-01T00:00:02Z"}}}]}`))
		require.NoError(t, err)
		r := on(stage + "/2000-01-01T00:00:02Z")
		require.Equal(t, policy.NoMatch, p.Evaluate(r))
		time.Sleep(2 * time.Second)
		require.Equal(t, policy.Allow, p.Evaluate(r))
		time.Sleep(time.Second)
		require.Equal(t, policy.NoMatch, p.Evaluate(r))
	})
}

// The spelling that a document uses comes before others; else the smallest counts, so that the result does not depend
// on the order of a map.
func TestNamesThatDifferInCase(t *testing.T) {
	r := policy.Request{PrincipalTags: map[string]string{"Team": "1", "team": "2", "TEAM": "3"}}
	for range 20 {
		require.True(t, holds(t, "StringEquals", "aws:PrincipalTag/Team", `"1"`, r))
		require.True(t, holds(t, "StringEquals", "aws:PrincipalTag/team", `"2"`, r))
		require.True(t, holds(t, "StringEquals", "aws:PrincipalTag/tEAM", `"3"`, r))
	}
}

// What is not understood refuses, by its name and path, in a statement that allows as in one that denies.
func TestConditionsThatAreNotUnderstood(t *testing.T) {
	for _, tt := range []struct{ condition, want string }{
		{`{"StringEqual":{"aws:UserAgent":"a"}}`, `StringEqual: unknown operator "StringEqual"`},
		{`{"stringequals":{"aws:UserAgent":"a"}}`, `stringequals: unknown operator`},
		{`{"StringEquals IfExists":{}}`, `"StringEquals IfExists": unknown operator`},
		{`{"NullIfExists":{"aws:UserAgent":"true"}}`, `NullIfExists: unknown operator`},
		{`{"ForAnyValue:Null":{"aws:UserAgent":"true"}}`, `ForAnyValue:Null: unknown operator`},
		{`{"ForAllValues:":{}}`, `ForAllValues:: unknown operator`},
		{`{"IfExists":{}}`, `IfExists: unknown operator`},
		{`{"StringEquals":{"aws:ResourceTag/x":"a"}}`, `StringEquals.aws:ResourceTag/x: unknown key "aws:ResourceTag/x"`},
		{`{"StringEquals":{"aws:PrincipalTag/":"a"}}`, `unknown key "aws:PrincipalTag/"`},
		{`{"StringEquals":{"a\nb":"a"}}`, `StringEquals."a\nb": unknown key "a\nb"`},
		{`{"StringEquals":{"cognito-identity.amazonaws.com:a\nb":"a"}}`, `StringEquals."cognito-identity.amazonaws.com:a\nb": unknown key`},
		{`{"StringEquals":{"cognito-identity.amazonaws.com:x":"a"}}`, `StringEquals.cognito-identity.amazonaws.com:x: unknown key`},
		{`{"StringEquals":{"app:Other":"a"}}`, `unknown key "app:Other"`},
		{`{"Null":{"app:Other":"true"}}`, `Null.app:Other: unknown key "app:Other"`},
		{`{"StringNotEqualsIfExists":{"app:Other":"a"}}`, `unknown key "app:Other"`},
		{`{"StringEquals":{"aws:SourceIp":"203.0.113.7"}}`, `StringEquals.aws:SourceIp: StringEquals does not fit the key, which is of type IPAddress`},
		{`{"IpAddress":{"aws:UserAgent":"203.0.113.7"}}`, `IpAddress does not fit the key, which is of type String`},
		{`{"ArnLike":{"aws:UserAgent":"arn:*:*:*:*:*"}}`, `ArnLike does not fit the key, which is of type String`},
		{`{"NumericEquals":{"aws:CurrentTime":"1"}}`, `NumericEquals does not fit the key, which is of type Date`},
		{`{"StringEquals":{"app:Texts":"a"}}`, `the key may have several values: write ForAllValues:StringEquals or ForAnyValue:StringEquals`},
		{`{"StringEquals":{"aws:UserAgent":[]}}`, `StringEquals.aws:UserAgent: empty`},
		{`{"StringEquals":{"aws:UserAgent":null}}`, `StringEquals.aws:UserAgent: found null, expected a value or an array`},
		{`{"StringEquals":{"aws:UserAgent":["a",{}]}}`, `StringEquals.aws:UserAgent[1]: found {, expected a string, a number or a boolean`},
		{`{"StringEquals":{"aws:UserAgent":"a","aws:UserAgent":"a"}}`, `StringEquals.aws:UserAgent: occurs twice`},
		{`{"StringEquals":{"aws:UserAgent":"a","aws:useragent":"a"}}`, `StringEquals.aws:useragent: occurs twice`},
		{`{"StringEquals":{"aws:UserAgent":"a"},"StringEquals":{"aws:UserAgent":"a"}}`, `Condition.StringEquals: occurs twice`},
		{`{"StringLike":{"aws:UserAgent":["*","a\u0001"]}}`, `StringLike.aws:UserAgent[1]: "a\x01" has a control character`},
		{`{"StringEquals":{"aws:UserAgent":"\ufffd"}}`, `has a control character or U+FFFD`},
		{`{"ArnEquals":{"aws:PrincipalArn":"*"}}`, `ArnEquals.aws:PrincipalArn[0]: "*" is not an ARN`},
		{`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::1"}}`, `is not an ARN`},
		{`{"ArnEquals":{"aws:PrincipalArn":"xarn:aws:iam::1:x"}}`, `is not an ARN`},
		{`{"NumericEquals":{"app:Number":"0x10"}}`, `NumericEquals.app:Number[0]: "0x10" is not a number`},
		{`{"NumericEquals":{"app:Number":"NaN"}}`, `is not a number`},
		{`{"NumericEquals":{"app:Number":"1_0"}}`, `is not a number`},
		{`{"NumericEquals":{"app:Number":"1e999"}}`, `is not a number`},
		{`{"NumericEquals":{"app:Number":true}}`, `"true" is not a number`},
		{`{"NumericEquals":{"app:Number":["0e0","-1e-400"]}}`, `"-1e-400" is too small a number`},
		{`{"NumericEquals":{"app:Number":"9007199254740993"}}`, `has more than 15 digits`},
		{`{"DateEquals":{"app:Date":"2020"}}`, `"2020" is either a year or an epoch time`},
		{`{"DateEquals":{"app:Date":"2020-01-01T00:00:00"}}`, `is neither a date of ISO 8601 nor an epoch time`},
		{`{"DateEquals":{"app:Date":"2020-13-01"}}`, `is neither a date of ISO 8601 nor an epoch time`},
		{`{"DateEquals":{"app:Date":"2020-01-*"}}`, `is neither a date`},
		{`{"DateEquals":{"app:Date":"2020-01-01T00:00:00,5Z"}}`, `is neither a date`},
		{`{"DateEquals":{"app:Date":1600000000000}}`, `is no epoch time in seconds`},
		{`{"DateEquals":{"app:Date":"99999999999999999999"}}`, `is no epoch time in seconds`},
		{`{"Bool":{"app:Bool":"yes"}}`, `"yes" is neither true nor false`},
		{`{"Bool":{"app:Bool":"${aws:username}"}}`, `is neither true nor false`},
		{`{"Null":{"app:Bool":""}}`, `"" is neither true nor false`},
		{`{"BinaryEquals":{"app:Binary":"AA"}}`, `is not base64`},
		{`{"BinaryEquals":{"app:Binary":"AA==\n"}}`, `is not base64`},
		{`{"BinaryEquals":{"app:Binary":"AB=="}}`, `is not base64`},
		{`{"IpAddress":{"aws:SourceIp":"203.0.113.0/33"}}`, `"203.0.113.0/33" is neither an address nor a network`},
		{`{"IpAddress":{"aws:SourceIp":"203.0.113.*"}}`, `is neither an address nor a network`},
		{`{"IpAddress":{"aws:SourceIp":"fe80::1%eth0"}}`, `is neither an address nor a network`},
		{`{"IpAddress":{"aws:SourceIp":"::ffff:203.0.113.0/120"}}`, `write the IPv4 address`},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			_, err := policy.Parse([]byte(`{"Statement":[{"Effect":"`+effect+`","Action":"*","Resource":"*","Condition":`+tt.condition+`}]}`), own...)
			require.ErrorIs(t, err, policy.ErrInvalid, tt.condition)
			require.ErrorContains(t, err, "Statement[0].Condition", tt.condition)
			require.ErrorContains(t, err, tt.want)
		}
	}
}

// The prefix of a key may be the name of an identity provider.
func TestKeyOfAnIdentityProvider(t *testing.T) {
	const name = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:sub"
	p, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{
		"StringEquals":{"`+name+`":"system:serviceaccount:default:points"}}}}`), policy.Key{Name: name, Type: "String"})
	require.NoError(t, err)
	for sub, want := range map[string]policy.Decision{"system:serviceaccount:default:points": policy.Allow, "other": policy.NoMatch} {
		require.Equal(t, want, p.Evaluate(&policy.Request{Resource: stage + "/GET/a", Values: map[string]any{name: sub}}))
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	for _, tt := range []struct {
		keys []policy.Key
		want string
	}{
		{[]policy.Key{{}}, `Key[0]: "" is not of the form prefix:name`},
		{[]policy.Key{{Name: "Tier", Type: "String"}}, `"Tier" is not of the form prefix:name`},
		{[]policy.Key{{Name: "app:T*", Type: "String"}}, `is not of the form prefix:name`},
		{[]policy.Key{{Name: "login.example/a b:sub", Type: "String"}}, `is not of the form prefix:name`},
		{[]policy.Key{{Name: "app:Tier", Type: "Text"}}, `Key[0]: "Text" is no type`},
		{[]policy.Key{{Name: "app:Tier", Type: "String"}, {Name: "APP:tier", Type: "String"}}, `Key[1]: "APP:tier" is taken`},
		{[]policy.Key{{Name: "AWS:Tier", Type: "String"}}, `"AWS:Tier" is taken`},
		{[]policy.Key{{Name: "cognito-identity.amazonaws.com:SUB", Type: "String"}}, `is taken`},
	} {
		_, err := policy.New(document("Allow", "*"), tt.keys...)
		require.ErrorIs(t, err, policy.ErrInvalid)
		require.ErrorContains(t, err, tt.want)
	}
}

func TestKeysListsWhatADocumentAsksFor(t *testing.T) {
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"*","Resource":"`+stage+`/GET/${app:Text}","Condition":{"IpAddress":{"AWS:SOURCEIP":"203.0.113.0/24"}}},
		{"Effect":"Deny","Principal":{"AWS":"123456789012"},"Action":"*","NotResource":"*","Condition":{"StringLike":{"aws:UserAgent":"${aws:PrincipalTag/Team, 'x'}${*}"}}}]}`), own...)
	require.NoError(t, err)
	require.Equal(t, []string{"app:Text", "aws:PrincipalArn", "aws:PrincipalTag/Team", "aws:SourceIp", "aws:UserAgent"}, p.Keys())
	p, err = policy.Parse([]byte(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`))
	require.NoError(t, err)
	require.Empty(t, p.Keys())
	require.Empty(t, (*policy.Policy)(nil).Keys())
}

// A document keeps its meaning when it is written and read again.
func TestConditionsSurviveJSON(t *testing.T) {
	const text = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["*"],"Resource":["*"],` +
		`"Condition":{"Bool":{"aws:SecureTransport":["true"]},"NumericLessThan":{"aws:EpochTime":["1e3"]},"StringEquals":{}}}]}`
	var d policy.Document
	require.NoError(t, json.Unmarshal([]byte(strings.NewReplacer(`["true"]`, `true`, `["1e3"]`, `1e3`, `{"AWS":["*"]}`, `"*"`).Replace(text)), &d))
	got, err := json.Marshal(d)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}
