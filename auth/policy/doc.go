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
// # What it decides
//
// [Policy.Evaluate] answers [Deny] if a statement with that effect matches, else [Allow] if one with that effect does,
// else [NoMatch], which refuses as well: the evaluation logic of IAM. A statement matches if its Action, or anything
// but its NotAction, matches the action, and likewise its Resource or NotResource the resource. An asterisk stands for
// any characters, a question mark for one; actions are compared without regard to case, resources with it.
//
// A character is a Unicode code point in UTF-8: é is one, of two bytes, but e with a combining accent is two. In a
// resource that is not UTF-8 each byte that does not belong to a character counts as one. Nothing is normalised or
// decoded: package custom evaluates the decoded path of a request, so a policy says é, not %C3%A9.
//
// The time of an evaluation does not depend on how many wildcards a pattern has. It is below a millisecond for the
// largest document and the longest ARN, 10 240 and 1600 bytes.
//
// # What it accepts
//
// Documents of IAM's grammar, as far as they can be honoured. Version may be left out, which stands for 2008-10-17. That
// version has no policy variables, so in it "${" is text like any other. Action, Resource and their opposites are a string
// or an array, Statement an object or an array; Id and Sid may be there. A Condition may be there if it has no key: it
// constrains nothing.
//
// # What it refuses
//
// A document that is not understood whole is not evaluated at all, since the part that is not understood may be the one
// that denies: unknown elements, conditions, principals, policy variables of version 2012-10-17, an element twice in one
// object, a wrong type or case, a resource that is neither "*" nor an ARN. All mistakes are told at once, each with
// its path, and wrap [ErrInvalid].
//
// An ARN may end early in an asterisk, as in "arn:aws:execute-api:eu-west-1:*": it stands for all the rest.
//
// IAM's documentation says that a wildcard stands for characters within one colon-separated part of an ARN, and that an
// asterisk at the end of a part can reach beyond it. Where the two readings differ, the one that refuses is taken: a
// wildcard that allows stays within its part, one that denies reaches further.
//
// # Sources
//
// IAM User Guide: "Grammar of the IAM JSON policy language", "IAM JSON policy elements: Version", "IAM JSON policy
// elements: Resource", "Policy evaluation logic"; API Gateway Developer Guide: "Output from an API Gateway Lambda authorizer", "Statement reference of IAM
// policies for executing APIs in API Gateway".
package policy
