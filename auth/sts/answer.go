package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strings"

	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4/session"
)

// The answers, in the order of AWS's documentation. The secret's name here is SecretAccessKey; identity pools call it
// SecretKey.
type (
	credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	assumedRoleUser struct {
		ID  string `xml:"AssumedRoleId"`
		ARN string `xml:"Arn"`
	}
	issued struct {
		Credentials      credentials
		User             assumedRoleUser `xml:"AssumedRoleUser"`
		PackedPolicySize *int            `xml:",omitempty"`
		Source           string          `xml:"SourceIdentity,omitempty"`
	}
	byTokenResult struct {
		issued
		Subject  string `xml:"SubjectFromWebIdentityToken"`
		Audience string
		Provider string
	}
	callerIdentity struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}
)

// answer is an answer as a whole. Its elements are named after the action.
type answer struct {
	XMLName   xml.Name
	Namespace string `xml:"xmlns,attr"`
	Result    element
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

// element is an XML element with a name of its own.
type element struct {
	XMLName xml.Name
	Content any
}

// MarshalXML writes the members of the content into the element.
func (e element) MarshalXML(x *xml.Encoder, _ xml.StartElement) error {
	return x.EncodeElement(e.Content, xml.StartElement{Name: e.XMLName})
}

// envelope returns the answer of an action: <AssumeRoleResponse> with <AssumeRoleResult> and <ResponseMetadata>, for
// example (the query protocol, see readForm).
func envelope(action string, result any, id string) answer {
	return answer{
		XMLName: xml.Name{Local: action + "Response"}, Namespace: namespace,
		Result: element{xml.Name{Local: action + "Result"}, result}, RequestID: id,
	}
}

// getCallerIdentity is GetCallerIdentity: it tells a caller who it is. As at AWS, it needs no permission.
func (s *Server) getCallerIdentity(_ context.Context, c call) (any, string, error) {
	identity := callerIdentity{ARN: c.id.Principal, UserID: uniqueID("AIDA", c.id.Principal)}
	if from, ok := c.id.Session.(*session.Session); ok { // ROLE-ID:SESSION-NAME
		name := from.Principal[strings.LastIndexByte(from.Principal, '/')+1:]
		identity.UserID = uniqueID("AROA", from.Role) + ":" + name
	}
	if part := strings.SplitN(c.id.Principal, ":", 6); len(part) == 6 && part[0] == "arn" {
		identity.Account = part[4]
	}
	return identity, "", nil
}

// uniqueID returns an id in the form of IAM's unique ids
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html). It is a digest of the ARN, so it stays
// the same on every node. 17 characters of base32 have 85 bits.
func uniqueID(prefix, arn string) string {
	sum := sha256.Sum256([]byte(arn))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// isARN reports whether text has the six parts of an ARN; region and account may be empty. It asks for the form only:
// whether there is such a role is for the decision, which tells nobody.
func isARN(text string) bool {
	part := strings.SplitN(text, ":", 6)
	return len(part) == 6 && part[0] == "arn" && part[1] != "" && part[2] != "" && part[5] != ""
}

// hasPrincipal reports whether a statement of a document names principals. The document must be valid.
func hasPrincipal(text string) bool {
	var d policy.Document
	return json.Unmarshal([]byte(text), &d) == nil && slices.ContainsFunc(d.Statement, func(s policy.Statement) bool {
		return len(s.Principal)+len(s.NotPrincipal) > 0
	})
}
