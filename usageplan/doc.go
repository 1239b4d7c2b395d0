// Package usageplan limits how fast and how much each client of an HTTP API may call. It implements API Gateway's usage
// plans, with exact counting.
//
// A [Plan] opens stages of APIs to its members. It limits the rate of each member by a token bucket, and gives each
// member a quota per day, week or month. A [Meter] makes one decision per request from all limits that apply, in API
// Gateway's order: the plan's throttle of the method, the plan's throttle, the quotas, the stage's throttle of the
// method, the account's throttle. If one of them refuses the request, the others have counted nothing.
//
//	meter, err := usageplan.New(usageplan.Config{
//		Client:  apikey.ID,
//		API:     "airline-loyalty",
//		Stage:   "Prod",
//		Plans:   []usageplan.Plan{{ID: "jcfq33", Name: "RestrictUsage", …}},
//		Members: []usageplan.Member{{Plan: "jcfq33", Client: "fr92a5qpbj"}},
//		Ledger:  quotas, // of package ledger; over package boltstore it survives a crash
//	})
//	mux.Handle("GET /Prod/loyalty/{customerId}", keys.Handler(meter.Handler(loyalty)))
//
// # For clients and owners
//
// [Meter.StatusHandler] tells a client what its own plan allows and what is left of it. [Meter.Balance], [Meter.Usage],
// [Meter.Extend], [Meter.SetRemaining], [Meter.Correct] and [Meter.Adjustments] are for the owner of the API. They do
// not check who asks, and neither do changes. [journal.NewContext] says who it was, for [Meter.History] and
// [Meter.Adjustments].
//
// # Plans without a quota
//
// The owner also wants to know what is used under a plan without a quota. With a Config.Ledger, each admitted request
// is counted there, as a quota per day with the limit [ledger.MaxUnits] would count it: by days of UTC, exactly once,
// at the price of a quota in time and memory. [Meter.Usage] yields it, and [Charge.Settle] corrects it. The client is
// told nothing of it: neither header fields nor [Status] have such a quota.
//
// If the plan gets a quota per day, the day's usage counts against it. For example, a client that has made 250 requests
// today under a plan without a quota is refused until midnight if the plan gets a quota of 200 a day. A quota per week
// or month starts from zero. [Meter.Usage] finds the days of before under [ledger.Daily].
//
// A request that cannot be counted is refused with [ledger.ErrUnavailable], as with a quota. It could be admitted,
// because no limit needs its count. But then the usage that an owner reads, and may bill, would be too low without a
// sign. An application that prefers to admit it sets Config.AllowDespite: [Error].Layer is empty if the plan has no
// quota.
//
// # What it does not do
//
// It does not authenticate. Config.Client must report only what an authenticator in front of the meter has verified.
//
// It meters only the routes that it wraps. It wraps the handlers that are given to the mux, not the mux, because the
// route is known only after the mux has matched. In front of a mux, Config.Route has to find the route itself. If one
// mux is mounted in another, the meter wraps the handlers of the inner one. Between the two it would see only the outer
// pattern, and a throttle of a method of the inner mux would never act. A pattern below [http.StripPrefix] does not
// contain the prefix that was stripped. If more than the stage was stripped, write the throttles' resources without it
// as well, or set Config.Route.
//
// It does not look at responses. An admitted request counts whatever its answer is, as in API Gateway, unless the
// handler settles its [Charge]. The handler gets the charge from [FromContext] if Config.ChargeInContext is set. A
// handler that calls [Meter.Check] itself gets the charge from there.
//
// A throttle of a method that no route can have is refused, because it would silently limit nothing. If Config.Routes
// has the patterns of the mux, a throttle that fits none of them is refused too. [Stage] lists the forms of a resource.
//
// Throttles count requests, quotas count [Config].Cost. If throttles counted the cost, a burst of 2 would refuse every
// request that costs 3, forever. To throttle by cost, put a limiter of package ratelimit in front. Config.Unit names
// what the cost counts. Without it, quotas with a cost are left out of the RateLimit fields, because clients read an
// item without a unit as requests.
//
// # Errors
//
// What the client gets for each cause, and what the operator does about it:
//
//   - [ErrNotConfigured]: 500. The text says what is wrong. Make the meter with [New]. Set Config.Client, which serving
//     HTTP needs. Wrap the handlers, not the mux, or let Config.Route know the request. Mend a Config.Cost that returns
//     less than 0 or more than [ledger.MaxUnits].
//   - [ErrNoClient]: 403 Forbidden. Nothing, or put the authenticator in front of the meter.
//   - [ErrNoPlan]: 403 Forbidden. Make the client a member of a plan for the stage, or set Config.Default. As the error
//     of a change, it means that there is no plan of the id. A control plane answers that with 404.
//   - [ErrThrottled]: 429 Too Many Requests, with Retry-After. Nothing, or raise the throttle that [Error].Layer names.
//   - [ErrQuotaExceeded]: 429 Limit Exceeded, with Retry-After. Nothing, or [Meter.Extend].
//   - [ledger.ErrUnavailable]: 503, with Retry-After, also where the plan has no quota. Look at the ledger's engine.
//   - [ErrInvalid]: 400. Correct the change, the file or the configuration.
//   - [ErrConflict]: 409. Change what is in the way first; the text names it.
//   - [ErrExists]: 409. The plan or membership is there. Update it, or take another id.
//   - [ErrNotMember]: 404. Name a plan of which the client is a member.
//   - [journal.ErrUnavailable]: 503. It is unknown whether the change was made. [Meter.Refresh] and the next change
//     find out. Then look at the present plans and members, and repeat the change if it is not there. A context that
//     has ended while the change waited for others is 503 as well, and nothing has changed then.
//   - [ErrNoQuota]: an error of the methods that take a [QuotaKey], without an answer of its own. Correct the key; the
//     text says whether the plan, the quota or the membership is missing. [Meter.Balance] does not need the
//     membership. [Meter.Usage] and [Meter.Adjustments] need neither it nor a quota that the plan has now.
//
// The client never sees the cause. Config.ErrorHandler gets it. A ledger that cannot count refuses requests. To
// admit them anyway, or to observe without refusing, set Config.AllowDespite.
//
// # Changes
//
// [Meter.CreatePlan], [Meter.UpdatePlan], [Meter.DeletePlan], [Meter.AddMembers], [Meter.UpdateMember],
// [Meter.RemoveMembers] and [Meter.Import] change plans and members. Each is one decision and one change, all or
// nothing. It is checked against the plans and members of that moment, appended to Config.Journal, and then visible. It
// acts on the next request and blocks none. Changes of one meter are made one after the other. If another process has
// changed something meanwhile, the meter reads on and decides again, so no change is lost.
//
// Every error of a change but one means that nothing has changed. The one is [journal.ErrUnavailable].
//
// Balances belong to the plan's id, the period and the client. Buckets belong to what is throttled. Both survive a
// change of the plan; [Meter.UpdatePlan] has the details.
//
// Reading waits for no change: [Meter.Plans], [Meter.Plan], [Meter.Member], [Meter.Memberships], and [Meter.Members] by
// pages. [Meter.History] tells who has changed what. [Meter.Clients] finds whom the ledger has counted under a plan.
//
// What Config.Plans and Config.Members declare is not stored until a change touches it. From then on the journal has
// it, and the declaration does not count any more. If the code declares less later, what a change has touched stays.
//
// # Bounds
//
// Each throttle keeps apart a million clients whose buckets are not full. Beyond that, clients share buckets, and may
// be refused early, but never admitted late (see package ratelimit). A plan's id has at most 128 bytes, a client's 512.
// A change has at most 10 000 plans and members, and a plan at most 1 MiB in its JSON form.
//
// Under a plan without a quota, a client's usage is counted up to [ledger.MaxUnits] a day, extensions of a quota that
// the plan had before on that day included. Beyond that, requests are refused with [ErrQuotaExceeded].
//
// # Differences from API Gateway
//
// A plan may have several quotas, and quotas in time zones. A throttle refuses before the quota is asked, and a refused
// request counts nowhere. A disabled key, a lowered limit and a removed member act on the next request, not after half
// a minute.
//
// # Files
//
// Start with meter.go (what a meter is made of) and take.go (the decision), with draw.go (throttles) and charge.go
// (what was taken). HTTP: handler.go, status.go, error.go. Plans: plan.go, table.go (what requests read without locks),
// usage.go, read.go, roll.go (members by pages). Changes: verbs.go, draft.go (what can be wrong), item.go (what the
// journal has), change.go and apply.go (from there to the table). Methods: route.go, method.go, throttle.go, reach.go.
// JSON: load.go, wire.go, json.go.
//
// # Sources
//
// Semantics: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html and
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html. Answers:
// https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html. Where AWS says
// "best effort", this package is exact. It also sends Retry-After (RFC 9110 §10.2.3) and the RateLimit fields
// (draft-ietf-httpapi-ratelimit-headers-11), which API Gateway never does; Config.AWSStrict turns both off.
package usageplan
