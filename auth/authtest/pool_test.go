package authtest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/authtest"
)

const (
	poolID   = "eu-west-1_aQYCzHwCz"
	client   = "3fe6quse1kki13s6nebi0ncnin"
	secretly = "5ghq3a8g6s0k2n9v1m4x7c2b5z" // a client with a secret
	secret   = "the-secret-of-the-client"
	password = "Correct-horse-9"
)

type fields = map[string]any

func newPool(t *testing.T) (*authtest.Pool, *authtest.Issuer) {
	t.Helper()
	i := newIssuer(t)
	p, err := authtest.NewPool(i, map[string]string{client: "", secretly: secret})
	require.NoError(t, err)
	return p, i
}

// ask sends one request and returns the status and the decoded answer.
func ask(t *testing.T, h http.Handler, operation string, body any) (int, fields) {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(text)))
	r.Header.Set("X-Amz-Target", "AWSCognitoIdentityProviderService."+operation)
	if strings.HasPrefix(operation, "Admin") {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=…")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, "application/x-amz-json-1.1", w.Header().Get("Content-Type"))
	require.NotEmpty(t, w.Header().Get("x-amzn-RequestId"))
	var answer fields
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	if w.Code != http.StatusOK {
		require.Equal(t, answer["__type"].(string)+":", w.Header().Get("x-amzn-ErrorType"))
	}
	return w.Code, answer
}

// do sends a request that must be carried out.
func do(t *testing.T, h http.Handler, operation string, body fields) fields {
	t.Helper()
	status, answer := ask(t, h, operation, body)
	require.Equal(t, http.StatusOK, status, "%s: %v", operation, answer)
	return answer
}

// refuse sends a request that must be refused.
func refuse(t *testing.T, h http.Handler, operation, kind, message string, body any) {
	t.Helper()
	status, answer := ask(t, h, operation, body)
	require.Equal(t, http.StatusBadRequest, status, operation)
	require.Equal(t, kind, answer["__type"])
	if message == "" {
		require.NotContains(t, answer, "message")
	} else {
		require.Equal(t, message, answer["message"])
	}
}

// enrol signs a user up and confirms them.
func enrol(t *testing.T, p *authtest.Pool, name string) {
	t.Helper()
	do(t, p, "SignUp", fields{"ClientId": client, "Username": name, "Password": password, "UserAttributes": []fields{
		{"Name": "email", "Value": name + "@example.com"}, {"Name": "custom:tier", "Value": "gold"},
	}})
	do(t, p, "ConfirmSignUp", fields{"ClientId": client, "Username": name, "ConfirmationCode": p.Code(name)})
}

func passwordAuth(name, with string) fields {
	return fields{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": client, "AuthParameters": fields{"USERNAME": name, "PASSWORD": with}}
}

// tokens are the texts of an AuthenticationResult.
func tokens(answer fields) map[string]string {
	texts := make(map[string]string)
	for name, value := range answer["AuthenticationResult"].(fields) {
		texts[name], _ = value.(string)
	}
	return texts
}

func signIn(t *testing.T, p *authtest.Pool, name string) map[string]string {
	t.Helper()
	return tokens(do(t, p, "InitiateAuth", passwordAuth(name, password)))
}

func TestNewPoolTellsEveryMistake(t *testing.T) {
	_, err := authtest.NewPool(nil, nil)
	require.EqualError(t, err, "authtest: the pool has no app client\nauthtest: the pool has no issuer")
	for _, url := range []string{"https://sso.example", "https://sso.example/realms/demo", "https://sso.example/eu-west-1_"} {
		i, err := authtest.New(url)
		require.NoError(t, err)
		_, err = authtest.NewPool(i, map[string]string{client: ""})
		require.ErrorContains(t, err, "does not end in the id of a user pool")
	}
}

func TestZeroPoolRefuses(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := httptest.NewRecorder()
		new(authtest.Pool).ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		require.Equal(t, http.StatusInternalServerError, w.Code)
	}
}

