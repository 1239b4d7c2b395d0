package auth

import (
	"fmt"
	"regexp"
	"slices"
)

// poolID matches the ID of a user pool. The part before the underscore is the Region.
var poolID = regexp.MustCompile(`^([a-z]+(?:-[a-z]+)+-\d+)_[a-zA-Z0-9]{1,55}$`)

// partitions are AWS's partitions with the domain of each: botocore's endpoint data (partitions.json), whose
// expressions for Regions these are; a Region of aws has three parts, those of the isolated partitions have four.
var partitions = []struct {
	region *regexp.Regexp
	domain string
}{
	{regexp.MustCompile(`^(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+$`), "amazonaws.com"},
	{regexp.MustCompile(`^us-gov-[a-z]+-\d+$`), "amazonaws.com"},
	{regexp.MustCompile(`^cn-[a-z]+-\d+$`), "amazonaws.com.cn"},
	{regexp.MustCompile(`^eusc-[a-z]+-[a-z]+-\d+$`), "amazonaws.eu"},
	{regexp.MustCompile(`^us-iso-[a-z]+-\d+$`), "c2s.ic.gov"},
	{regexp.MustCompile(`^us-isob-[a-z]+-\d+$`), "sc2s.sgov.gov"},
	{regexp.MustCompile(`^eu-isoe-[a-z]+-\d+$`), "cloud.adc-e.uk"},
	{regexp.MustCompile(`^us-isof-[a-z]+-\d+$`), "csp.hci.ic.gov"},
}

// domainOf returns the domain of a Region's partition. An unknown Region is an error, because its keys would be fetched
// from a host that AWS may not own.
func domainOf(region string) (string, error) {
	for _, p := range partitions {
		if p.region.MatchString(region) {
			return p.domain, nil
		}
	}
	return "", fmt.Errorf("%q is a Region of no partition known here: use an Issuer literal", region)
}

// Cognito is the issuer of a user pool. The token's client must be one of clients; token_use decides which claim names
// it.
//
//	ID token      token_use id      aud is the client, and no array
//	access token  token_use access  client_id is the client
//
// Both issuers that AWS names for a pool are accepted, and the keys come from the first; [Issuer].JWKS replaces that
// place, for emulators. The Region decides the domain (amazonaws.com.cn in China, amazonaws.eu in the European
// Sovereign Cloud, those of the isolated partitions); [New] refuses a Region whose partition it does not know.
// AppSync's app client id expression is [Issuer].AudiencePattern, its default action DENY is [Issuer].DenyByDefault.
// Source:
// https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-tokens-verifying-a-jwt.html
func Cognito(region, pool string, clients ...string) Issuer {
	domain, err := domainOf(region)
	if m := poolID.FindStringSubmatch(pool); m == nil || m[1] != region {
		err = fmt.Errorf("%q is not a user pool of Region %q", pool, region)
	}
	suffix := region + "." + domain + "/" + pool
	return Issuer{
		URL:         "https://cognito-idp." + suffix,
		Aliases:     []string{"https://issuer-cognito-idp." + suffix},
		JWKS:        "https://cognito-idp." + suffix + "/.well-known/jwks.json",
		Algorithms:  []string{"RS256"},
		Audiences:   slices.Clone(clients),
		GroupsClaim: "cognito:groups",
		kind:        kindCognito,
		err:         err,
	}
}
