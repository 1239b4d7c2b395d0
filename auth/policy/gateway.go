package policy

// The authorization types of API Gateway's methods (API Gateway API Reference, "Method", authorizationType).
const (
	authIAM     = "AWS_IAM"
	authLambda  = "CUSTOM"
	authCognito = "COGNITO_USER_POOLS"
	authNone    = "NONE"
)

// Gateway decides as API Gateway does for an API with a resource policy (API Gateway Developer Guide, "How API Gateway
// resource policies affect authorization workflow"). The caller must be authenticated already, as authorization says:
//
//	"AWS_IAM"             The policies of the caller or the resource policy must allow the method; a caller of another
//	                      account needs both. This is [Set.Evaluate].
//	"CUSTOM"              The policy that the Lambda authorizer has returned, in s.Identity, or the resource policy must
//	                      allow the method. Session and Boundary, which AWS does not have here, limit Identity.
//	"COGNITO_USER_POOLS"  The resource policy must allow the method. A valid token is no more than a condition for that.
//	"NONE"                The resource policy must allow the method.
//
// A statement that denies, in any of the policies, decides in each case. For any other authorization the decision is
// [NoMatch]. So it is for the last two if there is no resource policy.
func Gateway(authorization string, s *Set, r *Request) Decision {
	switch authorization {
	case authIAM:
		return s.Evaluate(r)
	case authLambda: // Table A, whatever the account of the function
		return max(s.own(r), s.resource(r))
	case authCognito, authNone: // Table B with a caller that is allowed, and "API Gateway resource policy only"
		if s.own(r) == Deny { // AWS has no other policy here, but one that the application has brought must not be ignored
			return Deny
		}
		return s.resource(r)
	}
	return NoMatch
}

// resource returns the decision of the resource policy. It takes a policy that allows the account, or the role of a
// session, for one that allows: only IAM distinguishes by which name a caller is allowed.
func (s *Set) resource(r *Request) Decision {
	decision, _ := s.Resource.decide(r, true)
	return decision
}

// why returns what the policy is attached to that has refused r, for which Gateway's decision is not Allow. If several
// have, it returns one of them, as AWS does.
func why(authorization string, s *Set, r *Request) denial {
	// In the order in which they are named if several have refused.
	var opinions []opinion
	needed := authorization == authIAM || authorization == authLambda
	say := func(by family, d Decision) {
		if needed || d == Deny { // the policies of the caller can only deny where the resource policy alone allows
			opinions = append(opinions, opinion{by, d})
		}
	}
	say(byIdentity, anyOf(s.Identity, r))
	if len(s.Session) > 0 {
		say(bySession, anyOf(s.Session, r))
	}
	if s.Boundary != nil {
		say(byBoundary, s.Boundary.Evaluate(r))
	}
	opinions = append(opinions, opinion{byResource, s.resource(r)})
	// A denial is the reason also where another policy would have had to allow: adding that would change nothing.
	for _, decision := range []Decision{Deny, NoMatch} {
		for _, o := range opinions {
			if o.decision == decision {
				return denial{o.by, decision == Deny, o.by == byIdentity && authorization == authLambda}
			}
		}
	}
	return denial{family: byResource} // not reached: if all allow, so does Gateway
}

// opinion is the decision of all policies of one family.
type opinion struct {
	by       family
	decision Decision
}
