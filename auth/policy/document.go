package policy

import "errors"

// ErrInvalid is wrapped by every error about a document.
var ErrInvalid = errors.New("invalid policy document")

// Versions of the policy language.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Document is a policy as it is written. [New] compiles it to a [Policy]. Its JSON form is IAM's; json.Unmarshal reads
// it as strictly as [Parse] does, but only New checks the values.
type Document struct {
	// Version is the version of the policy language: "2012-10-17" or "2008-10-17". Empty means "2008-10-17".
	Version string `json:"Version,omitempty"`

	// ID is a name for the document. It has no effect.
	ID string `json:"Id,omitempty"`

	// Statement is the list of statements. It must not be empty.
	Statement []Statement `json:"Statement"`
}

// Statement allows or denies actions on resources. Exactly one of Action and NotAction must be set, exactly one of
// Resource and NotResource, and at most one of Principal and NotPrincipal.
type Statement struct {
	// Sid is a name for the statement. It has no effect.
	Sid string `json:"Sid,omitempty"`

	// Effect is "Allow" or "Deny".
	Effect string `json:"Effect"`

	// Principal lists, by kind, the callers that the statement applies to. It is for policies of a resource. The kinds
	// are "AWS", "Federated" and "Service". An entry of kind "AWS" is "*" for everybody, also without credentials; an
	// account, as "123456789012" or "arn:aws:iam::123456789012:root"; or the ARN of a user, a role or a session. In
	// JSON, "Principal": "*" is read as {"AWS": ["*"]}, which means the same.
	Principal map[string][]string `json:"Principal,omitempty"`

	// NotPrincipal lists, by kind, callers that the statement does not apply to. See "Principals" in the package's
	// documentation before you use it.
	NotPrincipal map[string][]string `json:"NotPrincipal,omitempty"`

	// Action lists patterns of actions. The statement applies to actions that match any of them. A pattern is "*" or
	// has the form "execute-api:Invoke".
	Action []string `json:"Action,omitempty"`

	// NotAction lists patterns like those of Action. The statement applies to actions that match none of them.
	NotAction []string `json:"NotAction,omitempty"`

	// Resource lists patterns of method ARNs. The statement applies to resources that match any of them. A pattern is
	// "*" or has the form "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/*", with at most 512
	// characters. After the service it may end early in an asterisk, which then stands for the rest of the ARN:
	// "arn:aws:execute-api:eu-west-1:*".
	Resource []string `json:"Resource,omitempty"`

	// NotResource lists patterns like those of Resource. The statement applies to resources that match none of them.
	NotResource []string `json:"NotResource,omitempty"`

	// Condition lists, by operator and condition key, the values that the request is compared with, for example
	// {"IpAddress": {"aws:SourceIp": {"203.0.113.0/24"}}}. All operators and keys must hold. For one key, one of the
	// values must match, or none of them if the operator is a negation. Numbers and booleans are written as text.
	Condition map[string]map[string][]string `json:"Condition,omitempty"`
}
