package authorizer

import (
	"errors"
	"fmt"
	"strings"
)

// AuthorizedConfig says which events prove who the caller is. [NewAuthorized] copies it. The zero value accepts none.
type AuthorizedConfig struct {
	// APIs are the ids of the REST and HTTP APIs whose events are accepted, such as "a1b2c3d4e5". APIs or FunctionURLs
	// is required.
	APIs []string

	// FunctionURLs are the ids of the function URLs whose events are accepted. An id is the first part of the domain
	// name. The only authorizer of a function URL is IAM, so IAM must be set.
	FunctionURLs []string

	// Cognito accepts what a user pool's authorizer of a REST API has verified. It sets the proof of package auth.
	Cognito bool
	// JWT accepts what a JWT authorizer of an HTTP API has verified, with payload format 2.0. It sets the proof of
	// package auth.
	JWT bool
	// Lambda accepts what a Lambda authorizer of a REST API, or of an HTTP API with payload format 2.0, has said. It
	// sets the proof of package custom. The authorizer is trusted with every value: the PrincipalID of an HTTP API is
	// what it has put into its context under the name principalId.
	Lambda bool
	// IAM accepts the signatures that AWS has verified. It sets the proof of package sigv4.
	IAM bool
	// APIKeys accepts the API keys that a REST API has verified. It sets the proof of package apikey. An event may have
	// both a key and an authorizer; then both proofs are set. APIKeys does not demand a key of a caller whom an authorizer
	// has proved, nor the reverse: the handler can. At least one of these five is required.
	APIKeys bool

	// Issuers are the URLs of the issuers whose tokens Cognito and JWT accept, each with at least one audience. A token
	// must have one of them in aud. If it has no aud, as an access token of Cognito, it must have one in client_id. It
	// is required with Cognito and JWT.
	Issuers map[string][]string
}

// mistakes returns everything that is wrong with c.
func (c *AuthorizedConfig) mistakes() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("authorizer: "+format, args...))
		}
	}
	wrong(len(c.APIs)+len(c.FunctionURLs) == 0, "no source of events is accepted: set APIs or FunctionURLs")
	for _, id := range append(append([]string{}, c.APIs...), c.FunctionURLs...) {
		wrong(!isID(id), "%.100q is not the id of an API or of a function URL", id)
	}
	tokens := c.Cognito || c.JWT
	wrong(!tokens && !c.Lambda && !c.IAM && !c.APIKeys,
		"no authorizer is accepted: set Cognito, JWT, Lambda, IAM or APIKeys")
	wrong(len(c.FunctionURLs) > 0 && !c.IAM, "FunctionURLs have no other authorizer than IAM: set IAM")
	wrong(tokens && len(c.Issuers) == 0, "Cognito and JWT need Issuers")
	wrong(!tokens && len(c.Issuers) > 0, "Issuers are set, but neither Cognito nor JWT")
	for issuer, audiences := range c.Issuers {
		wrong(issuer == "" || strings.ContainsAny(issuer, " \t\r\n"), "%.100q is not an issuer", issuer)
		wrong(len(audiences) == 0, "issuer %.100q has no audience", issuer)
		for _, audience := range audiences {
			wrong(audience == "", "issuer %.100q has an empty audience", issuer)
		}
	}
	return errors.Join(errs...)
}

// isID reports whether s has the form of an id: lower-case letters and digits.
func isID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
