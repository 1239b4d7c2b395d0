package authorizer

import (
	"cmp"
	"encoding/json"
	"maps"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

// kind is the kind of authorizer that has verified the caller of an event. Zero is none. Each kind is accepted only if
// the configuration names it: a team that adds a Lambda authorizer to an API must not change who may call a function
// that expects IAM.
type kind int

const (
	kindCognito kind = iota + 1 // a user pool, for a REST API
	kindJWT                     // for an HTTP API
	kindLambda
	kindIAM
)

// String returns the name of the kind in a refusal.
func (k kind) String() string {
	return [...]string{"nobody", "a Cognito user pool", "a JWT authorizer", "a Lambda authorizer", "IAM"}[k]
}

// proof is what an event says about its caller. The kind decides which of the other fields is set.
type proof struct {
	kind     kind
	claims   object
	identity custom.Identity
	signer   sigv4.Identity
}

// object is a JSON object whose members are not decoded. Unlike the fields of a struct, its names are compared exactly:
// "Claims" is not "claims". A Lambda authorizer chooses names, and "Claims" must not become the claims of a user pool.
type object map[string]json.RawMessage

// parseObject reads an object and leaves out members that are null: in these events a null means the same as no member.
func parseObject(text json.RawMessage) (object, error) {
	var o object
	if len(text) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, refusal(auth.ErrMalformed, "requestContext: %w", err)
	}
	maps.DeleteFunc(o, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return o, nil
}

// nested reports whether a member is an object. A text that contains JSON is not: a Lambda authorizer may have put an
// unverified token's claims into its context in that form.
func (o object) nested(name string) bool { return len(o[name]) > 0 && o[name][0] == '{' }

// maxProof is how many bytes of JSON about the caller are read at most. The claims, the context and the user agent come
// from at most 10 240 bytes of headers, each of which may become 6 bytes (\u0000), and from an authorizer's answer of
// at most 8 KB (API Gateway quotas). Decoded values take many times as much memory as their JSON.
const maxProof = 256 << 10

// findProof returns what an event says about its caller. Each kind of event has its own places for it, and no other
// place is read.
func findProof(e *awslambda.Event) (proof, error) {
	if n := len(e.Authorizer) + len(e.Identity); n > maxProof {
		return proof{}, refusal(auth.ErrMalformed, "authorizer and identity have %d bytes", n)
	}
	switch e.Kind {
	case awslambda.REST:
		return findREST(e)
	case awslambda.HTTP1:
		return findHTTP1(e)
	case awslambda.HTTP2, awslambda.FunctionURL:
		return findHTTP2(e)
	}
	return proof{}, nil
}

// findREST reads the event of a REST API. A user pool's authorizer sets one member, claims, an object. A Lambda
// authorizer sets principalId, and a member for each value of its context. Its values are never objects, so a value
// that it has named claims is not taken for a user pool's.
func findREST(e *awslambda.Event) (proof, error) {
	o, err := parseObject(e.Authorizer)
	if err != nil {
		return proof{}, err
	}
	// API Gateway requires a principalId of each Lambda authorizer, and refuses objects in its context. So the first case
	// is a Lambda authorizer's, the second is a user pool's, and no event is in both.
	_, named := o["principalId"]
	switch {
	case named && !o.nested("claims"):
		return lambdaProof(o)
	case !named && o.nested("claims"):
		claims, err := parseObject(o["claims"])
		return proof{kind: kindCognito, claims: claims}, err
	case len(o) > 0:
		return proof{}, refusal(auth.ErrMalformed, "the members of authorizer are those of no authorizer of a REST API")
	}
	return signerInIdentity(e)
}

// findHTTP1 reads the event of an HTTP API in payload format 1.0. There a JWT authorizer sets claims, and a Lambda
// authorizer may set a value under the same name and with the same form. So neither is accepted.
func findHTTP1(e *awslambda.Event) (proof, error) {
	o, err := parseObject(e.Authorizer)
	if err != nil {
		return proof{}, err
	}
	if len(o) > 0 {
		return proof{}, refusal(auth.ErrMalformed,
			"payload format 1.0 of an HTTP API does not say which authorizer has set these values: use format 2.0")
	}
	return signerInIdentity(e)
}

// findHTTP2 reads the event of an HTTP API in payload format 2.0, or of a function URL, whose only authorizer is IAM.
// There is one member, and its name is that of the kind. Two members would leave open which authorizer has decided, so
// that is refused.
func findHTTP2(e *awslambda.Event) (proof, error) {
	var all object // with those that are null: a Lambda authorizer without a context has "lambda": null
	if len(e.Authorizer) > 0 {
		if err := json.Unmarshal(e.Authorizer, &all); err != nil {
			return proof{}, refusal(auth.ErrMalformed, "requestContext: %w", err)
		}
	}
	text, byLambda := all["lambda"]
	switch {
	case len(all) == 0:
		return proof{}, nil
	case len(all) == 1 && byLambda && e.Kind == awslambda.HTTP2 && (all.nested("lambda") || string(text) == "null"):
		o, err := parseObject(text)
		if err != nil {
			return proof{}, err
		}
		return lambdaProof(o)
	case len(all) == 1 && all.nested("jwt") && e.Kind == awslambda.HTTP2:
		return jwtProof(all["jwt"])
	case len(all) == 1 && all.nested("iam"):
		return iamProof(e, all["iam"])
	}
	return proof{}, refusal(auth.ErrMalformed, "the members of authorizer are those of no authorizer of a %s", e.Kind)
}

// jwtProof reads the value of jwt. Its scopes are not read, since the claims have them.
func jwtProof(text json.RawMessage) (proof, error) {
	o, err := parseObject(text)
	if err != nil {
		return proof{}, err
	}
	if !o.nested("claims") {
		return proof{}, refusal(auth.ErrMalformed, "authorizer.jwt has no claims")
	}
	claims, err := parseObject(o["claims"])
	return proof{kind: kindJWT, claims: claims}, err
}

// lambdaProof reads what a Lambda authorizer has said. API Gateway itself adds integrationLatency, so that is left out.
// Without a principalId the PrincipalID is empty, and custom.ID has no name for the caller.
func lambdaProof(o object) (proof, error) {
	id := custom.Identity{Context: make(map[string]any, len(o))}
	for name, text := range o {
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return proof{}, refusal(auth.ErrMalformed, "authorizer: %w", err)
		}
		id.Context[name] = value
	}
	if value, ok := id.Context[principalName]; ok {
		if id.PrincipalID, ok = value.(string); !ok || !whole(id.PrincipalID) {
			return proof{}, refusal(auth.ErrMalformed, "principalId is a %T, or not UTF-8", value)
		}
	}
	delete(id.Context, principalName)
	delete(id.Context, "integrationLatency")
	return proof{kind: kindLambda, identity: id}, nil
}

