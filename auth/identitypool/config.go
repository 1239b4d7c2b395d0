package identitypool

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// Config configures a [Pool]. [New] copies it.
type Config struct {
	// ID is the id of the identity pool, a Region and a UUID: "eu-west-1:177a950c-2c08-43f0-9983-28727534680a". It is
	// required.
	ID string

	// IdentityKey is a secret of at least 32 random bytes, from which the ids of identities are made. It is required,
	// must serve nothing else, and must never change: with another key every user becomes another identity. It is no
	// sealing key of the sessions, so that those can be replaced.
	IdentityKey sigv4.Secret

	// Sessions issues the credentials. It is required.
	Sessions *session.Keys

	// Tokens verifies the tokens of users who have signed in. It decides which issuers and which audiences are
	// accepted. Nil accepts none.
	Tokens *auth.Verifier

	// Authenticated is the ARN of the role of users who have signed in, unless a mapping says otherwise. If it is
	// empty, only users for whom a mapping has a role get credentials.
	Authenticated string

	// Unauthenticated is the ARN of the role of everybody else: anybody who can reach the handler gets its credentials.
	// If it is empty, there are no unauthenticated identities.
	Unauthenticated string

	// Mappings choose other roles by what a token says. The keys are names of providers, as in Logins: the issuer's URL
	// without its scheme, such as "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz". An alias of an issuer has the
	// mapping of its URL. A name that is that of no issuer of Tokens is a mistake.
	Mappings map[string]Mapping

	// Link finds the identity of several logins in a database of the application. ids are the identities that the
	// logins have alone, in the order of the names of their providers; each login was verified. claimed is the identity
	// that the request names, or "" in GetId. Nobody has verified that it is the caller's: Link must return it only if
	// the database says so, or if it is an unauthenticated identity that has no login yet. The caller gets credentials
	// for the identity that Link returns. An [*Error] is the answer as it is; any other error is ErrUnavailable.
	//
	// Nil knows one login for each identity, and refuses requests with several.
	Link func(ctx context.Context, ids []string, claimed string) (string, error)

	// Other answers the operations that need a database or change the pool, such as UnlinkIdentity and ListIdentities.
	// It gets the request with its whole body, and nothing of it is verified: Other must authenticate its caller
	// itself. Nil refuses these operations.
	Other http.Handler

	// OpenID is the issuer of GetOpenIdToken's tokens, such as "https://api.example.com/pool". It is an https URL
	// without query and fragment. Empty refuses GetOpenIdToken, as a pool without AWS's classic flow does.
	OpenID string

	// SigningKeys sign the tokens of GetOpenIdToken: RSA of at least 2048 bits, or P-256. The first one signs, and all
	// are in the key set. OpenID needs at least one.
	SigningKeys []crypto.Signer

	// Observe is told each decision, once, before it is answered. It runs on the request's goroutine and must not
	// block. Nil tells nobody.
	Observe func(context.Context, auth.Event)

	// RequestID names a request, for its answer and for Observe. If it is nil or returns "", the id is random.
	RequestID func(*http.Request) string
}

// A Mapping chooses the role of a user who has signed in at one provider. Rules come first. If none of them matches,
// the roles that the token names come next. If these leave no role or more than one, the user gets
// [Config].Authenticated, unless DenyAmbiguous is set.
type Mapping struct {
	// Rules choose a role by a claim. The first that matches decides. There are at most 25, as at AWS.
	Rules []Rule

	// TokenRoles are the roles that a token may name in cognito:preferred_role or cognito:roles, where a Cognito user
	// pool writes the roles of the user's groups. A token that names another role is refused. It takes the place of the
	// trust policy that such a role has at AWS. Empty means that the roles in a token are not used.
	TokenRoles []string

	// DenyAmbiguous refuses a user for whom nothing above has a role. It is AWS's AmbiguousRoleResolution "Deny".
	DenyAmbiguous bool

	// Tags are session tags: the name of a tag, and the claim whose text is its value. A claim that is absent, no text,
	// or longer than 256 characters gives no tag. Policies read them as aws:PrincipalTag/….
	Tags map[string]string
}

// A Rule matches a claim of a token with a value.
type Rule struct {
	// Claim is the name of the claim. It may hold a text or a list of texts. A rule never matches if the claim is
	// absent.
	Claim string

	// Match says how Value is compared: "Equals", "StartsWith", "Contains" or "NotEqual". Of a list, one text must
	// match, and for NotEqual all of them.
	Match string

	// Value is what the claim is compared with.
	Value string

	// Role is the ARN of the role.
	Role string
}

const (
	minKey   = 32 // of IdentityKey, as many bytes as HMAC-SHA-256 returns (RFC 2104 section 3)
	maxTags  = 50 // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
	maxRules = 25 // https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_RulesConfigurationType.html
)

// idForm is the form of the ids of pools and identities. AWS's is wider ([\w-]+:[0-9a-f-]+, at most 55 characters). A
// UUID has 36 characters, which leaves 18 for the Region and one for the colon. The groups of roleForm are partition,
// account and name of a role, without its path.
var (
	idForm   = regexp.MustCompile(`^[a-z0-9-]{1,18}:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	roleForm = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[!-~]*/)?([\w+=,.@-]{1,64})$`)
)

