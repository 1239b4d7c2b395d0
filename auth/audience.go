package auth

import (
	"errors"
	"slices"
)

// checkAudiences checks the audiences of the configuration.
func (s *issuerState) checkAudiences() error {
	if len(s.Audiences) == 0 && s.AudiencePattern == (Pattern{}) && !s.AllowAnyAudience {
		return errors.New("no audience is accepted: set Audiences, AudiencePattern or AllowAnyAudience")
	}
	if slices.Contains(s.Audiences, "") { // usually an environment variable that is not set
		return errors.New("an audience is empty")
	}
	return s.AudiencePattern.err
}

// checkAudience checks that the token was issued for an accepted audience. The use of a user pool's token is checked
// with it, because it decides which claim names the audience.
func (s *issuerState) checkAudience(t *claimSet) error {
	if s.kind == kindCognito && t.Use != "id" && t.Use != "access" {
		return errTokenUse
	}
	if !s.AllowAnyAudience && !s.fitsAudience(t) {
		return errOtherAudience
	}
	return nil
}

// fitsAudience compares the claim that names the audience: aud, or the client where that takes its place.
func (s *issuerState) fitsAudience(t *claimSet) bool {
	switch {
	case s.kind == kindCognito && t.Use == "access":
		return s.acceptsName(t.clientID) // see the table at Cognito
	case s.kind == kindALB:
		return s.acceptsName(t.clientID) // the member client of the header, copied by completeALB
	case s.kind == kindCognito:
		return !t.audienceList && slices.ContainsFunc(t.audience, s.acceptsName) // a pool writes one client, never a list
	case t.audience != nil: // an empty list is an aud too, and fits nothing
		return slices.ContainsFunc(t.audience, s.acceptsName)
	case !s.AllowClientID:
		return false
	case t.clientID != "":
		return s.acceptsName(t.clientID)
	}
	return s.matchesPattern(t.authorized) // as AppSync does; never by Audiences, see Issuer.Audiences
}

// acceptsName reports whether Audiences or AudiencePattern accepts a name.
func (s *issuerState) acceptsName(name string) bool {
	return slices.Contains(s.Audiences, name) || s.matchesPattern(name)
}

// matchesPattern reports whether AudiencePattern matches the whole name. An empty name is a claim that is missing,
// which no pattern accepts, not even ".*".
func (s *issuerState) matchesPattern(name string) bool {
	return name != "" && s.AudiencePattern.expression != nil && s.AudiencePattern.expression.MatchString(name)
}
