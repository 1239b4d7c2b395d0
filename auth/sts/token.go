package sts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/policy"
)

// assumeByToken is AssumeRoleWithWebIdentity: a caller with a token gets the credentials of a role. The request needs
// no signature.
//
// IAM knows no principal here, so the facts have none, and the trust policy decides alone, as [policy.Set] does for a
// caller without credentials. It names the provider of the token (Federated), and its conditions ask about the claims.
func (s *Server) assumeByToken(ctx context.Context, c call) (any, string, error) {
	q, err := c.read()
	if err != nil {
		return nil, "", err
	}
	raw, err := c.required("WebIdentityToken", shapeToken)
	if err != nil {
		return nil, "", err
	}
	token, err := s.token(ctx, raw)
	if err != nil {
		return nil, "", err
	}
	// An ID begins with the canonical URL of the issuer, even if the token has an alias: a trust policy has one name for
	// it.
	issuer, _, _ := strings.Cut(token.ID, " ")
	_, provider, _ := strings.Cut(issuer, "://")
	claims, err := auth.Claims[claims](token)
	if err != nil {
		return nil, token.ID, refuseToken(err)
	}
	r, err := s.facts(c.r, q)
	if err != nil {
		return nil, token.ID, err
	}
	audience := claims.audience(token)
	describeToken(r, provider, token.Subject, audience, claims.AMR)
	role := s.roles[q.role]
	if _, ok := allows(policy.Set{}, role, r, q); !ok {
		return nil, token.ID, denied("Not authorized to perform " + assumeByToken)
	}
	if err := q.checkDuration(role, false); err != nil { // a token is no session, so this is no chain
		return nil, token.ID, err
	}
	result, err := s.issue(role, q)
	return byTokenResult{result, token.Subject, audience, issuer}, token.ID, err
}

// describeToken adds what a token says to the facts of a request. A provider's keys begin with its name, as in
// login.example/tenant:sub. What the token does not say is an absent key.
func describeToken(r *policy.Request, provider, subject, audience string, amr []string) {
	r.Values["aws:FederatedProvider"] = provider
	r.Values[provider+":sub"] = subject
	if audience != "" {
		r.Values[provider+":aud"] = audience
	}
	if len(amr) > 0 {
		r.Values[provider+":amr"] = amr
	}
}

// claims are those that conditions can ask for, in addition to the subject.
type claims struct {
	AZP string   `json:"azp"`
	AMR []string `json:"amr"`
}

// audience returns the value of PROVIDER:aud: azp if there is one, as at AWS, else the audience. A token for several
// audiences has none, since no condition could say which of them counts.
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif)
func (c claims) audience(t auth.Token) string {
	if all := t.Audience(); c.AZP == "" && len(all) == 1 {
		return all[0]
	}
	return c.AZP
}

// notJWT is AWS's text about a token that it does not read.
const notJWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"

// token verifies a token. Tokens of Config has checked signature, issuer, audience and time. What is left is what AWS
// asks of an ID token in particular.
func (s *Server) token(ctx context.Context, raw string) (auth.Token, error) {
	if s.config.Tokens == nil {
		return auth.Token{}, badToken(auth.ErrIssuer, "No OpenIDConnect provider found in your account.")
	}
	token, err := s.config.Tokens.VerifyToken(ctx, raw)
	if err != nil {
		return auth.Token{}, refuseToken(err)
	}
	switch {
	case token.Subject == "":
		return auth.Token{}, badToken(auth.ErrMalformed, "Missing a required claim: sub")
	case len(token.Audience()) == 0:
		// Cognito's access tokens have none. Any service that a user calls gets them, and could assume the role.
		return auth.Token{}, badToken(auth.ErrAudience, notJWT)
	}
	return token, nil
}

// badToken is the refusal of a token. The error is the cause, for logs and for errors.Is.
func badToken(err error, message string) error {
	return &Error{
		Err: fmt.Errorf("%w: %w", ErrRefused, err), Code: "InvalidIdentityToken", Message: message, status: http.StatusBadRequest,
	}
}

// refuseToken returns the refusal of a token that package auth has refused, in AWS's words
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html, "Errors"). That the keys of
// an issuer are not available comes first: it says nothing about the token, and the client must try again with it.
func refuseToken(err error) error {
	switch {
	case errors.Is(err, auth.ErrUnavailable), errors.Is(err, auth.ErrNotConfigured):
		return &Error{
			Err: fmt.Errorf("%w: %w", ErrUnavailable, err), Code: "IDPCommunicationError",
			Message: "The keys of the identity provider are not available.",
		}
	case errors.Is(err, auth.ErrIssuer):
		return badToken(err, "No OpenIDConnect provider found in your account.")
	case errors.Is(err, auth.ErrAudience):
		return badToken(err, "Incorrect token audience")
	case errors.Is(err, auth.ErrSignature):
		return badToken(err, "Couldn't verify the signature of the token.")
	case errors.Is(err, auth.ErrNotCurrent):
		told, ok := errors.AsType[*auth.Error](err)
		if ok && told.Token != nil && !time.Now().Before(told.Token.Expiry) {
			return &Error{
				Err: fmt.Errorf("%w: %w", ErrRefused, err), Code: "ExpiredTokenException", status: http.StatusBadRequest,
				Message: fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d",
					time.Now().Unix(), told.Token.Expiry.Unix()),
			}
		}
		return badToken(err, "The token is not valid yet.")
	case errors.Is(err, auth.ErrMalformed):
		return badToken(err, notJWT)
	}
	return &Error{
		Err: fmt.Errorf("%w: %w", ErrRefused, err), Code: "IDPRejectedClaim", Message: "The token was refused.",
	}
}
