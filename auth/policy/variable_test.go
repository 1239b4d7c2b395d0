package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// homes returns a policy of one statement for a resource below the stage, which may have variables.
func homes(t testing.TB, effect, element, path string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"`+effect+`","Action":"*","`+element+`":"`+stage+path+`"}]}`), own...)
	require.NoError(t, err)
	return p
}

func TestVariablesOfResources(t *testing.T) {
	julian := policy.Request{
		Principal: "arn:aws:iam::123456789012:user/x/julian", SourceIP: netip.MustParseAddr("::ffff:203.0.113.7"),
		Time: date("2026-11-30T12:00:00.9Z"), PrincipalTags: map[string]string{"Team": "tills", "Any": "*", "One": "?", "Dollar": "${aws:username}"},
		Values: map[string]any{"app:Number": 1.50, "app:Bool": true, "app:Text": ""},
	}
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"/GET/${aws:username}/*", "/GET/julian/1", true},
		{"/GET/${aws:username}/*", "/GET/julia/1", false},
		{"/GET/${AWS:UserName}", "/GET/julian", true},
		{"/GET/*/${aws:username}", "/GET/a/b/julian", true},
		{"/GET/${aws:username}${aws:username}", "/GET/julianjulian", true},
		{"/GET/*${aws:username}*", "/GET/a-julian-b", true},
		{"/GET/?${aws:username}?", "/GET/\u00e9julian\u00e9", true},
		{"/GET/${aws:PrincipalTag/Team}", "/GET/tills", true},
		{"/GET/${aws:principaltag/TEAM}", "/GET/tills", true},
		{"/GET/${aws:SourceIp}", "/GET/203.0.113.7", true},
		{"/GET/${aws:CurrentTime}", "/GET/2026-11-30T12:00:00Z", true},
		{"/GET/${aws:EpochTime}", "/GET/1796040000", true},
		{"/GET/${aws:SecureTransport}", "/GET/false", true},
		{"/GET/${app:Number}-${app:Bool}", "/GET/1.5-true", true},
		{"/GET/${app:Text}x", "/GET/x", true},
		// Special characters, and wildcards in values, are themselves.
		{"/GET/${*}", "/GET/*", true},
		{"/GET/${*}", "/GET/a", false},
		{"/GET/${?}${$}", "/GET/?$", true},
		{"/GET/${?}", "/GET/a", false},
		{"/GET/${$}{aws:username}", "/GET/${aws:username}", true},
		{"/GET/${aws:PrincipalTag/Any}", "/GET/a", false},
		{"/GET/${aws:PrincipalTag/Any}", "/GET/*", true},
		{"/GET/${aws:PrincipalTag/One}", "/GET/a", false},
		{"/GET/*${aws:PrincipalTag/Any}*", "/GET/a*b", true},
		{"/GET/*${aws:PrincipalTag/Any}*", "/GET/ab", false},
		{"/GET/${aws:PrincipalTag/Dollar}", "/GET/julian", false},
		{"/GET/${aws:PrincipalTag/Dollar}", "/GET/${aws:username}", true},
		// Defaults.
		{"/GET/${aws:username, 'nobody'}", "/GET/julian", true},
		{"/GET/${aws:PrincipalTag/No, 'company-wide'}", "/GET/company-wide", true},
		{"/GET/${aws:PrincipalTag/No, ''}x", "/GET/x", true},
		{"/GET/${aws:PrincipalTag/No, '*'}", "/GET/a", false},
		{"/GET/${aws:PrincipalTag/No, 'a}b'}c", "/GET/a}bc", true},
		{"/GET/${app:Text, 'x'}", "/GET/x", false}, // the key is there, with an empty value
		// A variable without a value matches nothing.
		{"/GET/${aws:PrincipalTag/No}*", "/GET/a", false},
		{"/GET/*${app:Date}", "/GET/", false},
	} {
		r := julian
		r.Resource = stage + tt.path
		require.Equal(t, tt.want, homes(t, "Allow", "Resource", tt.pattern).Evaluate(&r) == policy.Allow, "%s %s", tt.pattern, tt.path)
		require.Equal(t, tt.want, homes(t, "Deny", "Resource", tt.pattern).Evaluate(&r) == policy.Deny, "%s %s", tt.pattern, tt.path)
	}
}

// A variable without a value must not make a negation allow.
func TestVariableWithoutValueDoesNotAllow(t *testing.T) {
	for _, r := range []policy.Request{
		{Resource: stage + "/GET/a"},
		{Resource: stage + "/GET/a", Values: map[string]any{"app:Text": 1}},
		{Resource: stage + "/GET/a", Values: map[string]any{"app:Text": "a\x00"}},
		{Resource: stage + "/GET/a", Values: map[string]any{"app:Text": "\x01"}},
		{Resource: stage + "/GET/a", Values: map[string]any{"app:Text": "\xff"}},
		{Resource: stage + "/GET/a", Values: map[string]any{"app:Text": strings.Repeat("a", 2049)}},
	} {
		require.Equal(t, policy.NoMatch, homes(t, "Allow", "NotResource", "/GET/${app:Text}").Evaluate(&r))
		require.Equal(t, policy.Deny, homes(t, "Deny", "NotResource", "/GET/${app:Text}").Evaluate(&r))
		require.Equal(t, policy.NoMatch, homes(t, "Allow", "Resource", "/GET/${app:Text}").Evaluate(&r))
		// A variable without a value matches nothing. With a value that cannot be judged it might match.
		denied := policy.NoMatch
		if r.Values != nil {
			denied = policy.Deny
		}
		require.Equal(t, denied, homes(t, "Deny", "Resource", "/GET/${app:Text}").Evaluate(&r))
		require.Equal(t, policy.NoMatch, homes(t, "Deny", "Resource", "/POST/${app:Text}").Evaluate(&r), "the beginning does not match")
		require.Equal(t, denied, conditional(t, "Deny", "StringLike", "aws:PrincipalType", `"${app:Text}*"`).Evaluate(&r))
		require.Equal(t, denied, conditional(t, "Deny", "StringEquals", "aws:PrincipalType", `"${app:Text, 'x'}"`).Evaluate(&r))
		r.UserAgent = "curl"
		for _, operator := range []string{"StringNotEquals", "StringNotLike", "StringNotEqualsIgnoreCase", "ForAllValues:StringNotEquals"} {
			require.Equal(t, policy.NoMatch, conditional(t, "Allow", operator, "aws:UserAgent", `"${app:Text}"`).Evaluate(&r), operator)
			require.Equal(t, policy.Deny, conditional(t, "Deny", operator, "aws:UserAgent", `"${app:Text}"`).Evaluate(&r), operator)
		}
		require.Equal(t, policy.NoMatch, conditional(t, "Allow", "StringLike", "aws:UserAgent", `"${app:Text}*"`).Evaluate(&r))
		require.Equal(t, policy.Allow, conditional(t, "Allow", "StringLike", "aws:UserAgent", `["${app:Text}*","c*"]`).Evaluate(&r), "the other value matches")
	}
}

func TestVariablesOfConditions(t *testing.T) {
	r := policy.Request{
		Principal: "arn:aws:iam::123456789012:user/julian", UserAgent: "julian/1.0",
		Values: map[string]any{"app:Text": "*", "app:Arn": "arn:aws:sns:eu-west-1:123456789012:julian", "aws:userid": "x:y"},
	}
	for _, tt := range []struct {
		operator, key, values string
		want                  bool
	}{
		{"StringLike", "aws:UserAgent", `"${aws:username}/*"`, true},
		{"StringEquals", "aws:UserAgent", `"${aws:username}/1.0"`, true},
		{"StringEquals", "aws:UserAgent", `"${aws:username}/*"`, false},
		{"StringEqualsIgnoreCase", "aws:UserAgent", `"${aws:UserAgent}"`, true},
		{"StringLike", "aws:UserAgent", `"${app:Text}"`, false},
		{"StringLike", "app:Text", `"${app:Text}"`, true},
		{"StringLike", "app:Text", `"${app:Text}${app:Text}"`, false},
		{"ArnEquals", "app:Arn", `"arn:aws:sns:*:${aws:PrincipalAccount}:${aws:username}"`, true},
		// A colon in a value must not move the parts.
		{"ArnEquals", "app:Arn", `"arn:aws:sns:eu-west-1:${aws:userid}:*"`, false},
		{"StringEquals", "aws:UserAgent", `"${aws:SourceIp, 'julian'}/1.0"`, true},
	} {
		require.Equal(t, tt.want, holds(t, tt.operator, tt.key, tt.values, r), "%s %s", tt.operator, tt.values)
	}
	r.Values["app:Arn"] = "arn:aws:sns:eu-west-1:x:y:julian"
	require.False(t, holds(t, "ArnEquals", "app:Arn", `"arn:aws:sns:eu-west-1:${aws:userid}:julian"`, r))
}

func TestVariablesThatAreRefused(t *testing.T) {
	for _, tt := range []struct{ resource, want string }{
		{stage + "/${aws:name}", `Statement[0].Resource[0]: "` + stage + `/${aws:name}" has the unknown variable "aws:name"`},
		{stage + "/${}", `has the unknown variable ""`},
		{stage + "/${**}", `has the unknown variable "**"`},
		{stage + "/${aws:username", `has "${" without its end`},
		{stage + "/${aws:username, 'x}", `has "${" without its end`},
		{stage + "/${aws:username,'x'}", `has the unknown variable "aws:username,'x'"`},
		{stage + "/${aws:username, x}", `has the unknown variable "aws:username, x"`},
		{stage + "/${ aws:username}", `has the unknown variable " aws:username"`},
		{stage + "/${${aws:username}}", `has the unknown variable "${aws:username"`},
		{stage + "/${aws:PrincipalOrgPaths}", `which may have several values`},
		{stage + "/${app:Binary}", `which is no text`},
		{"arn:aws:execute-api:${aws:username}:123456789012:a1b2c3d4e5/*", `has a variable before the fifth colon`},
		{"arn:aws:execute-api:eu-west-1:${aws:PrincipalAccount}:*", `has a variable before the fifth colon`},
	} {
		for _, effect := range []string{"Allow", "Deny"} {
			_, err := policy.New(document(effect, tt.resource), own...)
			require.ErrorIs(t, err, policy.ErrInvalid)
			require.ErrorContains(t, err, tt.want)
		}
	}
}

// The short form of a resource begins at the stage, and is about APIs only.
func TestShortResources(t *testing.T) {
	for _, tt := range []struct {
		pattern, resource string
		want              bool
	}{
		{"execute-api:/*", stage + "/GET/a", true},
		{"execute-api:/Prod/*", stage + "/GET/a", true},
		{"execute-api:/Prod/GET/a", stage + "/GET/a", true},
		{"execute-api:/*/GET/a", stage + "/GET/a", true},
		{"execute-api:/Pr?d/GET/a", stage + "/GET/a", true},
		{"execute-api:/Prod/GET", stage + "/GET/a", false},
		{"execute-api:/GET/a", stage + "/GET/a", false},
		{"execute-api:/Prod/GET/a", stage + "/GET/Prod/GET/a", false},
		{"execute-api:/Prod/${aws:username}", stage + "/julian", true},
		{"execute-api:/Prod/${aws:username}", stage + "/bob", false},
		{"execute-api:/*", "arn:aws:s3:::a/b", false},
		{"execute-api:/*", "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5", false},
		{"execute-api:/*", "/Prod/GET/a", false},
		{"execute-api:/*", "", false},
	} {
		r := policy.Request{Resource: tt.resource, Principal: "arn:aws:iam::123456789012:user/julian"}
		for effect, decision := range map[string]policy.Decision{"Allow": policy.Allow, "Deny": policy.Deny} {
			d := document(effect, tt.pattern)
			p, err := policy.New(d)
			require.NoError(t, err)
			require.Equal(t, tt.want, p.Evaluate(&r) == decision, "%s %s", tt.pattern, tt.resource)
			d.Statement[0].Resource, d.Statement[0].NotResource = nil, d.Statement[0].Resource
			p, err = policy.New(d)
			require.NoError(t, err)
			require.Equal(t, !tt.want, p.Evaluate(&r) == decision, "not %s %s", tt.pattern, tt.resource)
		}
	}
}
