package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

// presented says what a request has of one mode's credential.
type presented int

const (
	absent presented = iota
	good
	wrong
)

// kind is one of the module's modes: how its credential is put into a request, and how its proof and its refusal look.
type kind struct {
	mode   auth.Mode
	put    func(*http.Request, presented)
	proven func(*http.Request) (string, bool)
	own    func(error) bool
}

func kinds(t *testing.T) []kind {
	const value = "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT"
	header := func(name, right string) func(*http.Request, presented) {
		return func(r *http.Request, p presented) {
			r.Header.Set(name, map[presented]string{good: right, wrong: "x"}[p])
		}
	}
	token := must(poolIssuer().IDToken(julian))
	return []kind{
		{
			must(sigv4.NewVerifier(sigv4.VerifierConfig{Keys: sigv4.Keyring{"AKIDEXAMPLE": {Secret: "secret"}}.Key, Regions: []string{region}})),
			sign, sigv4.ID, isA[*sigv4.Error],
		},
		{
			must(apikey.New(apikey.Config{Keys: []apikey.Entry{{Key: apikey.Key{ID: "fr92a5qpbj", Enabled: true}, Value: value}}})),
			header("X-Api-Key", value), apikey.ID, isA[*apikey.Error],
		},
		{
			newVerifier(t, auth.Config{Issuers: []auth.Issuer{cognito()}, Source: custom.Header("X-Token")}),
			header("X-Token", token), auth.ID, isA[*auth.Error],
		},
		{
			must(custom.New(custom.Config{
				ByRequest: true, IdentitySources: []func(*http.Request) (string, bool){custom.Header("X-Custom")},
				Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
					if e.IdentitySource[0] != "right" {
						return custom.Result{}, custom.ErrUnauthorized
					}
					return custom.Result{Authorized: true, PrincipalID: "p"}, nil
				},
			})),
			header("X-Custom", "right"), custom.ID, isA[*custom.Error],
		},
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func sign(r *http.Request, p presented) {
	secret := map[presented]sigv4.Secret{good: "secret", wrong: "other"}[p]
	signer := must(sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: secret}, nil
		},
		Region: region, Service: "execute-api",
	}))
	must(0, signer.Sign(r))
}

// SigV4, API keys, tokens and a custom authorizer: a request has a good, a bad or no credential of each, in all 81
// combinations. Every credential that is there must verify and leaves its proof. The first bad one decides the answer;
// without any credential, the first mode does.
func TestAnyOfVerifiesCredentialsOfEveryPackage(t *testing.T) {
	all := kinds(t)
	m := auth.AnyOf(all[0].mode, all[1].mode, all[2].mode, all[3].mode)
	for n := range 81 {
		r := httptest.NewRequest(http.MethodGet, "http://api.example/x", nil)
		r.RequestURI = "/x"
		var given [4]presented
		refusing := -1
		for i, rest := 3, n; i >= 0; i, rest = i-1, rest/3 { // the signature comes last, since it may sign the other header fields
			if given[i] = presented(rest % 3); given[i] != absent {
				all[i].put(r, given[i])
			}
			if given[i] == wrong {
				refusing = i
			}
		}
		if given == ([4]presented{}) {
			refusing = 0
		}
		name := fmt.Sprint(given)
		require.Equal(t, given != [4]presented{}, m.Present(r), name)
		got, err := m.Authenticate(r)
		if refusing >= 0 {
			require.True(t, all[refusing].own(err), "%s: %v", name, err)
			continue
		}
		require.NoError(t, err, name)
		for i, k := range all {
			id, ok := k.proven(got)
			require.Equal(t, given[i] == good, ok, name)
			require.Equal(t, given[i] == good, id != "", name)
		}
	}
}
