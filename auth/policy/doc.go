// Package policy evaluates IAM policy documents for the methods of an API: who may invoke which method, and under which
// conditions.
//
//	p, err := policy.Parse([]byte(`{
//		"Version": "2012-10-17",
//		"Statement": [{
//			"Effect": "Allow",
//			"Action": "execute-api:Invoke",
//			"Resource": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/*",
//			"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
//		}]
//	}`))
//	p.Evaluate(&policy.Request{
//		Resource: "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1",
//		SourceIP: netip.MustParseAddr("203.0.113.7"),
//	}) // Allow
//
// The ARN of a method is that of the API's stage, a slash, the HTTP method, and the path: …/Prod/GET/loyalty/1.
// Package custom and a [Gate] make it from a request.
//
// # What it decides
//
// [Policy.Evaluate] follows IAM's evaluation logic. It returns [Deny] if a statement with that effect applies, else
// [Allow] if a statement with that effect applies, else [NoMatch], which refuses as well. A statement applies if its
// Action, its Resource, its Principal and all its conditions match the request; in place of the first three it may have
// NotAction, NotResource and NotPrincipal, which must not match. An asterisk stands for any number of characters, a
// question mark for exactly one. Actions are compared without regard to case, resources with regard to case. [Set]
// combines the policies of a caller, its session, its boundary and the API.
//
// A character is a Unicode code point in UTF-8: é is one, of two bytes, but e with a combining accent is two. In a
// resource that is not UTF-8, each byte that does not belong to a character counts as one. Nothing is normalised or
// decoded: package custom evaluates the decoded path of a request, so a policy says é, not %C3%A9.
//
// The time of an evaluation does not depend on how many wildcards a pattern has. It is below a millisecond for the
// largest document (10 240 bytes) and the longest ARN (1600 bytes). Statements are found by the text that their
// resources begin with, so a hundred of them take hardly longer than two. A [Policy] is safe for concurrent use.
//
// # What it accepts
//
// Documents of IAM's grammar, as far as they are about calls of an API:
//   - Version may be left out, which means 2008-10-17. That version has no policy variables, so "${" is ordinary text.
//   - Action, NotAction, Resource, NotResource and values of conditions are one or an array. Statement is an object or
//     an array.
//   - Id and Sid may be present. Condition and its operators may be empty: that constrains nothing.
//   - An ARN may end early in an asterisk, as in "arn:aws:execute-api:eu-west-1:*". That asterisk stands for the rest.
//   - A resource may begin at the stage, as API Gateway's resource policies do: "execute-api:/Prod/GET/*".
//
// # Conditions
//
// All operators of IAM are there: String…, Arn…, Numeric…, Date…, Bool, BinaryEquals, IpAddress, NotIpAddress and Null;
// with IfExists at the end, and with ForAllValues: and ForAnyValue: before them, but for Null. A document may use the
// keys that a request to an API can have:
//
//	of a field of Request   aws:PrincipalArn, aws:PrincipalAccount, aws:PrincipalType, aws:PrincipalTag/…, aws:username,
//	                        aws:SourceIp, aws:SourceVpce, aws:CurrentTime, aws:EpochTime, aws:SecureTransport,
//	                        aws:UserAgent
//	of Request.Values       aws:FederatedProvider, aws:MultiFactorAuthAge, aws:MultiFactorAuthPresent, aws:PrincipalOrgID,
//	                        aws:PrincipalOrgPaths, aws:Referer, aws:SourceAccount, aws:SourceArn, aws:SourceIdentity,
//	                        aws:SourceVpc, aws:TokenIssueTime, aws:userid, aws:VpcSourceIp,
//	                        cognito-identity.amazonaws.com:amr, …:aud and …:sub, and each [Key] of the application
//
// If a request does not have a key, negations hold (StringNotEquals, NotIpAddress), and so do IfExists, ForAllValues
// and "Null": "true". All others do not. So a value that your code forgets to bring can let a request through:
// [Policy.Keys] tells what a document asks for.
//
// Where IAM's documentation is silent, this is what holds:
//   - A value of the wrong Go type, a text of more than 2048 bytes, and a list of more than 64 elements cannot be
//     judged. Then a statement that allows does not apply, and one that denies does.
//   - Names of operators are compared with regard to case. The documentation says of keys that case does not count.
//   - IgnoreCase folds letters as [strings.EqualFold] does.
//   - An address alone is a network of one address, in IPv6 as well. Addresses of requests lose their zone, and IPv4
//     addresses that are mapped into IPv6 are IPv4 addresses.
//   - The time of a request has whole seconds, as aws:CurrentTime has. A date without a time begins at midnight UTC. A
//     date of four digits is refused: it could be a year or seconds.
//   - Numbers have 15 digits at most.
//   - A document may have 256 statements, and 100 patterns with variables, or with wildcards or IgnoreCase for a key of
//     several values. With IgnoreCase, a pattern with variables or letters that are not ASCII counts as three.
//   - true and false may have capitals.
//   - ForAnyValue and IfExists contradict each other for an absent key: a statement that allows does not apply, and one
//     that denies does.
//   - A key that can have several values needs ForAllValues or ForAnyValue. A list of empty texts is an absent key.
//   - For Null, a value that cannot be judged is there, and so is an empty text of a key with one value.
//
// # Variables
//
// In version 2012-10-17 a resource may have variables after its fifth colon, and so may the values of String… and Arn…
// operators: "${aws:username}", with a default "${aws:PrincipalTag/team, 'none'}". "${*}", "${?}" and "${$}" are these
// characters. A value is text: a wildcard in it stands for itself, and in an Arn… operator a colon does not begin
// another part.
//
// A variable without a value, and without a default, matches nothing. If only for that reason a negation would hold, a
// statement that allows does not apply: the documentation says that it "might cause the entire statement to be
// invalid". A value with control characters, and one that cannot be judged, refuses: a statement that allows does not
// apply, and one that denies does.
//
// # Principals
//
// Principal is for the policy of an API; the others are of a caller already. An account stands for all its users, roles
// and sessions. A role stands for its sessions, which [Request].SessionIssuer tells; if that is empty, the role is
// known by its name in the session's ARN. There are no wildcards but "*".
//
// With Allow, NotPrincipal excepts a caller by any of its names. With Deny, the caller must be named by all of them:
// its own ARN, that of its role if it is a session, and its account. IAM's documentation asks authors for this, since
// AWS "might validate the account first", and an account alone excepts its root user only.
//
// # What it refuses
//
// A document that is not understood as a whole is not evaluated at all: the part that is not understood may be the one
// that denies. So the package refuses, in statements that allow as in those that deny: unknown elements, operators,
// keys and variables; an operator that does not fit the type of its key; values that are not of that type; variables in
// other places; kinds of principals that no caller has (CanonicalUser); a name that occurs twice in one object; a wrong
// type or case; and a resource that is neither "*" nor an ARN. Keys of other services and aws:ResourceTag are unknown:
// no request to an API has them.
//
// IAM's documentation says that a wildcard stands for characters within one colon-separated part of an ARN, and also
// that an asterisk at the end of a part can reach beyond it. Where the two readings differ, the package takes the one
// that refuses: a wildcard that allows stays within its part, a wildcard that denies may reach further. For example,
// "arn:aws:execute-api:*loyalty*" matches "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty"
// where it denies, but not where it allows: its first asterisk would have to stand for two colons.
//
// # The gate
//
// A [Gate] is a middleware that stands behind an authenticator and asks the policies whether the caller may call the
// method. The packages do not import each other: the gate takes what it needs by functions of the request.
//
//	gate, err := policy.NewGate(policy.GateConfig{
//		StageARN:      "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod",
//		Authorization: "AWS_IAM",
//		Principal:     sigv4.ID, // the Principal of each access key is an ARN
//		Policies:      func(r *http.Request) (policy.Set, error) { … },
//	})
//	http.Handle("/", signature.Handler(gate.Handler(next)))
//
// The gate knows these condition keys by itself: aws:SourceIp, by package clientip; aws:CurrentTime and aws:EpochTime;
// aws:SecureTransport; aws:UserAgent, which any client chooses; and those that follow from the Principal.
// [GateConfig].Facts adds tags, the VPC endpoint and all others. Of a session of package session these are its Role as
// SessionIssuer, its Tags, aws:TokenIssueTime and aws:SourceIdentity; Policies returns its Policy, parsed, in
// [Set].Session. The file examples/session_test.go does all of it. For a request by a VPC endpoint AWS has no
// aws:SourceIp but aws:VpcSourceIp: an example shows how to do the same.
//
// The method ARN is the one that package custom makes: the path is decoded, what routers may read in two ways is
// refused, and a HEAD needs what GET needs as well. A refusal has the words of AWS, which name the caller and the
// method and say which policy has refused, but mask the account of the API. What cannot be found out refuses: without a
// principal a caller would pass for an anonymous one, and without an address NotIpAddress would hold.
//
// A gate proves nothing, so it writes nothing into the context. It does not read the body, and caches nothing.
// [GateConfig].Resource and [GateConfig].Policies are called for each request, so a change acts on the next one.
//
// # A resource policy with IAM
//
// Under "AWS_IAM", either policy is enough for a caller of the API's own account, as in AWS. So a resource policy that
// allows one network closes nothing: a caller whose own policy allows the method needs no address. To close the API to
// all other networks, the resource policy denies them, with NotIpAddress. And if it allows everybody ("Principal":
// "*"), each caller of the account may call whatever it allows, without a policy of its own. So let it only deny, and
// let the callers' policies allow; the incorrect example of [GateConfig] shows both documents.
//
// # API Gateway's flow
//
// [Gateway] has the tables of "How API Gateway resource policies affect authorization workflow": how a resource policy
// works together with IAM, a Lambda authorizer, a Cognito authorizer and none. Two things are different here:
//   - With a Lambda authorizer API Gateway evaluates the resource policy twice, and does not call the function if it
//     denies. A gate stands behind the authorizer, so the function has been called. The decision is the same.
//   - The page does not say what happens without a resource policy. With IAM and a Lambda authorizer the caller's own
//     policies then decide. Otherwise nothing is left to decide by, and the request is refused.
//
// A private API is a resource policy on the source address or on the VPC endpoint; there are examples of both.
//
// # Explain and Lint
//
// [Policy.Explain], [Set.Explain] and [Gate.Explain] say how a decision comes about: each statement and condition with
// the value that it saw, in order. They ask the evaluator itself about each element alone, so they agree with it. They
// change nothing and tell nobody, and take some hundred times as long. What they print has values that the client has
// sent and conditions that are nobody else's business: it is for support people, not for clients. Package policytest
// prints it if a test fails.
//
// [Policy.Lint] lists what is valid and hardly meant. Codes in capitals are checks of IAM Access Analyzer ("Access
// Analyzer policy check reference"): MISSING_VERSION, UNIQUE_SIDS_RECOMMENDED, REDUNDANT_ACTION, REDUNDANT_RESOURCE,
// REDUNDANT_STATEMENT, REDUNDANT_CONDITION_VALUE_NUM, ALLOW_WITH_NOT_PRINCIPAL, EMPTY_OBJECT_CONDITION,
// FORALLVALUES_WITH_SINGLE_VALUED_KEY, WILDCARD_WITHOUT_LIKE_OPERATOR and IMPROVE_IP_RANGE. Those in lower case are of
// this package: unreachable (no request matches, or a denial covers it), allow_with_not_action (and a wildcard in the
// resource), allow_with_not_resource, allows_if_absent (a condition that holds for an absent key, where it allows).
// Checks of private addresses are left out, since a server may well have private clients.
//
// # Errors
//
// Every error of [New] and [Parse] wraps [ErrInvalid], and names the path of the mistake where there is one, such as
// Statement[0].Resource[1]. A single value has the path of the first in an array. Both functions report all mistakes at
// once, up to 100, but what is no JSON ends the search. A client sees none of them: package custom answers 500
// {"message":null} if an authorizer returns one. What the operator does depends on the text:
//
//	invalid character, EOF, text after it, not UTF-8     correct the JSON
//	unknown element, occurs twice, found …, expected     correct the element: names and types are IAM's, case included
//	unknown operator                                     correct it: names are IAM's, case included
//	unknown key, has the unknown variable                correct it, or pass your own keys to Parse
//	is not of the form prefix:name, is taken, is no type correct the Key
//	does not fit the key                                 use an operator for the type that is named
//	the key may have several values                      say whether all or any of them must match
//	is not a number, date, base64, address, …            correct the value
//	which may have several values, which is no text      use another variable
//	has a variable before the fifth colon                write that part of the ARN out
//	is no ARN of …, is of the unknown kind, …            name an account, a user, a role, a session or "*"
//	is not an ARN, has no service                        write all six parts, or end in "*" after the service
//	is not of the form service:action                    write "*" or, for example, "execute-api:Invoke"
//	has a control character or U+FFFD                    write the path as its decoded characters, in UTF-8
//	bytes, statements, at most; has more than …          shorten the document or the pattern, for example by wildcards
//	neither … nor …, both … and …, missing, empty        write exactly one of the things named
//
// A gate refuses with an [*Error]. Its cause, to be matched with [errors.Is], decides the answer. The capital M is API
// Gateway's. NewGate reports all mistakes of a [GateConfig] at once; each names the field:
//
//	cause             the client sees                                     the operator
//	ErrDenied         403 {"Message":"User: …"}                           reads Explain; the answer names the policy
//	ErrNoPrincipal    403 {"message":"Missing Authentication Token"}      puts the gate behind the authenticator
//	ErrNoAddress      403 {"message":"Forbidden"}                         sets Source to how the proxies tell the address
//	ErrPath           400 {"message":"Bad Request"}                       checks Mount, if the path is not like /a/../b
//	                  or 414 {"message":"Request URI too long"}           shortens paths: an ARN has at most 1600 bytes
//	ErrUnavailable    503 {"message":"Service Unavailable"}               finds out why Policies returns an error
//	ErrNotConfigured  500 {"message":"Internal server error"}             calls NewGate; lets Principal return ARNs
//
// # Files
//
// Document: document.go (the form), parse.go (its JSON), validate.go (its rules), mistakes.go (what is wrong with it).
// Its parts: key.go (condition keys), operator.go (operators), compile.go and literal.go (conditions and their values),
// pattern.go (wildcards and variables), principal.go (callers), statement.go (one statement). Evaluation: policy.go
// (the decision), set.go (that of several policies), request.go and value.go (the values of a request), condition.go
// (one condition), index.go (which statements are about a resource), match.go (one pattern), text.go and block.go (a
// piece of a pattern in a long text). The gate: gate.go and gateconfig.go, arn.go (the method), gateway.go (the
// tables), error.go and observe.go. For people: source.go (the document as it was written), explain.go; lint.go and
// cover.go (whether a pattern covers another).
//
// # Sources
//
// IAM User Guide: "Grammar of the IAM JSON policy language", "IAM JSON policy elements: Version", "…: Principal", "…:
// NotPrincipal", "…: Resource", "…: Condition operators", "Single-valued vs. multivalued context keys", "Variables and
// tags", "AWS global condition context keys", "Policy evaluation logic", "Cross-account policy evaluation logic". API
// Gateway Developer Guide: "Output from an API Gateway Lambda authorizer", "Statement reference of IAM policies for
// executing APIs in API Gateway", "AWS condition keys that can be used in API Gateway resource policies", "How API
// Gateway resource policies affect authorization workflow". W3C: "Date and Time Formats". The texts of refusals: IAM
// User Guide, "Troubleshoot access denied error messages", and answers of API Gateway that were seen in 2026.
package policy
