package identitypool

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallygate/tallygate/auth"
)

// role returns the ARN of the caller's role, and the tags of its session. custom is the role that the request asks for,
// or "". A caller without logins has no token that could name a role, and no claims for tags.
func (p *Pool) role(c caller, custom string) (arn string, tags map[string]string, err error) {
	if len(c.logins) == 0 {
		if custom != "" {
			return "", nil, refuseRole()
		}
		return p.config.Unauthenticated, nil, nil
	}
	// Of several logins the first with a mapping decides. All are the caller's, so it does not matter that the caller
	// chooses which of them to present.
	for _, l := range c.logins {
		m, mapped := p.config.Mappings[l.provider]
		if !mapped {
			continue
		}
		claims, err := auth.Claims[map[string]any](l.token)
		if err != nil {
			return "", nil, refuseToken(err)
		}
		if arn, err = m.role(claims, custom); err != nil {
			return "", nil, err
		}
		tags = m.tags(claims)
		if arn != "" {
			return arn, tags, nil
		}
		break // the mapping leaves the role to Authenticated, and its tags stay
	}
	if custom != "" || p.config.Authenticated == "" {
		return "", nil, refuseRole()
	}
	return p.config.Authenticated, tags, nil
}

// role returns the role that the mapping has for the claims, or "" for the pool's. A role that is asked for must be
// both in the token and in TokenRoles: the token says that the user may have it, and the operator that tokens may name
// it.
func (m *Mapping) role(claims map[string]any, custom string) (string, error) {
	if custom != "" {
		if !slices.Contains(texts(claims["cognito:roles"]), custom) || !slices.Contains(m.TokenRoles, custom) {
			return "", refuseRole()
		}
		return custom, nil
	}
	for _, r := range m.Rules {
		if r.matches(claims[r.Claim]) {
			return r.Role, nil
		}
	}
	arn := m.named(claims)
	switch {
	case arn == "" && m.DenyAmbiguous:
		return "", refuseRole()
	case arn != "" && !slices.Contains(m.TokenRoles, arn):
		// AWS's answer if the role's trust policy does not let the pool assume it, which TokenRoles stands for.
		return "", invalid("InvalidIdentityPoolConfigurationException",
			"Invalid identity pool configuration. Check assigned IAM roles for this pool.")
	}
	return arn, nil
}

// named returns the one role that a token names, or "": the preferred one, else the only one
// (https://docs.aws.amazon.com/cognito/latest/developerguide/role-based-access-control.html).
func (m *Mapping) named(claims map[string]any) string {
	if len(m.TokenRoles) == 0 {
		return ""
	}
	if preferred, ok := claims["cognito:preferred_role"].(string); ok {
		return preferred
	}
	if all := texts(claims["cognito:roles"]); len(all) == 1 {
		return all[0]
	}
	return ""
}

// refuseRole is the refusal of a caller for whom there is no role.
func refuseRole() error { return refused("No role is assigned to this identity.") }

// matches are the ways to compare in a Rule, as AWS names them
// (https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_MappingRule.html).
var matches = []string{"Equals", "StartsWith", "Contains", "NotEqual"}

// matches reports whether the rule matches a claim. An absent claim never does, also not for NotEqual: a token that
// says nothing must not get a role by that.
func (r *Rule) matches(claim any) bool {
	found := texts(claim)
	if r.Match == "NotEqual" {
		return len(found) > 0 && !slices.Contains(found, r.Value)
	}
	return slices.ContainsFunc(found, func(text string) bool {
		switch r.Match {
		case "Equals":
			return text == r.Value
		case "StartsWith":
			return strings.HasPrefix(text, r.Value)
		}
		return strings.Contains(text, r.Value)
	})
}

// texts returns a claim that is a text or a list of texts, as a list. Providers write one role or group in either form.
// It returns nil for any other claim: a list that holds something else as well is not understood.
func texts(claim any) []string {
	switch claim := claim.(type) {
	case string:
		return []string{claim}
	case []any:
		list := make([]string, len(claim))
		for i, one := range claim {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			list[i] = text
		}
		return list
	}
	return nil
}

// tags returns the session tags that the mapping takes from the claims. A claim that gives no tag is an absent key for
// policies: a tag that was cut would be another value.
func (m *Mapping) tags(claims map[string]any) map[string]string {
	const longest = 256 // of a value (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html)
	tags := make(map[string]string, len(m.Tags))
	for tag, claim := range m.Tags {
		if value, ok := claims[claim].(string); ok && utf8.RuneCountInString(value) <= longest {
			tags[tag] = value
		}
	}
	return tags
}
