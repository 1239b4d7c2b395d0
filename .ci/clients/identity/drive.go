package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// A driver calls as aws-sdk-go-v2, and counts its checks.
type driver struct {
	base   string
	checks int
}

func (d *driver) check(what, got, want string) error {
	d.checks++
	if got != want {
		return fmt.Errorf("aws-sdk-go-v2: %s: got %q, want %q", what, got, want)
	}
	return nil
}

// refused checks the code of an error.
func (d *driver) refused(what string, err error, want string) error {
	code := "no error"
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	} else if err != nil {
		code = err.Error()
	}
	return d.check(what, code, want)
}

func drive() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := &driver{base: os.Getenv("BASE")}
	for _, step := range []func(context.Context) error{d.identities, d.roles, d.chain} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("identity: aws-sdk-go-v2: %d checks\n", d.checks)
	return nil
}

// calls signs a call of the API, and checks the principal that it answers.
func (d *driver) calls(ctx context.Context, what string, provider aws.CredentialsProvider, want string) error {
	c, err := provider.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/Prod/loyalty/1", nil)
	if err != nil {
		return err
	}
	empty := fmt.Sprintf("%x", sha256.Sum256(nil))
	if err := v4.NewSigner().SignHTTP(ctx, c, r, empty, "execute-api", "eu-west-1", time.Now()); err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return d.check(what, fmt.Sprint(res.StatusCode, " ", string(body)), "200 "+want)
}

// identities gets credentials of the identity pool, for a user and for a guest.
func (d *driver) identities(ctx context.Context) error {
	pool := cognitoidentity.New(cognitoidentity.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(d.base + "/pool"), RetryMaxAttempts: 1,
	})
	for role, logins := range map[string]map[string]string{"Member": {provider: file("TOKEN")}, "Guest": nil} {
		id, err := pool.GetId(ctx, &cognitoidentity.GetIdInput{IdentityPoolId: aws.String(poolID), Logins: logins})
		if err != nil {
			return err
		}
		got, err := pool.GetCredentialsForIdentity(ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: id.IdentityId, Logins: logins})
		if err != nil {
			return err
		}
		c := got.Credentials
		if left := time.Until(*c.Expiration); left < 59*time.Minute || left > time.Hour {
			return fmt.Errorf("the credentials expire in %v", left)
		}
		static := credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretKey, *c.SessionToken)
		want := "arn:aws:sts::123456789012:assumed-role/" + role + "/" + *id.IdentityId
		if err := d.calls(ctx, "credentials of "+role, static, want); err != nil {
			return err
		}
		other := map[string]string{provider: file("EXPIRED")}
		_, err = pool.GetCredentialsForIdentity(ctx, &cognitoidentity.GetCredentialsForIdentityInput{IdentityId: id.IdentityId, Logins: other})
		if err := d.refused("an expired token", err, "NotAuthorizedException"); err != nil {
			return err
		}
	}
	_, err := pool.GetId(ctx, &cognitoidentity.GetIdInput{IdentityPoolId: aws.String("eu-west-1:0")})
	return d.refused("another pool", err, "ResourceNotFoundException")
}

// roles assumes a role by the permanent key, and another one from there.
func (d *driver) roles(ctx context.Context) error {
	own := credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "")
	service := func(p aws.CredentialsProvider) *sts.Client {
		return sts.New(sts.Options{Region: "eu-west-1", BaseEndpoint: aws.String(d.base + "/sts"), Credentials: p, RetryMaxAttempts: 1})
	}
	points := stscreds.NewAssumeRoleProvider(service(own), account+"role/Points", func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.SourceIdentity, o.Duration = "mobile", aws.String("julianwood"), time.Hour
	})
	if err := d.calls(ctx, "AssumeRole", points, "arn:aws:sts::123456789012:assumed-role/Points/mobile"); err != nil {
		return err
	}
	audit := stscreds.NewAssumeRoleProvider(service(points), account+"role/Audit", func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = "audit", time.Hour
	})
	if err := d.calls(ctx, "AssumeRole, chained", audit, "arn:aws:sts::123456789012:assumed-role/Audit/audit"); err != nil {
		return err
	}
	got, err := service(audit).GetCallerIdentity(ctx, nil)
	if err != nil {
		return err
	}
	if err := d.check("GetCallerIdentity", *got.Arn, "arn:aws:sts::123456789012:assumed-role/Audit/audit"); err != nil {
		return err
	}
	assume := func(p aws.CredentialsProvider, role string, seconds int32) error {
		_, err := service(p).AssumeRole(ctx, &sts.AssumeRoleInput{
			RoleArn: aws.String(account + "role/" + role), RoleSessionName: aws.String("mobile"), DurationSeconds: aws.Int32(seconds),
		})
		return err
	}
	forged := credentials.NewStaticCredentialsProvider("ASIAIOSFODNN7EXAMPLE", "secret", "TGs1.forged")
	return errors.Join(
		d.refused("a role that may not be assumed", assume(own, "Audit", 3600), "AccessDenied"),
		d.refused("no external id", assume(own, "Vendor", 3600), "AccessDenied"),
		d.refused("chained for two hours", assume(points, "Audit", 7200), "ValidationError"),
		d.refused("beyond the role", assume(own, "Points", 7201), "ValidationError"),
		d.refused("a forged session token", assume(forged, "Points", 3600), "InvalidClientTokenId"),
	)
}

// chain uses the default credential chain, which finds the token in the environment.
func (d *driver) chain(ctx context.Context) error {
	for name, value := range map[string]string{
		"AWS_ROLE_ARN": account + "role/Points", "AWS_ROLE_SESSION_NAME": "worker", "AWS_WEB_IDENTITY_TOKEN_FILE": os.Getenv("TOKEN"),
		"AWS_ENDPOINT_URL_STS": d.base + "/sts", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	return d.calls(ctx, "the default chain", c.Credentials, "arn:aws:sts::123456789012:assumed-role/Points/worker")
}

// file returns the text of the file that a variable of the environment names.
func file(name string) string {
	text, err := os.ReadFile(os.Getenv(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
