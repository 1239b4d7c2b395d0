package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tallygate/tallygate/sigv4"
)

// An owner changes keys and plans as aws-cli does: with signed requests to the control plane of one node.
type owner struct {
	signer  *sigv4.Signer // with the owner's access key
	control string        // the URL of the control plane of node a
	plan    string        // the id of the plan that it has made; "" before that, as for key
	key     string        // the id of the key
	value   string        // what the client sends in x-api-key; told once, when the key is made
}

// newOwner returns an owner who uses the control plane at an address.
func newOwner(control string) (*owner, error) {
	signer, err := newSigner("apigateway", ownerAccessKey, ownerSecretKey)
	return &owner{signer: signer, control: control}, err
}

// newSigner returns a signer that signs requests for a service as aws-cli and curl do.
func newSigner(service, id string, secret sigv4.Secret) (*sigv4.Signer, error) {
	return sigv4.NewSigner(sigv4.SignerConfig{
		Credentials: func(context.Context) (sigv4.Credentials, error) {
			return sigv4.Credentials{AccessKeyID: id, Secret: secret}, nil
		},
		Region: region, Service: service,
	})
}

// call sends a request with a JSON body, and stores the answer in answer unless that is nil. When it returns nil after
// a change, the change is in the store's journal, and acts on this node. The others hear of it within a second.
func (o *owner) call(ctx context.Context, method, path, body string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, method, o.control+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if err := o.signer.Sign(r); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // no answer comes near it; a wrong server could send forever
	switch {
	case err != nil:
		return err
	case res.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("the control plane answers %s to %s %s: %s", res.Status, method, path, text)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(text, answer)
}

// create makes the plan, and a key in it. These are the requests of create-usage-plan, create-api-key and
// create-usage-plan-key of aws-cli.
func (o *owner) create(ctx context.Context, f options) error {
	plan := fmt.Sprintf(`{"name":"fleet","throttle":{"rateLimit":%v,"burstLimit":%d},`+
		`"quota":{"limit":%d,"period":"DAY"},"apiStages":[{"apiId":%q,"stage":%q}]}`,
		f.rate, f.burst, f.quota, apiID, stage)
	var made struct{ ID, Value string }
	if err := o.call(ctx, http.MethodPost, "/usageplans", plan, &made); err != nil {
		return err
	}
	o.plan = made.ID // at once: if the next request fails, remove deletes the plan
	if err := o.call(ctx, http.MethodPost, "/apikeys", `{"name":"fleet","enabled":true}`, &made); err != nil {
		return err
	}
	o.key, o.value = made.ID, made.Value
	// Only now the key is good for something: a key that is in no plan of the stage is refused.
	body := fmt.Sprintf(`{"keyId":%q,"keyType":"API_KEY"}`, o.key)
	return o.call(ctx, http.MethodPost, "/usageplans/"+o.plan+"/keys", body, nil)
}

// remove deletes what create has made, so that a store can be used for several runs. A plan can be deleted only when it
// has no stage any more. The journals keep the record of who made and deleted what.
func (o *owner) remove(ctx context.Context) error {
	var errs []error
	if o.key != "" {
		errs = append(errs, o.call(ctx, http.MethodDelete, "/apikeys/"+o.key, "", nil)) // it also leaves the plan
	}
	if o.plan != "" {
		plan := "/usageplans/" + o.plan
		errs = append(errs, o.patch(ctx, plan, "remove", "/apiStages", apiID+":"+stage),
			o.call(ctx, http.MethodDelete, plan, "", nil))
	}
	return errors.Join(errs...)
}

// patch makes one change of the plan or key at the path of, as --patch-operations of aws-cli does.
func (o *owner) patch(ctx context.Context, of, op, path, value string) error {
	body := fmt.Sprintf(`{"patchOperations":[{"op":%q,"path":%q,"value":%q}]}`, op, path, value)
	return o.call(ctx, http.MethodPatch, of, body, nil)
}

// remaining returns what is left of the day's quota, by the store. Units that a node holds are not left. Days are those
// of UTC, as at API Gateway; a run over midnight is an error, as its two days have a quota each.
func (o *owner) remaining(ctx context.Context) (int64, error) {
	today := time.Now().UTC().Format(time.DateOnly)
	// For each key, each day has two numbers: used and remaining. API Gateway calls them values, and aws-cli items.
	var usage struct{ Values map[string][][2]int64 }
	path := fmt.Sprintf("/usageplans/%s/usage?keyId=%s&startDate=%s&endDate=%s", o.plan, o.key, today, today)
	err := o.call(ctx, http.MethodGet, path, "", &usage)
	if err == nil && len(usage.Values[o.key]) != 1 {
		err = fmt.Errorf("the usage of %s is not that of one day", today)
	}
	if err != nil {
		return 0, err
	}
	return usage.Values[o.key][0][1], nil
}
