package examples_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/identitypool"
	"github.com/tallygate/tallygate/auth/policy"
	"github.com/tallygate/tallygate/auth/sts"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/sigv4/session"
)

// newSessions issues temporary credentials, and knows the keys of base.
func newSessions(t *testing.T, base sigv4.Keyring) *session.Keys {
	t.Helper()
	keys, err := session.New(session.Config{SealingKeys: []sigv4.Secret{sigv4.Secret(strings.Repeat("k", 32))}, Base: base.Key})
	require.NoError(t, err)
	return keys
}

// posted makes a request that a mux has routed a POST with a body.
func posted(target string, body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("X-Amz-Target", target)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
}

// terminal is the guard of a handler that answers everything itself. Its requests are POST, behind a pattern for GET.
func terminal(h http.Handler) guard {
	return guard{func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			post := *r
			post.Method = http.MethodPost
			h.ServeHTTP(w, &post)
		})
	}, nil}
}

const identities = "eu-west-1:177a950c-2c08-43f0-9983-28727534680a"

// identitySituations ask an identity pool. It answers everything itself, so there is no next handler.
func identitySituations(t *testing.T) []situation {
	t.Helper()
	users := newPool(t)
	token := users.token(t, "sub", "s")
	config := func(w wishes) identitypool.Config {
		return identitypool.Config{
			ID: identities, IdentityKey: sigv4.Secret(strings.Repeat("i", 32)), Sessions: newSessions(t, nil),
			Tokens: users.verifier(t, wishes{}, nil), Authenticated: "arn:aws:iam::123456789012:role/Member",
			Observe: w.tell, RequestID: w.id,
		}
	}
	pool := func(link func(context.Context, []string, string) (string, error)) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			c := config(w)
			c.Link = link
			p, err := identitypool.New(c)
			require.NoError(t, err)
			return terminal(p)
		}
	}
	get := func(token string) []func(*http.Request) {
		return []func(*http.Request){posted("AWSCognitoIdentityService.GetId",
			`{"IdentityPoolId":"`+identities+`","Logins":{"issuer.example":"`+token+`"}}`)}
	}
	all := complete([]situation{
		{name: "allowed", edits: get(token)},
		{name: "invalid", edits: []func(*http.Request){posted("AWSCognitoIdentityService.GetId", "{")}, cause: identitypool.ErrInvalid},
		{name: "refused", edits: get("forged"), cause: identitypool.ErrRefused},
		{name: "unavailable", edits: get(token), cause: identitypool.ErrUnavailable, guard: pool(
			func(context.Context, []string, string) (string, error) { return "", errDown },
		)},
		{name: "canceled", edits: append(get(token), canceled), cause: context.Canceled, guard: pool(
			func(ctx context.Context, _ []string, _ string) (string, error) { return "", ctx.Err() },
		)},
	}, "identitypool", pool(nil), "unavailable", "canceled")
	for i := range all {
		all[i].strict = true
	}
	var told heard
	p, err := identitypool.New(config(wishes{tell: told.tell}))
	require.NoError(t, err)
	asked, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(nil))
	require.NoError(t, err)
	get(token)[0](asked)
	p.ServeHTTP(nullWriter{}, asked)
	return proven(all, told[0].Client, "allowed")
}

// nullWriter is an answer that nobody reads.
type nullWriter struct{}

func (nullWriter) Header() http.Header         { return http.Header{} }
func (nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (nullWriter) WriteHeader(int)             {}

// An identity pool's refusal says what package auth has refused.
func TestRefusalOfAnIdentityPoolWrapsThatOfTheToken(t *testing.T) {
	for _, s := range identitySituations(t) {
		if s.name != "refused" {
			continue
		}
		_, told := s.handle(t, wishes{}, nothing, nil)
		inner, ok := errors.AsType[*auth.Error](told[0].Err)
		require.True(t, ok)
		require.Equal(t, "malformed", inner.Reason())
	}
}

// roleSituations ask a security token service. It answers everything itself, so there is no next handler.
func roleSituations(t *testing.T) []situation {
	t.Helper()
	const caller = "arn:aws:iam::123456789012:user/julianwood"
	server := func(own func(context.Context, sigv4.Identity) (policy.Set, error)) func(*testing.T, wishes) guard {
		return func(t *testing.T, w wishes) guard {
			sessions := newSessions(t, sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret", Principal: caller}})
			v, err := sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sessions.Key, Regions: []string{"eu-west-1"}, Services: []string{"sts"}})
			require.NoError(t, err)
			s, err := sts.New(sts.Config{
				Verifier: v, Sessions: sessions, Policies: own, Observe: w.tell, RequestID: w.id, Roles: []sts.Role{{
					ARN:   "arn:aws:iam::123456789012:role/Points",
					Trust: `{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + caller + `"},"Action":"sts:AssumeRole"}}`,
				}},
			})
			require.NoError(t, err)
			return terminal(s)
		}
	}
	assume := func(role string) []func(*http.Request) {
		body := "Action=AssumeRole&Version=2011-06-15&RoleSessionName=mobile&RoleArn=arn:aws:iam::123456789012:role/" + role
		return []func(*http.Request){posted("", body), func(r *http.Request) {
			signer, err := sigv4.NewSigner(sigv4.SignerConfig{
				Region: "eu-west-1", Service: "sts", MaxSpool: 1 << 10,
				Credentials: func(context.Context) (sigv4.Credentials, error) {
					return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: "secret"}, nil
				},
			})
			require.NoError(t, err)
			r.Method = http.MethodPost
			require.NoError(t, signer.Sign(r))
			r.Method = http.MethodGet // see terminal
		}}
	}
	all := complete([]situation{
		{name: "allowed", edits: assume("Points")},
		{name: "invalid", edits: []func(*http.Request){posted("", "Action=x")}, cause: sts.ErrInvalid},
		{name: "refused", edits: assume("Other"), cause: sts.ErrRefused},
		{name: "unavailable", edits: assume("Points"), cause: sts.ErrUnavailable, guard: server(
			func(context.Context, sigv4.Identity) (policy.Set, error) { return policy.Set{}, errDown },
		)},
		{name: "canceled", edits: append(assume("Points"), canceled), cause: context.Canceled, guard: server(
			func(ctx context.Context, _ sigv4.Identity) (policy.Set, error) { return policy.Set{}, ctx.Err() },
		)},
	}, "sts", server(nil), "unavailable", "canceled")
	for i := range all {
		all[i].strict = true
	}
	return proven(all, caller, "allowed", "refused", "unavailable", "canceled")
}
