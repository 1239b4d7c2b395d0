package policy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/ratelimit/clientip"
)

// GateConfig says which API a gate guards, which policies decide, and where the facts about a request come from.
// [NewGate] copies it.
type GateConfig struct {
	// StageARN is the ARN of the API's stage, such as "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod". It is
	// required. The ARN of a method is made of it by adding method and path, such as "/GET/loyalty/1". An API that is not
	// in AWS may have any name of this form, such as "arn:aws:execute-api:local:000000000000:loyalty/v1", as long as the
	// policies use it too.
	StageARN string

	// Mount is the prefix of request paths that is not part of the API's own paths, such as "/Prod". It is left out of
	// method ARNs: with it, "/Prod/loyalty/1" is the path "/loyalty/1". A request whose path is neither the mount nor
	// below it is refused. Empty means no prefix. If http.StripPrefix has removed the prefix before, leave Mount empty.
	Mount string

	// Authorization is how callers are authenticated before they come to the gate: "AWS_IAM", "CUSTOM",
	// "COGNITO_USER_POOLS" or "NONE", as [Gateway] tells. It is required.
	Authorization string

	// Resource returns the API's resource policy. It is called for each request, so a policy can be replaced while the
	// gate works: Load of an atomic.Pointer[Policy] has this form. A nil policy matches nothing. Resource is required for
	// "COGNITO_USER_POOLS" and "NONE". Nil means that the API has no resource policy.
	Resource func() *Policy

	// Policies returns the policies of the caller. For "AWS_IAM" they are those of its identity, its session and its
	// boundary; for "CUSTOM" its Identity is what the function has returned. The Resource of the set is not used. With an
	// error the request is answered 503. Policies is required for "CUSTOM", and for "AWS_IAM" unless there is a Resource,
	// and must be nil for the others.
	Policies func(*http.Request) (Set, error)

	// Principal returns the ARN of the caller, such as "arn:aws:iam::123456789012:user/julian", and whether there is
	// one. Without one the request is refused. sigv4.ID has this form, if the keys have ARNs as their Principal. It is
	// required for "AWS_IAM" and must be nil for the others, whose callers are anonymous to IAM.
	Principal func(*http.Request) (string, bool)

	// Facts adds to the [Request] what the application knows: the tags of the caller, the issuer of its session, the VPC
	// endpoint, and values of other condition keys. What the gate knows is set already and may be changed, apart from
	// the action, the resource and the principal. A request whose SourceIP is zero afterwards is refused, unless it has
	// a SourceVPCE: through a VPC endpoint there is no public address. The Request must not be kept. Nil adds nothing.
	Facts func(*http.Request, *Request)

	// Source finds the client's address, for aws:SourceIp. A request whose address it cannot find is refused. Nil means
	// the address of the peer, for a server without proxies.
	Source *clientip.Resolver

	// SecureTransport reports whether the client has sent the request by TLS, for aws:SecureTransport. Nil means that it
	// has if it came to this server by TLS. Behind a proxy that ends TLS, set it.
	SecureTransport func(*http.Request) bool

	// ErrorHandler answers a refused request. The error is an [*Error]. Nil means [Error.ServeHTTP], which answers as API
	// Gateway does.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// AllowDespite may let a refused request pass, by returning true. Always true makes a dry run. Nil means never.
	AllowDespite func(*http.Request, error) bool

	// Observe is told each decision, once, before the request goes on or is answered. It runs on the request's
	// goroutine and must not block; a panic of it is not caught. Nil tells nobody.
	Observe func(context.Context, Event)

	// RequestID returns the id of a request, if the application names its requests. It is the X-Amzn-RequestId of a
	// refusal and the RequestID of an [Event]. If it returns "", a refusal gets a random id. Do not return a header that
	// any client can set: it would choose what stands in your logs. Nil means that each refusal gets a random id. If an
	// outer layer has set X-Amzn-RequestId in the answer before [Gate.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// validate returns every mistake in c, joined. A field that the authorization type would not use is a mistake too: who
// sets Policies for "NONE" expects them to protect something.
func (c *GateConfig) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("policy: "+format, args...))
		}
	}
	wrong(!stageARN.MatchString(c.StageARN),
		"StageARN %q is not the ARN of a stage, like arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod", c.StageARN)
	wrong(c.Mount != "" && (!plain(c.Mount) || strings.HasSuffix(c.Mount, "/")),
		"Mount %q is not a path like /Prod", c.Mount)
	switch c.Authorization {
	case authIAM:
		wrong(c.Principal == nil, "Principal is required for %s", authIAM)
		wrong(c.Policies == nil && c.Resource == nil, "Policies or Resource is required for %s", authIAM)
	case authLambda:
		wrong(c.Policies == nil, "Policies is required for %s", authLambda)
		wrong(c.Principal != nil, "Principal is for %s", authIAM)
	case authCognito, authNone:
		wrong(c.Resource == nil, "Resource is required for %s", c.Authorization)
		wrong(c.Policies != nil, "Policies is for %s and %s", authIAM, authLambda)
		wrong(c.Principal != nil, "Principal is for %s", authIAM)
	default:
		wrong(true, "Authorization %q is none of %s, %s, %s and %s",
			c.Authorization, authIAM, authLambda, authCognito, authNone)
	}
	return errors.Join(errs...)
}
