package before

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

// Statement allows or denies actions on resources. Exactly one of Action and NotAction must be set, and exactly one of
// Resource and NotResource.
type Statement struct {
	// Sid is a name for the statement. It has no effect.
	Sid string `json:"Sid,omitempty"`

	// Effect is "Allow" or "Deny".
	Effect string `json:"Effect"`

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
}
