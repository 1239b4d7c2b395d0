package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/tallygate/tallygate/auth"
)

// moto verifies tokens of moto's cognito-idp. Their issuer is AWS's URL, but their keys are served on this machine.
func moto() error {
	var facts struct{ Endpoint, Pool, Client, ID, Access string }
	if err := json.NewDecoder(os.Stdin).Decode(&facts); err != nil {
		return err
	}
	pool := auth.Cognito("eu-west-1", facts.Pool, facts.Client)
	pool.JWKS = facts.Endpoint + "/" + facts.Pool + "/.well-known/jwks.json"
	v, err := auth.New(auth.Config{Issuers: []auth.Issuer{pool}, AllowHTTP: true})
	if err != nil {
		return err
	}
	if err := accept(v, map[string]string{"id": facts.ID, "access": facts.Access}); err != nil {
		return err
	}
	pool.Audiences = []string{"another"}
	other, err := auth.New(auth.Config{Issuers: []auth.Issuer{pool}, AllowHTTP: true})
	if err != nil {
		return err
	}
	for _, raw := range []string{facts.ID, facts.Access} {
		if _, err := other.VerifyToken(context.Background(), raw); !errors.Is(err, auth.ErrAudience) {
			return fmt.Errorf("for another client: %v", err)
		}
		if _, err := v.VerifyToken(context.Background(), raw[:len(raw)-6]+"AAAAAA"); !errors.Is(err, auth.ErrSignature) {
			return fmt.Errorf("forged: %v", err)
		}
	}
	fmt.Println("moto: PASS: ID and access token of cognito-idp verify; for another client, and forged, they do not")
	return nil
}

// accept verifies tokens by their use and checks their claims.
func accept(v *auth.Verifier, tokens map[string]string) error {
	for use, raw := range tokens {
		t, err := v.VerifyToken(context.Background(), raw)
		if err != nil {
			return fmt.Errorf("%s token: %w", use, err)
		}
		if t.Use != use || t.Username != "julianwood" || !t.InGroup("gold") || t.ID == "" {
			return fmt.Errorf("%s token: use %q, username %q, groups %q, ID %q", use, t.Use, t.Username, t.Groups(), t.ID)
		}
	}
	return nil
}
