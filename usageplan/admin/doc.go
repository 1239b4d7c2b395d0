// Package admin serves API Gateway's control plane for API keys, usage plans and usage, so that aws-cli, the AWS SDKs
// and Terraform manage the keys of an [apikey.Verifier] and the plans of a [usageplan.Meter]. [Page] is a page for
// people over the same control plane.
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
// # Several processes
//
// Each process of a service may have a control plane, over keys and plans whose journals the processes share. A change
// by any of them acts on all, and none is lost. If the others have Config.Follow, it acts there within a second. Until
// then they do not know it: a client that makes a key by one process and reads it by another may get a 404. So give
// Terraform and scripts the address of one process, or a load balancer that keeps them at one.
//
// In the answer to GetUsage, used and remaining units may add up to less than the limit. The rest is in leases: units
// that the ledger of another process has reserved and not yet spent.
//
// # Who may do what
//
// Nobody, unless the program says so: [New] needs Config.Authorize, and the control plane needs Config.Authenticate. Each request is
// authenticated, and then Authorize gets the [Action]: the operation and the ARN, as IAM policies name them, and
// whether the answer shows values of keys. An access key that may call the API should not be one that may change its
// limits. At the page there is no signature: [Action].Page says so, and Actor is the person. So an Authorize that allows
// everything, because Authenticate lets in nobody but the owner, also allows everything to each person whom
// PageConfig.Who names.
//
// The journals of keys and plans have the actor, the address and the request of each change, and of each answer
// that shows values of keys. The operation there is that of the change: TagResource of a key is UpdateApiKey, and the
// memberships that ImportApiKeys adds are ImportUsagePlans.
//
// # Values of keys
//
// CreateApiKey shows the value of the new key. Later answers show it, where API Gateway shows it, if [apikey.Config]
// has a Sealer. Otherwise the value is left out, which aws-cli and the SDKs cope with. Terraform, if its configuration
// has the value, takes that for a change and plans to replace the key: it needs the Sealer.
//
// If the keys have a journal, each later answer with values is in the history of its keys before it is sent: as the
// change RevealApiKey, with the actor, the address and the request. Such answers are those of GetApiKey with
// includeValue, GetApiKeys with includeValues, CreateUsagePlanKey, GetUsagePlanKey and GetUsagePlanKeys. Each costs one
// append, however many values it shows; one without values costs none. While the journal does not answer, they are
// refused with [ErrUnavailable]; CreateUsagePlanKey may have added the key to the plan then.
//
// # The page
//
//	links := new(admin.OwnerLinks)
//	page, err := admin.Page(admin.PageConfig{Control: control, Links: links})
//	…
//	http.Handle("/keys/", http.StripPrefix("/keys", page))
//	fmt.Println("https://admin.example/keys/" + links.New())
//
// The page shows keys, plans and usage, and changes them by forms. It is made on the server, and needs no script and no
// other file. A form becomes an operation of the control plane: Config.Authorize decides about it, the checks and the
// texts are those of the API, and the journals have it by the name of the person. What Authorize does not let a person
// read is not shown.
//
// For what API Gateway has no operation, Authorize is asked about these: RotateApiKey of a key; UpdateUsagePlanKey of a
// key in a plan, for limits of its own; UpdateUsage for an extension. To move a key to another plan, a person needs
// DeleteUsagePlanKey of the one and CreateUsagePlanKey of the other.
//
// A new value is in the answer to the form itself, and nowhere else. If a form is sent twice, by a reload or a double
// click, it counts once: the id of a new key, a new plan or an extension comes from the form, and a value is replaced
// only if the key is as the form has shown it. What a form has made and was then deleted is not made again: the journal
// tells that, and without one the page remembers the last thousand. So it also holds for several processes: for
// rotations as soon as the second process knows of the first one, and for the others always.
//
// Of the lists of keys, only the keys that are shown are read from the ledger, whatever their order. The sums over all
// keys are counted at most once a minute, by the request that finds them too old, and the page says how old they are.
// Requests that come meanwhile get the old ones. To count them reads from the ledger every client that has called: of
// 100 000 that took some seconds in memory, and a store may bill its reads. A list of 100 000 keys took some
// milliseconds in the order of creation, and some tens of milliseconds in another.
//
// The address usage.csv of the page is the usage as a CSV file, with a line for each client and day: of members, of
// clients of the default plan, and of those that have left. Its parameters are from and to, the first and the last day
// as 2026-11-30; plan, the id of a plan; and format=spreadsheet, in which no text is taken for a formula. Without the
// last day the file ends today, without the first it has 30 days, and without a plan it has all plans.
//
// # Who is it
//
// PageConfig.Who names the person by the application's own login, as the example of [Page] does for a Cognito group. Or
// a person has a link of [OwnerLinks], which is valid once and for ten minutes. To open it shows a button, because mail
// programs and chats open links as well, and the button exchanges it for a session of at most twelve hours. Links and
// sessions are known to one process only: a service of several needs Who, or a load balancer that keeps a browser at
// one process. There is no third way in. A page on a loopback address is not open either, because any site can have a
// browser send requests there.
//
// Both may be set: a link is for the first start, when nobody is in the group yet. Then the login in front of the page
// must let strangers pass, or the link leads to its refusal; the page itself tells strangers to sign in. The example of
// [PageConfig] has this, at /admin/ behind a proxy.
//
// The cookie of a session is out of reach of scripts (HttpOnly) and of other sites (SameSite=Strict). It is Secure
// unless the browser asked for a loopback address over plain HTTP. So over plain HTTP in a network, signing in fails,
// because the browser drops the cookie.
//
// A proxy that ends TLS must pass on the Host or set X-Forwarded-Proto: https. A proxy_pass of nginx to 127.0.0.1 does
// neither by itself. Then the page is asked for a loopback address over plain HTTP, and the cookie is not Secure:
//
//	proxy_set_header Host $host;
//	proxy_set_header X-Forwarded-Proto $scheme;
//
// The address in the journals is that of RemoteAddr, which is the proxy's. To have the person's there, set RemoteAddr in
// front of the page, by package clientip.
//
// Against forms of other sites there is [http.CrossOriginProtection], and a token in each form that is derived from the
// cookie and from the person's name. Behind Who, the page sets a cookie for this alone. The Content-Security-Policy
// allows the page's own style and script by their digests, and nothing else.
//
// # Moving over
//
// [Transfer] takes the keys, plans and memberships of an API Gateway account, and what is left of each quota. No key
// has to be reissued: keys keep their ids and values.
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
//   - A plan may bound how many requests run at once ([usageplan.InFlight]): by "inFlight": {"client": 4, "total": 100} in
//     the body of CreateUsagePlan, and by the paths /inFlight/client, /inFlight/total and /inFlight of UpdateUsagePlan,
//     which aws-cli sends as they are. Answers have the field, and SDKs skip it. Operations on anything else leave it as
//     it is, so Terraform does not remove it. An import of a plan that does not have it does.
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
// The page answers with the same statuses, and shows the form again with what was typed and what is wrong. 403 is also
// its answer to somebody who is not signed in, to a link that is used or too old, and to a form of another session. 404
// and 405 stand for an address that it does not have, or not with this method. 409 also tells that a form was sent
// before.
//
// # Failure
//
// What spans keys and plans is ordered. DeleteApiKey removes the memberships and then the key; ImportApiKeys makes the
// keys and then the memberships. So a process that ends in between leaves a key without a plan, and never a membership
// that another key would find. To repeat the request completes it. Other changes that come by this server wait for an
// import, so that none gets between its keys and its memberships. Those that come by another process do not wait.
//
// A change waits for the store as long as the store's client does: it has no timeout of its own. For example, over a
// Redis server that hung, CreateApiKey took about 11 s to answer 503, with go-redis' default ReadTimeout. For a shorter
// wait, give the requests contexts with a deadline.
//
// Bodies have at most 10 MiB, and are read before they are parsed. Lists are read in pages of at most 500.
//
// # Files
//
// Start with server.go (a request from beginning to end), route.go (the operations), auth.go and call.go. Operations:
// keys.go, importkeys.go, plans.go, plankeys.go, usage.go, tags.go, stages.go, account.go. PATCH: patch.go,
// patchplan.go, patchstage.go, patchmethod.go. What goes over the wire: json.go, wire.go, position.go, error.go. Moving
// over: transfer.go, move.go (what is checked), moveapply.go (what is done), export.go; document.go, cloudformation.go
// and terraform.go are the formats.
//
// The page: pageconfig.go, pageroute.go (a visit from beginning to end, and the addresses), pagesession.go and
// pagelink.go (who it is), pagesignin.go, pageform.go, pagesent.go (forms that are sent twice), pageview.go (templates
// and headers), pagenotice.go. What it does: pagekey.go, pagevalue.go (new values), pagemember.go (quotas and plans of
// a key), pageplan.go, pageplanform.go. What it shows: pageoverview.go, pagelist.go (orders and pages of keys),
// pagesummary.go (sums over all keys), pagestanding.go (what is left of a quota), pageusage.go, pageforecast.go,
// pagehistory.go, pageformat.go, pagecsv.go.
// The folder page has the templates, whose fields part-forms.html lists, the style and the script.
//
// # Sources
//
// API Gateway's API Reference and its model in botocore (service-2.json). Field rules and texts are those of recorded
// answers of API Gateway where there are any, such as the snapshots of LocalStack's tests. Patch operations:
// https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html.
package admin