// signerInIdentity reads requestContext.identity, in which REST APIs and payload format 1.0 name the caller whose
// signature they have verified.
func signerInIdentity(e *awslambda.Event) (proof, error) {
	var id struct{ AccessKey, UserARN, CognitoIdentityID string }
	if len(e.Identity) > 0 {
		if err := json.Unmarshal(e.Identity, &id); err != nil {
			return proof{}, refusal(auth.ErrMalformed, "identity: %w", err)
		}
	}
	return signerProof(e, id.AccessKey, id.UserARN, id.CognitoIdentityID)
}

// iamProof reads the value of iam, which HTTP APIs and function URLs write alike.
func iamProof(e *awslambda.Event, text json.RawMessage) (proof, error) {
	var id struct {
		AccessKey, UserARN string
		CognitoIdentity    struct{ IdentityID string }
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return proof{}, refusal(auth.ErrMalformed, "authorizer.iam: %w", err)
	}
	// In identity, a caller without a name is one who has not signed. Here IAM was asked, so it must have found a name.
	if id.AccessKey == "" || id.UserARN == "" {
		return proof{}, refusal(auth.ErrMalformed, "authorizer.iam names no caller")
	}
	return signerProof(e, id.AccessKey, id.UserARN, id.CognitoIdentity.IdentityID)
}

// signerProof returns the proof of a caller with an access key, or none. The users of an identity pool share the ARN of
// their role, so each is named by the identity in the pool. That is like eu-west-1:…, so it never equals an ARN.
func signerProof(e *awslambda.Event, accessKey, arn, poolIdentity string) (proof, error) {
	if accessKey == "" || arn == "" {
		return proof{}, nil
	}
	signer := sigv4.Identity{AccessKeyID: accessKey, Principal: cmp.Or(poolIdentity, arn), Service: "execute-api"}
	if e.Kind == awslambda.FunctionURL {
		signer.Service = "lambda"
	}
	return proof{kind: kindIAM, signer: signer}, nil
}
