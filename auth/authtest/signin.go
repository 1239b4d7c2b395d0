package authtest

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// How long a client may take to answer a challenge, and how long a refresh token lasts. These are Cognito's defaults.
const (
	challengeLifetime = 3 * time.Minute
	refreshLifetime   = 30 * 24 * time.Hour
)

// signIn is one sign-in of a user. All its tokens name it in origin_jti, and are revoked with it.
type signIn struct {
	id, event, user string
	at              time.Time
}

// ticket is what the pool must know when a client comes back: it is in the secret block of SRP, in a session, and in a
// refresh token. The client keeps it sealed, so the pool need not.
type ticket struct {
	Kind, User, Client, ID string   // ID is that of the sign-in
	A, B                   *big.Int // of SRP: the client's public value, the pool's private value
	Until                  time.Time
}

// fits reports whether the ticket is of a kind, was given to the user and client of a request, and still holds.
func (t ticket) fits(kind string, r *request) bool {
	return t.Kind == kind && t.User == r.member.name && t.Client == r.ClientId && time.Now().Before(t.Until)
}

// seal returns a sealed ticket for the user and client of a request.
func (p *Pool) seal(r *request, lifetime time.Duration, t ticket) []byte {
	t.User, t.Client, t.Until = r.member.name, r.ClientId, time.Now().Add(lifetime)
	text, _ := json.Marshal(t) // strings and numbers always encode
	return p.aead.Seal(nil, nil, text, nil)
}

// open opens a ticket that was decoded. One that the pool has not sealed is empty.
func (p *Pool) open(sealed []byte, _ error) (t ticket) {
	if text, err := p.aead.Open(nil, nil, sealed, nil); err == nil {
		_ = json.Unmarshal(text, &t) // seal has encoded it
	}
	return t
}

// flows are what InitiateAuth and RespondToAuthChallenge do, by AuthFlow and by ChallengeName.
var flows = map[string]func(*Pool, *request) (any, error){
	"USER_PASSWORD_AUTH":    (*Pool).checkPassword,
	"USER_SRP_AUTH":         (*Pool).challenge,
	"PASSWORD_VERIFIER":     (*Pool).verifyPassword,
	"NEW_PASSWORD_REQUIRED": (*Pool).changePassword,
	"REFRESH_TOKEN_AUTH":    (*Pool).refresh,
	"REFRESH_TOKEN":         (*Pool).refresh,
}

func (p *Pool) flow(r *request) (any, error) {
	flow := cmp.Or(r.AuthFlow, r.ChallengeName)
	run := flows[flow]
	switch {
	case run == nil:
		return nil, invalid("%s flow not enabled for this client", flow)
	case r.Username == "" && !strings.HasPrefix(flow, "REFRESH"):
		return nil, invalid("Missing required parameter USERNAME")
	}
	return run(p, r)
}

var errPassword = refusal{"NotAuthorizedException", "Incorrect username or password."}

func (p *Pool) checkPassword(r *request) (any, error) {
	got := verifierOf(p.name, r.member.name, r.AuthParameters["PASSWORD"], r.member.salt)
	if subtle.ConstantTimeCompare(got.Bytes(), r.member.verifier.Bytes()) != 1 {
		return nil, errPassword
	}
	return p.proceed(r)
}

// challenge answers the first message of SRP.
func (p *Pool) challenge(r *request) (any, error) {
	a, ok := new(big.Int).SetString(r.AuthParameters["SRP_A"], 16)
	if !ok || !isPublic(a) {
		return nil, invalid("SRP_A is not a public value of SRP.")
	}
	m, b := r.member, random(32)
	return map[string]any{"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": map[string]string{
		"USERNAME": m.name, "USER_ID_FOR_SRP": m.name, "SALT": m.salt.Text(16), "SRP_B": publicOf(b, m.verifier).Text(16),
		"SECRET_BLOCK": base64.StdEncoding.EncodeToString(p.seal(r, challengeLifetime, ticket{Kind: "srp", A: a, B: b})),
	}}, nil
}

// verifyPassword checks the second message of SRP.
func (p *Pool) verifyPassword(r *request) (any, error) {
	stamp, err := time.Parse(srpTime, r.ChallengeResponses["TIMESTAMP"])
	if err != nil {
		return nil, invalid("TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english")
	}
	block, _ := base64.StdEncoding.DecodeString(r.ChallengeResponses["PASSWORD_CLAIM_SECRET_BLOCK"])
	proof, _ := base64.StdEncoding.DecodeString(r.ChallengeResponses["PASSWORD_CLAIM_SIGNATURE"])
	if t := p.open(block, nil); !t.fits("srp", r) || !p.proves(proof, r.member, t, block, stamp) {
		return nil, errPassword
	}
	return p.proceed(r)
}

// proceed goes on with the sign-in of a user whose password was right.
func (p *Pool) proceed(r *request) (any, error) {
	m := r.member
	switch {
	case m.status == "UNCONFIRMED":
		return nil, refusal{"UserNotConfirmedException", "User is not confirmed."}
	case m.status == "CONFIRMED":
		return p.begin(r)
	case time.Since(m.sent) > 7*24*time.Hour:
		return nil, refusal{"NotAuthorizedException", "Temporary password has expired and must be reset by an administrator."}
	}
	attributes, _ := json.Marshal(m.attributes) // strings always encode
	parameters := map[string]string{"USER_ID_FOR_SRP": m.name, "requiredAttributes": "[]", "userAttributes": string(attributes)}
	session := base64.RawURLEncoding.EncodeToString(p.seal(r, challengeLifetime, ticket{Kind: "session"}))
	return map[string]any{"ChallengeName": "NEW_PASSWORD_REQUIRED", "ChallengeParameters": parameters, "Session": session}, nil
}

