package authorizer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/auth"
	"github.com/tallygate/tallygate/auth/awslambda"
	"github.com/tallygate/tallygate/auth/awslambda/authorizer"
	"github.com/tallygate/tallygate/auth/custom"
	"github.com/tallygate/tallygate/sigv4"
)

// The function behind an HTTP API with a JWT authorizer sees the token that API Gateway has verified.
func ExampleAuthorized() {
	verified, err := authorizer.NewAuthorized(authorizer.AuthorizedConfig{
		APIs: []string{"a1b2c3d4e5"}, JWT: true,
		Issuers: map[string][]string{"https://login.example": {"loyalty"}},
	})
	if err != nil {
		panic(err)
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := auth.ID(r)
		token, _ := auth.FromContext(r.Context())
		fmt.Println(id, token.Groups())
	})
	f, err := awslambda.New(awslambda.Config{Handler: auth.AnyOf(verified).Handler(next)})
	if err != nil {
		panic(err)
	}
	// In a function: lambda.Start(f)
	_, err = f.Invoke(context.Background(), []byte(`{
		"version": "2.0", "rawPath": "/loyalty",
		"requestContext": {
			"apiId": "a1b2c3d4e5", "stage": "$default", "http": {"method": "GET"},
			"authorizer": {"jwt": {"claims": {
				"iss": "https://login.example", "sub": "u-17", "aud": "loyalty", "exp": "4.1E9", "groups": "[staff admins]"
			}}}
		}
	}`))
	fmt.Println(err)
	// Output:
	// https://login.example u-17 [staff admins]
	// <nil>
}

// A method of a REST API with IAM authorization that also requires an API key. An Authorized accepts either of the two,
// so the handler demands both: a method that was deployed without one of them is not open.
func ExampleAuthorized_key() {
	verified, err := authorizer.NewAuthorized(authorizer.AuthorizedConfig{
		APIs: []string{"a1b2c3d4e5"}, IAM: true, APIKeys: true,
	})
	if err != nil {
		panic(err)
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, isCaller := sigv4.ID(r)
		key, isKey := apikey.ID(r)
		if !isCaller || !isKey {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, "both are required")
			return
		}
		_, _ = fmt.Fprint(w, caller, " ", key)
	})
	f, err := awslambda.New(awslambda.Config{Handler: auth.AnyOf(verified).Handler(next)})
	if err != nil {
		panic(err)
	}
	for _, identity := range []string{
		`"accessKey": "AKIDEXAMPLE", "userArn": "arn:aws:iam::123456789012:user/julian", "apiKeyId": "fr92a5qpbj"`,
		`"accessKey": "AKIDEXAMPLE", "userArn": "arn:aws:iam::123456789012:user/julian"`,
		`"apiKeyId": "fr92a5qpbj"`,
	} {
		answer, err := f.Invoke(context.Background(), []byte(`{
			"httpMethod": "GET", "path": "/loyalty", "headers": {},
			"requestContext": {"apiId": "a1b2c3d4e5", "stage": "Prod", "path": "/Prod/loyalty", "identity": {`+identity+`}}
		}`))
		if err != nil {
			panic(err)
		}
		var got struct {
			StatusCode int
			Body       string
		}
		_ = json.Unmarshal(answer, &got)
		fmt.Println(got.StatusCode, got.Body)
	}
	// Output:
	// 200 arn:aws:iam::123456789012:user/julian fr92a5qpbj
	// 403 both are required
	// 403 both are required
}

// keyOf is an event of an HTTP API, whose identity source is $request.header.x-api-key.
func keyOf(value string) []byte {
	return []byte(`{
		"version": "2.0", "type": "REQUEST",
		"routeArn": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/$default/GET/loyalty",
		"rawPath": "/loyalty", "headers": {"x-api-key": "` + value + `"},
		"requestContext": {"apiId": "a1b2c3d4e5", "stage": "$default", "http": {"method": "GET"}}
	}`)
}

