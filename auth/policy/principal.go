package policy

import (
	"fmt"
	"slices"
	"strings"
)

// grant says by which of its names a statement allows or denies a caller. "Policy evaluation logic" of the IAM User
// Guide decides by it what a policy of a resource can give without the caller's own policies. A greater one gives more.
type grant uint8

const (
	nobody  grant = iota // the statement is about others
	account              // an account: its own policies must allow as well
	issuer               // the role, or the federated user, of the caller's session
	direct               // the caller itself, or everybody
)

// principals are a compiled Principal or NotPrincipal.
type principals struct {
	not       bool     // it is a NotPrincipal
	everybody bool     // an entry is "*"
	accounts  []owned  // "123456789012" and the ARN of root
	arns      []string // of users, roles and sessions
	providers []string // of kind Federated
	services  []string // of kind Service
}

// owned is the owner of a resource or of a principal. The partition is empty in a bare account id.
type owned struct{ partition, account string }

// grants returns by which name p applies to the caller of a request. A nil p applies to everybody.
//
// NotPrincipal is read in two ways, each time in the one that refuses more. With Deny, a caller is spared only if it is
// named by all of its names. With Allow, it is left out if it is named by any of them.
func (p *principals) grants(e *evaluation, deny bool) grant {
	switch {
	case p == nil:
		return direct
	case !p.not:
		return p.names(e, deny)
	case deny && p.excepts(e), !deny && p.names(e, true) != nobody:
		return nobody
	}
	// IAM's documentation does not say what a caller gets by not being named. So it gets less than one that is.
	return issuer
}

// provider is the key whose value entries of kind Federated are compared with.
var provider = globals["aws:federatedprovider"]

// names returns the name of the caller that gives most of those in p. UnfitNamed is whether a provider that cannot be
// judged counts as named, so that the request is refused either way.
func (p *principals) names(e *evaluation, unfitNamed bool) grant {
	r := e.r
	// No entry is empty, so an anonymous caller is nobody but one of everybody. An ARN cannot be a service's name.
	if p.everybody || slices.Contains(p.services, r.Principal) {
		return direct
	}
	if slices.Contains(p.arns, r.Principal) {
		if isRole(r.Principal) { // an application that names the role of a caller instead of its session
			return issuer
		}
		return direct
	}
	if len(p.providers) > 0 {
		v := e.value(&provider)
		if v.presence == unfit && unfitNamed || v.presence == present && slices.Contains(p.providers, v.text) {
			return direct
		}
	}
	who := whose(r.Principal)
	// The order is that of what they give. A caller that is named in several ways gets the most of them.
	switch {
	case p.holds(who) && isRoot(r.Principal): // the ARN of the account is the root user's own
		return direct
	case p.namesIssuer(r):
		return issuer
	case p.holds(who):
		return account
	}
	return nobody
}

// namesIssuer reports whether p names the role or the federated user whose session the caller uses.
func (p *principals) namesIssuer(r *Request) bool {
	return slices.ContainsFunc(p.arns, func(arn string) bool {
		if r.SessionIssuer != "" {
			return arn == r.SessionIssuer
		}
		return issues(arn, r.Principal)
	})
}

// excepts reports whether p, the NotPrincipal of a denial, names the caller by all its names: itself, its role or
// federated user, and its account. IAM's documentation asks for all of them, since a denial of the account or the role
// would else deny the caller. So an account alone excepts its root user only.
func (p *principals) excepts(e *evaluation) bool {
	r := e.r
	if p.everybody || slices.Contains(p.services, r.Principal) {
		return true
	}
	who := whose(r.Principal)
	itself := slices.Contains(p.arns, r.Principal) || isRoot(r.Principal) // the root user's own name is that of its account
	session := r.SessionIssuer != "" || strings.Contains(r.Principal, ":assumed-role/")
	return itself && p.holds(who) && (!session || p.namesIssuer(r))
}

// holds reports whether p has the account of a principal. A bare account id is in every partition: it does not say
// whether it is of aws or of aws-cn.
func (p *principals) holds(who owned) bool {
	return who.account != "" && slices.ContainsFunc(p.accounts, func(a owned) bool {
		return a.account == who.account && (a.partition == "" || a.partition == who.partition)
	})
}

// newPrincipals compiles the entries of a Principal or NotPrincipal. The entries must be valid, and only one of the two
// may have any. It returns nil if a statement names no principals, which is not the same as naming nobody.
func newPrincipals(is, not map[string][]string) *principals {
	if len(is)+len(not) == 0 {
		return nil
	}
	p := &principals{not: len(not) > 0}
	for _, entries := range []map[string][]string{is, not} {
		p.providers = append(p.providers, entries["Federated"]...)
		p.services = append(p.services, entries["Service"]...)
		for _, entry := range entries["AWS"] {
			switch {
			case entry == "*":
				p.everybody = true
			case isAccount(entry):
				p.accounts = append(p.accounts, owned{account: entry})
			case isRoot(entry):
				p.accounts = append(p.accounts, whose(entry))
			default:
				p.arns = append(p.arns, entry)
			}
		}
	}
	return p
}

