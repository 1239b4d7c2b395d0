package authorizer

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/auth"
)

// maxClaims is how many bytes of claims are read at most. A token comes in a header, and API Gateway takes 10 240 bytes
// of headers. As JSON, each of them may become 6 bytes (\u0000): 61 440.
const maxClaims = 64 << 10

// leeway is how far the clocks of API Gateway and of the function may differ.
const leeway = time.Minute

// withToken adds the proof of package auth. It compares the expiry again, because an event may be delivered late, or a
// second time.
func (a *Authorized) withToken(ctx context.Context, p proof) (context.Context, error) {
	if !namesAreWhole(p.claims) {
		return nil, refusal(auth.ErrMalformed, "iss, sub or client_id is not UTF-8")
	}
	text, err := json.Marshal(typed(p.claims, p.kind))
	if err != nil {
		return nil, refusal(auth.ErrMalformed, "claims: %w", err)
	}
	if len(text) > maxClaims {
		return nil, refusal(auth.ErrMalformed, "claims have %d bytes", len(text))
	}
	token, err := auth.InsecureToken(text)
	if err != nil {
		return nil, err
	}
	e := &auth.Error{Token: &token}
	audiences, known := a.issuers[token.Issuer]
	switch {
	case !known:
		e.Err = auth.ErrIssuer
	case !meantFor(token, textOf(p.claims["client_id"]), audiences):
		e.Err = auth.ErrAudience
	case !time.Now().Before(token.Expiry.Add(leeway)):
		e.Err = auth.ErrNotCurrent // without exp, the zero time has passed
	default:
		return auth.NewContext(ctx, token), nil
	}
	return nil, e
}

// meantFor reports whether a token has one of the audiences. Cognito's access tokens have no aud, but client_id.
func meantFor(t auth.Token, client string, audiences []string) bool {
	if own := t.Audience(); len(own) > 0 {
		return slices.ContainsFunc(own, func(audience string) bool { return slices.Contains(audiences, audience) })
	}
	return slices.Contains(audiences, client) // no audience is empty, so "" is never found
}

// namesAreWhole reports whether the claims that name the caller have no character that JSON could not carry. Decoding
// puts U+FFFD in place of it, and then two callers could have one ID.
func namesAreWhole(claims object) bool {
	return whole(textOf(claims["iss"])) && whole(textOf(claims["sub"])) && whole(textOf(claims["client_id"]))
}

func whole(name string) bool { return !strings.ContainsRune(name, utf8.RuneError) }

// textOf returns a text, or "" for another value.
func textOf(raw json.RawMessage) (text string) {
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// typed gives claims their types again. API Gateway has made a text of each. A text that does not have the form of its
// claim stays a text. Then package auth takes the claim for absent, or refuses the token, by its own rules.
func typed(claims object, k kind) map[string]any {
	values := make(map[string]any, len(claims))
	for name, raw := range claims {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			values[name] = raw // not a text: it has its type
			continue
		}
		values[name] = typedClaim(name, text, k)
	}
	return values
}

// typedClaim gives one claim its type. Examples, with the claim of the token first:
//
//	"exp": 1796043600             "Mon Nov 30 13:00:00 UTC 2026" (Cognito), "1.7960436E9" or "1796043600" (JWT)
//	"email_verified": true        "true"
//	"cognito:groups": ["a", "b"]  "a,b" (Cognito), "[a b]" (JWT)
//	"aud": ["a", "b"]             "[a b]" (JWT; a user pool's tokens have one)
//	"scp": ["a", "b"]             "[a b]" (JWT; a user pool's scope is a text, "a b")
func typedClaim(name, text string, k kind) any {
	switch name {
	case "exp", "iat", "nbf", "auth_time":
		if seconds, ok := parseTime(text); ok {
			return seconds
		}
	case "email_verified", "phone_number_verified":
		if text == "true" || text == "false" {
			return text == "true"
		}
	case "cognito:groups":
		if k == kindCognito {
			return elements(text, ',')
		}
		return bracketed(text)
	case "aud", "groups", "scope", "scp": // Okta writes a list of scopes; a text without brackets stays one
		if k == kindJWT {
			return bracketed(text)
		}
	}
	return text
}

// bracketed returns the elements of a list in the form of HTTP APIs, "[a b]". It returns any other text as it is.
//
// A list whose only element contains a blank has the same text as a list of two: "[a b]". Issuers write scopes, URLs
// and most names without blanks, so it is taken for two. The package documentation warns of the other case.
func bracketed(text string) any {
	inner, opens := strings.CutPrefix(text, "[")
	inner, closes := strings.CutSuffix(inner, "]")
	if !opens || !closes {
		return text
	}
	return elements(inner, ' ')
}

// elements splits a list. An empty text has no element.
func elements(text string, separator rune) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == separator })
}

// dateForm is how REST APIs write a time.
const dateForm = "Mon Jan 02 15:04:05 UTC 2006"

// latest is the last second of the year 9999, as in package auth.
const latest = 253402300799

// parseTime reads a time as REST APIs write it, "Wed Mar 04 12:33:24 UTC 2026", or as a number of seconds, which HTTP
// APIs may write with an exponent: "1.772627604E9".
func parseTime(text string) (seconds int64, ok bool) {
	if when, err := time.Parse(dateForm, text); err == nil {
		return when.Unix(), when.Unix() >= 0
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= number && number <= latest) { // written so, it refuses NaN too
		return 0, false
	}
	return int64(number), true
}
