package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/admin"
)

// A control plane for the owner of an API. The owner's access key may do everything, and the auditor's may read.
func Example() {
	keys, errKeys := apikey.New(apikey.Config{})
	plans, errPlans := usageplan.New(usageplan.Config{Client: apikey.ID, API: "demo", Stage: "prod"})
	signed, errSigned := sigv4.NewVerifier(sigv4.VerifierConfig{
		Keys: sigv4.Keyring{
			"AKIDOWNER":   {Secret: "owner's secret", Principal: "owner"},
			"AKIDAUDITOR": {Secret: "auditor's secret", Principal: "auditor"},
		}.Key,
		Regions: []string{"eu-west-1"}, Services: []string{"apigateway"},
	})
	control, err := admin.New(admin.Config{
		Keys: keys, Plans: plans, Authenticate: signed.Authenticate, Actor: sigv4.ID,
		Authorize: func(r *http.Request, a admin.Action) error {
			who, _ := sigv4.ID(r)
			if who == "owner" || who == "auditor" && strings.HasPrefix(a.Operation, "Get") && !a.Reveals {
				return nil
			}
			return errors.New("not allowed")
		},
		Stages: []usageplan.Stage{{API: "demo", Name: "prod"}},
	})
	if err := errors.Join(errKeys, errPlans, errSigned, err); err != nil {
		fmt.Println(err)
		return
	}

	call := func(who, method, target string) {
		r, _ := http.NewRequest(method, "http://127.0.0.1:8081"+target, nil)
		signer, _ := sigv4.NewSigner(sigv4.SignerConfig{
			Credentials: func(context.Context) (sigv4.Credentials, error) {
				return sigv4.Credentials{AccessKeyID: "AKID" + strings.ToUpper(who), Secret: sigv4.Secret(who + "'s secret")}, nil
			},
			Region: "eu-west-1", Service: "apigateway",
		})
		_ = signer.Sign(r) // in a program, aws-cli or an SDK does this
		w := httptest.NewRecorder()
		control.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	call("owner", "GET", "/restapis")
	call("owner", "DELETE", "/usageplans/none")
	call("auditor", "GET", "/apikeys")
	call("auditor", "GET", "/apikeys?includeValues=true")
	// Output:
	// 200 {"item":[{"id":"demo","name":"demo","apiKeySource":"HEADER"}]}
	// 404 {"message":"Invalid Usage Plan ID specified"}
	// 200 {"item":[]}
	// 403 {"message":"User: auditor is not authorized to perform: apigateway:GET on resource: arn:aws:apigateway:::/apikeys"}
}