// A user signs up, confirms, signs in both ways, passes a verifier, refreshes, and signs out everywhere.
func TestUserFromSignUpToSignOut(t *testing.T) {
	p, i := newPool(t)
	enrol(t, p, "julianwood")
	require.Empty(t, p.Code("julianwood"), "the code was used")
	do(t, p, "AdminAddUserToGroup", fields{"UserPoolId": poolID, "Username": "julianwood", "GroupName": "gold"})

	v, err := auth.New(auth.Config{
		Issuers: []auth.Issuer{auth.Cognito("eu-west-1", poolID, client)}, Transport: i, Rules: auth.Rules{AnyGroup: []string{"gold"}},
	})
	require.NoError(t, err)
	verify := func(raw string) auth.Token {
		token, err := v.VerifyToken(t.Context(), raw)
		require.NoError(t, err)
		return token
	}
	first := signIn(t, p, "julianwood")
	bySRP := tokens(do(t, p, "RespondToAuthChallenge", prove(t, p, "julianwood", password, time.Now().UTC().Format(clientTime))))
	refreshed := tokens(do(t, p, "InitiateAuth", refreshAuth("REFRESH_TOKEN_AUTH", first["RefreshToken"])))
	require.NotContains(t, refreshed, "RefreshToken")
	again := tokens(do(t, p, "GetTokensFromRefreshToken", fields{"ClientId": client, "RefreshToken": first["RefreshToken"]}))
	for _, given := range []map[string]string{first, bySRP, refreshed, again} {
		for _, name := range []string{"IdToken", "AccessToken"} {
			require.Equal(t, "julianwood", verify(given[name]).Username)
		}
		require.Equal(t, "Bearer", given["TokenType"])
	}

	user := do(t, p, "GetUser", fields{"AccessToken": refreshed["AccessToken"]})
	require.Equal(t, "julianwood", user["Username"])
	sub := verify(first["IdToken"]).Subject
	require.Equal(t, []any{
		fields{"Name": "sub", "Value": sub},
		fields{"Name": "custom:tier", "Value": "gold"},
		fields{"Name": "email", "Value": "julianwood@example.com"},
		fields{"Name": "email_verified", "Value": "true"},
	}, user["UserAttributes"])

	do(t, p, "GlobalSignOut", fields{"AccessToken": bySRP["AccessToken"]})
	for _, given := range []map[string]string{first, bySRP, refreshed} {
		refuse(t, p, "GetUser", "NotAuthorizedException", "Access Token has been revoked", fields{"AccessToken": given["AccessToken"]})
	}
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Refresh Token has been revoked", refreshAuth("REFRESH_TOKEN", first["RefreshToken"]))
}

func refreshAuth(flow, token string) fields {
	return fields{"AuthFlow": flow, "ClientId": client, "AuthParameters": fields{"REFRESH_TOKEN": token}}
}

// The tokens of a sign-in have the claims of Cognito's. Those that name the sign-in stay when it is refreshed.
func TestPoolTokensHaveCognitosClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, i := newPool(t)
		enrol(t, p, "julianwood")
		do(t, p, "AdminAddUserToGroup", fields{"UserPoolId": poolID, "Username": "julianwood", "GroupName": "gold"})
		first := signIn(t, p, "julianwood")
		start := time.Now()
		time.Sleep(10 * time.Minute)
		next := tokens(do(t, p, "InitiateAuth", refreshAuth("REFRESH_TOKEN_AUTH", first["RefreshToken"])))

		claims := func(raw string) jwt.MapClaims { return parse(t, i, raw).Claims.(jwt.MapClaims) }
		id, access := claims(first["IdToken"]), claims(first["AccessToken"])
		both := []string{"auth_time", "cognito:groups", "event_id", "exp", "iat", "iss", "jti", "origin_jti", "sub", "token_use"}
		require.ElementsMatch(t, append([]string{"aud", "cognito:username", "custom:tier", "email", "email_verified"}, both...), names(parse(t, i, first["IdToken"])))
		require.ElementsMatch(t, append([]string{"client_id", "scope", "username", "version"}, both...), names(parse(t, i, first["AccessToken"])))
		require.Equal(t, true, id["email_verified"])
		for _, c := range []jwt.MapClaims{access, claims(next["IdToken"]), claims(next["AccessToken"])} {
			for _, name := range []string{"sub", "origin_jti", "event_id", "cognito:groups"} {
				require.Equal(t, id[name], c[name])
			}
			require.EqualValues(t, start.Unix(), c["auth_time"])
			require.NotEqual(t, id["jti"], c["jti"])
		}
		require.EqualValues(t, time.Now().Unix(), claims(next["IdToken"])["iat"])
		require.NotEqual(t, id["origin_jti"], claims(signIn(t, p, "julianwood")["IdToken"])["origin_jti"])
	})
}

