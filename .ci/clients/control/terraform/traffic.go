package main

import (
	"context"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
)

// stagesAreKeptWhileReplaced replaces all stages of the plan in one request, as Terraform does for each change of one.
// Requests under way never see the plan without its stage, and neither the throttle nor the quota starts anew.
func (d *drive) stagesAreKeptWhileReplaced(ctx context.Context, p plan, k key) {
	exchange := slices.Concat(
		operations(types.OpRemove, "/apiStages", "demo:dev", "/apiStages", "demo:prod"),
		operations(types.OpAdd, "/apiStages", "demo:prod", "/apiStages", "demo:dev"),
	)
	want(d, "the burst", [3]int{ask(ctx, k), ask(ctx, k), ask(ctx, k)}, [3]int{200, 200, 429})
	stop, statuses := make(chan struct{}), make(chan map[int]int)
	go func() {
		seen := make(map[int]int)
		for {
			select {
			case <-stop:
				statuses <- seen
				return
			default:
				seen[ask(ctx, k)]++
			}
		}
	}()
	for range 20 {
		d.updatePlan(ctx, p.id, exchange...)
	}
	close(stop)
	seen := <-statuses
	want(d, "only refused by the throttle", len(seen) == 1 && seen[http.StatusTooManyRequests] > 0, true)
	today := aws.String(time.Now().UTC().Format(time.DateOnly))
	usage := must(d.gw.GetUsage(ctx, &apigateway.GetUsageInput{
		UsagePlanId: aws.String(p.id), KeyId: aws.String(k.id), StartDate: today, EndDate: today,
	}))
	want(d, "usage", usage.Items, map[string][][]int64{k.id: {{2, 8}}})
}

// ask calls the API with the key, and returns the status.
func ask(ctx context.Context, k key) int {
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of no body
	const path = "/prod/loyalty/a900ae6c-99b9-4112-9677-b66fe79d792c"
	r := must(http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("BASE")+path, nil))
	r.Header.Set("X-Api-Key", k.value)
	customer := aws.Credentials{
		AccessKeyID: os.Getenv("CUSTOMER_ACCESS_KEY"), SecretAccessKey: os.Getenv("CUSTOMER_SECRET_KEY"),
	}
	if err := v4.NewSigner().SignHTTP(ctx, customer, r, emptyHash, "execute-api", region, time.Now()); err != nil {
		fail(err)
	}
	res := must(http.DefaultClient.Do(r))
	_ = res.Body.Close()
	return res.StatusCode
}
