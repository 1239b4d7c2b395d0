package authorizer

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/policy"
)

// Config says who is let in and what API Gateway or AppSync is told about the caller. [New] copies it. The functions
// get the authenticated request, in whose context the proof is. Several goroutines may call them at once.
type Config struct {
	// Mode authenticates the request that the event describes: a verifier of package auth, apikey, sigv4 or custom, or
	// several of them joined by [auth.AnyOf]. Required.
	Mode auth.Mode

	// Principal names the caller, for example [auth.ID] or apikey.ID. It becomes principalId. If it returns false, the
	// caller is refused. Required.
	Principal func(*http.Request) (string, bool)

	// TokenHeader is the header whose value is the token of a TOKEN event or of AppSync. The mode finds it under this
	// name. Empty means Authorization.
	TokenHeader string

	// BasePaths has the mapping key of each custom domain name of an API, such as "v1" for api.example.com, as in
	// [awslambda.Config]. SigV4 with payload format 2.0 needs it, and so does a mode that decides by the path.
	BasePaths map[string]string

	// Simple answers events of HTTP APIs in payload format 2.0 by {"isAuthorized": …}. The API's EnableSimpleResponses
	// must have the same value. False answers by a policy document. It has no effect on other events.
	Simple bool

	// Uncached says that API Gateway does not cache the result, because authorizerResultTtlInSeconds is 0. The Allow
	// then names only the method and the path of this request, and AppSync gets ttlOverride 0. It is required for modes
	// that decide by more than who the caller is; see the package documentation. Without it, the Allow names all
	// methods of the stage.
	Uncached bool

	// Statements replaces the Allow: it returns what the caller may invoke in the stage, whose ARN is like
	// arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod. Unless Uncached is set, the statements must name
	// everything that the caller may invoke, not only this method. Nil means the Allow. It cannot be used with Simple.
	// With AppSync, which takes no policies, it is [ErrResult].
	Statements func(r *http.Request, stage string) []policy.Statement

	// UsageIdentifierKey is the value of the caller's API key, such as custom.UsageIdentifierKey, for a REST API whose
	// key source is AUTHORIZER. Nil, or false, sends none. HTTP APIs and AppSync have no usage plans.
	UsageIdentifierKey func(*http.Request) (string, bool)

	// Context returns what the handler of the API is told about the caller. In a policy document and for AppSync the
	// values must be strings, numbers and booleans; Simple takes any JSON. The name principalId is reserved for the
	// caller's name: HTTP APIs in payload format 2.0 and AppSync get it there. Nil means no values.
	Context func(*http.Request) map[string]any

	// DeniedFields are the GraphQL fields that the caller must not see, such as "Mutation.createEvent". Only AppSync
	// has them. Nil means none.
	DeniedFields func(*http.Request) []string

	// TTL is how long AppSync keeps the result. It is cut to whole seconds; less than zero counts as zero, and more
	// than an hour as an hour. If it returns false, or is nil, the API's setting counts. It cannot be used with
	// Uncached. A token may expire earlier than that: see the Expiry of [auth.Token].
	TTL func(*http.Request) (time.Duration, bool)
}

// mistakes returns everything that is wrong with c.
func (c *Config) mistakes() error {
	var errs []error
	wrong := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New("authorizer: "+text))
		}
	}
	wrong(c.Mode == nil, "Mode is required")
	wrong(c.Principal == nil, "Principal is required")
	wrong(!fieldName(c.TokenHeader), "TokenHeader is not the name of a header")
	wrong(c.Simple && c.Statements != nil, "Statements need a policy document, and Simple answers without one")
	wrong(c.Uncached && c.TTL != nil, "TTL is set, although Uncached says that nothing is kept")
	if _, err := c.requests(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// requests returns what makes the requests for the mode. Its handler is never called.
func (c *Config) requests() (*awslambda.Function, error) {
	f, err := awslambda.New(awslambda.Config{Handler: http.NotFoundHandler(), BasePaths: c.BasePaths})
	if err != nil {
		return nil, fmt.Errorf("authorizer: %w", err)
	}
	return f, nil
}

// fieldName reports whether a header can have the name, which may be empty here (RFC 9110 section 5.6.2).
func fieldName(name string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}