func ExampleAuthorizer_Invoke() {
	keys, err := apikey.New(apikey.Config{Keys: []apikey.Entry{{
		Key:   apikey.Key{ID: "fr92a5qpbj", Name: "julianwood", Enabled: true},
		Value: "67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT",
	}}})
	if err != nil {
		panic(err)
	}
	a, err := authorizer.New(authorizer.Config{Mode: keys, Principal: apikey.ID, Simple: true})
	if err != nil {
		panic(err)
	}
	// In a function: lambda.Start(a)
	for _, value := range []string{"67sfLSq19U1GuGk1RB5DwaS7EIYsWvBU3fZbtvQT", "stolen"} {
		answer, err := a.Invoke(context.Background(), keyOf(value))
		fmt.Println(string(answer), err)
	}
	// Output:
	// {"isAuthorized":true,"context":{"principalId":"fr92a5qpbj"}} <nil>
	// {"isAuthorized":false} <nil>
}

// A function of yours can be the mode. Its policy is evaluated for one method, so that the answer must not be cached.
func ExampleNew() {
	sessions, err := custom.New(custom.Config{
		Authorize: func(_ context.Context, e custom.Event) (custom.Result, error) {
			if e.AuthorizationToken != "session-1" {
				return custom.Result{}, custom.ErrUnauthorized
			}
			return custom.Result{PrincipalID: "julianwood", Authorized: true}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	a, err := authorizer.New(authorizer.Config{Mode: sessions, Principal: custom.ID, Uncached: true})
	if err != nil {
		panic(err)
	}
	for _, token := range []string{"session-1", "session-2"} {
		answer, err := a.Invoke(context.Background(), []byte(`{
			"type": "TOKEN", "authorizationToken": "`+token+`",
			"methodArn": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/Prod/GET/loyalty"
		}`))
		_, end, _ := strings.Cut(string(answer), "a1b2c3d4e5")
		fmt.Println(end, err) // the end of the Allow's resource, without an asterisk
	}
	// Output:
	// /Prod/GET/loyalty"]}]}} <nil>
	//  Unauthorized
}

// AppSync can hide fields from a caller, and gets the time for which it may keep the answer.
func ExampleConfig() {
	a, err := authorizer.New(authorizer.Config{
		Mode: anyone{}, Principal: auth.ID,
		Context:      func(*http.Request) map[string]any { return map[string]any{"tier": "gold"} },
		DeniedFields: func(*http.Request) []string { return []string{"Mutation.createEvent"} },
	})
	if err != nil {
		panic(err)
	}
	answer, err := a.Invoke(context.Background(), []byte(`{"authorizationToken": "t", "requestContext": {"apiId": "giy7kumf"}}`))
	fmt.Println(strings.ReplaceAll(string(answer), ",", ",\n"), err)
	// Output:
	// {"isAuthorized":true,
	// "resolverContext":{"principalId":"https://login.example u-17",
	// "tier":"gold"},
	// "deniedFields":["Mutation.createEvent"]} <nil>
}

// anyone is a mode for examples.
type anyone struct{}

func (anyone) Present(*http.Request) bool { return true }
func (anyone) Authenticate(r *http.Request) (*http.Request, error) {
	token, err := auth.InsecureToken([]byte(`{"iss": "https://login.example", "sub": "u-17"}`))
	return r.WithContext(auth.NewContext(r.Context(), token)), err
}

// A signature covers one request. If the answer were kept under the Authorization header, a copy of the header would be
// good for every other method and path, so that nothing is answered without Uncached.
func Example_incorrect() {
	a, err := authorizer.New(authorizer.Config{Mode: signed{}, Principal: sigv4.ID}) // Uncached is missing
	if err != nil {
		panic(err)
	}
	answer, err := a.Invoke(context.Background(), keyOf(""))
	fmt.Println(len(answer), errors.Is(err, authorizer.ErrResult))
	// Output:
	// 0 true
}

// signed stands for a verifier that has accepted a signature.
type signed struct{ anyone }

func (signed) Authenticate(r *http.Request) (*http.Request, error) {
	return r.WithContext(sigv4.NewContext(r.Context(), sigv4.Identity{AccessKeyID: "AKIDEXAMPLE", Principal: "julianwood"})), nil
}