// changePassword replaces the temporary password. After that, the session is of no use any more.
func (p *Pool) changePassword(r *request) (any, error) {
	if t := p.open(base64.RawURLEncoding.DecodeString(r.Session)); !t.fits("session", r) || r.member.status != "FORCE_CHANGE_PASSWORD" {
		return nil, refusal{"NotAuthorizedException", "Invalid session for the user."}
	}
	for name, value := range r.ChallengeResponses {
		if name, ok := strings.CutPrefix(name, "userAttributes."); ok {
			if err := r.member.set(userAttributes, name, value); err != nil {
				return nil, err
			}
		}
	}
	if err := p.setPassword(r.member, r.ChallengeResponses["NEW_PASSWORD"]); err != nil {
		return nil, err
	}
	r.member.status, r.member.message = "CONFIRMED", ""
	return p.begin(r)
}

// begin signs a user in.
func (p *Pool) begin(r *request) (any, error) {
	maps.DeleteFunc(p.signIns, func(_ string, s signIn) bool { return time.Since(s.at) > refreshLifetime })
	if len(p.signIns) >= maxSignIns {
		return nil, errLimit
	}
	s := signIn{uuid(rand.Text()), uuid(rand.Text()), r.member.name, time.Now()}
	p.signIns[s.id] = s
	return p.issue(r, s, base64.RawURLEncoding.EncodeToString(p.seal(r, refreshLifetime, ticket{Kind: "refresh", ID: s.id})))
}

// issue returns the tokens of a sign-in. When they are refreshed, there is no new refresh token.
func (p *Pool) issue(r *request, s signIn, refresh string) (any, error) {
	u := User{Username: r.member.name, Subject: r.member.subject, Client: r.ClientId, Groups: r.member.groups}
	u.Claims = map[string]any{"origin_jti": s.id, "event_id": s.event, "auth_time": s.at.Unix()}
	access, errAccess := p.issuer.AccessToken(u)
	for name, value := range r.member.attributes {
		u.Claims[name] = value
		if !strings.HasPrefix(name, "custom:") && strings.HasSuffix(name, "_verified") {
			u.Claims[name] = value == "true"
		}
	}
	id, err := p.issuer.IDToken(u)
	result := map[string]any{"AccessToken": access, "IdToken": id, "TokenType": "Bearer", "ExpiresIn": 3600}
	if refresh != "" {
		result["RefreshToken"] = refresh
	}
	return map[string]any{"AuthenticationResult": result, "ChallengeParameters": struct{}{}}, errors.Join(errAccess, err)
}

// refresh gives new tokens of a sign-in to the client that has its refresh token.
func (p *Pool) refresh(r *request) (any, error) {
	s, live := p.signIns[r.ticket.ID]
	switch {
	case r.ticket.Kind != "refresh":
		return nil, refusal{"NotAuthorizedException", "Invalid Refresh Token."}
	case r.ticket.Client != r.ClientId:
		return nil, refusal{"NotAuthorizedException", "Refresh Token has different Client."}
	case !r.ticket.fits("refresh", r):
		return nil, refusal{"NotAuthorizedException", "Refresh Token has expired"}
	case !live:
		return nil, refusal{"NotAuthorizedException", "Refresh Token has been revoked"}
	}
	return p.issue(r, s, "")
}

func (p *Pool) getUser(r *request) (any, error) {
	return map[string]any{"Username": r.member.name, "UserAttributes": r.member.list()}, nil
}

func (p *Pool) globalSignOut(r *request) (any, error) {
	maps.DeleteFunc(p.signIns, func(_ string, s signIn) bool { return s.user == r.member.name })
	return struct{}{}, nil
}

// revokeToken ends the sign-in of a refresh token. If it has already ended, that is no error (RFC 7009 section 2.2).
func (p *Pool) revokeToken(r *request) (any, error) {
	switch {
	case r.ticket.Kind != "refresh":
		return nil, refusal{"UnsupportedTokenTypeException", "Only refresh tokens of this pool can be revoked."}
	case r.ticket.Client != r.ClientId:
		return nil, refusal{"UnauthorizedException", "Refresh Token has different Client."}
	}
	delete(p.signIns, r.ticket.ID)
	return struct{}{}, nil
}

// bearer returns the user whose access token this is. The issuer's present keys must have signed it.
func (p *Pool) bearer(raw string) (*member, error) {
	claims := jwt.MapClaims{}
	key := func(*jwt.Token) (any, error) { return p.issuer.ring().access.key.Public(), nil }
	_, err := jwt.ParseWithClaims(raw, claims, key, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(p.issuer.url))
	origin, _ := claims["origin_jti"].(string)
	s, live := p.signIns[origin]
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, refusal{"NotAuthorizedException", "Access Token has expired"}
	case err != nil:
		return nil, refusal{"NotAuthorizedException", "Invalid Access Token"}
	case !live:
		return nil, refusal{"NotAuthorizedException", "Access Token has been revoked"}
	}
	return p.find(s.user), nil
}
