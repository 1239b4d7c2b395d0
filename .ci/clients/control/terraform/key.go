package main

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// A key has the attributes of a key that Terraform keeps.
type key struct {
	id, name, description, customer, value string
	enabled                                bool
	tags                                   map[string]string
}

// pinned is a value as a configuration gives it.
const pinned = "pinned-0123456789-0123456789"

// keyLife carries a key through its life but for its end, and returns it.
func (d *drive) keyLife(ctx context.Context) key {
	// Without a value in the configuration, the provider sends an empty one.
	created := must(d.gw.CreateApiKey(ctx, &apigateway.CreateApiKeyInput{
		Name: aws.String("tf"), Description: aws.String("Managed by Terraform"), Enabled: true, Value: aws.String(""),
	}))
	k := key{
		id: *created.Id, name: "tf", description: "Managed by Terraform", enabled: true, value: *created.Value,
		tags: map[string]string{},
	}
	want(d, "the length of the value", len(k.value), 40)
	d.readKey(ctx, "created", k)

	k.name, k.description, k.enabled, k.customer = "tf2", "changed", false, "customer"
	d.updateKey(ctx, k.id, replace(
		"/name", k.name, "/description", k.description, "/enabled", "false", "/customerId", k.customer,
	)...)
	d.readKey(ctx, "updated", k)
	k.enabled = true
	d.updateKey(ctx, k.id, replace("/enabled", "true")...)
	d.readKey(ctx, "enabled", k)

	k.tags = map[string]string{"stage": "test", "team": "a b/é"}
	d.tag(ctx, "apikeys/"+k.id, map[string]string{"stage": "test", "team": "a b/é", "old": "x"})
	d.untag(ctx, "apikeys/"+k.id, "old")
	d.readKey(ctx, "tagged", k)

	d.pinnedKey(ctx)
	return k
}

// pinnedKey gives a key a value of its own. If the control plane does not keep values, the read has none, and Terraform
// plans to replace the key: a configuration with values needs sealing.
func (d *drive) pinnedKey(ctx context.Context) {
	created := must(d.gw.CreateApiKey(ctx, &apigateway.CreateApiKeyInput{
		Name: aws.String("pinned"), Enabled: true, Value: aws.String(pinned), Tags: map[string]string{"a": "b"},
	}))
	want(d, "the value of the answer", *created.Value, pinned)
	want(d, "the tags of the answer", created.Tags, map[string]string{"a": "b"})
	d.readKey(ctx, "pinned", key{id: *created.Id, name: "pinned", enabled: true, value: pinned, tags: created.Tags})
	must(d.gw.DeleteApiKey(ctx, &apigateway.DeleteApiKeyInput{ApiKey: created.Id}))
	d.gone(ctx, created.Id)
}

// readKey reads the key as Terraform refreshes its state, and compares it with what Terraform has. Terraform takes the
// dates for granted.
func (d *drive) readKey(ctx context.Context, what string, k key) {
	if !d.sealed {
		k.value = ""
	}
	out := must(d.gw.GetApiKey(ctx, &apigateway.GetApiKeyInput{ApiKey: aws.String(k.id), IncludeValue: aws.Bool(true)}))
	want(d, what, key{
		*out.Id, aws.ToString(out.Name), aws.ToString(out.Description), aws.ToString(out.CustomerId),
		aws.ToString(out.Value), out.Enabled, out.Tags,
	}, k)
	want(d, what+", no value is absent", out.Value != nil, d.sealed)
	for name, date := range map[string]*time.Time{"created": out.CreatedDate, "updated": out.LastUpdatedDate} {
		want(d, what+", the date "+name, date != nil && time.Since(*date).Abs() < time.Hour, true)
	}
}

func (d *drive) updateKey(ctx context.Context, id string, operations ...types.PatchOperation) {
	out := must(d.gw.UpdateApiKey(ctx, &apigateway.UpdateApiKeyInput{ApiKey: aws.String(id), PatchOperations: operations}))
	want(d, "the answer to an update has no value", out.Value, nil)
}

func (d *drive) tag(ctx context.Context, resource string, tags map[string]string) {
	must(d.gw.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: arn(resource), Tags: tags}))
}

func (d *drive) untag(ctx context.Context, resource, name string) {
	must(d.gw.UntagResource(ctx, &apigateway.UntagResourceInput{ResourceArn: arn(resource), TagKeys: []string{name}}))
}

// gone checks that a read says that there is no such key, so that Terraform drops it from its state.
func (d *drive) gone(ctx context.Context, id *string) {
	_, err := d.gw.GetApiKey(ctx, &apigateway.GetApiKeyInput{ApiKey: id, IncludeValue: aws.Bool(true)})
	d.notFound(err, "Invalid API Key identifier specified")
	_, err = d.gw.DeleteApiKey(ctx, &apigateway.DeleteApiKeyInput{ApiKey: id})
	d.notFound(err, "Invalid API Key identifier specified")
}

// notFound checks that err is the one by which the provider knows that something does not exist.
func (d *drive) notFound(err error, message string) {
	missing, is := errors.AsType[*types.NotFoundException](err)
	if !is {
		fail(errors.Join(errors.New("want a NotFoundException"), err))
	}
	want(d, "the text of an error", missing.ErrorMessage(), message)
}

func arn(resource string) *string {
	return aws.String("arn:aws:apigateway:" + region + "::/" + resource)
}

// replace returns an operation for each pair of a path and a value.
func replace(pairs ...string) []types.PatchOperation { return operations(types.OpReplace, pairs...) }

func operations(op types.Op, pairs ...string) (all []types.PatchOperation) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, types.PatchOperation{Op: op, Path: aws.String(pairs[i]), Value: aws.String(pairs[i+1])})
	}
	return all
}