func TestPoolServesItsKeySet(t *testing.T) {
	p, i := newPool(t)
	require.Equal(t, i.JWKS(), get(p, "/"+poolID+"/.well-known/jwks.json").Body.Bytes())
	require.Equal(t, http.StatusOK, get(p, "/"+poolID+"/.well-known/openid-configuration").Code)
	require.Equal(t, http.StatusNotFound, get(p, "/").Code)
}

func TestRevokedRefreshTokenEndsItsSignInAlone(t *testing.T) {
	p, _ := newPool(t)
	enrol(t, p, "julianwood")
	first, second := signIn(t, p, "julianwood"), signIn(t, p, "julianwood")
	revoke := fields{"ClientId": client, "Token": first["RefreshToken"]}
	do(t, p, "RevokeToken", revoke)
	do(t, p, "RevokeToken", revoke)
	refuse(t, p, "GetUser", "NotAuthorizedException", "Access Token has been revoked", fields{"AccessToken": first["AccessToken"]})
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Refresh Token has been revoked", refreshAuth("REFRESH_TOKEN_AUTH", first["RefreshToken"]))
	do(t, p, "GetUser", fields{"AccessToken": second["AccessToken"]})
	do(t, p, "InitiateAuth", refreshAuth("REFRESH_TOKEN_AUTH", second["RefreshToken"]))
}

// A user whom the administrator has created must choose a password at the first sign-in, by either flow.
func TestAdministratorsUserChoosesAPassword(t *testing.T) {
	for _, flow := range []string{"USER_PASSWORD_AUTH", "USER_SRP_AUTH"} {
		t.Run(flow, func(t *testing.T) {
			p, _ := newPool(t)
			made := do(t, p, "AdminCreateUser", fields{"UserPoolId": poolID, "Username": "ferry", "UserAttributes": []fields{{"Name": "email_verified", "Value": "true"}}})["User"].(fields)
			require.Equal(t, "FORCE_CHANGE_PASSWORD", made["UserStatus"])
			temporary := p.Code("ferry")
			require.NotEmpty(t, temporary)
			var challenge fields
			if flow == "USER_SRP_AUTH" {
				challenge = do(t, p, "RespondToAuthChallenge", prove(t, p, "ferry", temporary, time.Now().UTC().Format(clientTime)))
			} else {
				challenge = do(t, p, "InitiateAuth", passwordAuth("ferry", temporary))
			}
			require.Equal(t, "NEW_PASSWORD_REQUIRED", challenge["ChallengeName"])
			require.Equal(t, `{"email_verified":"true"}`, challenge["ChallengeParameters"].(fields)["userAttributes"])
			answer := func(session any, with string) fields {
				return fields{"ClientId": client, "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": session, "ChallengeResponses": fields{
					"USERNAME": "ferry", "NEW_PASSWORD": with, "userAttributes.email": "ferry@example.com",
				}}
			}
			refuse(t, p, "RespondToAuthChallenge", "InvalidPasswordException", "Password did not conform with policy: Password not long enough", answer(challenge["Session"], "short"))
			refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", "Invalid session for the user.", answer("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", password))
			stolen := answer(challenge["Session"], password)
			stolen["ChallengeResponses"].(fields)["userAttributes.sub"] = "another"
			refuse(t, p, "RespondToAuthChallenge", "InvalidParameterException", "Attributes did not conform to the schema: sub", stolen)
			require.NotEmpty(t, tokens(do(t, p, "RespondToAuthChallenge", answer(challenge["Session"], password)))["IdToken"])
			require.Empty(t, p.Code("ferry"))
			refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", "Invalid session for the user.", answer(challenge["Session"], password))
			refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("ferry", temporary))
			signIn(t, p, "ferry")
		})
	}
}

