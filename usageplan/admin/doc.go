// Package admin serves API Gateway's control plane for API keys, usage plans and usage, so that aws-cli, the AWS SDKs
// and Terraform manage the keys of an [apikey.Verifier] and the plans of a [usageplan.Meter].
//
//	owners, err := sigv4.NewVerifier(sigv4.VerifierConfig{
//		Keys: owner.Key, Regions: []string{"eu-west-1"}, Services: []string{"apigateway"},
//	})
//	…
//	control, err := admin.New(admin.Config{
//		Keys: keys, Plans: plans, // what the program serves requests by
//		Authenticate: owners.Authenticate,
//		Actor:        sigv4.ID,
//		Authorize:    func(*http.Request, admin.Action) error { return nil }, // every access key of owners
//		Stages:       []usageplan.Stage{{API: "airline-loyalty", Name: "Prod"}},
//	})
//	…
//	http.ListenAndServe("127.0.0.1:8081", control)
//
// Then, with the owner's access key:
//
//	aws apigateway create-api-key --name julianwood --enabled --endpoint-url http://127.0.0.1:8081
//
// # What it serves
//
// The 22 operations on keys, usage plans, usage, tags and the account, with API Gateway's fields, statuses and texts.
// Lists are newest first. GET /restapis and its stages let clients find what a plan can open. A change acts on the next
// request of this process. A PATCH is one step: requests see the plan as it was or as it is, whatever its operations
// pass through.
//
// # Who may do what
//
// Nobody, unless the program says so: [New] needs Config.Authenticate and Config.Authorize. Each request is
// authenticated, and then Authorize gets the [Action]: the operation and the ARN, as IAM policies name them, and whether
// the answer shows values of keys. An access key that may call the API should not be one that may change its limits.
// The journals of keys and plans have the actor, the address and the request of each change, and of each answer that
// shows values of keys. The operation there is that of the change: TagResource of a key is UpdateApiKey, and the
// memberships that ImportApiKeys adds are ImportUsagePlans.
//
// # Values of keys
//
// CreateApiKey shows the value of the new key. Later answers show it, where API Gateway shows it, if [apikey.Config] has
// a Sealer. Otherwise the value is left out, which aws-cli and the SDKs cope with. Terraform, if its configuration has
// the value, takes that for a change and plans to replace the key: it needs the Sealer.
//
// If the keys have a journal, each later answer with values is in the history of its keys before it is sent: as the
// change RevealApiKey, with the actor, the address and the request. Such answers are those of GetApiKey with
// includeValue, GetApiKeys with includeValues, CreateUsagePlanKey, GetUsagePlanKey and GetUsagePlanKeys. Each costs one
// append, however many values it shows; one without values costs none. While the journal does not answer, they are
// refused with [ErrUnavailable]; CreateUsagePlanKey may have added the key to the plan then.
//
// # Moving over
//
// [Transfer] takes the keys, plans and memberships of an API Gateway account, and what is left of each quota. No key has
// to be reissued: keys keep their ids and values.
//
//	aws apigateway get-api-keys --include-values > keys.json
//	aws apigateway get-usage-plans > plans.json
//	aws apigateway get-usage-plan-keys --usage-plan-id jcfq33 > members.json       # for each plan
//	aws apigateway get-usage --no-paginate --limit 500 --usage-plan-id jcfq33 \
//		--start-date 2026-11-01 --end-date 2026-11-30 > usage.json                 # for each plan
//
// It also reads key files, CloudFormation templates and Terraform states, and it writes what it reads, to go back. A
// report says line by line what was done and what was left out.
//
// # Differences from API Gateway
//
//   - GetUsage without a limit gives up to 10 000 keys, not 25: aws-cli and boto3 merge the pages of lists only, and lose
//     all pages of GetUsage but the first. It also lists clients that have left the plan, and those of the default plan.
//     Under a plan without a quota, the remaining units are 0. At most 366 days are given. Days from before a change of
//     the quota's period are included.
//   - What a body has that is not known is refused, and so are names in another case and names that come twice. A limit
//     that is misspelt would be no limit. API Gateway's text for this is not known.
//   - CreateUsagePlanKey, for a key that has the plan or another one for a stage, is a ConflictException whose text says
//     which. API Gateway's is not known.
//   - There are no stage keys: stageKeys is always [], and PATCH of /stages and /labels is refused. There is no CloudWatch
//     role.
//   - Import accepts values of 20 characters, as CreateApiKey does, not only of 30.
//   - There is no limit on how often the control plane is called.
//
// # Errors
//
// What the caller gets for each cause, and what the caller or the operator does about it:
//
//   - [ErrNotConfigured]: 500. Make the server with [New].
//   - [ErrNoRoute]: 403 Missing Authentication Token. Correct the path or the method: API Gateway answers so too.
//   - [ErrDenied]: 403. Let Config.Authorize allow the action that [Error].Action names.
//   - [ErrInvalid]: 400. Correct the request; [Error].Message says what is wrong.
//   - [ErrNotFound]: 404. Correct the id.
//   - [ErrConflict]: 409. Change first what is in the way; [Error].Message names it.
//   - [ErrTooLarge]: 413. Send at most 10 MiB, for example a CSV file in parts.
//   - [ErrUnavailable]: 503, with Retry-After. Look at the store of keys, plans or balances. A change may have been made
//     or not: read it before you repeat it.
//
// What Config.Authenticate returns answers for itself. The causes of package apikey, usageplan and ledger are wrapped.
//
// # Failure
//
// What spans keys and plans is ordered. DeleteApiKey removes the memberships and then the key; ImportApiKeys makes the
// keys and then the memberships. So a process that ends in between leaves a key without a plan, and never a membership
// that another key would find. To repeat the request completes it. Other changes that come by this server wait for an
// import, so that none gets between its keys and its memberships.
//
// Bodies have at most 10 MiB, and are read before they are parsed. Lists are read in pages of at most 500.
//
// # Files
//
// Start with server.go (a request from beginning to end), route.go (the operations), auth.go and call.go. Operations:
// keys.go, importkeys.go, plans.go, plankeys.go, usage.go, tags.go, stages.go, account.go. PATCH: patch.go,
// patchplan.go, patchstage.go, patchmethod.go. What goes over the wire: json.go, wire.go, page.go, error.go. Moving
// over: transfer.go, move.go (what is checked), moveapply.go (what is done), export.go; document.go, cloudformation.go
// and terraform.go are the formats.
//
// # Sources
//
// API Gateway's API Reference and its model in botocore (service-2.json). Field rules and texts are those of recorded
// answers of API Gateway where there are any, such as the snapshots of LocalStack's tests. Patch operations:
// https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html.
package admin