// validate returns every mistake of c, joined. A setting that could never act is a mistake as well: its author expects
// something of it.
func (c *Config) validate() error {
	m := &mistakes{}
	m.check(idForm.MatchString(c.ID), "ID is %q, want a Region, a colon and a UUID", c.ID)
	m.check(len(c.IdentityKey) >= minKey, "IdentityKey has %d bytes, want at least %d", len(c.IdentityKey), minKey)
	m.check(c.Sessions != nil, "Sessions is required")
	m.role("Authenticated", c.Authenticated, true)
	m.role("Unauthenticated", c.Unauthenticated, true)
	m.check(c.Tokens != nil || c.Unauthenticated != "", "Tokens or Unauthenticated is required")
	m.check(c.Tokens != nil || c.Authenticated == "" && len(c.Mappings) == 0, "Authenticated and Mappings need Tokens")
	for name, mapping := range c.Mappings {
		m.check(c.Tokens == nil || c.accepts(name),
			"Mappings[%q] is for no issuer of Tokens: want the URL of one, without its scheme", name)
		mapping.validate(name, m)
	}
	m.check(c.Tokens == nil || c.Authenticated != "" || len(c.Mappings) > 0, "Tokens needs Authenticated or Mappings")
	c.validateOpenID(m)
	return errors.Join(m.list...)
}

// accepts reports whether Tokens has an issuer with the name of a provider. An issuer with {tenantid} in its URL stands
// for one provider for each tenant, so the texts before and after it must fit. A mapping under any other name, such as
// the id of a user pool, would never act, and its users would get Authenticated.
func (c *Config) accepts(provider string) bool {
	return slices.ContainsFunc(c.Tokens.Stats().Issuers, func(i auth.IssuerStats) bool {
		before, after, tenants := strings.Cut(name(i.Issuer), "{tenantid}")
		if !tenants {
			return provider == before
		}
		return strings.HasPrefix(provider, before) && strings.HasSuffix(provider, after)
	})
}

// validateOpenID adds the mistakes in OpenID and SigningKeys to m. The URL must be one that OpenID Connect allows for
// an issuer (OpenID Connect Discovery 1.0 section 3): verifiers compare it byte by byte.
func (c *Config) validateOpenID(m *mistakes) {
	m.check((c.OpenID == "") == (len(c.SigningKeys) == 0), "OpenID and SigningKeys go together")
	if c.OpenID != "" {
		u, err := url.Parse(c.OpenID)
		m.check(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "",
			"OpenID is %q, want an https URL without query and fragment", c.OpenID)
	}
	for i, k := range c.SigningKeys {
		if _, err := newSigningKey(k); err != nil {
			m.check(false, "SigningKeys[%d]: %w", i, err)
		}
	}
}

// validate adds the mistakes in the mapping of a provider to m.
func (c *Mapping) validate(name string, m *mistakes) {
	m.check(len(c.Rules)+len(c.TokenRoles)+len(c.Tags) > 0 || c.DenyAmbiguous, "Mappings[%q] is empty", name)
	m.check(len(c.Rules) <= maxRules, "Mappings[%q].Rules has %d rules, at most %d are allowed", name, len(c.Rules), maxRules)
	for i, r := range c.Rules {
		at := fmt.Sprintf("Mappings[%q].Rules[%d]", name, i)
		m.check(r.Claim != "" && r.Value != "", "%s: Claim and Value are required", at)
		m.check(slices.Contains(matches, r.Match), "%s: Match is %q, want one of %q", at, r.Match, matches)
		m.role(at+".Role", r.Role, false)
	}
	for i, role := range c.TokenRoles {
		m.role(fmt.Sprintf("Mappings[%q].TokenRoles[%d]", name, i), role, false)
	}
	m.check(len(c.Tags) <= maxTags, "Mappings[%q].Tags has %d tags, at most %d are allowed", name, len(c.Tags), maxTags)
	seen := make(map[string]bool)
	for tag, claim := range c.Tags {
		small := strings.ToLower(tag) // policies compare without regard to case
		m.check(!seen[small], "Mappings[%q].Tags: %q stands there in two spellings", name, small)
		seen[small] = true
		m.check(tag != "" && claim != "" && len(tag) <= 128, "Mappings[%q].Tags: %q needs a claim, and at most 128 bytes", name, tag)
	}
}

// mistakes collects what is wrong with a Config.
type mistakes struct{ list []error }

// check adds a mistake unless ok is true.
func (m *mistakes) check(ok bool, format string, args ...any) {
	if !ok {
		m.list = append(m.list, fmt.Errorf("identitypool: %w: Config."+format, append([]any{ErrNotConfigured}, args...)...))
	}
}

// role adds a mistake unless arn is the ARN of a role, or is empty and may be.
func (m *mistakes) role(name, arn string, optional bool) {
	m.check(roleForm.MatchString(arn) || optional && arn == "", "%s is %q, want the ARN of a role", name, arn)
}
