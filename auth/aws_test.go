package auth_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

const (
	stsURL     = "https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws"
	stsAccount = "123456789012"
	stsRole    = "arn:aws:iam::123456789012:role/DataProcessingRole"
)

// stsClaims is the sample of AWS's page "Understanding token claims". The maps set members, or remove them if nil.
func stsClaims(claims, identity map[string]any) string {
	inner := map[string]any{
		"aws_account": stsAccount, "source_region": "us-east-1", "org_id": "o-abc1234567",
		"ou_path":                    "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/",
		"principal_tags":             map[string]any{"environment": "production", "team": "data-engineering", "cost-center": "engineering"},
		"lambda_source_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:process-data",
		"request_tags":               map[string]any{"job-id": "job-2024-001", "priority": "high"},
		"original_session_exp":       "2124-01-15T10:00:00Z",
	}
	maps.Copy(inner, identity)
	maps.DeleteFunc(inner, func(_ string, v any) bool { return v == nil })
	outer := map[string]any{
		"iss": stsURL, "aud": "https://api.example.com", "sub": stsRole, "iat": 1_700_000_000,
		"jti": "xyz123-def456-ghi789-jkl012", "https://sts.amazonaws.com/": inner,
	}
	maps.Copy(outer, claims)
	return goodClaims(outer)
}

// sts is the issuer of an account. The kids and members of its two keys are like those in AWS's key set.
func sts() auth.Issuer {
	is := auth.AWSIdentity(stsURL, "https://api.example.com")
	is.Keys = set(
		jwk(rsaPrivate().Public(), "RSA_0", ""),
		jwk(signers()["ES384"].key.Public(), "EC384_0", "ES384"),
		jwk(signers()["ES256"].key.Public(), "EC256_0", "ES256"), // AWS has no such key
	)
	return is
}

func stsToken(claims string) string {
	return signedAs(signers()["ES384"], `{"kid":"EC384_0","typ":"JWT","alg":"ES384"}`, claims)
}

func TestAWSIdentityReadsAWSTokens(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{sts()}})
	want := auth.AWSPrincipal{
		Account: stsAccount, ARN: stsRole, OrgID: "o-abc1234567",
		OrgPath: "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/", Region: "us-east-1",
		FunctionARN: "arn:aws:lambda:us-east-1:123456789012:function:process-data",
		Tags:        map[string]string{"environment": "production", "team": "data-engineering", "cost-center": "engineering"},
		RequestTags: map[string]string{"job-id": "job-2024-001", "priority": "high"},
	}
	for name, raw := range map[string]string{
		"ES384": stsToken(stsClaims(nil, nil)),
		"RS256": signedAs(signers()["RS256"], `{"kid":"RSA_0","typ":"JWT","alg":"RS256"}`, stsClaims(nil, nil)),
	} {
		got, err := v.VerifyToken(t.Context(), raw)
		require.NoError(t, err, name)
		require.Equal(t, stsURL+" "+stsRole, got.ID)
		p, ok := got.AWSPrincipal()
		require.True(t, ok, name)
		require.Equal(t, want, p, name)
		p.Tags["team"], p.RequestTags["priority"] = "changed", "changed"
		p, _ = got.AWSPrincipal()
		require.Equal(t, want, p, "the maps are copies")
	}
	require.ErrorIs(t, verify(v, signedAs(signers()["ES256"], `{"kid":"EC256_0","typ":"JWT","alg":"ES256"}`, stsClaims(nil, nil))), auth.ErrAlgorithm)
	require.ErrorIs(t, verify(v, stsToken(stsClaims(map[string]any{"aud": "https://other.example"}, nil))), auth.ErrOtherAudience)
	require.ErrorIs(t, verify(v, stsToken(stsClaims(map[string]any{"aud": nil}, nil))), auth.ErrOtherAudience)
	require.ErrorIs(t, verify(v, stsToken(stsClaims(map[string]any{"iss": "https://b103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws"}, nil))), auth.ErrIssuer,
		"another account's issuer")
	require.NoError(t, verify(v, stsToken(stsClaims(map[string]any{"aud": []string{"x", "https://api.example.com"}}, nil))), "up to ten audiences")
}

