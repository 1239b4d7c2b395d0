package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/tallygate/tallygate/auth"
)

const (
	pool   = "eu-west-1_aQYCzHwCz"
	client = "3fe6quse1kki13s6nebi0ncnin"
	issuer = "https://cognito-idp.eu-west-1.amazonaws.com/" + pool
)

// rules are what both verifiers must require of a token.
type rules struct {
	TokenUse string   `json:"tokenUse,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

// entry is one case: a token, the rules for it, and package auth's verdict.
type entry struct {
	Name     string `json:"name"`
	Token    string `json:"token"`
	Rules    rules  `json:"rules"`
	Ours     string `json:"ours"`               // empty if auth accepts, else the cause
	Stricter string `json:"stricter,omitempty"` // why aws-jwt-verify may accept what auth refuses
	Looser   string `json:"looser,omitempty"`   // why auth may accept what aws-jwt-verify refuses
}

// variant changes one thing in a token.
type variant struct {
	name     string
	header   func(map[string]any)
	claims   func(map[string]any)
	text     func(header, claims string) (string, string)
	token    func(string) string
	stricter string
	looser   string
}

func set(name string, value any) func(map[string]any) {
	return func(m map[string]any) {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
}

// matrix returns every combination of use, rules, client, time and issuer, and every deviation in form by itself.
func matrix() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k1=", ALG: "RS256", USE: jwkset.UseSig}})
	if err != nil {
		return err
	}
	second := jwk.Marshal() // because a pool has two keys
	second.KID = "k0="
	keys, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal(), second}})
	if err != nil {
		return err
	}
	is := auth.Cognito("eu-west-1", pool, client)
	is.Keys = keys
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	if err != nil {
		return err
	}
	m := &maker{key: key, verifier: v}
	m.combinations()
	m.deviations()
	if m.err != nil {
		return m.err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"pool": pool, "client": client, "jwks": json.RawMessage(keys), "cases": m.cases})
}

type maker struct {
	key      *rsa.PrivateKey
	verifier *auth.Verifier
	cases    []entry
	err      error
}

var demands = []rules{
	{},
	{TokenUse: "id"},
	{TokenUse: "access"},
	{Groups: []string{"gold", "staff"}},
	{Groups: []string{"none"}},
	{Scopes: []string{"openid", "x"}},
	{Scopes: []string{"open"}},
	{TokenUse: "access", Groups: []string{"gold"}, Scopes: []string{"openid"}},
}

func (m *maker) combinations() {
	now := time.Now().Unix()
	dimensions := [][]variant{
		{{name: "id"}, {name: "access", claims: access}, {name: "refresh", claims: set("token_use", "refresh")}, {name: "no use", claims: set("token_use", nil)}},
		{{name: "right client"}, {name: "other client", claims: func(c map[string]any) { replace(c, "x") }}, {name: "no client", claims: func(c map[string]any) { replace(c, nil) }}},
		{{name: "in time"}, {name: "expired", claims: set("exp", now-10)}, {name: "not before", claims: set("nbf", now+1000)}},
		{
			{name: "right issuer"},
			{name: "its twin", claims: set("iss", "https://issuer-cognito-idp.eu-west-1.amazonaws.com/"+pool)},
			{name: "other pool", claims: set("iss", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other")},
			{name: "no issuer", claims: set("iss", nil)},
		},
		{{name: "in groups"}, {name: "in no group", claims: set("cognito:groups", nil)}},
	}
	m.product(nil, dimensions)
}

// access changes an ID token into an access token.
func access(c map[string]any) {
	c["token_use"], c["client_id"], c["username"], c["scope"] = "access", c["aud"], c["cognito:username"], "openid email"
	delete(c, "aud")
	delete(c, "cognito:username")
}

// replace changes the client at every place where the token names it.
func replace(c map[string]any, value any) {
	for _, name := range []string{"aud", "client_id"} {
		if _, ok := c[name]; ok {
			set(name, value)(c)
		}
	}
}

func (m *maker) product(chosen []variant, rest [][]variant) {
	if len(rest) > 0 {
		for _, v := range rest[0] {
			m.product(append(chosen[:len(chosen):len(chosen)], v), rest[1:])
		}
		return
	}
	raw := m.token(chosen)
	for _, demand := range demands {
		m.add(names(chosen), raw, demand, variant{})
	}
}

func names(chosen []variant) string {
	var list []string
	for _, v := range chosen {
		list = append(list, v.name)
	}
	return strings.Join(list, ", ")
}

// deviations lists forms that a token should not have, one at a time. If aws-jwt-verify accepts one, stricter says why.
// If auth accepts one, looser says why.
func (m *maker) deviations() {
	for _, v := range deviations() {
		m.add(v.name, m.token([]variant{v}), rules{}, v)
	}
}

func deviations() []variant {
	now := time.Now().Unix()
	text := func(old, replacement string) func(string, string) (string, string) {
		return func(h, c string) (string, string) {
			return strings.Replace(h, old, replacement, 1), strings.Replace(c, old, replacement, 1)
		}
	}
	return []variant{
		{name: "as it should be"},
		{name: "typ JWT", header: set("typ", "JWT")},
		{name: "alg none", header: set("alg", "none")},
		{name: "alg HS256", header: set("alg", "HS256")},
		{name: "alg RS512", header: set("alg", "RS512")},
		{name: "unknown kid", header: set("kid", "k2")},
		{name: "forged", token: func(s string) string { return s[:len(s)-6] + "AAAAAA" }},
		{name: "four segments", token: func(s string) string { return s + "." }},
		{name: "two segments", token: func(s string) string { return s[:strings.LastIndexByte(s, '.')] }},
		{name: "nothing", token: func(string) string { return "" }},
		{name: "client_id in place of aud", claims: func(c map[string]any) { c["client_id"], c["aud"] = client, "x" }},
		{name: "client_id without aud", claims: func(c map[string]any) { c["client_id"] = client; delete(c, "aud") }},
		{name: "aud of an access token", claims: func(c map[string]any) { access(c); c["aud"], c["client_id"] = client, "x" }},
		{name: "aud an array of one", claims: set("aud", []string{client})},
		{name: "aud an array", claims: set("aud", []string{"x", client})},
		{name: "claims an array", text: func(h, c string) (string, string) { return h, "[" + c + "]" }},
		{name: "exp a string", claims: set("exp", "x")},
		{name: "nbf a string", claims: set("nbf", "x")},
		{name: "groups a string", claims: set("cognito:groups", "gold")},
		{name: "no exp", claims: set("exp", nil), stricter: "exp is required"},
		{name: "iat ahead", claims: set("iat", now+1000), stricter: "iat in the future"},
		{name: "crit", header: set("crit", []string{"x-mfa"}), stricter: "crit"},
		{name: "b64", header: set("b64", true), stricter: "b64"},
		{name: "typ of another kind", header: set("typ", "dpop+jwt"), stricter: "typ of another kind"},
		{name: "no kid", header: set("kid", nil), looser: "a token that names no key"},
		{name: "exp twice", text: text(`"exp":`, `"exp":1,"exp":`), stricter: "member names that occur twice"},
		{name: "alg twice", text: text(`"alg":`, `"alg":"none","alg":`), stricter: "member names that occur twice"},
		{name: "Exp next to exp", text: text(`"exp":`, `"Exp":1,"exp":`), stricter: "registered names in another letter case"},
		{name: "exp 1e11", text: func(h, c string) (string, string) { return h, strings.Replace(c, `"exp":`, `"exp":1e20,"x":`, 1) }, stricter: "numbers out of range"},
		{name: "deep", claims: set("x", json.RawMessage(strings.Repeat("[", 50)+strings.Repeat("]", 50))), stricter: "depth and length"},
		{name: "long", claims: set("x", strings.Repeat("x", 20_000)), stricter: "depth and length"},
		{name: "padding", token: func(s string) string { return s + "==" }, stricter: "base64url that is not canonical"},
		{name: "line break", token: func(s string) string { return s[:len(s)-4] + "\n" + s[len(s)-4:] }, stricter: "base64url that is not canonical"},
		{name: "lone surrogate", text: text(`"k1="`, `"k1=","x":"\ud800"`), stricter: "invalid Unicode"},
	}
}

// token returns a token in Cognito's form, with the changes made in order.
func (m *maker) token(changes []variant) string {
	now := time.Now().Unix()
	header := map[string]any{"alg": "RS256", "kid": "k1="}
	claims := map[string]any{
		"iss": issuer, "sub": "9ba6f8a6-2f2e-4ec9-8dc1-0c7c4c0c2d0e", "aud": client, "token_use": "id", "cognito:username": "julianwood",
		"cognito:groups": []string{"gold"}, "exp": now + 3600, "iat": now - 10, "auth_time": now - 10,
	}
	for _, v := range changes {
		if v.header != nil {
			v.header(header)
		}
		if v.claims != nil {
			v.claims(claims)
		}
	}
	h, c := m.json(header), m.json(claims)
	for _, v := range changes {
		if v.text != nil {
			h, c = v.text(h, c)
		}
	}
	raw := m.sign(h, c)
	for _, v := range changes {
		if v.token != nil {
			raw = v.token(raw)
		}
	}
	return raw
}

func (m *maker) json(v any) string {
	text, err := json.Marshal(maps.Clone(v.(map[string]any)))
	if err != nil {
		m.err = err
	}
	return string(text)
}

func (m *maker) sign(header, claims string) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, m.key, crypto.SHA256, digest[:])
	if err != nil {
		m.err = err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// add appends a case with package auth's verdict.
func (m *maker) add(name, raw string, demand rules, of variant) {
	v, err := m.verifier.With(auth.Rules{TokenUse: demand.TokenUse, AnyGroup: demand.Groups, AnyScope: demand.Scopes})
	if err != nil {
		m.err = err
		return
	}
	c := entry{Name: fmt.Sprintf("%s; demanded %s", name, m.json(map[string]any{"rules": demand})), Token: raw, Rules: demand, Stricter: of.stricter, Looser: of.looser}
	if _, err := v.VerifyToken(context.Background(), raw); err != nil {
		c.Ours = err.Error()
	}
	m.cases = append(m.cases, c)
}
