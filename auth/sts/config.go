package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// Config configures a [Server]. [New] copies it.
type Config struct {
	// Verifier verifies signed requests. It is required, and must accept the service "sts" and the Regions that clients
	// sign for. Its Keys should be those of Sessions: otherwise no role can be assumed with temporary credentials.
	Verifier *sigv4.Verifier

	// Sessions issues the credentials. It is required.
	Sessions *session.Keys

	// Roles are the roles that can be assumed. No two of one account may have the same name, whatever their paths.
	Roles []Role

	// Tokens verifies the tokens of AssumeRoleWithWebIdentity. It decides which issuers and which audiences are
	// accepted. Nil accepts none.
	Tokens *auth.Verifier

	// Policies returns the policies of a verified caller: as Identity its own, and those of its groups or its role; as
	// Boundary its permissions boundary. They may be needed for the actions sts:AssumeRole, sts:TagSession and
	// sts:SetSourceIdentity. Session policies of the set limit too, as does the one in the caller's session token. The
	// Resource of the set is not used: it is the trust policy. An error refuses the request with [ErrUnavailable]. Nil
	// means that callers have none: then a role can be assumed only by those of its account whom its trust policy names
	// directly.
	Policies func(context.Context, sigv4.Identity) (policy.Set, error)

	// Keys are condition keys of the application that session policies may use.
	Keys []policy.Key

	// SourceIP returns the client's address, for aws:SourceIp in policies. If it returns false or the zero Addr, no role
	// can be assumed. Nil means the address of the connection, which behind a proxy is the proxy's. The method Addr of a
	// [clientip.Resolver] has this form.
	//
	// [clientip.Resolver]: https://pkg.go.dev/github.com/tallygate/tallygate/ratelimit/clientip#Resolver
	SourceIP func(*http.Request) (netip.Addr, bool)

	// SecureTransport reports whether the client has sent the request by TLS, for aws:SecureTransport in policies. Nil
	// means that it has if it came to this server by TLS. Behind a proxy that ends TLS, set it.
	SecureTransport func(*http.Request) bool

	// Observe is told each decision, once, before it is answered. It runs on the request's goroutine and must not
	// block. Nil tells nobody.
	Observe func(context.Context, auth.Event)

	// RequestID names a request, for its answer and for Observe. If it is nil or returns "", the id is random.
	RequestID func(*http.Request) string
}

// Role is a role that callers can assume.
type Role struct {
	// ARN is that of the role, such as "arn:aws:iam::123456789012:role/Points".
	ARN string

	// Trust is the trust policy as JSON: who may assume the role. A role without one is refused by [New]. The package's
	// documentation says what it may contain.
	Trust string

	// MaxDuration is the longest that a session may last, from one hour to 12 hours. Zero means one hour.
	MaxDuration time.Duration
}

// The bounds of a session's duration (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const (
	shortest   = 15 * time.Minute
	usual      = time.Hour // also the longest of a chained session
	longest    = 12 * time.Hour
	perAccount = 1000 // roles: the default quota of IAM, and a bound on what New compiles
)

// roleForm is the form of a role's ARN. Its groups are partition, account and name; the path before the name is in
// none, as the ARN of a session does not have it either (IAM User Guide, "IAM identifiers").
var roleForm = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d{12}):role/(?:[!-~]*/)?([\w+=,.@-]{1,64})$`)

// validate returns the roles of c, by their ARN, or every mistake of c. Roles are compiled here, since a mistake in a
// trust policy is one of the configuration: none is left for the first request.
func (c *Config) validate() (map[string]*role, error) {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("sts: %w: Config."+format, append([]any{ErrNotConfigured}, args...)...))
	}
	if c.Verifier == nil {
		wrong("Verifier is required")
	}
	if c.Sessions == nil {
		wrong("Sessions is required")
	}
	if len(c.Roles) > perAccount {
		wrong("Roles has %d roles, at most %d are allowed", len(c.Roles), perAccount)
	}
	if err := checkKeys(c.Keys); err != nil {
		wrong("Keys: %w", err)
	}
	roles, names := make(map[string]*role), make(map[[2]string]bool)
	for i, r := range c.Roles {
		part := roleForm.FindStringSubmatch(r.ARN)
		if part == nil {
			wrong("Roles[%d].ARN is %q, want the ARN of a role", i, r.ARN)
			continue
		}
		if r.MaxDuration != 0 && (r.MaxDuration < usual || r.MaxDuration > longest) {
			wrong("Roles[%d].MaxDuration is %v, want %v to %v", i, r.MaxDuration, usual, longest)
		}
		// Sessions of role/a/Points and of role/b/Points would have the same principals, and share their quotas.
		name := [2]string{part[2], part[3]}
		if names[name] {
			wrong("Roles[%d]: another role of the account has the name %q", i, part[3])
		}
		names[name] = true
		one, err := newRole(r, part)
		if err != nil {
			wrong("Roles[%d].Trust: %w", i, err)
		}
		roles[r.ARN] = one
	}
	return roles, errors.Join(mistakes...)
}

// checkKeys returns the mistakes in condition keys. policy.New checks them all, also for a document that uses none,
// such as this one. Without it, the first session policy of a client would meet the operator's mistake.
func checkKeys(keys []policy.Key) error {
	_, err := policy.New(policy.Document{Statement: []policy.Statement{
		{Effect: "Deny", Action: []string{"*"}, Resource: []string{"*"}},
	}}, keys...)
	return err
}