// There is a principal only if the token names it completely and without contradiction.
func TestAWSPrincipalNeedsConsistentClaims(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{sts()}})
	for _, row := range []struct {
		name             string
		claims, identity map[string]any
		want             string // the ARN
	}{
		{"a role", nil, nil, stsRole},
		{"a role of Identity Center", map[string]any{"sub": "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-2/AWSReservedSSO_Admin_c95738f708c1c268"}, nil, "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-2/AWSReservedSSO_Admin_c95738f708c1c268"},
		{"a user of another partition", map[string]any{"sub": "arn:aws-us-gov:iam::123456789012:user/ada"}, nil, "arn:aws-us-gov:iam::123456789012:user/ada"},
		{"no organization, no tags", nil, map[string]any{"org_id": nil, "ou_path": nil, "principal_tags": nil, "request_tags": nil, "lambda_source_function_arn": nil}, stsRole},
		{"members unknown here", nil, map[string]any{"ec2_role_delivery": 2, "new": map[string]any{"a": 1}}, stsRole},
		{"no namespace", map[string]any{"https://sts.amazonaws.com/": nil}, nil, ""},
		{"the namespace without its slash", map[string]any{"https://sts.amazonaws.com": map[string]any{"aws_account": stsAccount}, "https://sts.amazonaws.com/": nil}, nil, ""},
		{"a namespace that is no object", map[string]any{"https://sts.amazonaws.com/": stsAccount}, nil, ""},
		{"no account", nil, map[string]any{"aws_account": nil}, ""},
		{"an account that is a number", nil, map[string]any{"aws_account": int64(123456789012)}, ""},
		{"a short account", map[string]any{"sub": "arn:aws:iam::12345678901:role/x"}, map[string]any{"aws_account": "12345678901"}, ""},
		{"no digits", map[string]any{"sub": "arn:aws:iam::12345678901x:role/x"}, map[string]any{"aws_account": "12345678901x"}, ""},
		{"another account than the principal's", nil, map[string]any{"aws_account": "210987654321"}, ""},
		{"no sub", map[string]any{"sub": nil}, nil, ""},
		{"a sub that is no ARN", map[string]any{"sub": "DataProcessingRole"}, nil, ""},
		{"an ARN without resource", map[string]any{"sub": "arn:aws:iam::123456789012:"}, nil, ""},
		{"tags that are not strings", nil, map[string]any{"principal_tags": map[string]any{"a": 1}}, ""},
	} {
		got, err := v.VerifyToken(t.Context(), stsToken(stsClaims(row.claims, row.identity)))
		require.NoError(t, err, row.name)
		p, ok := got.AWSPrincipal()
		require.Equal(t, row.want != "", ok, row.name)
		require.Equal(t, row.want, p.ARN, row.name)
		if !ok {
			require.Equal(t, auth.AWSPrincipal{}, p, row.name)
		}
	}
}

// Tokens of another issuer have no principal, whatever they claim: the owner of any user pool could write these claims.
func TestOtherIssuersHaveNoAWSPrincipal(t *testing.T) {
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{local(), sts()}})
	got, err := v.VerifyToken(t.Context(), rs256(goodHeader, stsClaims(map[string]any{"iss": plain, "aud": client}, nil)))
	require.NoError(t, err)
	_, ok := got.AWSPrincipal()
	require.False(t, ok)
	_, ok = auth.Token{}.AWSPrincipal()
	require.False(t, ok)
	p, ok := must(auth.InsecureToken([]byte(stsClaims(nil, nil)))).AWSPrincipal()
	require.True(t, ok, "a test's own token")
	require.Equal(t, stsAccount, p.Account)
}

// IAM principals of two accounts call an API. A policy decides which of them may: every one of the first account, and
// one role of the second. Each account has its own issuer; here authtest stands for both.
func ExampleAWSIdentity() {
	issuers := map[string]*authtest.Issuer{}
	var c auth.Config
	for _, account := range []string{"111122223333", "444455556666"} {
		issuer, _ := authtest.New("https://" + account + ".tokens.sts.global.api.aws") // in reality a UUID
		is := auth.AWSIdentity(issuer.URL(), "https://api.example.com")
		is.Keys = issuer.JWKS() // a program leaves Keys empty, so the keys are fetched
		c.Issuers = append(c.Issuers, is)
		issuers[account] = issuer
	}
	c.Rules.Check = func(_ context.Context, t auth.Token) error {
		p, ok := t.AWSPrincipal()
		switch {
		case ok && p.Account == "111122223333":
			return nil
		case ok && p.ARN == "arn:aws:iam::444455556666:role/Reporting" && p.Tags["environment"] == "production":
			return nil
		}
		return fmt.Errorf("%q has no business here", t.Subject)
	}
	v, err := auth.New(c)
	if err != nil {
		panic(err)
	}

	for _, row := range [][2]string{{"111122223333", "Anything"}, {"444455556666", "Reporting"}, {"444455556666", "Other"}} {
		token, _ := issuers[row[0]].Sign("RS256", map[string]any{
			"aud": "https://api.example.com", "sub": "arn:aws:iam::" + row[0] + ":role/" + row[1],
			"https://sts.amazonaws.com/": map[string]any{
				"aws_account": row[0], "principal_tags": map[string]string{"environment": "production"},
			},
		})
		_, err := v.VerifyToken(context.Background(), token)
		fmt.Println(row[1], err)
	}
	// Output:
	// Anything <nil>
	// Reporting <nil>
	// Other auth: refused by a check of the route: "arn:aws:iam::444455556666:role/Other" has no business here
}