// principalFault returns what is wrong with an entry of a Principal or NotPrincipal, or "" if nothing is.
func principalFault(kind, entry string) string {
	switch kind {
	case "AWS":
		if entry == "*" || isAccount(entry) {
			return ""
		}
		return principalARNFault(entry)
	case "Federated", "Service":
		if !consistsOf(entry, alphanumeric+"-._:/@+=,") {
			return "is no name of a principal of kind " + kind
		}
		return ""
	case "CanonicalUser":
		return "is of kind CanonicalUser, which only Amazon S3 has"
	}
	return fmt.Sprintf("is of the unknown kind %q", kind)
}

// principalARNFault returns what is wrong with the ARN of a principal, or "" if nothing is. "You cannot use a wildcard
// to match part of a principal name or ARN" (IAM User Guide, "Principal").
func principalARNFault(arn string) string {
	partition, service, account, resource, ok := arnParts(arn)
	kind, name, _ := strings.Cut(resource, "/")
	switch {
	case !ok || !isAccount(account) || !consistsOf(partition, alphanumeric+"-"):
		return `is neither "*", an account nor the ARN of a principal`
	case service == "iam" && resource == "root":
		return ""
	case !consistsOf(name, alphanumeric+"/-._@+=,"): // "Names and identifiers": what a name may have
		return "is no ARN of a principal: wildcards and variables are not allowed"
	case service == "iam" && (kind == "user" || kind == "role"):
		return ""
	case service == "sts" && kind == "assumed-role" && strings.Count(name, "/") == 1, service == "sts" && kind == "federated-user":
		return ""
	}
	return "is no ARN of a user, a role or a session"
}

// isAccount reports whether s is the id of an account, which has 12 digits.
func isAccount(s string) bool { return len(s) == 12 && consistsOf(s, "0123456789") }

// isRoot reports whether arn is that of an account's root user, which as a principal stands for the account.
func isRoot(arn string) bool {
	_, service, _, resource, ok := arnParts(arn)
	return ok && service == "iam" && resource == "root"
}

// isRole reports whether arn is that of a role.
func isRole(arn string) bool {
	_, service, _, resource, ok := arnParts(arn)
	return ok && service == "iam" && strings.HasPrefix(resource, "role/")
}

// whose returns the owner of an ARN, which is zero if it has none. Two ARNs without an owner
// have equal owners, so a comparison must also make sure that the owner is not zero.
func whose(arn string) owned {
	partition, account := owner(arn)
	return owned{partition, account}
}

// owner returns the partition and the account of an ARN, or nothing if it has none.
func owner(arn string) (partition, account string) {
	partition, _, account, _, _ = arnParts(arn)
	if !isAccount(account) {
		return "", ""
	}
	return partition, account
}

// assumedRole returns the owner and the name of the role that session is a session of. It returns false if session is
// not the ARN of an assumed role: arn:aws:sts::123456789012:assumed-role/clerk/julian is one of the role clerk.
func assumedRole(session string) (who owned, name string, ok bool) {
	partition, service, account, resource, ok := arnParts(session)
	rest, assumed := strings.CutPrefix(resource, "assumed-role/")
	if !ok || service != "sts" || !assumed {
		return owned{}, "", false
	}
	name, _, _ = strings.Cut(rest, "/")
	return owned{partition, account}, name, true
}

// issues reports whether role is the ARN of the role that session, the ARN of an assumed role, is of. A session's ARN
// lacks the path of its role, but names of roles are unique in an account whatever their path ("IAM identifiers"). So
// role/staff/clerk issues assumed-role/clerk/julian.
func issues(role, session string) bool {
	who, name, isSession := assumedRole(session)
	partition, service, account, resource, ok := arnParts(role)
	path, isRole := strings.CutPrefix(resource, "role/")
	return ok && isSession && isRole && service == "iam" && owned{partition, account} == who && lastPart(path) == name
}

// principalARN returns the value of aws:PrincipalArn: "for IAM roles, the request context returns the ARN of the role,
// not the ARN of the user that assumed the role" ("AWS global condition context keys"). If the request does not have
// it, the role is taken to have no path.
func principalARN(r *Request) string {
	if r.SessionIssuer != "" {
		return r.SessionIssuer
	}
	who, name, isSession := assumedRole(r.Principal)
	if !isSession {
		return r.Principal
	}
	return "arn:" + who.partition + ":iam::" + who.account + ":role/" + name
}

// principalType returns the value of aws:PrincipalType ("Variables and tags", "Principal key values"). It is "", an
// absent key, for what the table there does not list, such as the ARN of a role that an application takes for the
// caller.
func principalType(principal string) string {
	_, service, _, resource, ok := arnParts(principal)
	kind, _, _ := strings.Cut(resource, "/")
	switch {
	case principal == "":
		return "Anonymous"
	case !ok:
		return ""
	case service == "iam" && kind == "root":
		return "Account"
	case service == "iam" && kind == "user":
		return "User"
	case service == "sts" && kind == "assumed-role":
		return "AssumedRole"
	case service == "sts" && kind == "federated-user":
		return "FederatedUser"
	}
	return ""
}

// userName returns the value of aws:username, which only users have: the last part of the user's path.
func userName(principal string) string {
	_, service, _, resource, ok := arnParts(principal)
	name, isUser := strings.CutPrefix(resource, "user/")
	if !ok || service != "iam" || !isUser {
		return ""
	}
	return lastPart(name)
}

// lastPart returns what follows the last slash of s: the name of a user or a role without its path.
func lastPart(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
