package identitypool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallygate/tallygate/sigv4/session"
)

// lifetime is how long credentials are valid: an hour, as with AWS's enhanced flow
// (https://docs.aws.amazon.com/cognito/latest/developerguide/authentication-flow.html).
const lifetime = time.Hour

// getID is GetId: it returns the caller's identity. It is the only operation that names the pool; the others name an
// identity, which belongs to one pool.
func (p *Pool) getID(ctx context.Context, in input) (any, string, error) {
	if err := checkID("identityPoolId", in.pool); err != nil {
		return nil, "", err
	}
	if in.pool != p.config.ID {
		return nil, "", invalid("ResourceNotFoundException", "IdentityPool '"+clip(in.pool)+"' not found.")
	}
	c, err := p.caller(ctx, in, "")
	return struct{ IdentityId string }{c.identity}, c.identity, err
}

// credentials are temporary credentials. The secret's name here is SecretKey; STS calls it SecretAccessKey.
type credentials struct {
	AccessKeyId, SecretKey, SessionToken string
	Expiration                           int64 // seconds since 1970
}

// getCredentials is GetCredentialsForIdentity: it returns temporary credentials of the caller's role. The session does
// not store the tokens of the logins: it lasts for an hour even if they expire earlier.
func (p *Pool) getCredentials(ctx context.Context, in input) (any, string, error) {
	c, err := p.named(ctx, in)
	if err != nil {
		return nil, "", err
	}
	role, tags, err := p.role(c, in.role)
	if err != nil {
		return nil, c.identity, err
	}
	expires := time.Now().Add(lifetime)
	// No session policy: see "What it does not do" in the package's documentation.
	issued, err := p.config.Sessions.Issue(session.Session{
		Principal: principal(role, c.identity), Role: role, Tags: tags, Expires: expires,
	})
	if err != nil {
		return nil, c.identity, refuseSession(err)
	}
	return struct {
		IdentityId  string
		Credentials credentials
	}{c.identity, credentials{issued.AccessKeyID, string(issued.Secret), string(issued.SessionToken), expires.Unix()}}, c.identity, nil
}

// refuseSession returns the refusal for a session that cannot be issued. Its tags may be too long, and they are from
// the caller's token.
func refuseSession(err error) error {
	if errors.Is(err, session.ErrInvalid) {
		return &Error{
			Err: fmt.Errorf("%w: %w", ErrInvalid, err), Code: "InvalidParameterException",
			Message: "The session tags are too long.",
		}
	}
	return &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
}

// principal returns the ARN of the session. At AWS the name of every such session is CognitoIdentityCredentials, so one
// quota would be shared by all users. Here it is the identity. AssumeRole cannot make a session of the same name,
// because the name of a session has no colon there.
func principal(role, identity string) string {
	part := roleForm.FindStringSubmatch(role)
	return fmt.Sprintf("arn:%s:sts::%s:assumed-role/%s/%s", part[1], part[2], part[3], identity)
}

// getOpenIDToken is GetOpenIdToken: it returns a token about the caller's identity, for AssumeRoleWithWebIdentity.
func (p *Pool) getOpenIDToken(ctx context.Context, in input) (any, string, error) {
	if len(p.keys) == 0 {
		return nil, "", invalid("InvalidParameterException", "Basic (classic) flow is not enabled, please use enhanced flow.")
	}
	c, err := p.named(ctx, in)
	if err != nil {
		return nil, "", err
	}
	token, err := p.token(c)
	if err != nil {
		return nil, c.identity, &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
	}
	return struct{ IdentityId, Token string }{c.identity, token}, c.identity, nil
}

// named returns the caller of an operation that names the identity.
func (p *Pool) named(ctx context.Context, in input) (caller, error) {
	if err := checkID("identityId", in.identity); err != nil {
		return caller{}, err
	}
	return p.caller(ctx, in, in.identity)
}
