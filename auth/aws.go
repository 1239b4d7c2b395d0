package auth

import (
	"maps"
	"slices"
	"strings"
)

// AWSIdentity is the issuer of an AWS account. It lets any IAM principal of the account (a role, a user, a Lambda
// function) prove who it is without a key of its own. The caller gets its token for one of audiences from AWS STS, by
// GetWebIdentityToken in its own Region. An administrator must enable this once per account by
// EnableOutboundWebIdentityFederation. The response is the issuer's URL, such as
// https://a103a2cc-b461-473d-84fe-6c4f6d45af88.tokens.sts.global.api.aws; each account has its own. Tokens are signed
// by ES384 or RS256. [Token.AWSPrincipal] returns the principal, for example for a [Rules].Check. Sources:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
func AWSIdentity(issuer string, audiences ...string) Issuer {
	return Issuer{
		URL: issuer, Audiences: slices.Clone(audiences),
		Algorithms: []string{"ES384", "RS256"}, // SigningAlgorithm of GetWebIdentityToken
		kind:       kindAWS,
	}
}

// AWSPrincipal is the IAM principal that requested a token from AWS STS. A string is empty, and a map is nil, if the
// token does not contain it.
type AWSPrincipal struct {
	Account     string            // the account's id, 12 digits
	ARN         string            // the principal, as arn:aws:iam::123456789012:role/DataProcessingRole
	OrgID       string            // the organization of the account, as o-abc1234567
	OrgPath     string            // the organizational unit, as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/
	Region      string            // where the token was requested
	FunctionARN string            // the Lambda function that requested it
	Tags        map[string]string // of the principal or its session, set by the administrator
	// RequestTags are what the caller itself wrote into its request for the token. They prove nothing unless the
	// account's policies restrict them (aws:RequestTag).
	RequestTags map[string]string
}

// awsClaims is the form of the claims of GetWebIdentityToken.
type awsClaims struct {
	Claims struct {
		Account     string            `json:"aws_account"`
		OrgID       string            `json:"org_id"`
		OrgPath     string            `json:"ou_path"`
		Region      string            `json:"source_region"`
		FunctionARN string            `json:"lambda_source_function_arn"`
		Tags        map[string]string `json:"principal_tags"`
		RequestTags map[string]string `json:"request_tags"`
	} `json:"https://sts.amazonaws.com/"`
}

// AWSPrincipal returns the IAM principal of a token from an issuer that [AWSIdentity] made, or of a token that
// [InsecureToken] made. It reports false if the token is from another issuer, which might write anything into these
// claims, or if the account is missing or is not the one in the principal's ARN. The caller owns the maps.
func (t Token) AWSPrincipal() (AWSPrincipal, bool) {
	aws := t.claims().aws
	if aws == nil {
		return AWSPrincipal{}, false
	}
	p := *aws
	p.Tags, p.RequestTags = maps.Clone(p.Tags), maps.Clone(p.RequestTags)
	return p, true
}

// principal sets t.aws. It is called once, when the token is verified, so that a check on every request costs little.
func (t *claimSet) principal() {
	read, err := Claims[awsClaims](t.Token)
	c := read.Claims
	if err != nil || !accountOf(t.Subject, c.Account) {
		return
	}
	t.aws = &AWSPrincipal{
		Account: c.Account, ARN: t.Subject, OrgID: c.OrgID, OrgPath: c.OrgPath, Region: c.Region, FunctionARN: c.FunctionARN,
		Tags: c.Tags, RequestTags: c.RequestTags,
	}
}

// accountOf reports whether the ARN is of a principal of the account: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE.
func accountOf(arn, account string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && parts[4] == account && parts[5] != "" &&
		len(account) == 12 && strings.Trim(account, "0123456789") == ""
}
