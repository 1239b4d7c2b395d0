package auth

import (
	"fmt"
	"slices"
	"strings"
)

// partitions are the domains of AWS's partitions, by what stands before the last two parts of a Region's name. They
// follow the expressions for Regions in botocore's endpoint data (partitions.json).
var partitions = map[string]string{
	"us": "amazonaws.com", "eu": "amazonaws.com", "ap": "amazonaws.com", "sa": "amazonaws.com", "ca": "amazonaws.com",
	"me": "amazonaws.com", "af": "amazonaws.com", "il": "amazonaws.com", "mx": "amazonaws.com",
	"us-gov": "amazonaws.com", "cn": "amazonaws.com.cn", "us-iso": "c2s.ic.gov", "us-isob": "sc2s.sgov.gov",
	"eu-isoe": "cloud.adc-e.uk", "us-isof": "csp.hci.ic.gov",
}

// domainOf returns the domain of a Region's partition. An unknown Region is an error, because its keys would be fetched
// from a host that AWS may not own.
func domainOf(region string) (string, error) {
	start, _ := startOfRegion(region)
	if domain := partitions[start]; domain != "" {
		return domain, nil
	}
	// The European Sovereign Cloud has a country before the last two parts: eusc-de-east-1.
	if country, ok := strings.CutPrefix(start, "eusc-"); ok && consistsOf(country, lowerCase) {
		return "amazonaws.eu", nil
	}
	return "", fmt.Errorf("%q is a Region of no partition known here: use an Issuer literal", region)
}

// startOfRegion returns what stands before the last two parts of a Region's name. It reports false if the name is not
// three or more parts of which the last is a number and the others are words. Example: us-gov-west-1 starts with
// us-gov.
func startOfRegion(region string) (string, bool) {
	parts := strings.Split(region, "-")
	last := len(parts) - 1
	if last < 2 || !consistsOf(parts[last], digits) {
		return "", false
	}
	for _, word := range parts[:last] {
		if !consistsOf(word, lowerCase) {
			return "", false
		}
	}
	return strings.Join(parts[:last-1], "-"), true
}

// isPool reports whether a user pool can have this id, which is the Region, an underscore and 1 to 55 letters and
// digits.
func isPool(region, pool string) bool {
	_, ok := startOfRegion(region)
	id, ofRegion := strings.CutPrefix(pool, region+"_")
	return ok && ofRegion && consistsOf(id, letters+digits) && len(id) <= 55
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
	if !isPool(region, pool) {
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
