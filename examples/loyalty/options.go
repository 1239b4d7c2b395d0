package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/tallygate/tallygate/sigv4"
	"github.com/tallygate/tallygate/usageplan"
)

// options are the flags of the command line.
type options struct {
	addr, admin, data    string
	issuer, jwks, client string // of a user pool; empty for the demo issuer
	empty, seal, demo    bool
	region               string
	stages               []usageplan.Stage
	access               string // the owner's access key
	secret               sigv4.Secret
}

// defaults are the options of a command line without flags.
func defaults() options {
	return options{
		region: region, stages: []usageplan.Stage{{API: apiID, Name: stage}}, access: ownerAccessKey, secret: ownerSecretKey,
	}
}

func parse(args []string, out io.Writer) (options, error) {
	o := defaults()
	flags := flag.NewFlagSet("loyalty", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "address to listen on")
	flags.StringVar(&o.admin, "admin", "127.0.0.1:8081", "address of the owner's page and the control plane")
	flags.StringVar(&o.data, "data", "", "folder of keys, plans and quotas, which survive kill -9 (default a temporary one, which only an orderly end removes)")
	flags.BoolVar(&o.empty, "empty", false, "start without a plan and keys, so that the control plane makes them")
	flags.BoolVar(&o.demo, "demo", false, "start with a dozen more keys in three plans, and 30 days of their usage; the folder must be new")
	flags.BoolVar(&o.seal, "seal", false, "keep the values of keys encrypted, so that the control plane can show them again")
	flags.StringVar(&o.region, "region", o.region, "region of the signatures")
	flags.Func("stages", "the stages, api:stage,… (default "+apiID+":"+stage+")", o.setStages)
	flags.Func("key", "the owner's access key, id:secret (default the one that the help shows)", o.setOwner)
	flags.StringVar(&o.issuer, "issuer", "", "issuer of a Cognito user pool (default a demo issuer inside this program)")
	flags.StringVar(&o.jwks, "jwks", "", "JWKS URL of that issuer (default the issuer's /.well-known/jwks.json)")
	flags.StringVar(&o.client, "client", "", "app client id that its tokens must be for")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.validate()
}

func (o options) validate() error {
	switch {
	case o.addr == "":
		return errors.New("-addr is empty")
	case o.admin == "":
		return errors.New("-admin is empty")
	case o.demo && o.empty:
		return errors.New("-demo makes plans and keys, and -empty leaves them out")
	case o.region == "":
		return errors.New("-region is empty")
	case (o.issuer == "") != (o.client == ""):
		return errors.New("-issuer and -client go together")
	case o.issuer == "" && o.jwks != "":
		return errors.New("-jwks needs -issuer")
	}
	for _, u := range []string{o.issuer, o.jwks} {
		if parsed, err := url.Parse(u); err != nil || u != "" && parsed.Host == "" {
			return fmt.Errorf("%q is not an absolute URL", u)
		}
	}
	return nil
}

// setStages reads api:stage,… A request is routed by the name of its stage, so no two APIs can have the same.
func (o *options) setStages(text string) error {
	o.stages = nil
	seen := make(map[string]bool)
	for name := range strings.SplitSeq(text, ",") {
		api, stage, _ := strings.Cut(name, ":")
		if api == "" || stage == "" || strings.ContainsAny(stage, "/{} ") || seen[stage] {
			return fmt.Errorf("%q is not api:stage, or a second stage of that name", name)
		}
		seen[stage] = true
		o.stages = append(o.stages, usageplan.Stage{API: api, Name: stage})
	}
	return nil
}

// setOwner reads id:secret.
func (o *options) setOwner(text string) error {
	id, secret, _ := strings.Cut(text, ":")
	if id == "" || secret == "" || id == accessKey {
		return errors.New("it is not id:secret, or it is the customer's access key")
	}
	o.access, o.secret = id, sigv4.Secret(secret)
	return nil
}
