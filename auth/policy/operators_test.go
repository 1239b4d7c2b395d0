package policy_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// operatorCase is one row of testdata/operators.json. Says is what the IAM User Guide says about it, in short, or that
// it says nothing and what the package does then.
type operatorCase struct {
	Operator string
	Type     string   // of the key, as in ownKeys
	Wanted   []string // by the document
	Present  []string // in the request; nil if the request does not have the key
	Holds    bool
	Says     string
}

// ownKeys has a key of an application's own for each type. The names are the types in operators.json.
var ownKeys = []policy.Key{
	{Name: "app:text", Type: "String"},
	{Name: "app:texts", Type: "ArrayOfString"},
	{Name: "app:number", Type: "Numeric"},
	{Name: "app:date", Type: "Date"},
	{Name: "app:bool", Type: "Bool"},
	{Name: "app:binary", Type: "Binary"},
	{Name: "app:address", Type: "IPAddress"},
	{Name: "app:arn", Type: "ARN"},
}

// value returns the value of a request for a key of the type, of texts.
func value(t *testing.T, kind string, texts []string) any {
	t.Helper()
	if kind == "texts" {
		return texts
	}
	require.Len(t, texts, 1)
	var v any = texts[0]
	var err error
	switch kind {
	case "number":
		v, err = strconv.ParseFloat(texts[0], 64)
	case "date":
		v, err = time.Parse(time.RFC3339Nano, texts[0])
	case "bool":
		v, err = strconv.ParseBool(texts[0])
	case "binary":
		v = []byte(texts[0])
	case "address":
		v, err = netip.ParseAddr(texts[0])
	default:
		require.Contains(t, []string{"text", "arn"}, kind)
	}
	require.NoError(t, err)
	return v
}

func operatorCases(t *testing.T) (cases []operatorCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/operators.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &cases))
	require.Greater(t, len(cases), 300)
	return cases
}

// withCondition returns the policy of one statement with one condition. The names of the keys may be in any case.
func withCondition(t *testing.T, effect, operator, key string, values []string) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Document{Version: "2012-10-17", Statement: []policy.Statement{{
		Effect: effect, Action: []string{"*"}, Resource: []string{"*"},
		Condition: map[string]map[string][]string{operator: {key: values}},
	}}}, ownKeys...)
	require.NoError(t, err, "%s %s %q", operator, key, values)
	return p
}

// Each operator does what AWS's documentation says, where it allows and where it denies, for a key of the application's
// own in any case.
func TestOperatorsDoWhatAWSDocuments(t *testing.T) {
	for _, c := range operatorCases(t) {
		r := &policy.Request{Resource: stage + "/GET/"}
		if c.Present != nil {
			r.Values = map[string]any{"app:" + c.Type: value(t, c.Type, c.Present)}
		}
		for effect, decision := range map[string]policy.Decision{"Allow": policy.Allow, "Deny": policy.Deny} {
			for _, key := range []string{"app:" + c.Type, "APP:" + strings.ToUpper(c.Type)} {
				got := withCondition(t, effect, c.Operator, key, c.Wanted).Evaluate(r)
				require.Equal(t, c.Holds, got == decision, "%s %s %s %q for %q: %s", effect, c.Operator, key, c.Wanted, c.Present, c.Says)
				require.Equal(t, !c.Holds, got == policy.NoMatch, "%s %s %s %q for %q: %s", effect, c.Operator, key, c.Wanted, c.Present, c.Says)
			}
		}
	}
}

// Every operator of AWS's page has a row in which it holds and one in which it does not, for a present key and for an
// absent one. For an absent key, only Null and the sets of all or any values have both.
func TestEveryOperatorHasItsCases(t *testing.T) {
	seen := map[string]map[[2]bool]bool{}
	for _, c := range operatorCases(t) {
		if seen[c.Operator] == nil {
			seen[c.Operator] = map[[2]bool]bool{}
		}
		seen[c.Operator][[2]bool{c.Present != nil, c.Holds}] = true
	}
	plain := strings.FieldsSeq(`StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike StringNotLike
		NumericEquals NumericNotEquals NumericLessThan NumericLessThanEquals NumericGreaterThan NumericGreaterThanEquals
		DateEquals DateNotEquals DateLessThan DateLessThanEquals DateGreaterThan DateGreaterThanEquals
		Bool BinaryEquals IpAddress NotIpAddress ArnEquals ArnNotEquals ArnLike ArnNotLike`)
	for operator := range plain {
		for _, name := range []string{operator, operator + "IfExists"} {
			require.True(t, seen[name][[2]bool{true, true}] && seen[name][[2]bool{true, false}], name)
			absent := strings.HasSuffix(name, "IfExists") || strings.Contains(name, "Not")
			require.True(t, seen[name][[2]bool{false, absent}] && !seen[name][[2]bool{false, !absent}], name)
		}
	}
	require.Len(t, seen["Null"], 4)
}

// The keys of AWS that have a field in Request are read from it, in any case.
func TestKeysOfARequestAreReadInAnyCase(t *testing.T) {
	r := &policy.Request{
		Resource: stage + "/GET/", Principal: "arn:aws:sts::123456789012:assumed-role/clerk/julian",
		SessionIssuer: "arn:aws:iam::123456789012:role/clerk", PrincipalTags: map[string]string{"Team": "loyalty"},
		SourceIP: netip.MustParseAddr("203.0.113.7"), SourceVPCE: "vpce-1a2b3c4d", Time: time.Unix(1577836801, 0),
		SecureTransport: true, UserAgent: "curl/8", Values: map[string]any{"aws:VpcSourceIp": netip.MustParseAddr("10.0.0.1")},
	}
	for _, tt := range []struct{ operator, key, yes, no string }{
		{"IpAddress", "aws:SourceIp", "203.0.113.0/24", "198.51.100.0/24"},
		{"IpAddress", "aws:VpcSourceIp", "10.0.0.0/8", "192.168.0.0/16"},
		{"DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:02Z", "2020-01-01T00:00:01Z"},
		{"Bool", "aws:SecureTransport", "true", "false"},
		{"StringLike", "aws:UserAgent", "curl/*", "boto3/*"},
		{"ArnEquals", "aws:PrincipalArn", "arn:aws:iam::123456789012:role/clerk", "arn:aws:sts::123456789012:assumed-role/clerk/julian"},
		{"StringEquals", "aws:PrincipalAccount", "123456789012", "210987654321"},
		{"StringEquals", "aws:PrincipalTag/Team", "loyalty", "Loyalty"},
		{"StringEquals", "aws:PrincipalTag/team", "loyalty", "other"},
		{"StringEquals", "aws:SourceVpce", "vpce-1a2b3c4d", "vpce-1A2B3C4D"},
		{"Null", "aws:PrincipalTag/Other", "true", "false"},
	} {
		for _, key := range []string{tt.key, strings.ToLower(tt.key), strings.ToUpper(tt.key)} {
			require.Equal(t, policy.Allow, withCondition(t, "Allow", tt.operator, key, []string{tt.yes}).Evaluate(r), key)
			require.Equal(t, policy.NoMatch, withCondition(t, "Allow", tt.operator, key, []string{tt.no}).Evaluate(r), key)
		}
	}
}
