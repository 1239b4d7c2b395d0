package sts

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth/policy"
)

// The actions that a trust policy may allow.
const (
	assumeRole        = "sts:AssumeRole"
	assumeByToken     = "sts:AssumeRoleWithWebIdentity"
	tagSession        = "sts:TagSession"
	setSourceIdentity = "sts:SetSourceIdentity"
)

var actions = []string{assumeRole, assumeByToken, tagSession, setSourceIdentity}

// role is a compiled Role.
type role struct {
	arn                      string
	partition, account, name string         // of the ARN; its path is left out
	trust                    *policy.Policy // the trust policy, with Resource "*"
	most                     time.Duration  // the longest that a session may last
}

// newRole compiles a role. part are the groups of roleForm in its ARN.
func newRole(r Role, part []string) (*role, error) {
	trust, err := parseTrust(r.Trust, part[2])
	one := &role{r.ARN, part[1], part[2], part[3], trust, r.MaxDuration}
	if one.most == 0 {
		one.most = usual
	}
	return one, err
}

// session returns the ARN of a session of the role. It lacks the role's path ("IAM identifiers").
func (r *role) session(name string) string {
	return "arn:" + r.partition + ":sts::" + r.account + ":assumed-role/" + r.name + "/" + name
}

// parseTrust compiles the trust policy of a role of an account.
//
// It is a resource policy whose resource is the role, so it has no Resource of its own. Package policy demands one, and
// gets "*".
func parseTrust(text, account string) (*policy.Policy, error) {
	if text == "" {
		return nil, errors.New("is required: without a trust policy nobody may assume the role")
	}
	var d policy.Document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, err
	}
	// The document may use the keys of package policy, those of STS, and those of the providers that it names.
	var mistakes []error
	own := slices.Clone(stsKeys)
	for i := range d.Statement {
		s := &d.Statement[i]
		if err := adapt(s, account); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s[%d]: %w", "Statement", i, err))
		}
		own = append(own, providerKeys(s.Principal["Federated"])...)
	}
	p, err := policy.New(d, distinct(own)...)
	return p, errors.Join(append(mistakes, err)...)
}

// adapt checks a statement of a trust policy, and gives it the form that package policy evaluates: with a Resource,
// and with providers by their names. A statement that denies may be about anything: it can only take something away.
func adapt(s *policy.Statement, account string) error {
	var mistakes []error
	if len(s.Resource)+len(s.NotResource) > 0 {
		mistakes = append(mistakes, at("Resource", "is not allowed: it is the role"))
	}
	if len(s.Principal) == 0 {
		mistakes = append(mistakes, at("Principal", "is required"))
	}
	if len(s.NotPrincipal) > 0 {
		mistakes = append(mistakes, at("NotPrincipal", "is not allowed"))
	}
	s.Resource, s.NotResource = []string{"*"}, nil
	for i, provider := range s.Principal["Federated"] {
		s.Principal["Federated"][i] = providerName(provider, account)
	}
	if s.Effect == "Allow" {
		mistakes = append(mistakes, checkAllow(s)...)
	}
	return errors.Join(mistakes...)
}

// at returns a mistake in an element of a statement.
func at(element, format string, args ...any) error {
	return fmt.Errorf("%s "+format, append([]any{element}, args...)...)
}

// checkAllow returns the mistakes that make a statement allow more than its author may have meant.
//
// An action is written out, so that it can be told who is allowed what. A caller that has a token only must be a
// Federated principal, and the statement must say for whom the token was issued, or about whom it is: otherwise every
// token of the issuer would do, also one that another application got.
func checkAllow(s *policy.Statement) (mistakes []error) {
	federated := s.Principal["Federated"]
	for _, a := range s.Action {
		known := slices.ContainsFunc(actions, func(one string) bool { return strings.EqualFold(one, a) })
		if !known {
			mistakes = append(mistakes, at("Action", "%q is not one of %q", a, actions))
		}
		if strings.EqualFold(a, assumeByToken) && (len(federated) == 0 || len(s.Principal) > 1) {
			mistakes = append(mistakes, at("Action", "%q needs a Principal of kind Federated only", a))
		}
	}
	if len(s.NotAction) > 0 {
		mistakes = append(mistakes, at("NotAction", "is not allowed with Allow"))
	}
	for _, provider := range federated {
		if !limits(s.Condition, provider) {
			mistakes = append(mistakes, at("Principal", "%q needs a condition on %s:aud or %s:sub, by StringEquals or "+
				"StringLike, whose values are no mere wildcards", provider, provider, provider))
		}
	}
	return mistakes
}

// limits reports whether a condition says for whom a provider's tokens must be, or about whom. A value with a variable
// does not count: "${login.example:sub}" is whatever the token says.
func limits(c map[string]map[string][]string, provider string) bool {
	for _, operator := range []string{"StringEquals", "StringEqualsIgnoreCase", "StringLike"} {
		for key, values := range c[operator] {
			if !strings.EqualFold(key, provider+":aud") && !strings.EqualFold(key, provider+":sub") {
				continue
			}
			open := func(v string) bool { return strings.Contains(v, "${") || strings.Trim(v, "*?") == "" }
			if len(values) > 0 && !slices.ContainsFunc(values, open) {
				return true
			}
		}
	}
	return false
}

// providerName returns the name of a provider: its URL without the scheme. A trust policy may also have the ARN that
// IAM gives a provider in the account of the role.
func providerName(provider, account string) string {
	_, resource, isARN := strings.Cut(provider, ":iam::"+account+":")
	if name, ok := strings.CutPrefix(resource, "oidc-provider/"); ok && isARN {
		return name
	}
	return provider
}

// stsKeys are the condition keys of AssumeRole
// (https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html).
var stsKeys = []policy.Key{
	{Name: "sts:ExternalId", Type: "String"},
	{Name: "sts:RoleSessionName", Type: "String"},
	{Name: "sts:SourceIdentity", Type: "String"},
	{Name: "sts:DurationSeconds", Type: "Numeric"},
}

// cognito is the provider whose keys package policy knows.
const cognito = "cognito-identity.amazonaws.com"

// providerKeys returns the condition keys of providers. A document that names the key of another provider is refused,
// so a name that is spelled wrong is noticed.
func providerKeys(providers []string) (keys []policy.Key) {
	for _, name := range providers {
		if name != cognito {
			keys = append(keys, policy.Key{Name: name + ":aud", Type: "String"}, policy.Key{Name: name + ":sub", Type: "String"},
				policy.Key{Name: name + ":amr", Type: "ArrayOfString"})
		}
	}
	return keys
}

// distinct returns the keys without those whose name has come before.
func distinct(keys []policy.Key) (once []policy.Key) {
	seen := make(map[string]bool)
	for _, k := range keys {
		if name := strings.ToLower(k.Name); !seen[name] {
			seen[name] = true
			once = append(once, k)
		}
	}
	return once
}