// What lasts for a time ends after it.
func TestPoolForgetsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t)
		do(t, p, "SignUp", fields{"ClientId": client, "Username": "late", "Password": password})
		do(t, p, "AdminCreateUser", fields{"UserPoolId": poolID, "Username": "later", "TemporaryPassword": password})
		do(t, p, "AdminCreateUser", fields{"UserPoolId": poolID, "Username": "silent", "TemporaryPassword": password, "MessageAction": "SUPPRESS"})
		require.Equal(t, password, p.Code("later"))
		require.Empty(t, p.Code("silent"))
		enrol(t, p, "julianwood")
		given := signIn(t, p, "julianwood")
		proof := prove(t, p, "julianwood", password, time.Now().UTC().Format(clientTime))
		session := do(t, p, "InitiateAuth", passwordAuth("later", password))["Session"]

		time.Sleep(3*time.Minute + time.Second)
		refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", "Incorrect username or password.", proof)
		refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", "Invalid session for the user.", fields{
			"ClientId": client, "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": session, "ChallengeResponses": fields{"USERNAME": "later", "NEW_PASSWORD": password},
		})
		time.Sleep(time.Hour)
		refuse(t, p, "GetUser", "NotAuthorizedException", "Access Token has expired", fields{"AccessToken": given["AccessToken"]})
		time.Sleep(24 * time.Hour)
		confirm := fields{"ClientId": client, "Username": "late", "ConfirmationCode": p.Code("late")}
		refuse(t, p, "ConfirmSignUp", "ExpiredCodeException", "Invalid code provided, please request a code again.", confirm)
		do(t, p, "ResendConfirmationCode", fields{"ClientId": client, "Username": "late"})
		confirm["ConfirmationCode"] = p.Code("late")
		do(t, p, "ConfirmSignUp", confirm)
		time.Sleep(7 * 24 * time.Hour)
		refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.", passwordAuth("later", password))
		do(t, p, "InitiateAuth", refreshAuth("REFRESH_TOKEN_AUTH", given["RefreshToken"]))
		time.Sleep(30 * 24 * time.Hour)
		refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Refresh Token has expired", refreshAuth("REFRESH_TOKEN_AUTH", given["RefreshToken"]))
	})
}

// RESEND gives another temporary password, which lasts for another seven days. The first one is no longer valid.
func TestAdminCreateUserSendsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t)
		create := func(action, name, password string) fields {
			return fields{
				"UserPoolId": poolID, "Username": name, "MessageAction": action, "TemporaryPassword": password,
				"UserAttributes": []fields{{"Name": "email", "Value": name + "@example.com"}},
			}
		}
		refuse(t, p, "AdminCreateUser", "UserNotFoundException", "User does not exist.", create("RESEND", "late", password))
		first := do(t, p, "AdminCreateUser", create("SUPPRESS", "late", password))["User"].(map[string]any)
		time.Sleep(8 * 24 * time.Hour)
		refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Temporary password has expired and must be reset by an administrator.", passwordAuth("late", password))
		refuse(t, p, "AdminCreateUser", "UsernameExistsException", "User account already exists", create("SUPPRESS", "late", password))
		refuse(t, p, "AdminCreateUser", "InvalidPasswordException", "Password did not conform with policy: Password not long enough", create("RESEND", "late", "x"))

		again := create("RESEND", "late", "")
		again["UserAttributes"] = []fields{{"Name": "email", "Value": "other@example.com"}}
		second := do(t, p, "AdminCreateUser", again)["User"].(map[string]any)
		require.Equal(t, []any{first["Attributes"], "FORCE_CHANGE_PASSWORD", first["UserCreateDate"]},
			[]any{second["Attributes"], second["UserStatus"], second["UserCreateDate"]})
		require.Greater(t, second["UserLastModifiedDate"], first["UserLastModifiedDate"])
		sent := p.Code("late")
		require.NotEmpty(t, sent)
		refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("late", password))
		time.Sleep(6 * 24 * time.Hour)
		require.Equal(t, "NEW_PASSWORD_REQUIRED", do(t, p, "InitiateAuth", passwordAuth("late", sent))["ChallengeName"])

		enrol(t, p, "julianwood")
		refuse(t, p, "AdminCreateUser", "UnsupportedUserStateException", "Resend not possible. Status is not FORCE_CHANGE_PASSWORD", create("RESEND", "julianwood", password))
		refuse(t, p, "AdminCreateUser", "InvalidParameterException", "1 validation error detected: Value 'resend' at 'messageAction' failed to satisfy "+
			"constraint: Member must satisfy enum value set: [RESEND, SUPPRESS]", create("resend", "late", password))
	})
}

