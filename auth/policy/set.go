package policy

// Set holds all policies that decide about one request. Its zero value refuses.
type Set struct {
	// Identity are the policies of the caller: its own, and those of its groups or its role.
	Identity []*Policy

	// Resource is the policy of the API. Nil means that it has none.
	Resource *Policy

	// Session are the policies of the caller's session, which limit what Identity allows. An empty list means that the
	// session has none.
	Session []*Policy

	// Boundary is the caller's permissions boundary, which limits what Identity allows. Nil means that it has none.
	Boundary *Policy
}

// Evaluate combines the decisions of all policies of s about r (IAM User Guide, "Policy evaluation logic" and
// "Cross-account policy evaluation logic").
//
//   - A denial in any of the policies refuses.
//   - In one account, the caller is allowed by Identity, within Session and Boundary, or by Resource. What Resource
//     allows the caller by its own ARN, or everybody, needs nothing else. What it allows the role, or the federated
//     user, of the caller's session is limited by Session and Boundary. What it allows the account counts for nothing
//     alone: the account's policies, in Identity, must allow as well.
//   - From another account, Resource must allow the caller in any of these ways, and so must Identity, within Session
//     and Boundary.
//   - A caller without credentials has no policies, so Resource decides alone.
//
// The accounts are those in the ARNs Principal and Resource of r. If Principal is no ARN, its account is another. AWS
// gives the root user of an account everything; here it needs a policy that allows.
func (s *Set) Evaluate(r *Request) Decision {
	resource, grant := s.Resource.decide(r, true)
	own := s.own(r)
	caller := whose(r.Principal)
	switch {
	case max(own, resource) == Deny:
		return Deny
	case r.Principal == "":
		return resource
	case caller != whose(r.Resource) || caller == owned{}: // from another account, so both must allow
		return min(own, resource)
	case grant == direct: // grant is nobody unless resource is Allow
		return Allow
	case grant == issuer && s.limit(r) == Allow:
		return Allow
	}
	return own // what Resource has allowed the account alone is not enough
}

// own returns the decision of the policies of the caller: of Identity, within Session and Boundary. One that denies is
// enough.
func (s *Set) own(r *Request) Decision {
	identity, limit := anyOf(s.Identity, r), s.limit(r)
	if max(identity, limit) == Deny {
		return Deny
	}
	return min(identity, limit)
}

// limit returns the decision of Session and Boundary. A kind that is not there limits nothing, so it allows.
func (s *Set) limit(r *Request) Decision {
	session, boundary := Allow, Allow
	if len(s.Session) > 0 {
		session = anyOf(s.Session, r)
	}
	if s.Boundary != nil {
		boundary = s.Boundary.Evaluate(r)
	}
	if max(session, boundary) == Deny {
		return Deny
	}
	return min(session, boundary)
}

// anyOf returns the decision of policies of one kind: one that denies is enough, else one that allows.
func anyOf(policies []*Policy, r *Request) (decision Decision) {
	for _, p := range policies {
		decision = max(decision, p.Evaluate(r))
	}
	return decision
}
