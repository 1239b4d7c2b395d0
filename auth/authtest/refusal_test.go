package authtest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

// Each refusal has the type and the text of Cognito's.
func TestRefusalsAreCognitos(t *testing.T) {
	p, i := newPool(t)
	enrol(t, p, "confirmed")
	do(t, p, "SignUp", fields{"ClientId": client, "Username": "waiting", "Password": password})
	given := signIn(t, p, "confirmed")
	foreign, err := i.AccessToken(authtest.User{Username: "confirmed", Client: client})
	require.NoError(t, err)
	long := strings.Repeat("x", 129)
	const policy = "Password did not conform with policy: Password "
	const null = "1 validation error detected: Value null at '%' failed to satisfy constraint: Member must not be null"
	const tooLong = "1 validation error detected: Value at '%' failed to satisfy constraint: Member must have length less than or equal to 128"
	const odd = `1 validation error detected: Value at '%' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+`
	missing := func(form, name string) string { return strings.Replace(form, "%", name, 1) }
	up := func(name, with string, attributes ...fields) fields {
		return fields{"ClientId": client, "Username": name, "Password": with, "UserAttributes": attributes}
	}
	for _, tt := range []struct {
		operation, kind, message string
		body                     fields
	}{
		{"SignUp", "UsernameExistsException", "User already exists", up("waiting", password)},
		{"SignUp", "ResourceNotFoundException", "User pool client other does not exist.", fields{"ClientId": "other", "Username": "x", "Password": password}},
		{"SignUp", "InvalidParameterException", missing(null, "clientId"), fields{"Username": "x", "Password": password}},
		{"SignUp", "InvalidParameterException", missing(null, "username"), up("", password)},
		{"SignUp", "InvalidParameterException", missing(null, "password"), up("x", "")},
		{"SignUp", "InvalidParameterException", missing(tooLong, "username"), up(long, password)},
		{"SignUp", "InvalidParameterException", missing(tooLong, "username"), up(strings.Repeat("é", 129), password)},
		{"SignUp", "InvalidParameterException", missing(odd, "username"), up("julian wood", password)},
		{"SignUp", "InvalidParameterException", missing(odd, "username"), up("julian\n", password)},
		{"SignUp", "InvalidPasswordException", policy + "not long enough", up("x", "Shor-t1")},
		{"SignUp", "InvalidPasswordException", policy + "must have uppercase characters", up("x", "correct-horse-9")},
		{"SignUp", "InvalidPasswordException", policy + "must have lowercase characters", up("x", "CORRECT-HORSE-9")},
		{"SignUp", "InvalidPasswordException", policy + "must have numeric characters", up("x", "Correct-horse")},
		{"SignUp", "InvalidPasswordException", policy + "must have symbol characters", up("x", "Correcthorse9")},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: cognito:groups", up("x", password, fields{"Name": "cognito:groups", "Value": "admin"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: sub", up("x", password, fields{"Name": "sub", "Value": "1"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: email_verified", up("x", password, fields{"Name": "email_verified", "Value": "true"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: address birthdate", up("x", password, fields{"Name": "address birthdate", "Value": "1"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: custom:", up("x", password, fields{"Name": "custom:", "Value": "1"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: ", up("x", password, fields{"Name": "", "Value": "1"})},
		{"SignUp", "InvalidParameterException", "Attributes did not conform to the schema: email", up("x", password, fields{"Name": "email", "Value": strings.Repeat("x", 2049)})},
		{"ConfirmSignUp", "CodeMismatchException", "Invalid verification code provided, please try again.", fields{"ClientId": client, "Username": "waiting", "ConfirmationCode": "x"}},
		{"ConfirmSignUp", "NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED", fields{"ClientId": client, "Username": "confirmed", "ConfirmationCode": "x"}},
		{"ConfirmSignUp", "InvalidParameterException", missing(null, "confirmationCode"), fields{"ClientId": client, "Username": "waiting"}},
		{"ResendConfirmationCode", "InvalidParameterException", "User is already confirmed.", fields{"ClientId": client, "Username": "confirmed"}},
		{"InitiateAuth", "UserNotConfirmedException", "User is not confirmed.", passwordAuth("waiting", password)},
		{"InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("confirmed", "Other-horse-99")},
		{"InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("waiting", "Other-horse-99")},
		{"InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("confirmed", "")},
		{"InitiateAuth", "InvalidParameterException", "Missing required parameter USERNAME", passwordAuth("", password)},
		{"InitiateAuth", "InvalidParameterException", "CUSTOM_AUTH flow not enabled for this client", fields{"AuthFlow": "CUSTOM_AUTH", "ClientId": client}},
		{"InitiateAuth", "InvalidParameterException", missing(null, "authFlow"), fields{"ClientId": client}},
		{"InitiateAuth", "InvalidParameterException", missing(tooLong, "authFlow"), fields{"ClientId": client, "AuthFlow": long}},
		{"InitiateAuth", "NotAuthorizedException", "Invalid Refresh Token.", refreshAuth("REFRESH_TOKEN_AUTH", given["AccessToken"])},
		{"InitiateAuth", "NotAuthorizedException", "Invalid Refresh Token.", refreshAuth("REFRESH_TOKEN_AUTH", "")},
		{"RespondToAuthChallenge", "InvalidParameterException", missing(null, "username"), fields{"ClientId": client, "ChallengeName": "PASSWORD_VERIFIER"}},
		{"RespondToAuthChallenge", "InvalidParameterException", "SMS_MFA flow not enabled for this client", fields{"ClientId": client, "ChallengeName": "SMS_MFA", "ChallengeResponses": fields{"USERNAME": "confirmed"}}},
		{"GetTokensFromRefreshToken", "NotAuthorizedException", "Invalid Refresh Token.", fields{"ClientId": client, "RefreshToken": "x"}},
		{"GetTokensFromRefreshToken", "InvalidParameterException", missing(null, "refreshToken"), fields{"ClientId": client}},
		{"GetUser", "InvalidParameterException", missing(null, "accessToken"), fields{}},
		{"GetUser", "NotAuthorizedException", "Invalid Access Token", fields{"AccessToken": "x"}},
		{"GetUser", "NotAuthorizedException", "Invalid Access Token", fields{"AccessToken": given["IdToken"]}},
		{"GetUser", "NotAuthorizedException", "Invalid Access Token", fields{"AccessToken": given["AccessToken"][:len(given["AccessToken"])-6] + "AAAAAA"}},
		{"GetUser", "NotAuthorizedException", "Access Token has been revoked", fields{"AccessToken": foreign}},
		{"GlobalSignOut", "NotAuthorizedException", "Invalid Access Token", fields{"AccessToken": given["RefreshToken"]}},
		{"RevokeToken", "UnsupportedTokenTypeException", "Only refresh tokens of this pool can be revoked.", fields{"ClientId": client, "Token": given["AccessToken"]}},
		{"RevokeToken", "ResourceNotFoundException", "User pool client other does not exist.", fields{"ClientId": "other", "Token": given["RefreshToken"]}},
		{"AdminCreateUser", "UsernameExistsException", "User account already exists", fields{"UserPoolId": poolID, "Username": "waiting"}},
		{"AdminCreateUser", "ResourceNotFoundException", "User pool eu-west-1_other does not exist.", fields{"UserPoolId": "eu-west-1_other", "Username": "x"}},
		{"AdminAddUserToGroup", "UserNotFoundException", "User does not exist.", fields{"UserPoolId": poolID, "Username": "nobody", "GroupName": "gold"}},
		{"AdminAddUserToGroup", "InvalidParameterException", missing(null, "groupName"), fields{"UserPoolId": poolID, "Username": "confirmed"}},
		{"AdminAddUserToGroup", "InvalidParameterException", missing(odd, "groupName"), fields{"UserPoolId": poolID, "Username": "confirmed", "GroupName": "gold silver"}},
		{"ListUsers", "UnknownOperationException", "", fields{}},
	} {
		t.Run(tt.operation+" "+tt.kind, func(t *testing.T) { refuse(t, p, tt.operation, tt.kind, tt.message, tt.body) })
	}
	do(t, p, "GetUser", fields{"AccessToken": given["AccessToken"]})
	do(t, p, "SignUp", up(strings.Repeat("é", 128), password)) // the longest name, in characters
}

// post sends a body as it is.
func post(h http.Handler, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMalformedBodiesAreRefused(t *testing.T) {
	p, _ := newPool(t)
	for _, body := range []string{
		"", "{", "[]", `"x"`, `{"Username":1}`, `{"AuthParameters":[]}`, `{"UserAttributes":{}}`, "{} {}",
		`{"Username":"` + strings.Repeat("x", 1<<15) + `"}`, strings.Repeat(`{"UserAttributes":`, 5000),
	} {
		w := post(p, "AWSCognitoIdentityProviderService.SignUp", body)
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.JSONEq(t, `{"__type":"SerializationException"}`, w.Body.String())
	}
}

// A request for the administrator's operations is refused without a signature, which nothing verifies.
func TestUnsignedRequestsAreNotTheAdministrators(t *testing.T) {
	p, _ := newPool(t)
	for _, name := range []string{"AdminCreateUser", "AdminAddUserToGroup"} {
		w := post(p, "AWSCognitoIdentityProviderService."+name, `{"UserPoolId":"`+poolID+`","Username":"x","GroupName":"g"}`)
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.JSONEq(t, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`, w.Body.String())
	}
}

// FuzzPool sends any body to any operation. Each answer is JSON, and each refusal is of a type that Cognito has.
func FuzzPool(f *testing.F) {
	issuer, err := authtest.New(url)
	require.NoError(f, err)
	p, err := authtest.NewPool(issuer, map[string]string{client: "", secretly: secret})
	require.NoError(f, err)
	const service = "AWSCognitoIdentityProviderService."
	for _, name := range []string{
		"SignUp", "ConfirmSignUp", "ResendConfirmationCode", "InitiateAuth", "RespondToAuthChallenge", "GetTokensFromRefreshToken",
		"RevokeToken", "GetUser", "GlobalSignOut", "AdminCreateUser", "AdminAddUserToGroup", "Other",
	} {
		f.Add(service+name, `{"ClientId":"`+client+`","UserPoolId":"`+poolID+`","Username":"a","Password":"Correct-horse-9","GroupName":"g"}`)
		f.Add(service+name, `{"ClientId":"`+client+`","ConfirmationCode":"1","AccessToken":"a.b.c","Token":"a","RefreshToken":"a","Session":"a"}`)
	}
	for _, flow := range []string{"USER_PASSWORD_AUTH", "USER_SRP_AUTH", "REFRESH_TOKEN_AUTH"} {
		f.Add(service+"InitiateAuth", `{"ClientId":"`+client+`","AuthFlow":"`+flow+`","AuthParameters":{"USERNAME":"a","PASSWORD":"Correct-horse-9","SRP_A":"ff"}}`)
	}
	for _, challenge := range []string{"PASSWORD_VERIFIER", "NEW_PASSWORD_REQUIRED"} {
		f.Add(service+"RespondToAuthChallenge", `{"ClientId":"`+client+`","ChallengeName":"`+challenge+`","ChallengeResponses":{"USERNAME":"a",`+
			`"TIMESTAMP":"Mon Jan 5 15:04:05 UTC 2026","PASSWORD_CLAIM_SECRET_BLOCK":"AAAA","PASSWORD_CLAIM_SIGNATURE":"AAAA","userAttributes.email":"x"}}`)
	}
	f.Fuzz(func(t *testing.T, target, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=…")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		if w.Code != http.StatusOK {
			require.Equal(t, http.StatusBadRequest, w.Code)
			require.Regexp(t, `^[A-Z][A-Za-z]+Exception$`, answer["__type"])
			require.LessOrEqual(t, w.Body.Len(), 1500, "what is repeated is bounded")
		}
	})
}
