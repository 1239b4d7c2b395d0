package main

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// A plan has the attributes of a usage plan that Terraform keeps.
type plan struct {
	id, name, description, product string
	stages                         []types.ApiStage
	throttle                       *types.ThrottleSettings
	quota                          *types.QuotaSettings
	tags                           map[string]string
}

func stage(api, name string, methods map[string]types.ThrottleSettings) types.ApiStage {
	return types.ApiStage{ApiId: aws.String(api), Stage: aws.String(name), Throttle: methods}
}

// planLife carries a plan through its life but for its end, and returns it.
func (d *drive) planLife(ctx context.Context) plan {
	methods := map[string]types.ThrottleSettings{"/pets/GET": {RateLimit: 0.5, BurstLimit: 1}}
	// An offset of 0 is not sent.
	created := must(d.gw.CreateUsagePlan(ctx, &apigateway.CreateUsagePlanInput{
		Name: aws.String("tf-plan"), Quota: &types.QuotaSettings{Limit: 10, Period: types.QuotaPeriodTypeDay},
		Throttle: &types.ThrottleSettings{RateLimit: 1, BurstLimit: 2}, Tags: map[string]string{"a": "b"},
		ApiStages: []types.ApiStage{stage("demo", "prod", methods)},
	}))
	p := plan{
		id: *created.Id, name: "tf-plan", tags: map[string]string{"a": "b"},
		throttle: &types.ThrottleSettings{RateLimit: 1, BurstLimit: 2},
		quota:    &types.QuotaSettings{Limit: 10, Period: types.QuotaPeriodTypeDay},
		stages:   []types.ApiStage{stage("demo", "prod", methods)},
	}
	want(d, "the tags of a created plan", created.Tags, p.tags)
	d.updatePlan(ctx, p.id, operations(types.OpAdd, "/productCode", "code")...) // a request of its own, after the creation
	p.product = "code"
	d.readPlan(ctx, "created", p)

	// The order of the provider: name, description, product, stages with their throttles, throttle, quota.
	p.name, p.description, p.product = "tf-plan2", "changed", "code2"
	p.throttle = &types.ThrottleSettings{RateLimit: 2.5, BurstLimit: 5}
	p.quota = &types.QuotaSettings{Limit: 100, Offset: 2, Period: types.QuotaPeriodTypeMonth}
	methods = map[string]types.ThrottleSettings{"/pets/GET": {RateLimit: 3, BurstLimit: 4}, "/*/*": {RateLimit: 0.25}}
	p.stages = []types.ApiStage{stage("demo", "dev", nil), stage("demo", "prod", methods)}
	d.updatePlan(ctx, p.id, slices.Concat(
		replace("/name", "tf-plan2", "/description", "changed", "/productCode", "code2"),
		operations(types.OpRemove, "/apiStages", "demo:prod"),
		operations(types.OpAdd, "/apiStages", "demo:dev", "/apiStages", "demo:prod"),
		// The provider puts a path with its slash behind a slash.
		replace(
			"/apiStages/demo:prod/throttle//pets/GET/rateLimit", "3", "/apiStages/demo:prod/throttle//pets/GET/burstLimit", "4",
			"/apiStages/demo:prod/throttle//*/*/rateLimit", "0.25", "/apiStages/demo:prod/throttle//*/*/burstLimit", "0",
		),
		replace("/throttle/rateLimit", "2.5", "/throttle/burstLimit", "5"),
		replace("/quota/limit", "100", "/quota/offset", "2", "/quota/period", "MONTH"),
	)...)
	d.readPlan(ctx, "updated", p)

	p.throttle, p.quota, p.product = nil, nil, ""
	p.stages = []types.ApiStage{stage("demo", "dev", nil), stage("demo", "prod", nil)}
	d.updatePlan(ctx, p.id, slices.Concat(
		operations(types.OpRemove, "/apiStages", "demo:prod"), operations(types.OpAdd, "/apiStages", "demo:prod"),
		operations(types.OpRemove, "/productCode", "", "/throttle", "", "/quota", ""),
	)...)
	d.readPlan(ctx, "without limits", p)
	p.throttle = &types.ThrottleSettings{RateLimit: 0.001, BurstLimit: 2}
	p.quota = &types.QuotaSettings{Limit: 10, Period: types.QuotaPeriodTypeDay}
	d.updatePlan(ctx, p.id, operations(types.OpAdd, "/throttle/rateLimit", "0.001", "/throttle/burstLimit", "2",
		"/quota/limit", "10", "/quota/offset", "0", "/quota/period", "DAY")...)
	d.readPlan(ctx, "with limits again", p)

	p.tags = map[string]string{"k": "v"}
	d.untag(ctx, "usageplans/"+p.id, "a")
	d.tag(ctx, "usageplans/"+p.id, p.tags)
	d.readPlan(ctx, "tagged", p)
	return p
}

