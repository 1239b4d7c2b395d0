package function_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

const (
	pool      = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aQYCzHwCz"
	appClient = "3fe6quse1kki13s6nebi0ncnin"
	customer  = "/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c"
)

// loyalty starts the loyalty API, with the key set of an issuer.
func loyalty(t *testing.T) (*process, *authtest.Issuer) {
	t.Helper()
	issuer, jwks := served(t)
	return start(t, build(t, "loyalty"), "ISSUER="+pool, "CLIENT="+appClient, jwks), issuer
}

// The tutorial's sequence: no signature, no API key, both, too much. The quota of ten a day ends it on any machine,
// however slowly it gives the requests to the function.
func TestTutorialThroughEvents(t *testing.T) {
	for _, s := range []source{sources[0], sources[5]} {
		t.Run(s.name, func(t *testing.T) {
			f, _ := loyalty(t)
			call := func(signed, keyed bool) answer {
				r := s.request(t, "GET", customer, nil)
				if keyed {
					r.Header.Set("X-Api-Key", apiKey)
				}
				if signed {
					require.NoError(t, signer(t).Sign(r))
				}
				got, err := f.invoke(t.Context(), s.of(t, r))
				require.NoError(t, err)
				return answerOf(t, got)
			}
			got := call(false, true)
			require.Equal(t, 403, got.StatusCode)
			require.JSONEq(t, `{"message":"Missing Authentication Token"}`, got.Body)
			got = call(true, false)
			require.Equal(t, 403, got.StatusCode)
			require.JSONEq(t, `{"message":"Forbidden"}`, got.Body)
			got = call(true, true)
			require.Equal(t, 200, got.StatusCode)
			require.JSONEq(t, `{"points":900,"level":"bronze","remainingPoints":49100}`, got.Body)
			for n := 1; got.StatusCode == 200; n++ {
				require.LessOrEqual(t, n, 10)
				got = call(true, true)
			}
			require.Equal(t, 429, got.StatusCode)
			require.Contains(t, []string{"TooManyRequestsException", "LimitExceededException"}, got.header("X-Amzn-Errortype"))
			require.NotEmpty(t, got.header("Retry-After"))
		})
	}
}

// The user pool's key set is fetched in the init phase, and by no request.
func TestKeySetIsFetchedInTheInitPhase(t *testing.T) {
	f, issuer := loyalty(t)
	r := sources[5].request(t, "GET", "/me", nil)
	token, err := issuer.IDToken(authtest.User{Username: "julianwood", Client: appClient})
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	for range 2 {
		got, err := f.invoke(t.Context(), sources[5].of(t, r))
		require.NoError(t, err)
		require.Equal(t, 200, answerOf(t, got).StatusCode)
		require.EqualValues(t, 1, issuer.Fetches())
	}
}
