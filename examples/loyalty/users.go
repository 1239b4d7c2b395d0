package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/auth/authtest"
)

// withUsers puts the demo pool at the address of the API, where users sign up and in. As at Amazon Cognito, the target
// of a request says that it is for the pool, and the keys are under the pool's id. There is no e-mail, so a code that
// Cognito would send is there too. Without a demo pool, next has everything.
//
// The rate rule and API Gateway's answers are the API's alone, since Cognito is another service.
func withUsers(users *authtest.Pool, next http.Handler) http.Handler {
	if users == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ofPool := strings.CutPrefix(r.URL.Path, "/"+demoPool+"/")
		name, ofMail := strings.CutPrefix(document, "mail/")
		switch {
		case r.URL.Path == "/" && strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AWSCognitoIdentityProviderService."):
			users.ServeHTTP(w, r)
		case ofPool && ofMail && r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = fmt.Fprintln(w, users.Code(name))
		case ofPool && r.Method == http.MethodGet:
			users.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
