package policy

import (
	"maps"
	"slices"
	"strings"
)

// Key is a condition key of an application's own, such as {"app:Tier", "String"}. Documents may test it in conditions
// and use it as a variable once it is passed to [Parse] or [New]. Requests carry its value in [Request.Values].
type Key struct {
	// Name has the form prefix:name. It must not begin with "aws:". It is compared without regard to case. The prefix may
	// be the name of an identity provider, such as login.example/tenant.
	Name string

	// Type is the type of the values, as AWS's Service Authorization Reference names it: "String", "ARN", "Numeric",
	// "Date", "Bool", "Binary", "IPAddress", "ArrayOfString" or "ArrayOfARN". It decides which operators fit.
	Type string
}

// kind is a type of values. Each family of operators compares values of one kind.
type kind uint8

const (
	kindText kind = iota + 1
	kindARN
	kindNumber
	kindDate
	kindBool
	kindBinary
	kindAddress
)

// source says where the value of a key comes from.
type source uint8

const (
	fromValues source = iota // Request.Values
	fromPrincipalARN
	fromPrincipalAccount
	fromPrincipalType
	fromUserName
	fromPrincipalTag
	fromSourceIP
	fromSourceVPCE
	fromCurrentTime
	fromSecureTransport
	fromUserAgent
)

// key is a condition key that documents may use.
type key struct {
	name    string // as it is spelled in Request.Values
	typed   string // the name of its type, for messages
	kind    kind
	list    bool // the key may have several values
	numeric bool // a date that numeric operators fit as well
	source  source
	tag     string // the name of the tag, for fromPrincipalTag
}

// types are the types that a Key may have. Each is a key that has all but its name and its source. A type that is not
// here gives a key of kind 0, which no operator fits but Null.
var types = map[string]key{
	"String":        {kind: kindText},
	"ARN":           {kind: kindARN},
	"Numeric":       {kind: kindNumber},
	"Date":          {kind: kindDate},
	"Bool":          {kind: kindBool},
	"Binary":        {kind: kindBinary},
	"IPAddress":     {kind: kindAddress},
	"ArrayOfString": {kind: kindText, list: true},
	"ArrayOfARN":    {kind: kindARN, list: true},
}

// globals are the keys of AWS that a request to an API can have, by their name in lower case: those that the API
// Gateway Developer Guide lists under "AWS condition keys that can be used in API Gateway resource policies", and those
// of "AWS global condition context keys" and "Actions, resources, and condition keys for Amazon Cognito Identity" that
// tell about the caller or its session. Keys about other services are unknown.
var globals = knownKeys(map[source][]Key{
	fromPrincipalARN:     {{"aws:PrincipalArn", "ARN"}},
	fromPrincipalAccount: {{"aws:PrincipalAccount", "String"}},
	fromPrincipalType:    {{"aws:PrincipalType", "String"}},
	fromUserName:         {{"aws:username", "String"}},
	fromSourceIP:         {{"aws:SourceIp", "IPAddress"}},
	fromSourceVPCE:       {{"aws:SourceVpce", "String"}},
	fromCurrentTime:      {{"aws:CurrentTime", "Date"}, {"aws:EpochTime", "Date"}},
	fromSecureTransport:  {{"aws:SecureTransport", "Bool"}},
	fromUserAgent:        {{"aws:UserAgent", "String"}},
	fromValues: {
		{"aws:FederatedProvider", "String"},
		{"aws:MultiFactorAuthAge", "Numeric"},
		{"aws:MultiFactorAuthPresent", "Bool"},
		{"aws:PrincipalOrgID", "String"},
		{"aws:PrincipalOrgPaths", "ArrayOfString"},
		{"aws:Referer", "String"},
		{"aws:SourceAccount", "String"},
		{"aws:SourceArn", "ARN"},
		{"aws:SourceIdentity", "String"},
		{"aws:SourceVpc", "String"},
		{"aws:TagKeys", "ArrayOfString"},
		{"aws:TokenIssueTime", "Date"},
		{"aws:userid", "String"},
		{"aws:VpcSourceIp", "IPAddress"},
		{"cognito-identity.amazonaws.com:amr", "ArrayOfString"},
		{"cognito-identity.amazonaws.com:aud", "String"},
		{"cognito-identity.amazonaws.com:sub", "String"},
	},
})

// knownKeys returns keys by their name in lower case.
func knownKeys(by map[source][]Key) map[string]key {
	known := make(map[string]key)
	for source, keys := range by {
		for _, k := range keys {
			one := types[k.Type]
			one.name, one.typed, one.source = k.Name, k.Type, source
			one.numeric = k.Name == "aws:EpochTime" // "Works with date operators and numeric operators"
			known[lower(k.Name)] = one
		}
	}
	return known
}

// What the names of the keys for tags begin with, in lower case: those of the caller, and those that a request of AWS
// STS asks for a session.
const (
	tagPrefix        = "aws:principaltag/"
	requestTagPrefix = "aws:requesttag/"
)

// keys are the condition keys of the application, by their name in lower case. With those of AWS, which find knows,
// they are all that one document may use. Nil is valid: the application has none.
type keys map[string]key

// find returns the key with a name, which is compared without regard to case (IAM User Guide, "IAM JSON policy
// elements: Condition": key names are not case-sensitive).
func (own keys) find(name string) (key, bool) {
	small := lower(name)
	if k, ok := globals[small]; ok {
		return k, true
	}
	if strings.HasPrefix(small, tagPrefix) && len(small) > len(tagPrefix) {
		tag := name[len(tagPrefix):]
		return key{name: "aws:PrincipalTag/" + tag, typed: "String", kind: kindText, source: fromPrincipalTag, tag: tag}, true
	}
	if strings.HasPrefix(small, requestTagPrefix) && len(small) > len(requestTagPrefix) {
		return key{name: "aws:RequestTag/" + name[len(requestTagPrefix):], typed: "String", kind: kindText}, true
	}
	k, ok := own[small]
	return k, ok
}

// newKeys returns the keys of an application, and adds every mistake in them to m. A name that is taken is one of AWS's
// or that of an earlier key: the loop adds each key to those that it compares the next ones with. A wrong key is added
// too, so that conditions which use it are not told that it is unknown.
func newKeys(own []Key, m *mistakes) keys {
	if len(own) == 0 {
		return nil
	}
	known := make(keys, len(own))
	for i, k := range own {
		path, small := element("Key", i), lower(k.Name)
		one, typed := types[k.Type]
		prefix, name, _ := strings.Cut(k.Name, ":")
		_, taken := known.find(k.Name)
		switch {
		case !consistsOf(prefix, alphanumeric+"-._/") || !consistsOf(name, alphanumeric+"-._:/"):
			m.add(path, "%q is not of the form prefix:name", k.Name)
		case strings.HasPrefix(small, "aws:") || taken:
			m.add(path, "%q is taken", k.Name)
		case !typed:
			m.add(path, "%q is no type, as these are: %s", k.Type, strings.Join(slices.Sorted(maps.Keys(types)), ", "))
		}
		one.name, one.typed = k.Name, k.Type
		known[small] = one
	}
	return known
}