// A client with a secret must prove it in every operation, by a hash or by the secret itself.
func TestClientSecretIsProved(t *testing.T) {
	p, _ := newPool(t)
	hash := func(name string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(name + secretly))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	const missing, wrong = "Client " + secretly + " is configured with secret but SECRET_HASH was not received", "Unable to verify secret hash for client " + secretly
	up := fields{"ClientId": secretly, "Username": "julianwood", "Password": password}
	refuse(t, p, "SignUp", "NotAuthorizedException", missing, up)
	up["SecretHash"] = hash("another")
	refuse(t, p, "SignUp", "NotAuthorizedException", wrong, up)
	up["SecretHash"] = hash("julianwood")
	do(t, p, "SignUp", up)
	do(t, p, "ConfirmSignUp", fields{"ClientId": secretly, "Username": "julianwood", "ConfirmationCode": p.Code("julianwood"), "SecretHash": hash("julianwood")})
	in := func(hash string) fields {
		return fields{"AuthFlow": "USER_PASSWORD_AUTH", "ClientId": secretly, "AuthParameters": fields{"USERNAME": "julianwood", "PASSWORD": password, "SECRET_HASH": hash}}
	}
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", missing, in(""))
	given := tokens(do(t, p, "InitiateAuth", in(hash("julianwood"))))
	refresh := refreshAuth("REFRESH_TOKEN_AUTH", given["RefreshToken"])
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Refresh Token has different Client.", refresh)
	refuse(t, p, "RevokeToken", "UnauthorizedException", "Refresh Token has different Client.", fields{"ClientId": client, "Token": given["RefreshToken"]})
	refresh["ClientId"] = secretly
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", missing, refresh)
	refresh["AuthParameters"].(fields)["SECRET_HASH"] = hash("julianwood")
	do(t, p, "InitiateAuth", refresh)
	direct := fields{"ClientId": secretly, "RefreshToken": given["RefreshToken"], "Token": given["RefreshToken"]}
	refuse(t, p, "GetTokensFromRefreshToken", "NotAuthorizedException", missing, direct)
	direct["ClientSecret"] = secret
	do(t, p, "GetTokensFromRefreshToken", direct)
	do(t, p, "RevokeToken", direct)
}

// A full pool takes no more users and sign-ins. When sign-ins have ended by time, there is room again.
func TestPoolIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPool(t)
		enrol(t, p, "julianwood")
		authtest.Fill(p)
		const full = "A pool of package authtest holds no more."
		refuse(t, p, "SignUp", "LimitExceededException", full, fields{"ClientId": client, "Username": "x", "Password": password})
		refuse(t, p, "AdminCreateUser", "LimitExceededException", full, fields{"UserPoolId": poolID, "Username": "x"})
		refuse(t, p, "InitiateAuth", "LimitExceededException", full, passwordAuth("julianwood", password))
		time.Sleep(30*24*time.Hour + time.Second)
		signIn(t, p, "julianwood")
		group := fields{"UserPoolId": poolID, "Username": "julianwood"}
		for n := range 100 {
			group["GroupName"] = fmt.Sprint(n)
			do(t, p, "AdminAddUserToGroup", group)
		}
		do(t, p, "AdminAddUserToGroup", group)
		group["GroupName"] = "one-more"
		refuse(t, p, "AdminAddUserToGroup", "LimitExceededException", full, group)
	})
}