// readPlan reads the plan as Terraform refreshes its state. Stages are a set there, so their order does not count.
func (d *drive) readPlan(ctx context.Context, what string, p plan) {
	out := must(d.gw.GetUsagePlan(ctx, &apigateway.GetUsagePlanInput{UsagePlanId: aws.String(p.id)}))
	slices.SortFunc(out.ApiStages, func(a, b types.ApiStage) int {
		return slices.Compare([]string{*a.ApiId, *a.Stage}, []string{*b.ApiId, *b.Stage})
	})
	want(d, what, plan{
		*out.Id, aws.ToString(out.Name), aws.ToString(out.Description), aws.ToString(out.ProductCode),
		out.ApiStages, out.Throttle, out.Quota, out.Tags,
	}, p)
}

func (d *drive) updatePlan(ctx context.Context, id string, operations ...types.PatchOperation) {
	in := &apigateway.UpdateUsagePlanInput{UsagePlanId: aws.String(id), PatchOperations: operations}
	must(d.gw.UpdateUsagePlan(ctx, in))
	d.checks++
}

// membershipLife puts the key into the plan, takes it out, and puts it in again.
func (d *drive) membershipLife(ctx context.Context, p plan, k key) {
	if !d.sealed {
		k.value = ""
	}
	where := &apigateway.GetUsagePlanKeyInput{UsagePlanId: aws.String(p.id), KeyId: aws.String(k.id)}
	for round := range 2 {
		created := must(d.gw.CreateUsagePlanKey(ctx, &apigateway.CreateUsagePlanKeyInput{
			UsagePlanId: where.UsagePlanId, KeyId: where.KeyId, KeyType: aws.String("API_KEY"),
		}))
		want(d, "the id of a member", *created.Id, k.id)
		read := must(d.gw.GetUsagePlanKey(ctx, where))
		got := [4]string{*read.Id, *read.Type, *read.Name, aws.ToString(read.Value)}
		want(d, "a member", got, [4]string{k.id, "API_KEY", k.name, k.value})
		if round == 0 {
			d.leave(ctx, p, k)
			_, err := d.gw.GetUsagePlanKey(ctx, where)
			d.notFound(err, "Invalid Usage Plan ID specified")
		}
	}
}

func (d *drive) leave(ctx context.Context, p plan, k key) {
	in := &apigateway.DeleteUsagePlanKeyInput{UsagePlanId: aws.String(p.id), KeyId: aws.String(k.id)}
	must(d.gw.DeleteUsagePlanKey(ctx, in))
}

// destroy ends the lives in Terraform's order: the membership, the plan's stages, the plan, the key.
func (d *drive) destroy(ctx context.Context, p plan, k key) {
	id := aws.String(p.id)
	_, err := d.gw.DeleteUsagePlan(ctx, &apigateway.DeleteUsagePlanInput{UsagePlanId: id})
	bad, is := errors.AsType[*types.BadRequestException](err)
	want(d, "a plan with stages is not deleted", is, true)
	want(d, "its error, with the stage that was added first", bad.ErrorMessage(),
		"Cannot delete Usage Plan "+p.id+" because there are API Stages associated with it, including demo:prod")
	d.leave(ctx, p, k)
	var pairs []string
	for _, s := range p.stages {
		pairs = append(pairs, "/apiStages", *s.ApiId+":"+*s.Stage)
	}
	d.updatePlan(ctx, p.id, operations(types.OpRemove, pairs...)...)
	must(d.gw.DeleteUsagePlan(ctx, &apigateway.DeleteUsagePlanInput{UsagePlanId: id}))
	_, err = d.gw.GetUsagePlan(ctx, &apigateway.GetUsagePlanInput{UsagePlanId: id})
	d.notFound(err, "Invalid Usage Plan ID specified")
	must(d.gw.DeleteApiKey(ctx, &apigateway.DeleteApiKeyInput{ApiKey: aws.String(k.id)}))
	d.gone(ctx, aws.String(k.id))
	want(d, "keys left", len(must(d.gw.GetApiKeys(ctx, &apigateway.GetApiKeysInput{})).Items), 0)
	want(d, "plans left", len(must(d.gw.GetUsagePlans(ctx, &apigateway.GetUsagePlansInput{})).Items), 0)
}
