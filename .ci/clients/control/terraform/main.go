// Command terraform sends to a control plane what Terraform's AWS provider sends for aws_api_gateway_api_key,
// aws_api_gateway_usage_plan and aws_api_gateway_usage_plan_key: create, read, update, tag and destroy. It uses the SDK
// that the provider is built on. The provider itself comes only from Terraform's registry. With the argument sealed,
// the control plane keeps the values of keys, and shows them again.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
)

var region = os.Getenv("AWS_DEFAULT_REGION")

// A drive is one run. The first check that fails ends it.
type drive struct {
	gw     *apigateway.Client
	sealed bool
	checks int
}

func main() {
	d := &drive{sealed: slices.Contains(os.Args[1:], "sealed"), gw: apigateway.New(apigateway.Options{
		Region:           region,
		BaseEndpoint:     aws.String(os.Getenv("CONTROL")),
		RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			}, nil
		}),
	})}
	ctx := context.Background()
	key := d.keyLife(ctx)
	plan := d.planLife(ctx)
	d.membershipLife(ctx, plan, key)
	d.stagesAreKeptWhileReplaced(ctx, plan, key)
	d.destroy(ctx, plan, key)
	name := "terraform"
	if d.sealed {
		name += ", sealed"
	}
	fmt.Printf("%s: %d checks passed\n", name, d.checks)
}

// want makes and counts one check.
func want[T any](d *drive, what string, got, want T) {
	if !reflect.DeepEqual(got, want) {
		fail(fmt.Errorf("%s: got %+v, want %+v", what, got, want))
	}
	d.checks++
}

// must returns what a call has returned, which must not be an error.
func must[T any](v T, err error) T {
	if err != nil {
		fail(err)
	}
	return v
}

func fail(err error) {
	fmt.Println("terraform:", err)
	os.Exit(1)
}
