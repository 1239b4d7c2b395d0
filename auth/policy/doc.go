// Package policy evaluates the policy documents that a Lambda authorizer of Amazon API Gateway returns: who may invoke
// which method of an API.
//
//	p, err := policy.Parse([]byte(`{
//		"Version": "2012-10-17",
//		"Statement": [{
//			"Effect": "Allow",
//			"Action": "execute-api:Invoke",
//			"Resource": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/*"
//		}]
//	}`))
//	p.Evaluate(policy.Invoke, "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty/1") // Allow
//
// The ARN of a method is that of the API's stage, a slash, the HTTP method, and the path: …/Prod/GET/loyalty/1.
// Package custom makes it from a request, for results of its Authorize function.
//
// # What it decides
//
// [Policy.Evaluate] follows IAM's evaluation logic. It returns [Deny] if a statement with that effect matches, else
// [Allow] if a statement with that effect matches, else [NoMatch], which refuses as well. A statement matches if both
// of these hold: its Action matches the action, or its NotAction does not; its Resource matches the resource, or its
// NotResource does not. An asterisk stands for any number of characters, a question mark for exactly one. Actions are
// compared without regard to case, resources with regard to case.
//
// A character is a Unicode code point in UTF-8: é is one, of two bytes, but e with a combining accent is two. In a
// resource that is not UTF-8, each byte that does not belong to a character counts as one. Nothing is normalised or
// decoded: package custom evaluates the decoded path of a request, so a policy says é, not %C3%A9.
//
// The time of an evaluation does not depend on how many wildcards a pattern has. It is below a millisecond for the
// largest document (10 240 bytes) and the longest ARN (1600 bytes). A [Policy] is safe for concurrent use.
//
// # What it accepts
//
// Documents of IAM's grammar, as far as the package can honour them:
//   - Version may be left out, which means 2008-10-17. That version has no policy variables, so "${" is ordinary text.
//   - Action, NotAction, Resource and NotResource are a string or an array. Statement is an object or an array.
//   - Id and Sid may be present.
//   - A Condition may be present if it has no key, since it then constrains nothing.
//   - An ARN may end early in an asterisk, as in "arn:aws:execute-api:eu-west-1:*". That asterisk stands for the rest.
//
// # What it refuses
//
// A document that is not understood as a whole is not evaluated at all: the part that is not understood may be the one
// that denies. So the package refuses unknown elements, conditions, principals, policy variables of version 2012-10-17,
// an element that occurs twice in one object, a wrong type or case, and a resource that is neither "*" nor an ARN.
//
// IAM's documentation says that a wildcard stands for characters within one colon-separated part of an ARN, and also
// that an asterisk at the end of a part can reach beyond it. Where the two readings differ, the package takes the one
// that refuses: a wildcard that allows stays within its part, a wildcard that denies may reach further. For example,
// "arn:aws:execute-api:*loyalty*" matches "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty"
// where it denies, but not where it allows: its first asterisk would have to stand for two colons.
//
// # Errors
//
// Every error of [New] and [Parse] wraps [ErrInvalid], and names the path of the mistake where there is one, such as
// Statement[0].Resource[1]. New reports all mistakes at once. Parse stops at the first mistake in the JSON. A client
// sees none of them: the package answers no requests, and package custom answers 500 {"message":null} if an authorizer
// returns one. What the operator does depends on the text:
//
//	invalid character, EOF, text after, not UTF-8        correct the JSON
//	unknown element, occurs twice, is not, expected      correct the element: names and types are IAM's, case included
//	conditions are not evaluated, has a policy variable  decide this in the authorizer's code instead of the policy
//	is not an ARN, has no service                        write all six parts, or end in "*" after the service
//	is not of the form service:action                    write "*" or, for example, "execute-api:Invoke"
//	has a control character or U+FFFD                    write the path as its decoded characters, in UTF-8
//	bytes, at most; has more than 512 characters         shorten the document or the pattern, for example by wildcards
//	neither … nor …, both … and …, missing, empty        write exactly one of the things named
//
// # Files
//
// Document: document.go (the form), validate.go (its rules), parse.go (its JSON). Evaluation: policy.go (the decision),
// statement.go (one statement), match.go (one pattern), text.go and block.go (a piece of a pattern in a long resource).
//
// # Sources
//
// IAM User Guide: "Grammar of the IAM JSON policy language", "IAM JSON policy elements: Version", "IAM JSON policy
// elements: Resource", "Policy evaluation logic". API Gateway Developer Guide: "Output from an API Gateway Lambda
// authorizer", "Statement reference of IAM policies for executing APIs in API Gateway".
package policy
