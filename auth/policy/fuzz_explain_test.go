package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/policy"
)

// FuzzExplain checks, for every document that is accepted, that Explain has the decision of Evaluate and a statement
// that applies for each decision but NoMatch, and that Lint comes to an end.
func FuzzExplain(f *testing.F) {
	for _, statement := range []string{
		allowAll, denyAdmin, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":["execute-api:/Prod/*","execute-api:/Prod/GET/a:b"]}`,
		`{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"NotAction":"s3:*","NotResource":"arn:aws:execute-api:*"}`,
		condition("Allow", "ForAllValues:StringLike", "app:texts", `["${aws:username, 'a'}*","${*}"]`), condition("Deny", "Null", "aws:PrincipalTag/a", `true`),
		condition("Allow", "NumericLessThan", "app:number", `[1,2]`), condition("Deny", "NotIpAddressIfExists", "app:address", `"203.0.113.7/24"`),
		condition("Allow", "BinaryEquals", "app:binary", `"AA=="`), condition("Allow", "DateLessThan", "aws:EpochTime", `"2026-01"`),
	} {
		f.Add(strings.ReplaceAll(`{"Version":"2012-10-17","Statement":`+statement+`}`, "STAGE", stage), stage+"/GET/a:b", "julian")
	}
	f.Fuzz(func(t *testing.T, document, resource, text string) {
		p, err := policy.Parse([]byte(document), ownKeys...)
		if err != nil {
			return
		}
		r := &policy.Request{
			Resource: resource, Principal: "arn:aws:iam::123456789012:user/" + text, UserAgent: text, PrincipalTags: map[string]string{"a": text},
			Values: map[string]any{"app:texts": []string{text, "a"}, "app:binary": text, "app:number": 1},
		}
		e := p.Explain(r)
		require.Equal(t, p.Evaluate(r), e.Decision)
		applied := map[string]bool{}
		for _, s := range e.Steps {
			if s.Holds && !strings.Contains(s.Path, "].") {
				applied[s.Want[0]] = true
			}
		}
		require.Equal(t, e.Decision == policy.Deny, applied["Deny"], "%v", e)
		require.Equal(t, e.Decision == policy.Allow, applied["Allow"] && !applied["Deny"], "%v", e)
		require.Equal(t, len(e.Steps), strings.Count(e.String(), "\n"))
		for _, w := range p.Lint() {
			require.NotEmpty(t, w.Message)
		}
	})
}
